"""The line for the platform's balance at Stripe: whoever has waited longest is asked for first.

Without it newcomers, which ask at once, would take whatever comes in, and a large payout that asks once an hour would
never be paid. The line is no dam: a payout may be one that can never be paid, so it keeps others behind it for a day
and no longer, and therefore none stands behind others for more than a day.
"""

from datetime import datetime
from typing import Final
from uuid import UUID

import structlog

from gateway.db import Connection
from gateway.db.rows import identifier
from gateway.services.billing import Billing
from gateway.services.payouts.pauses import FIRST_FOR
from gateway.services.payouts.reserve import PAYOUT_JOB
from models.payout import Payout

log = structlog.stdlib.get_logger()

_FIRST: Final = """
    SELECT id FROM payout WHERE waits_for = 'balance' AND funds_awaited_since > $1
    ORDER BY funds_awaited_since, id LIMIT 1"""
BEFORE: Final = """
    SELECT 1 AS one FROM payout WHERE waits_for = 'balance' AND funds_awaited_since > $1
    AND (funds_awaited_since, id) < ($2, $3) ORDER BY funds_awaited_since, id LIMIT 1"""
_LONGEST_WAITING: Final = """
    SELECT id FROM payout WHERE waits_for = 'balance' ORDER BY funds_awaited_since, id LIMIT 1"""


async def somebody_goes_first(connection: Connection, payout: Payout, *, now: datetime) -> bool:
    """Whether another payout has waited longer for the balance, and no longer than its place counts."""
    since = payout.funds_awaited_since or now
    return await connection.fetch_one(BEFORE, (now - FIRST_FOR, since, payout.id)) is not None


async def wake_first(billing: Billing) -> None:
    """One got through, so the next may: have the first in line ask now."""
    now = billing.clock.now()
    row = await billing.database.fetch_one(_FIRST, (now - FIRST_FOR,))
    if row is not None:
        first = identifier(row, "id")
        await billing.database.run(lambda connection: _wake(billing, connection, first, now))


async def wake_for_balance(billing: Billing, connection: Connection) -> None:
    """More is on the platform's balance: have the first in line ask now, and who has waited longest of all."""
    now = billing.clock.now()
    rows = [
        await connection.fetch_one(_LONGEST_WAITING),
        await connection.fetch_one(_FIRST, (now - FIRST_FOR,)),
    ]
    for payout_id in dict.fromkeys(identifier(row, "id") for row in rows if row is not None):
        await _wake(billing, connection, payout_id, now)


async def _wake(billing: Billing, connection: Connection, payout_id: UUID, now: datetime) -> None:
    still = await connection.execute(
        "UPDATE payout SET due_at = $2 WHERE id = $1 AND waits_for = 'balance'", (payout_id, now)
    )
    if still:
        await billing.jobs.wake(connection, PAYOUT_JOB, str(payout_id))
        log.info("payout.asks_for_balance", payout_id=str(payout_id))
