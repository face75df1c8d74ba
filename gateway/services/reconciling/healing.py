"""Healing: the function that should have settled a subject is called again, and nothing else is ever done."""

import structlog

from gateway.domain.errors import BillingError, ProviderUnavailable
from gateway.domain.ledger import LedgerRefusal
from gateway.domain.reconciliation import Difference, DifferenceKind, id_of, kind_of
from gateway.services.billing import Billing
from gateway.services.payouts import settle_transfer
from gateway.services.purchases.settle import settle_checkout
from gateway.services.reconciling.mirror import transfer_of_reversal
from gateway.services.taken_back.disputes import settle_dispute
from gateway.services.taken_back.refunds import settle_refund

log = structlog.stdlib.get_logger()

#: What Stripe has and we have not (all) yet. What only we have is never taken back because a look did not find it.
_HEALED = {
    "dep": frozenset({DifferenceKind.MISSING_HERE, DifferenceKind.TIMING}),
    "ref": frozenset({DifferenceKind.MISSING_HERE, DifferenceKind.TIMING, DifferenceKind.AMOUNT}),
    "dp": frozenset({DifferenceKind.MISSING_HERE, DifferenceKind.TIMING, DifferenceKind.AMOUNT}),
    "tr": frozenset({DifferenceKind.MISSING_HERE, DifferenceKind.TIMING}),
    "trr": frozenset({DifferenceKind.MISSING_HERE, DifferenceKind.TIMING}),
}


async def heal(billing: Billing, difference: Difference) -> str | None:
    """Settle again what a difference is about; None when there is nothing to call, else what came of it, in words.

    Raises:
        ProviderUnavailable: Stripe did not answer.
    """
    if not difference.known_there or difference.kind not in _HEALED.get(kind_of(difference.subject), frozenset()):
        return None
    try:
        done = await _settle(billing, difference.subject)
    except ProviderUnavailable:
        raise
    except (BillingError, LedgerRefusal) as refusal:
        log.warning("reconcile.not_healed", subject=difference.subject, reason=str(refusal))
        return f"It was settled again and refused: {refusal}"
    return "It was settled again." if done else "It was settled again; it is not one of ours."


async def _settle(billing: Billing, subject: str) -> bool:
    named = id_of(subject)
    match kind_of(subject):
        case "dep":
            await settle_checkout(billing, session_id=named)
            return True
        case "ref":
            return await settle_refund(billing, charge_id=named) is not None
        case "dp":
            return await settle_dispute(billing, dispute_id=named) is not None
        case "tr":
            return await settle_transfer(billing, transfer_id=named)
        case _:
            transfer_id = await transfer_of_reversal(billing, named)
            return transfer_id is not None and await settle_transfer(billing, transfer_id=transfer_id)
