"""Creators who are all due at once, and what must be true when everybody has been paid."""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final
from uuid import UUID

from gateway.app import catalogue_of
from gateway.db import Connection, Database, open_database
from gateway.domain.charges import available
from gateway.domain.clock import SystemClock
from gateway.domain.ids import new_id
from gateway.domain.ledger import BANK, EntryDraft, EntryKind, Line
from gateway.services.books.checking import check_books
from gateway.services.customers import add_customer, customer_id_of
from gateway.services.jobs.listing import list_jobs
from gateway.services.jobs.pgqueuer_engine import install
from gateway.services.ledger import record_many
from gateway.services.payouts.reserve import PAYOUT_JOB
from gateway.settings import load_settings
from gateway.stripe_service import open_stripe
from gateway.stripe_service.setup import set_up_stripe
from models.job import JobState
from tests.faults.payout_storm_crew import stripe_at_work
from tests.services.jobs_world import Engine
from tests.support.person import APP
from tests.support.stripe_door import API_KEY, StripeDoor

Json = dict[str, Any]

#: Stripe and the gateway lose answers; nobody waits for one longer than this.
TIMEOUT_SECONDS: Final = 2
MICROS_PER_CENT: Final = 10_000
CENTS_MIN: Final = 1_000
CENTS_MAX: Final = 90_000
SIDE_BY_SIDE_MAX: Final = 16
AT_ONCE_MAX: Final = 200
PAGE_TRANSFERS: Final = 100
#: The platform has twice the money it needs: a second payment to somebody would not fail for want of it.
FUNDS_PER_CENT_DUE: Final = 2
#: Differences that a failure shows.
TOLD_MAX: Final = 3

_MADE: Final = ("in_transit", "paid")

_V1_ACCOUNT: Final = {
    "country": "US",
    "controller[fees][payer]": "application",
    "controller[losses][payments]": "application",
    "controller[requirement_collection]": "stripe",
    "controller[stripe_dashboard][type]": "express",
    "capabilities[transfers][requested]": "true",
}


@dataclass(frozen=True, slots=True)
class DueCreator:
    """Somebody to be paid so many cents; the micros below a cent stay."""

    subject: str
    id: UUID
    destination: str
    cents: int
    micros_left: int

    @property
    def draft(self) -> EntryDraft:
        micros = self.cents * MICROS_PER_CENT + self.micros_left
        lines = (Line(BANK, -micros), Line(available(self.id), micros))
        return EntryDraft(idem=f"adj:{self.id}", kind=EntryKind.ADJUSTMENT, lines=lines)


