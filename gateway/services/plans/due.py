"""Plans that Stripe is asked about though no event said so: once a day, and whenever something of them ends."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

import structlog

from gateway.db import Connection, Row
from gateway.db.rows import identifier, integer
from gateway.domain.errors import BillingError
from gateway.services.billing import Billing
from gateway.services.plans.syncing import sync_plan
from gateway.services.unanswered import SILENCE, SILENCES_A_ROUND_MAX, pause_after_silence

log = structlog.stdlib.get_logger()

#: Plans synced in one round, one after the other: some calls a second on each node, of the hundred Stripe allows.
SYNCED_AT_ONCE_MAX: Final = 20
#: How long a claimed plan is left to its node.
CLAIM: Final = timedelta(minutes=10)
#: When to ask again after it refused.
REFUSED: Final = timedelta(hours=1)

_CLAIM = (
    "WITH due AS MATERIALIZED (SELECT customer_id FROM plan WHERE sync_due_at IS NOT NULL AND sync_due_at <= $1 "
    "ORDER BY sync_due_at LIMIT $3 FOR UPDATE SKIP LOCKED) "
    "UPDATE plan SET sync_due_at = $2 WHERE customer_id IN (SELECT customer_id FROM due) "
    "RETURNING customer_id, tier, status, silences"
)


async def sync_due_plans(billing: Billing) -> bool:
    """Sync the plans that are due; each sync plans the next one. Never asks for another round at once.

    One that Stripe does not answer about is put off alone. Some of them end the round: the rest is due for the next.
    """
    now = billing.clock.now()
    rows = await billing.database.run(
        lambda connection: connection.fetch(_CLAIM, (now, now + CLAIM, SYNCED_AT_ONCE_MAX))
    )
    silent = 0
    for number, row in enumerate(rows, start=1):
        silent += not await _sync(billing, row)
        if silent == SILENCES_A_ROUND_MAX:
            await _leave(billing, rows[number:], claimed_until=now + CLAIM)
            break
    return False


async def _sync(billing: Billing, row: Row) -> bool:
    """Sync one plan, or put it off; False when Stripe did not answer."""
    customer_id, silences = identifier(row, "customer_id"), integer(row, "silences")
    try:
        reduction = await sync_plan(billing, customer_id=customer_id)
    except SILENCE as error:
        log.warning("plan.not_synced", customer_id=str(customer_id), reason=str(error))
        await _put_off(billing, customer_id, pause_after_silence(silences + 1), silences=silences + 1)
        return False
    except BillingError as refusal:
        log.error("plan.sync_failed", customer_id=str(customer_id), reason=str(refusal))  # noqa: TRY400 - a refusal says it all
        await _put_off(billing, customer_id, REFUSED)
    except Exception:
        log.exception("plan.sync_failed", customer_id=str(customer_id))
        await _put_off(billing, customer_id, REFUSED)
    else:
        if silences:
            await _forget_silences(billing, customer_id)
        if (row["tier"], row["status"]) != (reduction.plan.tier, reduction.plan.status):
            log.warning("plan.healed", customer_id=str(customer_id), tier=reduction.plan.tier.value)
    return True


async def _put_off(billing: Billing, customer_id: UUID, pause: timedelta, *, silences: int = 0) -> None:
    due_at = billing.clock.now() + pause
    await billing.database.run(
        lambda connection: connection.execute(
            "UPDATE plan SET sync_due_at = $2, silences = $3 WHERE customer_id = $1", (customer_id, due_at, silences)
        )
    )


async def _leave(billing: Billing, rows: Sequence[Row], *, claimed_until: datetime) -> None:
    """Give back what was claimed and not looked at, unless somebody has planned it anew since."""
    now = billing.clock.now()

    async def work(connection: Connection) -> None:
        for row in rows:
            await connection.execute(
                "UPDATE plan SET sync_due_at = $2 WHERE customer_id = $1 AND sync_due_at = $3",
                (identifier(row, "customer_id"), now, claimed_until),
            )

    await billing.database.run(work)


async def _forget_silences(billing: Billing, customer_id: UUID) -> None:
    await billing.database.run(
        lambda connection: connection.execute("UPDATE plan SET silences = 0 WHERE customer_id = $1", (customer_id,))
    )
