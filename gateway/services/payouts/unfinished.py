"""Payouts that nobody is at: ended on request while nothing of them is at Stripe, and jobs that were lost."""

from datetime import timedelta
from typing import Final
from uuid import UUID

import structlog

from gateway.db import Connection
from gateway.db.rows import identifier
from gateway.domain.payouts import PayoutState
from gateway.services.billing import Billing
from gateway.services.jobs import NewJob
from gateway.services.payouts.outcomes import give_back, lock_payout, open_attempt_of, put_aside_last
from gateway.services.payouts.reserve import PAYOUT_JOB

log = structlog.stdlib.get_logger()

#: A payout whose next step is overdue by this much has lost its job, or the job was given up.
OVERDUE: Final = timedelta(minutes=10)
WOKEN_AT_ONCE_MAX: Final = 100


async def cancel_payout(billing: Billing, payout_id: UUID, *, message: str | None = None) -> bool:
    """Give the money of a payout back if nothing of it is at Stripe; False when it is too late, or it has ended.

    A payout that waits, for its account or for the platform's balance, can be canceled; one that is being sent, or
    of which nobody can say whether it was, cannot: also not when its attempt was put aside by hand. `message` is for
    the creator to read.
    """

    async def work(connection: Connection) -> bool:
        payout = await lock_payout(connection, payout_id)
        if payout is None or payout.state != PayoutState.REQUESTED:
            return False
        if await open_attempt_of(connection, payout) is not None or await put_aside_last(connection, payout):
            return False
        await give_back(
            connection, payout, state=PayoutState.CANCELED, code=None, message=message, now=billing.clock.now()
        )
        return True

    canceled = await billing.database.run(work)
    if canceled:
        log.info("payout.canceled", payout_id=str(payout_id))
    return canceled


async def wake_overdue(billing: Billing) -> bool:
    """Promise the jobs of overdue payouts anew, so that none is forgotten; True when more may be waiting."""
    now = billing.clock.now()
    rows = await billing.database.fetch(
        "SELECT id FROM payout WHERE due_at <= $1 ORDER BY due_at LIMIT $2", (now - OVERDUE, WOKEN_AT_ONCE_MAX)
    )
    for row in rows:
        payout_id = identifier(row, "id")

        async def work(connection: Connection, payout_id: UUID = payout_id) -> bool:
            claimed = await connection.execute(
                "UPDATE payout SET due_at = $2 WHERE id = $1 AND due_at <= $3", (payout_id, now, now - OVERDUE)
            )
            if claimed == 0:
                return False
            if not await billing.jobs.wake(connection, PAYOUT_JOB, str(payout_id)):
                await billing.jobs.enqueue(connection, NewJob(kind=PAYOUT_JOB, key=str(payout_id), run_at=now))
            return True

        if await billing.database.run(work):
            log.warning("payout.overdue", payout_id=str(payout_id))
    return len(rows) == WOKEN_AT_ONCE_MAX
