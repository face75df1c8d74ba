"""Creators who are paid, seen from their dashboards; and the platform's background work, done by hand and in order."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, cast

from gateway.db import Connection
from gateway.domain.charges import available
from gateway.domain.clock import ManualClock
from gateway.domain.identity import SCOPE_ADMIN, SCOPE_CHARGE
from gateway.domain.ids import new_id
from gateway.domain.ledger import BANK, EntryDraft, EntryKind, Line
from gateway.domain.money import cents_to_micros
from gateway.jobs_runner import JobRunner
from gateway.server.auth import make_token
from gateway.services.books.checking import check_books
from gateway.services.chores import CHORES
from gateway.services.customers import add_customer, customer_id_of
from gateway.services.ledger import record
from tests.graphql.market import CHARGE, call_input, publish
from tests.support.connecting import stage
from tests.support.gateway import JWT_SECRET, Platform
from tests.support.person import MONEY, Json, Person

_ERROR: Final = "... on UserError { message code path }"
PAYOUT_FIELDS: Final = f"""{{ id amount {MONEY} returned {MONEY} status manual requestedAt arrivalDate
    failureMessage }}"""
SETTINGS_FIELDS: Final = f"""{{ accountStatus frequency minimum {MONEY} nextAmount {MONEY} nextPayoutAt
    blockers {{ code message }} }}"""
PAYOUTS: Final = f"""query ($first: Int! = 25, $after: String) {{ payouts(first: $first, after: $after) {{
    edges {{ cursor node {PAYOUT_FIELDS} }} pageInfo {{ hasNextPage hasPreviousPage startCursor endCursor }} }} }}"""
PAYOUT: Final = f"query ($id: ID!) {{ payout(id: $id) {PAYOUT_FIELDS} }}"
SETTINGS: Final = f"{{ payoutSettings {SETTINGS_FIELDS} }}"
UPDATE_SETTINGS: Final = f"""mutation ($input: UpdatePayoutSettingsInput!) {{ updatePayoutSettings(input: $input) {{
    __typename {_ERROR} ... on UpdatePayoutSettingsSuccess {{ settings {SETTINGS_FIELDS} }} }} }}"""
REQUEST: Final = f"""mutation ($input: RequestPayoutInput!) {{ requestPayout(input: $input) {{ __typename {_ERROR}
    ... on RequestPayoutSuccess {{ payout {PAYOUT_FIELDS} }}
    ... on AmountOutOfRange {{ minimum {MONEY} maximum {MONEY} }} }} }}"""
TOTALS: Final = """{ earnings { available { amount } pending { amount } held { amount } inTransit { amount }
    paidOut { amount } lifetime { amount } } }"""

#: Rounds of background work after which something goes in circles.
ROUNDS_MAX: Final = 20


@dataclass(frozen=True, slots=True, eq=False)
class Creator:
    """Somebody at the dashboard's page about payouts."""

    person: Person

    async def payouts(self, *, first: int = 25, after: str | None = None) -> Json:
        return cast("Json", (await self.person.ask(PAYOUTS, first=first, after=after))["payouts"])

    async def only_payout(self) -> Json:
        (edge,) = (await self.payouts())["edges"]
        return cast("Json", edge["node"])

    async def payout(self, payout_id: str) -> Json | None:
        return cast("Json | None", (await self.person.ask(PAYOUT, id=payout_id))["payout"])

    async def settings(self) -> Json:
        return cast("Json", (await self.person.ask(SETTINGS))["payoutSettings"])

    async def blockers(self) -> list[tuple[str, str]]:
        return [(one["code"], one["message"]) for one in (await self.settings())["blockers"]]

    async def choose(self, frequency: str) -> Json:
        """The settings after a choice."""
        answer = (await self.person.ask(UPDATE_SETTINGS, input={"frequency": frequency}))["updatePayoutSettings"]
        assert answer["__typename"] == "UpdatePayoutSettingsSuccess", answer
        return cast("Json", answer["settings"])

    async def request(self, amount_cents: object = None, **more: object) -> Json:
        """Whatever `requestPayout` answers."""
        given = {"amountCents": amount_cents, **more}
        return cast("Json", (await self.person.ask(REQUEST, input=given))["requestPayout"])

    async def requested(self, amount_cents: object = None, **more: object) -> Json:
        """The payout that was asked for."""
        answer = await self.request(amount_cents, **more)
        assert answer["__typename"] == "RequestPayoutSuccess", answer
        return cast("Json", answer["payout"])

    async def totals(self) -> dict[str, str]:
        """Where the earnings are, amounts as text."""
        totals = cast("Json", (await self.person.ask(TOTALS))["earnings"])
        return {name: value["amount"] for name, value in totals.items()}


def dollars(amount: str) -> Json:
    """Money as the wire has it: '24.50' has 2450 cents."""
    return {"amountCents": str(int(amount.replace(".", ""))), "amount": amount, "currency": "USD"}


