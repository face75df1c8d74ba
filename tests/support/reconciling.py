"""A platform with every kind of money on it, and ways to let the two sides of its books drift apart."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import count
from typing import Any, Final

from gateway.domain.clock import ManualClock
from gateway.domain.ledger import STRIPE
from gateway.domain.money import MICROS_PER_CENT
from gateway.domain.reconciliation import Difference
from gateway.services.books.checking import check_books
from gateway.services.ledger import balance
from gateway.services.payouts import request_payout
from gateway.services.reconciling import Reconciliation, reconcile_day
from tests.support.gateway import START, Platform, open_platform
from tests.support.payouts import Creator, PayoutWorld

Json = dict[str, Any]

#: A card whose money can be moved at once.
AVAILABLE_AT_ONCE: Final = "4000000000000077"
#: The day on which most of it happens.
DAY: Final = START.date()


@dataclass(frozen=True, slots=True)
class Paid:
    """A deposit that was paid: the session, and its charge at Stripe."""

    session_id: str
    charge_id: str


@dataclass(frozen=True, slots=True, eq=False)
class MoneyWorld:
    """The services, the local Stripe with its webhooks, and the time both live in."""

    platform: Platform
    paying: PayoutWorld

    async def deposit(self, cents: int, *, card: str = AVAILABLE_AT_ONCE, settled: bool = True) -> Paid:
        """A person's deposit. One that is not settled is paid at Stripe and nobody tells us."""
        page = await self.platform.person().deposit_page(str(cents))
        await self.platform.stripe.pay(page.url, card)
        if settled:
            await self.platform.settled()
        session = await self.platform.stripe.api("GET", f"/v1/checkout/sessions/{page.session_id}")
        listed = await self.platform.stripe.api("GET", f"/v1/charges?payment_intent={session['payment_intent']}")
        return Paid(page.session_id, listed["data"][0]["id"])

    async def subscribe(self) -> str:
        """A person takes out a subscription; the charge that paid its first period."""
        person = self.platform.person()
        page = await person.checkout_page("PRO", "MONTHLY")
        await self.platform.stripe.pay(page.url)
        await self.platform.settled()
        assert await person.tier() == "PRO"
        listed = await self.platform.stripe.api("GET", "/v1/charges?limit=1")
        return str(listed["data"][0]["id"])

    async def pay_out(self, cents: int) -> tuple[Creator, str]:
        """A creator is paid; the transfer's id."""
        creator = await self.paying.creator(cents=cents)
        view = await request_payout(self.paying.billing, subject=creator.subject)
        assert await self.paying.work(view.id)
        transfer_id = (await self.paying.payout(creator)).transfer_id
        assert transfer_id is not None
        return creator, transfer_id

    async def control(self, path: str, /, **fields: object) -> Json:
        return await self.platform.stripe.control(path, **fields)

    async def silence(self) -> None:
        """From now on Stripe's events reach nobody."""
        await self.control("events/hold")

    async def line_of(self, source: str, *, type: str | None = None) -> str:
        """The id of the balance line that an object made."""
        listed = await self.platform.stripe.api("GET", f"/v1/balance_transactions?source={source}")
        (line,) = [one for one in listed["data"] if type in (None, one["type"])]
        return str(line["id"])

    async def next_day(self, *, days: int = 1) -> None:
        """Go to 04:00 of a later day."""
        now = self.platform.clock.now()
        morning = now.replace(hour=4, minute=0, second=0, microsecond=0) + timedelta(days=days)
        await self.platform.advance(seconds=(morning - now).total_seconds())

    async def reconcile(self, day: date = DAY, *, with_healing: bool = True) -> Reconciliation:
        return await reconcile_day(self.platform.billing, day, with_healing=with_healing)

    async def reconcile_since(self, day: date) -> list[Difference]:
        """Every day from then until yesterday, in order; what the last of them leaves open."""
        found: list[Difference] = []
        while day < self.platform.clock.now().date():
            found = list((await self.reconcile(day)).differences)
            day += timedelta(days=1)
        return found

    async def at_stripe_cents(self) -> int:
        """All that Stripe holds of the platform's, pending money included."""
        held = await self.platform.stripe.api("GET", "/v1/balance")
        return sum(part["amount"] for side in ("available", "pending") for part in held[side])

    async def in_ledger_cents(self) -> int:
        """The same in the ledger's words."""
        return -(await balance(self.platform.database, STRIPE)) // MICROS_PER_CENT

    async def assert_agreed(self) -> None:
        """The ledger holds at Stripe what Stripe holds, to the cent, and the books are right."""
        assert await self.in_ledger_cents() == await self.at_stripe_cents()
        assert (await check_books(self.platform.database)).faults == ()


@asynccontextmanager
async def open_money_world(database_url: str, *, gateways: int = 1) -> AsyncGenerator[MoneyWorld]:
    """Everything runs but the background work, which tests do by hand."""
    clock = ManualClock(START)
    async with open_platform(database_url, clock=clock, with_worker=False, gateways=gateways) as platform:
        paying = PayoutWorld(billing=platform.billing, door=platform.stripe, clock=clock, _names=count(1))
        yield MoneyWorld(platform, paying)
