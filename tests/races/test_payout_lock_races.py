"""A payout is judged by what stands, and not by what another transaction is just changing. On PostgreSQL."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta

import pytest

from gateway.db import Connection, Database
from gateway.domain.charges import available
from gateway.domain.errors import BelowMinimumPayout
from gateway.domain.ids import new_id
from gateway.domain.ledger import BANK, EntryDraft, EntryKind, Line
from gateway.services.ledger import record
from gateway.services.payouts import request_payout, run_due_schedules
from tests.support.payouts import DOLLAR, START, Creator, PayoutWorld, open_payout_world
from tests.support.reading import payout_settings

#: The Monday on which a schedule that was missed was due.
DUE_AT = START - timedelta(days=6, hours=9)


@pytest.fixture(params=["postgres"])
def engine(request: pytest.FixtureRequest) -> str:
    """Only there do two transactions go on side by side."""
    return str(request.param)


@pytest.fixture
async def paying(database: Database) -> AsyncIterator[PayoutWorld]:
    async with open_payout_world(database) as world:
        yield world


async def until_somebody_waits(database: Database) -> None:
    """Until a transaction waits for a lock of another one."""
    waiting = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    async with asyncio.timeout(20):
        while not await database.fetch(waiting):
            await asyncio.sleep(0.01)


async def while_it_is_taken_back(
    paying: PayoutWorld, creator: Creator, ask: Callable[[], Awaitable[object]]
) -> object | BaseException:
    """Ask while $45.00 of the $50.00 are being taken back by a transaction that commits only when the other waits."""
    now, taking = paying.clock.now(), asyncio.Event()

    async def take_back(connection: Connection) -> None:
        draft = EntryDraft(
            idem=f"adj:{new_id(now)}",
            kind=EntryKind.ADJUSTMENT,
            lines=(Line(available(creator.id), -45 * DOLLAR), Line(BANK, 45 * DOLLAR)),
        )
        await record(connection, draft, now=now)
        taking.set()
        await until_somebody_waits(paying.database)

    async def ask_then() -> object:
        await taking.wait()
        return await ask()

    _, outcome = await asyncio.gather(paying.database.run(take_back), ask_then(), return_exceptions=True)
    return outcome


async def test_a_schedule_waits_for_what_is_just_being_taken_back(paying: PayoutWorld) -> None:
    creator = await paying.creator(cents=5_000)
    await paying.schedule(creator, due_at=DUE_AT)

    ran = await while_it_is_taken_back(paying, creator, lambda: run_due_schedules(paying.billing, limit=10))

    assert ran == 1
    (run,) = await paying.database.fetch("SELECT payout_id, blocker FROM payout_run")
    assert (run["payout_id"], run["blocker"]) == (None, "BELOW_MINIMUM_PAYOUT")
    assert await paying.payouts(creator) == []
    assert await paying.balances(creator) == {"earn_available": 5 * DOLLAR}
    await paying.assert_books()


async def test_a_request_waits_for_what_is_just_being_taken_back(paying: PayoutWorld) -> None:
    creator = await paying.creator(cents=5_000)

    refusal = await while_it_is_taken_back(
        paying, creator, lambda: request_payout(paying.billing, subject=creator.subject)
    )

    assert isinstance(refusal, BelowMinimumPayout)
    assert await paying.payouts(creator) == []
    assert await paying.balances(creator) == {"earn_available": 5 * DOLLAR}
    await paying.assert_books()


async def test_a_period_is_not_judged_while_another_node_releases(paying: PayoutWorld) -> None:
    """The rows that node holds are passed over, so that they can neither be waited for nor be counted yet."""
    creator = await paying.creator(cents=0)
    await paying.sell(creator)
    await paying.advance(days=8)
    await paying.schedule(creator, due_at=paying.clock.now() - timedelta(hours=1))
    held, judged = asyncio.Event(), asyncio.Event()

    async def hold(connection: Connection) -> None:
        await connection.fetch("SELECT id FROM tool_charge WHERE creator_id = $1 FOR UPDATE", (creator.id,))
        held.set()
        await judged.wait()

    async def judge() -> int:
        await held.wait()
        try:
            return await run_due_schedules(paying.billing, limit=10)
        finally:
            judged.set()

    _, ran = await asyncio.gather(paying.database.run(hold), judge())

    assert ran == 0
    assert await paying.database.fetch("SELECT period FROM payout_run") == []
    settings = await payout_settings(paying.billing, creator.subject)
    assert settings.next_payout_at == paying.clock.now() - timedelta(hours=1)
    assert await run_due_schedules(paying.billing, limit=10) == 1
    assert (await paying.payout(creator)).amount_cents == 2_000
    await paying.assert_books()