def totals(**amounts: str) -> dict[str, str]:
    """Totals that are zero but for those given."""
    names = ("available", "pending", "held", "inTransit", "paidOut", "lifetime")
    return {name: amounts.get(name, "0.00") for name in names}


def serving(platform: Platform, subject: str, scope: str) -> Person:
    """One of the platform's own services."""

    def token() -> str:
        return make_token(secret=JWT_SECRET, subject=subject, now=platform.clock.now(), scopes=(scope,))

    return Person(subject=subject, url=platform.nodes[0].url, http=platform.http, token=token)


def runtime_of(platform: Platform) -> Person:
    """What charges calls."""
    return serving(platform, "runtime", SCOPE_CHARGE)


def operator_of(platform: Platform) -> Person:
    """What takes charges back."""
    return serving(platform, "operator", SCOPE_ADMIN)


async def catch_up(platform: Platform) -> None:
    """All that is due at this moment: events, chores and jobs, until nothing is left."""
    gateway = platform.nodes[0].gateway
    jobs = JobRunner(gateway.billing, gateway.jobs.table)
    for _ in range(ROUNDS_MAX):
        await platform.settled()
        for chore in CHORES:
            while await chore.work(gateway.billing):
                pass
        if await jobs.work_once() == 0:
            await platform.settled()
            return
    raise AssertionError("The background work finds no end.")


async def pass_time(platform: Platform, *, to: datetime | None = None, **by: float) -> None:
    """Let time pass, a day at most at once, with the background work before it and after each step."""
    end = to or platform.clock.now() + timedelta(**by)
    await catch_up(platform)
    while (left := end - platform.clock.now()) > timedelta(0):
        await platform.advance(seconds=min(left, timedelta(days=1)).total_seconds())
        await catch_up(platform)


async def connected(platform: Platform, subject: str, *, at: str = "active") -> Creator:
    """A creator whose account at Stripe has come to a stage, as the gateway knows."""
    creator = Creator(platform.person(subject))
    await creator.person.connect_url()
    await stage(platform, creator.person, at)
    await platform.settled()
    return creator


async def with_money(platform: Platform, subject: str = "ann", *, cents: int = 5_000, at: str = "active") -> Creator:
    """A creator with earnings and an account that has come to a stage; the platform has money at Stripe."""
    creator = await connected(platform, subject, at=at)
    await earn(platform, creator, cents=cents)
    await platform.stripe.control("balance/plant", amount=1_000_000)
    return creator


async def sell(platform: Platform, creator: Creator, *, cents: int) -> None:
    """Sell one call that leaves the creator as many cents, 80 % of its price, and let its hold be over.

    Its buyer is called `buyer-` and the id of the call.
    """
    call = str(new_id(platform.clock.now()))
    buyer = platform.person(f"buyer-{call}")
    page = await buyer.deposit_page(str(cents * 10 // 8))
    await platform.stripe.pay(page.url)
    await buyer.verify_deposit(page.session_id)
    published = await publish(creator.person, toolId=call, pricePerCall=f"{cents / 80:.2f}")
    assert published["__typename"] == "PublishToolSuccess", published
    given = call_input(call, tool=call, consumer=buyer.subject)
    charged = (await runtime_of(platform).ask(CHARGE, input=given))["chargeToolCall"]
    assert charged["charge"]["net"]["amountCents"] == str(cents), charged
    await pass_time(platform, days=8)


async def earn(platform: Platform, creator: Creator, *, cents: int = 0, micros: int = 0) -> None:
    """Let something be available, or with less than nothing be owed, without any sale."""
    now = platform.clock.now()
    amount = cents_to_micros(cents) + micros
    if amount == 0:
        return

    async def work(connection: Connection) -> None:
        creator_id = await add_customer(connection, creator.person.subject, now)
        lines = (Line(BANK, -amount), Line(available(creator_id), amount))
        draft = EntryDraft(idem=f"adj:{new_id(now)}", kind=EntryKind.ADJUSTMENT, lines=lines)
        await record(connection, draft, now=now)

    await platform.database.run(work)


async def transfer_of(platform: Platform, creator: Creator) -> str:
    """The id of the creator's only transfer."""
    (row,) = await platform.database.fetch(
        "SELECT transfer_id FROM payout WHERE creator_id = $1", (customer_id_of(creator.person.subject),)
    )
    assert isinstance(row["transfer_id"], str)
    return row["transfer_id"]


async def assert_right(platform: Platform) -> None:
    """The whole audit finds nothing, no event is dead and no job is."""
    assert (await check_books(platform.database)).faults == ()
    assert await platform.events_in("dead") == 0
    assert await platform.database.fetch("SELECT key FROM job WHERE state = 'dead'") == []


def manual(platform: Platform) -> ManualClock:
    """The clock that the test moves."""
    assert isinstance(platform.clock, ManualClock)
    return platform.clock
