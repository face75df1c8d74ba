"""A paid call in plain Python: what is asked, what it becomes in the ledger, and what the caller is told."""

from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from uuid import UUID

from gateway.domain.errors import BillingError
from gateway.domain.ledger import (
    ACCOUNTS_KEPT_MAX,
    BAD_DEBT,
    FEES,
    Account,
    AccountKind,
    EntryDraft,
    EntryKind,
    Line,
    wallet,
)
from gateway.domain.tools import Split


@dataclass(frozen=True, slots=True)
class Call:
    """One call to charge; `call_id` is the platform's own and makes it happen once per consumer."""

    call_id: str
    tool_id: str
    consumer_id: UUID


class ChargeState(StrEnum):
    """Where the creator's net is, less what of it is lost.

    pending -> available once its hold is over; held while the deposit it came from is disputed, then back or lost;
    own (a creator's call of its own tool) is never payable; reversed went back to the consumer. Lost is lost whole:
    of a charge that is lost in part, the rest goes on as before.
    """

    PENDING = "pending"
    AVAILABLE = "available"
    HELD = "held"
    OWN = "own"
    REVERSED = "reversed"
    LOST = "lost"


@dataclass(frozen=True, slots=True)
class Listing:
    """A tool as it is offered at the moment of the call."""

    tool_id: str
    creator_id: UUID
    price_micros: int


@dataclass(frozen=True, slots=True)
class Charged:
    """A call that is paid; `replayed` when an earlier request paid it."""

    entry_id: UUID
    call_id: str
    split: Split
    balance_after_micros: int
    replayed: bool


ChargeOutcome = Charged | BillingError


@lru_cache(ACCOUNTS_KEPT_MAX)
def pending(creator_id: UUID) -> Account:
    return Account(AccountKind.EARN_PENDING, creator_id)


def available(creator_id: UUID) -> Account:
    return Account(AccountKind.EARN_AVAILABLE, creator_id)


def held(creator_id: UUID) -> Account:
    return Account(AccountKind.EARN_HELD, creator_id)


def receivable(customer_id: UUID) -> Account:
    return Account(AccountKind.RECEIVABLE, customer_id)


def earned_account(creator_id: UUID, state: ChargeState) -> Account:
    """Where the net of a charge in this state is; available may go below zero, as it may have been paid out."""
    match state:
        case ChargeState.PENDING:
            return pending(creator_id)
        case ChargeState.HELD | ChargeState.OWN:
            return held(creator_id)
        case ChargeState.LOST:
            return BAD_DEBT
        case ChargeState.AVAILABLE | ChargeState.REVERSED:
            return available(creator_id)


def net_of_loss(*, lost_micros: int, gross_micros: int, net_micros: int) -> int:
    """What a creator gives up when so much of a call's gross is lost; the platform's share is the rest of it.

    Of parts that are lost one by one, each costs the difference to what was lost before, so that they always add up.
    """
    return net_micros * lost_micros // gross_micros


def charge_draft(call: Call, listing: Listing, split: Split) -> EntryDraft:
    """The ledger entry of a call. A creator's call of its own tool earns it nothing that could be paid out."""
    own = call.consumer_id == listing.creator_id
    earned = held(listing.creator_id) if own else pending(listing.creator_id)
    lines = (
        Line(wallet(call.consumer_id), -split.gross_micros),
        Line(earned, split.net_micros),
        Line(FEES, split.fee_micros),
    )
    return EntryDraft(
        idem=f"call:{call.consumer_id}:{call.call_id}",
        kind=EntryKind.TOOL_CALL,
        lines=tuple(line for line in lines if line.amount_micros),
        ref=call.tool_id,
        description=f"Call of {call.tool_id}",
    )
