"""Payouts as their creator sees them."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from gateway.domain.payouts import PayoutState
from models.payout import Payout

#: While it is on its way it has a date; what failed has none, whatever was expected before.
_ARRIVES: Final = frozenset({PayoutState.IN_TRANSIT, PayoutState.PAID})


@dataclass(frozen=True, slots=True, kw_only=True)
class PayoutView:
    """One payout. `manual` when it was asked for, else a schedule made it; `returned_cents` came back later."""

    id: UUID
    amount_cents: int
    state: PayoutState
    manual: bool
    requested_at: datetime
    arrival_at: datetime | None
    failure_message: str | None
    returned_cents: int


@dataclass(frozen=True, slots=True)
class PayoutPage:
    """Payouts, newest first, and whether older ones follow."""

    payouts: tuple[PayoutView, ...]
    has_older: bool


def arrival_of(state: PayoutState, arrival_at: datetime | None) -> datetime | None:
    """When the bank has it, or is expected to."""
    return arrival_at if state in _ARRIVES else None


def payout_view(payout: Payout) -> PayoutView:
    state = PayoutState(payout.state)
    return PayoutView(
        id=payout.id,
        amount_cents=payout.amount_cents,
        state=state,
        manual=payout.manual,
        requested_at=payout.requested_at,
        arrival_at=arrival_of(state, payout.arrival_at),
        failure_message=payout.failure_message,
        returned_cents=payout.returned_cents,
    )
