"""Creators with earnings and accounts at the local Stripe, and the payout services in between."""

import asyncio
import socket
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import count
from typing import Any, Final
from uuid import UUID

import aiohttp
from aiohttp import web

from gateway.db import Connection, Database
from gateway.db.rows import identifier
from gateway.domain.charges import available
from gateway.domain.clock import ManualClock
from gateway.domain.connecting import AccountsApi
from gateway.domain.ids import new_id
from gateway.domain.ledger import BANK, EntryDraft, EntryKind, Line
from gateway.domain.tools import ToolKind
from gateway.sandbox.app import build_sandbox
from gateway.sandbox.settings import SandboxSettings
from gateway.services.billing import Billing
from gateway.services.books.checking import check_books
from gateway.services.connecting import sync_account
from gateway.services.customers import add_customer, customer_id_of
from gateway.services.jobs import Done
from gateway.services.jobs.doing import Doer
from gateway.services.jobs.table import JobTable
from gateway.services.ledger import record
from gateway.services.marketplace.tools import publish_tool
from gateway.services.payouts import advance_payout, run_due_schedules
from gateway.stripe_service import StripeService, open_stripe
from models.payout import Payout
from models.payout_attempt import PayoutAttempt
from tests.services.market_world import open_market
from tests.support.stripe_door import API_KEY, StripeDoor

Json = dict[str, Any]

#: A Sunday; the week after it begins with a Monday.
START: Final = datetime(2026, 11, 29, 9, 0, tzinfo=UTC)
DOLLAR: Final = 1_000_000
#: How long one call waits where Stripe may leave it without an answer.
HASTY_SECONDS: Final = 8.0
FUNDS_CENTS: Final = 90_000_000
ADVANCES_MAX: Final = 10


@dataclass(frozen=True, slots=True)
class Creator:
    """Somebody who earned something."""

    subject: str
    id: UUID
    account_id: UUID
    stripe_account_id: str


