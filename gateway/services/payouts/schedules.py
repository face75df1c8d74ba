"""Payouts by the calendar: each creator and period once, by whichever node comes first, caught up after a downtime."""

from collections.abc import AsyncGenerator
from datetime import datetime
from typing import Final
from uuid import UUID

import structlog

from gateway.db import Connection, Contention, DatabaseUnavailable
from gateway.db.rows import identifier, moment, text
from gateway.domain.payouts import blockers
from gateway.domain.schedules import PayoutFrequency, last_run_at, next_run_at, period_of
from gateway.services.billing import Billing
from gateway.services.marketplace.releases import is_release_due, release_before_payout
from gateway.services.payouts.reserve import PayoutOrder, hold_creator, reserve, tell_reserved
from gateway.services.payouts.standing import load_standing
from models.payout import Payout

log = structlog.stdlib.get_logger()

#: Creators seen to in one round, which ends well within its time on a slow machine too; and looked up at once.
SCHEDULES_AT_ONCE_MAX: Final = 100
_BEFORE_FIRST: Final = UUID(int=0)

_DUE: Final = """
    SELECT creator_id, next_run_at FROM payout_settings
    WHERE next_run_at <= $1 AND (next_run_at, creator_id) > ($2, $3)
    ORDER BY next_run_at, creator_id LIMIT $4"""
#: A creator that another node is at is passed over.
_CLAIM: Final = """
    SELECT frequency FROM payout_settings
    WHERE creator_id = $1 AND next_run_at <= $2 FOR NO KEY UPDATE SKIP LOCKED"""


async def run_due_schedules(billing: Billing, *, limit: int) -> int:
    """See to creators whose time has come, up to `limit`; returns how many that were.

    One transaction a creator, so what is wrong with one holds up no other; it is tried again in the next round.

    Raises:
        DatabaseUnavailable: what was begun is undone, what was finished stands.
    """
    now, done = billing.clock.now(), 0
    async for creator_id in _due_creators(billing, now):
        try:
            done += await run_schedule(billing, creator_id, now=now)
        except Contention as error:
            log.warning("payout.schedule_contended", creator_id=str(creator_id), reason=str(error))
        except DatabaseUnavailable:
            raise
        except Exception:
            log.exception("payout.schedule_failed", creator_id=str(creator_id))
        if done >= limit:
            break
    return done


async def run_schedule(billing: Billing, creator_id: UUID, *, now: datetime) -> bool:
    """Begin the newest period of one creator, if that is due and nobody else does; missed ones before it are passed.

    What came of it, a payout or the first reason why there is none, is written down under the period's name, and
    the next moment of the calendar is set, all in one transaction. It is judged by all earnings whose hold is over:
    those are released first, and while some are left it is not begun, but tried again in the next round.
    """
    await release_before_payout(billing, creator_id)

    async def work(connection: Connection) -> tuple[bool, Payout | None]:
        row = await connection.fetch_one(_CLAIM, (creator_id, now))
        if row is None:
            return False, None
        frequency = PayoutFrequency(text(row, "frequency"))
        run_at = last_run_at(frequency, now)
        assert run_at is not None, "a schedule that is due has a calendar"
        await hold_creator(connection, creator_id)
        if await is_release_due(connection, creator_id, now=now):
            log.info("payout.schedule_waits_for_release", creator_id=str(creator_id))
            return False, None
        payout = await _begin_period(billing, connection, creator_id, period=period_of(frequency, run_at), now=now)
        await connection.execute(
            "UPDATE payout_settings SET next_run_at = $2 WHERE creator_id = $1",
            (creator_id, next_run_at(frequency, now)),
        )
        return True, payout

    ran, payout = await billing.database.run(work)
    if payout is not None:
        tell_reserved(billing, payout)
    return ran


async def _due_creators(billing: Billing, now: datetime) -> AsyncGenerator[UUID]:
    """Those whose time has come, the longest waiting first, each once, whatever becomes of them meanwhile."""
    row = await billing.database.fetch_one("SELECT min(next_run_at) AS first_at FROM payout_settings")
    if row is None or row["first_at"] is None:
        return
    after_at, after_id = moment(row, "first_at"), _BEFORE_FIRST
    while rows := await billing.database.fetch(_DUE, (now, after_at, after_id, SCHEDULES_AT_ONCE_MAX)):
        for row in rows:
            yield identifier(row, "creator_id")
        after_at, after_id = moment(rows[-1], "next_run_at"), identifier(rows[-1], "creator_id")


async def _begin_period(
    billing: Billing, connection: Connection, creator_id: UUID, *, period: str, now: datetime
) -> Payout | None:
    """Pay the period, or note why not; the caller holds the creator."""
    known = await connection.fetch_one(
        "SELECT 1 AS one FROM payout_run WHERE creator_id = $1 AND period = $2", (creator_id, period)
    )
    if known is not None:
        return None
    found = await load_standing(connection, creator_id, minimum_cents=billing.rules.payout_minimum_cents)
    reasons, payout = blockers(found.standing), None
    if not reasons:
        order = PayoutOrder(period=period)
        payout = await reserve(billing, connection, creator_id, found, order, amount_cents=found.standing.payable_cents)
    await connection.execute(
        "INSERT INTO payout_run (creator_id, period, payout_id, blocker, created_at) VALUES ($1, $2, $3, $4, $5)",
        (creator_id, period, payout.id if payout else None, reasons[0].code.value if reasons else None, now),
    )
    return payout