@dataclass(frozen=True, slots=True, eq=False)
class PayDay:
    """One database and one Stripe, before the workers come and after they have gone."""

    url: str
    engine: Engine
    database: Database
    stripe: StripeDoor

    @property
    def settings(self) -> dict[str, str]:
        """What a worker is told."""
        return {
            "GATEWAY_DATABASE_URL": self.url,
            "GATEWAY_JOB_ENGINE": self.engine,
            "GATEWAY_STRIPE_API_KEY": API_KEY,
            "GATEWAY_STRIPE_API_BASE": self.stripe.url,
            "GATEWAY_STRIPE_TIMEOUT_SECONDS": str(TIMEOUT_SECONDS),
            "GATEWAY_STRIPE_WEBHOOK_SECRETS": "whsec_of_nobody",
            "GATEWAY_JWT_SECRET": "a secret of the tests, long enough for HS256",
            "GATEWAY_CONNECT_ACCOUNTS_API": "v1",
            "GATEWAY_LOG_FORMAT": "json",
        }

    async def invite(self, count: int, dice: random.Random) -> list[DueCreator]:
        """So many creators with accounts that are ready, earnings of different amounts, and schedules that are due."""
        cents = dice.sample(range(CENTS_MIN, CENTS_MAX), count)
        places = asyncio.Semaphore(SIDE_BY_SIDE_MAX)

        async def invite_one(number: int) -> DueCreator:
            async with places:
                made = await self.stripe.api("POST", "/v1/accounts", **_V1_ACCOUNT)
                await self.stripe.control("accounts/stage", account=made["id"], stage="active")
            subject = f"creator-{number}"
            left = dice.randrange(MICROS_PER_CENT)
            return DueCreator(subject, customer_id_of(subject), str(made["id"]), cents[number], left)

        creators = await asyncio.gather(*(invite_one(number) for number in range(count)))
        await self.stripe.control("balance/plant", amount=FUNDS_PER_CENT_DUE * sum(cents))
        for start in range(0, count, AT_ONCE_MAX):
            some = creators[start : start + AT_ONCE_MAX]
            await self.database.run(lambda connection, some=some: _write_down(connection, some))
        return creators

    async def all_paid(self, creators: Sequence[DueCreator]) -> bool:
        """Whether every payout has its transfer and every job is done, as the books have it."""
        row = await self.database.fetch_one(
            "SELECT (SELECT count(*) FROM payout WHERE state IN ('in_transit', 'paid')) AS paid, "
            "(SELECT count(*) FROM job WHERE kind = $1 AND state <> 'done') AS open",
            (PAYOUT_JOB,),
        )
        assert row is not None
        return (row["paid"], row["open"]) == (len(creators), 0)

    async def transfers(self) -> list[Json]:
        """All there are at Stripe, whomever they went to."""
        found: list[Json] = []
        after = ""
        while True:
            page = await self.stripe.api("GET", f"/v1/transfers?limit={PAGE_TRANSFERS}{after}")
            found += page["data"]
            if not page["has_more"]:
                return found
            after = f"&starting_after={found[-1]['id']}"

    async def assert_each_paid_once(self, creators: Sequence[DueCreator]) -> None:
        """One payout and one transfer each, of the right amount to the right account, and books that say so."""
        payouts = await self.database.fetch(
            "SELECT id, creator_id, amount_cents, destination, state, transfer_id, returned_cents FROM payout"
        )
        transfers = await self.transfers()
        _assert_same(
            "payouts",
            [
                (str(one["creator_id"]), one["amount_cents"], one["state"] in _MADE, one["returned_cents"])
                for one in payouts
            ],
            [(str(creator.id), creator.cents, True, 0) for creator in creators],
        )
        _assert_same(
            "transfers of creators",
            [(one["destination"], one["amount"], one["amount_reversed"]) for one in transfers],
            [(creator.destination, creator.cents, 0) for creator in creators],
        )
        _assert_same(
            "transfers of payouts",
            [(one["id"], one["transfer_group"], one["amount"], one["destination"]) for one in transfers],
            [(one["transfer_id"], str(one["id"]), one["amount_cents"], one["destination"]) for one in payouts],
        )
        await self._assert_money_adds_up(creators, transferred_cents=sum(one["amount"] for one in transfers))
        left = [*await list_jobs(self.database, kind=PAYOUT_JOB), *await list_jobs(self.database, state=JobState.DEAD)]
        _assert_same("jobs left or dead", [(job.kind, job.key, job.state, job.reason) for job in left], [])

    async def _assert_money_adds_up(self, creators: Sequence[DueCreator], *, transferred_cents: int) -> None:
        """What left is what was earned, in whole cents; nothing is on its way, and the rest is with its creator."""
        earned_cents = sum(creator.cents for creator in creators)
        balance = await self.stripe.api("GET", "/v1/balance")
        left = [one["amount"] for one in balance["available"] if one["currency"] == "usd"]
        _assert_same(
            "cents", [transferred_cents, *left], [earned_cents, FUNDS_PER_CENT_DUE * earned_cents - earned_cents]
        )
        rows = await self.database.fetch(
            "SELECT kind, owner_id, balance_micros FROM ledger_account WHERE owner_id IS NOT NULL"
        )
        _assert_same(
            "balances",
            [(row["kind"], str(row["owner_id"]), row["balance_micros"]) for row in rows if row["balance_micros"]],
            [("earn_available", str(creator.id), creator.micros_left) for creator in creators if creator.micros_left],
        )
        _assert_same("faults of the books", (await check_books(self.database)).faults, [])


def _assert_same(what: str, found: Iterable[object], wanted: Iterable[object]) -> None:
    """Both hold the same, each as often, in any order; a difference is told in a few of its parts."""
    held, asked = Counter(found), Counter(wanted)
    too_many, too_few = list((held - asked).elements()), list((asked - held).elements())
    message = (
        f"{what}: {len(too_many)} too many, as {too_many[:TOLD_MAX]}; {len(too_few)} lack, as {too_few[:TOLD_MAX]}"
    )
    assert held == asked, message


async def _write_down(connection: Connection, creators: Sequence[DueCreator]) -> None:
    now = SystemClock().now()
    for creator in creators:
        await add_customer(connection, creator.subject, now)
        await connection.execute(
            "INSERT INTO connected_account (id, creator_id, api, country, stripe_key, asked_at, stripe_account_id, "
            "status, transfers_active, bank_payouts_active, created_at) "
            "VALUES ($1, $2, 'v1', 'US', $3, $4, $5, 'ready', $6, $6, $4)",
            (new_id(now), creator.id, creator.subject, now, creator.destination, True),
        )
        await connection.execute(
            "INSERT INTO payout_settings (creator_id, frequency, next_run_at, updated_at) "
            "VALUES ($1, 'WEEKLY', $2, $2)",
            (creator.id, now - timedelta(minutes=1)),
        )
    await record_many(connection, [creator.draft for creator in creators], now=now)


@asynccontextmanager
async def open_pay_day(url: str, engine: Engine) -> AsyncGenerator[PayDay]:
    """A migrated database and a Stripe in a process of its own, both set up as an operator would."""
    if engine == "pgqueuer":
        await install(url)
    async with open_database(url) as database, stripe_at_work() as stripe:
        day = PayDay(url, engine, database, stripe)
        async with open_stripe(api_key=API_KEY, api_base=stripe.url) as service:
            catalogue = catalogue_of(load_settings(day.settings))
            await set_up_stripe(
                service, catalogue, webhook_url=None, portal_return_url=f"{APP}/billing", clock=SystemClock()
            )
        yield day
