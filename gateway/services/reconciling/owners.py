"""Which subject a line of Stripe's balance belongs to: found by our rows, and by Stripe where they do not say it."""

from uuid import UUID

from gateway.db.rows import text, text_or_none
from gateway.domain.money import CURRENCY
from gateway.domain.reconciliation import (
    BANK_TYPES,
    DISPUTE_TYPES,
    FEE_TYPES,
    PAYMENT_TYPES,
    REFUND_TYPES,
    REVERSAL_TYPES,
    TRANSFER_TYPES,
)
from gateway.services.billing import Billing
from gateway.stripe_service import METADATA_CHECKOUT, StripeBalanceLine
from models.checkout import CheckoutMode

#: A payment of a subscription of one of our customers.
_SUBSCRIPTION = "subscription"


class Owners:
    """Names the subjects of lines; remembers for its own short life whose each payment is."""

    def __init__(self, billing: Billing) -> None:
        self._billing = billing
        self._known: dict[str, str | None] = {}

    async def subject_of(self, line: StripeBalanceLine) -> str:
        """The subject, `txn:<line>` for a line that nothing here explains.

        Raises:
            ProviderUnavailable: Stripe had to be asked whose a payment is and gave no answer.
        """
        nobodys = f"txn:{line.line_id}"
        if line.currency != CURRENCY:
            return nobodys
        if line.type in BANK_TYPES:
            return f"bank:{line.line_id}"
        if line.type in FEE_TYPES:
            return f"fee:{line.line_id}"
        if line.source_id is None:
            return nobodys
        if line.type in TRANSFER_TYPES | REVERSAL_TYPES:
            is_reversal = line.type in REVERSAL_TYPES and line.source_type != "transfer"
            return f"{'trr' if is_reversal else 'tr'}:{line.source_id}"
        return await self._of_customer(line) or nobodys

    async def _of_customer(self, line: StripeBalanceLine) -> str | None:
        """A payment, or what became of one later."""
        if line.type not in PAYMENT_TYPES | REFUND_TYPES | DISPUTE_TYPES or line.charge_id is None:
            return None
        owner = await self._owner(line)
        if owner is None:
            return None
        if owner == _SUBSCRIPTION:
            return f"sub:{line.line_id}"
        if line.type in PAYMENT_TYPES:
            return f"dep:{owner}"
        return f"ref:{line.charge_id}" if line.type in REFUND_TYPES else f"dp:{line.source_id}"

    async def _owner(self, line: StripeBalanceLine) -> str | None:
        """The session of a deposit, `_SUBSCRIPTION`, or None."""
        payment = line.payment_intent_id
        if payment is None:
            return None
        if payment not in self._known:
            self._known[payment] = await self._deposit_of(line, payment) or await self._subscription_of(payment)
        return self._known[payment]

    async def _deposit_of(self, line: StripeBalanceLine, payment: str) -> str | None:
        row = await self._billing.database.fetch_one(
            "SELECT session_id FROM checkout WHERE payment_intent_id = $1 AND mode = $2",
            (payment, CheckoutMode.DEPOSIT.value),
        )
        if row is not None:
            return text(row, "session_id")
        return await self._unsettled_deposit(line, payment)

    async def _unsettled_deposit(self, line: StripeBalanceLine, payment: str) -> str | None:
        """A deposit that was paid and is not settled here: the charge's metadata names its row."""
        named = line.checkout_id
        if named is None and line.charge_id is not None:
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
        return text_or_none(row, "session_id") or await self._billing.stripe.session_of_payment(payment)

    async def _subscription_of(self, payment: str) -> str | None:
        customer = await self._billing.stripe.subscriber_of_payment(payment)
        if customer is None:
            return None
        row = await self._billing.database.fetch_one("SELECT id FROM stripe_customer WHERE id = $1", (customer,))
        return None if row is None else _SUBSCRIPTION