@dataclass(frozen=True, slots=True, eq=False)
class PayoutWorld:
    """The services, the local Stripe they ask, and the time both live in."""

    billing: Billing
    door: StripeDoor
    clock: ManualClock
    _names: "count[int]"

    @property
    def database(self) -> Database:
        return self.billing.database

    def beside(self, *, database: Database | None = None, stripe: StripeService | None = None) -> "PayoutWorld":
        """The same world seen by another node, or through other eyes."""
        billing = replace(
            self.billing, database=database or self.billing.database, stripe=stripe or self.billing.stripe
        )
        return replace(self, billing=billing)

    async def advance(self, **by: float) -> None:
        """Let time pass for the gateway and for Stripe."""
        self.clock.advance(timedelta(**by))
        await self.door.look("clock")

    async def fund(self, cents: int) -> None:
        """Money on the platform's own balance at Stripe, available at once."""
        await self.door.control("balance/plant", amount=cents)

    async def creator(self, *, cents: int = 5_000, micros: int = 0, stage: str = "active") -> Creator:
        """Somebody with as much available, and an account that Stripe has brought to a stage."""
        subject = f"creator-{next(self._names)}"
        made = await self.door.api("POST", "/v1/accounts", **_V1_ACCOUNT)
        await self.door.control("accounts/stage", account=made["id"], stage=stage)
        creator = Creator(subject, customer_id_of(subject), new_id(self.clock.now()), made["id"])

        async def work(connection: Connection) -> None:
            now = self.clock.now()
            await add_customer(connection, subject, now)
            await connection.execute(
                "INSERT INTO connected_account (id, creator_id, api, country, stripe_key, asked_at, "
                "stripe_account_id, status, created_at) VALUES ($1, $2, $3, 'US', $4, $5, $6, 'onboarding', $5)",
                (creator.account_id, creator.id, AccountsApi.V1.value, subject, now, made["id"]),
            )

        await self.database.run(work)
        await sync_account(self.billing, account_id=creator.account_id)
        if cents or micros:
            await self.earn(creator, micros=cents * 10_000 + micros)
        return creator

    async def earn(self, creator: Creator, *, micros: int) -> None:
        """Let something be available, or with less than nothing be taken back."""
        now = self.clock.now()
        draft = EntryDraft(
            idem=f"adj:{new_id(now)}",
            kind=EntryKind.ADJUSTMENT,
            lines=(Line(BANK, -micros), Line(available(creator.id), micros)),
        )
        await self.database.run(lambda connection: record(connection, draft, now=now))

    async def sell(self, creator: Creator, *, calls: int = 1) -> None:
        """Sales whose hold ends in a week, each of $25.00 with a fifth of it for the platform."""
        market = open_market(self.database, clock=self.clock)
        await publish_tool(
            market.billing,
            creator=creator.subject,
            tool_id=f"tool-{market.tag}",
            name="tool",
            kind=ToolKind.TOOL,
            price_per_call=Decimal(25),
            active=True,
        )
        await market.deposit("buyer", 50_000)
        for number in range(calls):
            await market.charged("buyer", "tool", f"call-{number}")

    async def schedule(self, creator: Creator, *, frequency: str = "WEEKLY", due_at: datetime) -> None:
        """Have the creator's schedule be due since then."""

        async def work(connection: Connection) -> None:
            await connection.execute(
                "INSERT INTO payout_settings (creator_id, frequency, next_run_at, updated_at) VALUES ($1, $2, $3, $3) "
                "ON CONFLICT (creator_id) DO UPDATE SET frequency = $2, next_run_at = $3",
                (creator.id, frequency, due_at),
            )

        await self.database.run(work)

    async def payouts(self, creator: Creator) -> list[Payout]:
        """Those of a creator, oldest first."""
        return await Payout.filter(creator_id=creator.id).using_db(self.database.orm).order_by("id")

    async def payout(self, creator: Creator) -> Payout:
        (only,) = await self.payouts(creator)
        return only

    async def attempts(self, payout_id: UUID) -> list[PayoutAttempt]:
        rows = PayoutAttempt.filter(payout_id=payout_id).using_db(self.database.orm)
        return await rows.order_by("number")

    async def work(self, payout_id: UUID) -> bool:
        """Bring a payout as far as it can be brought at this moment; whether it is over."""
        for _ in range(ADVANCES_MAX):
            outcome = await advance_payout(self.billing, payout_id)
            if isinstance(outcome, Done):
                return True
            if outcome.run_at > self.clock.now():
                return False
        raise AssertionError(f"Payout {payout_id} goes in circles.")

    async def round(self) -> None:
        """One pass of a node: begin what the calendar says, bring forward what is due."""
        await run_due_schedules(self.billing, limit=1_000)
        rows = await self.database.fetch(
            "SELECT id FROM payout WHERE due_at <= $1 ORDER BY due_at", (self.clock.now(),)
        )
        for row in rows:
            await self.work(identifier(row, "id"))

    async def do_jobs(self) -> None:
        """One pass of a node as it is in service: begin what the calendar says, take jobs over, claim and do them.

        Passes come one after the other, so what is still held belongs to a node that died long enough ago.
        """
        await run_due_schedules(self.billing, limit=1_000)
        table = JobTable(self.clock, jitter=lambda: 0.0)
        doer = Doer(self.billing, table)
        if held := await table.held(self.database):
            await self.database.run(lambda connection: table.reclaim(connection, held))
        for _ in range(ADVANCES_MAX):
            jobs = await self.database.run(lambda connection: table.claim(connection, limit=10))
            for job in jobs:
                await doer.do(job)
            if not jobs:
                return
        raise AssertionError("Jobs go in circles.")

    async def balances(self, creator: Creator) -> dict[str, int]:
        """What the creator's accounts hold, empty ones left out."""
        rows = await self.database.fetch(
            "SELECT kind, balance_micros FROM ledger_account WHERE owner_id = $1 AND balance_micros <> 0",
            (creator.id,),
        )
        return {str(row["kind"]): int(str(row["balance_micros"])) for row in rows}

    async def statement(self, creator: Creator) -> list[tuple[str, int]]:
        """The lines of the creator's statement that are not sales, in the order of their kinds."""
        rows = await self.database.fetch(
            "SELECT kind, net_micros FROM earning_event WHERE creator_id = $1", (creator.id,)
        )
        return sorted((str(row["kind"]), int(str(row["net_micros"]))) for row in rows)

    async def transfers(self, payout_id: UUID) -> list[Json]:
        """What Stripe has in the group of a payout."""
        listed = await self.door.api("GET", f"/v1/transfers?transfer_group={payout_id}")
        return list(listed["data"])

    async def assert_books(self) -> None:
        """The whole audit finds nothing."""
        assert (await check_books(self.database)).faults == ()


@asynccontextmanager
async def open_payout_world(database: Database, *, retries: int = 0) -> AsyncGenerator[PayoutWorld]:
    """A local Stripe with money on the platform's balance, and services that ask it over HTTP."""
    clock = ManualClock(START)
    app = await build_sandbox(
        SandboxSettings(stop_grace_seconds=0.2, fault_hang_seconds=2 * HASTY_SECONDS), clock=clock
    )
    door_socket = socket.socket()
    door_socket.bind(("127.0.0.1", 0))
    url = f"http://127.0.0.1:{door_socket.getsockname()[1]}"
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.2)
    await runner.setup()
    try:
        await web.SockSite(runner, door_socket).start()
        async with (
            aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as http,
            open_stripe(
                api_key=API_KEY,
                api_base=url,
                timeout_seconds=HASTY_SECONDS,
                max_network_retries=retries,
                sleep=_no_pause,
            ) as stripe,
        ):
            billing = replace(open_market(database, clock=clock).billing, stripe=stripe)
            world = PayoutWorld(billing=billing, door=StripeDoor(url=url, http=http), clock=clock, _names=count(1))
            await world.fund(FUNDS_CENTS)
            yield world
    finally:
        await runner.cleanup()


async def _no_pause(seconds: float) -> None:
    await asyncio.sleep(0)


_V1_ACCOUNT: Final = {
    "country": "US",
    "controller[fees][payer]": "application",
    "controller[losses][payments]": "application",
    "controller[requirement_collection]": "stripe",
    "controller[stripe_dashboard][type]": "express",
    "capabilities[transfers][requested]": "true",
}
