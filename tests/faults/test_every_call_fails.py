"""Every call the gateway makes to Stripe fails in every way; each time things end true without anybody's help.

Which calls there are is not written down here: each use case is watched once while nothing fails, and then repeated
with the first of its calls failing, with the second, and so on. A call that is added is covered by itself.
"""

import re
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Final

import pytest

from gateway.domain.clock import ManualClock
from gateway.domain.errors import ProviderError
from gateway.services.chores import CHORES
from tests.support.books import assert_books_balance
from tests.support.gateway import START, Platform, eventually, open_platform
from tests.support.person import Json, Person
from tests.support.stripe_door import PAYS_LATER
from tests.support.truth import customers_in_books, holding_at_stripe, holding_in_books

#: What Stripe or the way to it does, as many times in a row as the SDK does not get over by itself.
FAULTS: Final = ("status_500", "timeout_before", "timeout_after", "cut_body", "status_429", "status_409")
ENOUGH: Final = 3
#: How long the gateway waits for Stripe here, and how long a hanging Stripe keeps it waiting.
PATIENCE_SECONDS: Final = 0.2
HANG_SECONDS: Final = 0.3
HEALING_ROUNDS_MAX: Final = 6
_ID: Final = re.compile(r"(?<=/)[a-z]+_[A-Za-z0-9_]+")

