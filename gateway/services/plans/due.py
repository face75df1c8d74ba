"""Plans that Stripe is asked about though no event said so: once a day, and whenever something of them ends."""

from datetime import timedelta
from typing import Final
from uuid import UUID

import structlog

from gateway.db import Connection
from gateway.domain.errors import BillingError, ProviderUnavailable
from gateway.services.billing import Billing
from gateway.services.ledger.rows import as_uuid
from gateway.services.plans.syncing import sync_plan

log = structlog.stdlib.get_logger()

#: Plans synced in one round, one after the other: some calls a second on each node, of the hundred Stripe allows.
SYNCED_AT_ONCE_MAX: Final = 20
#: How long a claimed plan is left to its node.
CLAIM: Final = timedelta(minutes=10)
#: When to ask again after Stripe did not answer.
SILENT: Final = timedelta(minutes=1)
#: When to ask again after it refused.
REFUSED: Final = timedelta(hours=1)

_CLAIM = (
    "UPDATE plan SET sync_due_at = $2 WHERE customer_id IN "
    "(SELECT customer_id FROM plan WHERE sync_due_at IS NOT NULL AND sync_due_at <= $1 "
    "ORDER BY sync_due_at LIMIT $3 FOR UPDATE SKIP LOCKED) RETURNING customer_id, tier, status"
)


async def sync_due_plans(billing: Billing) -> bool:
    """Sync the plans that are due; each sync plans the next one. Never asks for another round at once."""
    now = billing.clock.now()
    rows = await billing.database.run(
        lambda connection: connection.fetch(_CLAIM, (now, now + CLAIM, SYNCED_AT_ONCE_MAX))
    )
    for number, row in enumerate(rows):
        customer_id = as_uuid(row["customer_id"])
        try:
            reduction = await sync_plan(billing, customer_id=customer_id)
        except ProviderUnavailable as error:
            log.warning("plans.not_synced", reason=str(error))
            await _put_off(billing, [as_uuid(left["customer_id"]) for left in rows[number:]], SILENT)
            return False
        except BillingError as refusal:
            log.error("plan.sync_failed", customer_id=str(customer_id), reason=str(refusal))  # noqa: TRY400 - a refusal says it all
            await _put_off(billing, [customer_id], REFUSED)
        except Exception:
            log.exception("plan.sync_failed", customer_id=str(customer_id))
            await _put_off(billing, [customer_id], REFUSED)
        else:
            if (row["tier"], row["status"]) != (reduction.plan.tier, reduction.plan.status):
                log.warning("plan.healed", customer_id=str(customer_id), tier=reduction.plan.tier.value)
    return False


async def _put_off(billing: Billing, customer_ids: list[UUID], pause: timedelta) -> None:
    due_at = billing.clock.now() + pause

    async def work(connection: Connection) -> None:
        for customer_id in customer_ids:
            await connection.execute("UPDATE plan SET sync_due_at = $2 WHERE customer_id = $1", (customer_id, due_at))

    await billing.database.run(work)
