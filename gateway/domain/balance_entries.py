"""Ledger entries that follow a line of Stripe's balance: fees, subscription income, money to and from the bank.

Nobody else books these. Each bears the id of its line, so a line is booked once however often it is read.
"""

from gateway.domain.ledger import BANK, STRIPE, STRIPE_FEES, SUBSCRIPTIONS, Account, EntryDraft, EntryKind, Line
from gateway.domain.money import cents_to_micros


def fee_draft(*, line_id: str, fee_cents: int) -> EntryDraft:
    """What Stripe kept; below zero when it gave a fee back."""
    lines = _lines(STRIPE_FEES, -fee_cents)
    return EntryDraft(
        idem=f"fee:{line_id}", kind=EntryKind.STRIPE_FEE, lines=lines, ref=line_id, description="Fee of Stripe"
    )


def subscription_draft(*, line_id: str, amount_cents: int) -> EntryDraft:
    """A subscription was paid; below zero when that payment was refunded or disputed."""
    lines = _lines(SUBSCRIPTIONS, amount_cents)
    return EntryDraft(
        idem=f"sub:{line_id}", kind=EntryKind.SUBSCRIPTION, lines=lines, ref=line_id, description="Subscription"
    )


def bank_draft(*, line_id: str, amount_cents: int) -> EntryDraft:
    """Money left Stripe for the platform's own bank (below zero), or came back from it."""
    lines = _lines(BANK, amount_cents)
    return EntryDraft(
        idem=f"bank:{line_id}", kind=EntryKind.BANK_TRANSFER, lines=lines, ref=line_id, description="Bank transfer"
    )


def _lines(account: Account, cents: int) -> tuple[Line, Line]:
    """`cents` is what Stripe's balance changed by."""
    micros = cents_to_micros(cents)
    return Line(STRIPE, -micros), Line(account, micros)
