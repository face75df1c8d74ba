"""Which subject a line of Stripe's balance belongs to: found by our rows, and by Stripe where they do not say it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

import structlog

from gateway.db.rows import text, text_or_none
from gateway.domain.errors import ProviderError
from gateway.domain.money import CURRENCY
from gateway.domain.reconciliation import (
    ADJUSTMENT_TYPES,
    BANK_TYPES,
    FEE_TYPES,
    HOLD_TYPES,
    MINIMUM_BALANCE,
    PAYMENT_FAILURE,
    PAYMENT_TYPES,
    REFUND_TYPES,
    REVERSAL_TYPES,
    TRANSFER_TYPES,
    kind_of,
)
from gateway.services.billing import Billing
from gateway.services.reconciling.answering import ask_if_stripe_answers, side_by_side
from gateway.stripe_service import METADATA_CHECKOUT, StripeBalanceLine
from models.checkout import CheckoutMode, CheckoutState

log = structlog.stdlib.get_logger()


@dataclass(frozen=True, slots=True)
class _Deposit:
    """Whose a payment is: a deposit's session, and whether it was settled."""

    session_id: str
    settled: bool


#: Types whose every line is booked by itself.
_BOOKED: Final = {**dict.fromkeys(BANK_TYPES, "bank"), **dict.fromkeys(FEE_TYPES, "fee")}
#: A payment of a subscription of one of our customers.
_SUBSCRIPTION: Final = "subscription"


class Owners:
    """Names the subjects of lines; remembers for its own short life whose each payment is."""

    def __init__(self, billing: Billing) -> None:
        self._billing = billing
        self._known: dict[str, _Deposit | str | None] = {}

    async def subjects_of(
        self, lines: Sequence[StripeBalanceLine], *, mirrored: Mapping[str, str]
    ) -> list[tuple[StripeBalanceLine, str]]:
        """Each line with its subject; a line of a payment that Stripe does not show is for now nobody's.

        `mirrored` has the subjects that lines had before; what paid a subscription once did so for ever.

        Raises:
            ProviderUnavailable: Stripe does not answer at all.
        """

        async def name(some: list[StripeBalanceLine]) -> list[tuple[StripeBalanceLine, str]]:
            return [(line, await self._subject_or_nobodys(line, mirrored.get(line.line_id))) for line in some]

        by_payment: dict[str, list[StripeBalanceLine]] = {}
        for line in lines:
            by_payment.setdefault(line.payment_intent_id or line.line_id, []).append(line)
        named = await side_by_side(name(some) for some in by_payment.values())
        return [one for some in named for one in some]

    async def _subject_or_nobodys(self, line: StripeBalanceLine, mirrored: str | None) -> str:
        if mirrored is not None and kind_of(mirrored) == "sub":
            return mirrored
        try:
            return await self.subject_of(line)
        except ProviderError:
            await ask_if_stripe_answers(self._billing)
            log.warning("reconcile.owner_unknown", line=line.line_id)
            return _nobodys(line)

    async def subject_of(self, line: StripeBalanceLine) -> str:
        """The subject, `txn:<line>` for a line that nothing here explains.

        Raises:
            ProviderUnavailable: Stripe had to be asked whose a payment is and gave no answer.
        """
        if line.currency != CURRENCY:
            return _nobodys(line)
        if line.type in _BOOKED:
            return f"{_BOOKED[line.type]}:{line.line_id}"
        if line.type in HOLD_TYPES:
            return MINIMUM_BALANCE
        if line.source_id is None:
            return _nobodys(line)
        if line.type in TRANSFER_TYPES | REVERSAL_TYPES:
            is_reversal = line.type in REVERSAL_TYPES and line.source_type != "transfer"
            return f"{'trr' if is_reversal else 'tr'}:{line.source_id}"
        return await self._of_customer(line) or _nobodys(line)

    async def _of_customer(self, line: StripeBalanceLine) -> str | None:
        """A payment, or what became of one later."""
        if line.type not in PAYMENT_TYPES | REFUND_TYPES | ADJUSTMENT_TYPES or line.charge_id is None:
            return None
        owner = await self._owner(line)
        if owner is None:
            return None
        if not isinstance(owner, _Deposit):
            return f"sub:{line.line_id}"
        if line.type in PAYMENT_TYPES or (line.type == PAYMENT_FAILURE and not owner.settled):
            return f"dep:{owner.session_id}"
        if line.type in REFUND_TYPES or line.source_type == "refund":
            return f"ref:{line.charge_id}"
        return f"dp:{line.source_id}" if line.source_type == "dispute" else None

    async def _owner(self, line: StripeBalanceLine) -> _Deposit | str | None:
        payment = line.payment_intent_id
        if payment is None:
            return None
        if payment not in self._known:
            self._known[payment] = await self._deposit_of(line, payment) or await self._subscription_of(payment)
        return self._known[payment]

    async def _deposit_of(self, line: StripeBalanceLine, payment: str) -> _Deposit | None:
        row = await self._billing.database.fetch_one(
            "SELECT session_id, state FROM checkout WHERE payment_intent_id = $1 AND mode = $2",
            (payment, CheckoutMode.DEPOSIT.value),
        )
        if row is not None:
            return _Deposit(text(row, "session_id"), text(row, "state") == CheckoutState.SETTLED)
        return await self._unsettled_deposit(line, payment)

    async def _unsettled_deposit(self, line: StripeBalanceLine, payment: str) -> _Deposit | None:
        """A deposit that was paid and is not settled here: the charge's metadata names its row."""
        named = line.checkout_id
        if named is None and line.charge_id is not None and line.source_type != "charge":
            ref = await self._billing.stripe.customer_of(object_type="charge", object_id=line.charge_id)
            named = None if ref is None else ref.metadata.get(METADATA_CHECKOUT)
        try:
            checkout_id = UUID(named or "")
        except ValueError:
            return None
        row = await self._billing.database.fetch_one(
            "SELECT session_id FROM checkout WHERE id = $1 AND mode = $2", (checkout_id, CheckoutMode.DEPOSIT.value)
        )
        if row is None:
            return None
        session_id = text_or_none(row, "session_id") or await self._billing.stripe.session_of_payment(payment)
        return None if session_id is None else _Deposit(session_id, settled=False)

    async def _subscription_of(self, payment: str) -> str | None:
        customer = await self._billing.stripe.subscriber_of_payment(payment)
        if customer is None:
            return None
        row = await self._billing.database.fetch_one("SELECT id FROM stripe_customer WHERE id = $1", (customer,))
        return None if row is None else _SUBSCRIPTION


def _nobodys(line: StripeBalanceLine) -> str:
    return f"txn:{line.line_id}"