pytestmark = pytest.mark.usefixtures("quiet")


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a use case: the nth to its address."""

    method: str
    path: str
    earlier: int


@dataclass(eq=False)
class Case:
    """One use case with its customer. `ask` is what the client does, and does again until it has a clear answer."""

    platform: Platform
    person: Person

    async def prepare(self) -> None: ...

    async def ask(self) -> Json | None: ...

    async def finish(self) -> None: ...

    async def paid_deposit(self) -> str:
        page = await self.person.deposit_page("2500")
        await self.platform.stripe.pay(page.url)
        return page.session_id

    async def paid_plan(self) -> str:
        page = await self.person.checkout_page("PRO")
        await self.platform.stripe.pay(page.url)
        return page.session_id

    async def apply_events(self) -> None:
        """What the webhook and the worker do; a worker does not ask again, its time comes."""
        await self.platform.delivered()
        await self.platform.work()


class FirstDeposit(Case):
    async def ask(self) -> Json:
        self.answer = await self.person.deposit("2500", idempotencyKey="one")
        return self.answer

    async def finish(self) -> None:
        await self.platform.stripe.pay(self.answer["url"])


class FirstPlan(Case):
    async def ask(self) -> Json:
        self.answer = await self.person.checkout("PRO", idempotencyKey="one")
        return self.answer

    async def finish(self) -> None:
        await self.platform.stripe.pay(self.answer["url"])


class PlanInPlaceOfAnOpenPage(FirstPlan):
    async def prepare(self) -> None:
        await self.person.checkout_page("STARTER")


class PlanAfterThePageWasPaid(Case):
    """The other tab was paid for a moment ago."""

    async def prepare(self) -> None:
        await self.platform.stripe.control("events/hold")
        await self.paid_plan()

    async def ask(self) -> Json:
        return await self.person.checkout("BUSINESS")

    async def finish(self) -> None:
        await self.platform.stripe.control("events/release")


class PurchaseOfADeletedCustomer(FirstDeposit):
    async def prepare(self) -> None:
        await self.person.deposit_page("700")
        await self.platform.stripe.control("events/hold")
        (customer,) = await customers_in_books(self.platform.database, self.person.subject)
        await self.platform.stripe.api("DELETE", f"/v1/customers/{customer}")

    async def finish(self) -> None:
        await super().finish()
        await self.platform.stripe.control("events/release")


class VerifiedDeposit(Case):
    async def prepare(self) -> None:
        await self.platform.stripe.control("events/hold")
        self.session_id = await self.paid_deposit()

    async def ask(self) -> Json:
        return await self.person.verify_deposit(self.session_id)

    async def finish(self) -> None:
        await self.platform.stripe.control("events/release")


class VerifiedPlan(VerifiedDeposit):
    async def prepare(self) -> None:
        await self.platform.stripe.control("events/hold")
        self.session_id = await self.paid_plan()

    async def ask(self) -> Json:
        return await self.person.verify_checkout(self.session_id)


class Portal(Case):
    async def prepare(self) -> None:
        await self.paid_deposit()
        await self.apply_events()

    async def ask(self) -> Json:
        return await self.person.portal()


class EventsOfADeposit(Case):
    async def prepare(self) -> None:
        await self.paid_deposit()

    async def ask(self) -> None:
        await self.apply_events()


class EventsOfAPlan(EventsOfADeposit):
    async def prepare(self) -> None:
        await self.paid_plan()


class EventsOfAPaymentThatFails(EventsOfADeposit):
    """Of a deposit and of a plan: a bank that thinks for days, and then does not pay."""

    async def prepare(self) -> None:
        for page in (await self.person.deposit_page("2500"), await self.person.checkout_page("PRO")):
            await self.platform.stripe.pay(page.url, PAYS_LATER)
            await self.platform.stripe.control("payments/fail", checkout_session=page.session_id)


class EventsOfARefund(EventsOfADeposit):
    async def prepare(self) -> None:
        session_id = await self.paid_deposit()
        await self.apply_events()
        await self.platform.stripe.control("refunds", checkout_session=session_id, amount=900)


class EventsOfADispute(EventsOfADeposit):
    async def prepare(self) -> None:
        session_id = await self.paid_deposit()
        await self.apply_events()
        await self.platform.stripe.control("disputes/open", checkout_session=session_id)


class EventsOfADeletedCustomer(EventsOfADeposit):
    async def prepare(self) -> None:
        await self.paid_plan()
        await self.apply_events()
        (customer,) = await customers_in_books(self.platform.database, self.person.subject)
        await self.platform.stripe.api("DELETE", f"/v1/customers/{customer}")


class EventsOfAChangeInThePortal(EventsOfADeposit):
    async def prepare(self) -> None:
        await self.paid_plan()
        await self.apply_events()
        (living,) = [one for one in await self.platform.stripe.subscriptions() if one["customer"] in await self._mine()]
        await self.platform.stripe.control("subscriptions/cancel", subscription=living["id"], at_period_end=True)

    async def _mine(self) -> list[str]:
        return await customers_in_books(self.platform.database, self.person.subject)


class Chores(Case):
    """Pages that were paid and of which nobody, not even an event, says so; what is done from time to time sees it."""

    async def prepare(self) -> None:
        await self.platform.stripe.control("events/hold")
        await self.paid_deposit()
        await self.paid_plan()
        await self.platform.advance(minutes=11)

    async def ask(self) -> None:
        await do_chores(self.platform)

    async def finish(self) -> None:
        await self.platform.stripe.control("events/release")


CASES: Final[tuple[Callable[[Platform, Person], Case], ...]] = (
    *(FirstDeposit, FirstPlan, PlanInPlaceOfAnOpenPage, PlanAfterThePageWasPaid, PurchaseOfADeletedCustomer),
    *(VerifiedDeposit, VerifiedPlan, Portal, EventsOfADeposit, EventsOfAPlan, EventsOfAPaymentThatFails),
    *(EventsOfARefund, EventsOfADispute, EventsOfADeletedCustomer, EventsOfAChangeInThePortal, Chores),
)


@pytest.fixture
async def fragile(sqlite_url: str) -> AsyncIterator[Platform]:
    """What Stripe does wrong looks the same on each engine, so this is on SQLite."""
    async with open_platform(
        sqlite_url, clock=ManualClock(START), with_worker=False, hasty=True, patience_seconds=PATIENCE_SECONDS
    ) as running:
        yield running


@pytest.mark.parametrize("kind", FAULTS)
@pytest.mark.parametrize("case", CASES)
async def test_whichever_call_fails_things_end_true(
    fragile: Platform, case: Callable[[Platform, Person], Case], kind: str
) -> None:
    calls = await calls_of(fragile, case)
    for call in calls:
        await fails_once(fragile, case(fragile, fragile.person()), call, kind)


async def calls_of(platform: Platform, make: Callable[[Platform, Person], Case]) -> list[Call]:
    """The calls of a use case as they are made when nothing fails."""
    case = make(platform, platform.person())
    await case.prepare()
    await platform.stripe.forget_requests()
    await case.ask()
    seen: list[Call] = []
    for row in await platform.stripe.requests("/v1/"):
        path = "^" + _ID.sub("[^/]+", row["path"]) + "$"
        seen.append(Call(row["method"], path, sum((one.method, one.path) == (row["method"], path) for one in seen)))
    assert seen or isinstance(case, Chores | Portal), "a use case that never asks Stripe belongs elsewhere"
    await ends_true(platform, case)
    return seen


async def fails_once(platform: Platform, case: Case, call: Call, kind: str) -> None:
    """The call fails for as long as the SDK tries; then Stripe is well again, and everybody goes on as usual."""
    await case.prepare()
    await platform.stripe.control(
        "faults",
        path=f"regex:{call.path}",
        method=call.method,
        kind=kind,
        count=ENOUGH,
        skip=call.earlier,
        seconds=HANG_SECONDS,
    )
    await case.ask()
    await platform.stripe.control("faults/clear")
    await ends_true(platform, case)


async def ends_true(platform: Platform, case: Case) -> None:
    """The client asks again until it is answered, then nobody does anything but wait."""

    async def answered() -> None:
        answer = await case.ask()
        assert answer is None or answer.get("code") != "PROVIDER_UNAVAILABLE", answer

    await eventually(answered)
    await case.finish()
    for _ in range(HEALING_ROUNDS_MAX):
        await platform.delivered()
        await platform.work()
        await do_chores(platform)
        if await platform.events_in("new", "doing", "dead") == 0:
            break
        await platform.advance(seconds=30)
    assert await platform.events_in("new", "doing", "dead") == 0
    customers = await customers_in_books(platform.database, case.person.subject)
    ours = await holding_in_books(platform.database, case.person.subject, now=platform.clock.now())
    assert ours == await holding_at_stripe(platform.stripe, customers)
    assert len(customers) == len(set(customers)) <= 2
    await assert_books_balance(platform.database)


async def do_chores(platform: Platform) -> None:
    """One round of everything that is done from time to time; one that Stripe does not answer is done next time."""
    for chore in CHORES:
        await run_quietly(lambda work=chore.work: work(platform.billing))
    await platform.work()


async def run_quietly(work: Callable[[], Awaitable[object]]) -> None:
    try:
        await work()
    except ProviderError:
        return
