"""Payouts in plain Python: their states, their entries in the ledger, and every reason why there is none."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final
from uuid import UUID

from gateway.domain.charges import available
from gateway.domain.connecting import AccountStatus
from gateway.domain.errors import ErrorCode
from gateway.domain.ledger import STRIPE, Account, AccountKind, EntryDraft, EntryKind, Line
from gateway.domain.money import cents_to_micros, format_usd, format_usd_micros, micros_to_cents

#: The most that Stripe moves with one transfer: $999,999.99.
TRANSFER_CENTS_MAX: Final = 99_999_999
#: Requirements that are named to a creator; more are counted.
REQUIREMENTS_NAMED_MAX: Final = 3


class PayoutState(StrEnum):
    """How far a payout is.

    requested -> processing -> in_transit -> paid, or failed after it; processing <-> unknown while nobody can say
    whether Stripe made the transfer; processing -> requested when Stripe refused for now; requested -> canceled;
    requested or processing -> failed, with the money given back. `requested`: nothing of it is at Stripe.
    """

    REQUESTED = "requested"
    PROCESSING = "processing"
    UNKNOWN = "unknown"
    IN_TRANSIT = "in_transit"
    PAID = "paid"
    FAILED = "failed"
    CANCELED = "canceled"


#: The money is reserved and its transfer is not known; a creator has one such payout at a time.
UNDER_WAY: Final = frozenset({PayoutState.REQUESTED, PayoutState.PROCESSING, PayoutState.UNKNOWN})


class WaitsFor(StrEnum):
    """Why a payout that was asked for is not being sent at this moment."""

    ACCOUNT = "account"
    BALANCE = "balance"
    OPERATOR = "operator"


#: What a payout under way is doing, as its creator is told.
_WAITS: Final[dict[WaitsFor | None, str]] = {
    None: "is being made",
    WaitsFor.ACCOUNT: "waits until the payout account is ready",
    WaitsFor.BALANCE: "waits until the money of recent sales has arrived at Stripe",
    WaitsFor.OPERATOR: "waits until somebody has looked at it",
}


@dataclass(frozen=True, slots=True)
class PayoutBlocker:
    """One reason why no payout can be made now."""

    code: ErrorCode
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PayoutStanding:
    """All that decides whether a creator can be paid. `status` is None where no account was ever connected.

    `disputed` says that open disputes hold some of the creator's earnings; `under_way_cents` a payout's amount,
    `under_way_waits_for` what it waits for, and `bank_failure` what the bank said when it refused the newest payment.
    """

    status: AccountStatus | None
    requirements: tuple[str, ...] = ()
    disabled_reason: str | None = None
    bank_failure: str | None = None
    available_micros: int
    disputed: bool = False
    minimum_cents: int
    under_way_cents: int | None = None
    under_way_waits_for: WaitsFor | None = None

    @property
    def payable_cents(self) -> int:
        """The whole cents of what is available, never negative, and no more than one transfer moves; the rest stays."""
        return min(max(micros_to_cents(self.available_micros), 0), TRANSFER_CENTS_MAX)


def blockers(standing: PayoutStanding) -> tuple[PayoutBlocker, ...]:
    """Every reason at once, the account's first; none when a payout of all that is available can be made."""
    found = [PayoutBlocker(ErrorCode.PAYOUTS_NOT_READY, message) for message in _account_blockers(standing)]
    if standing.under_way_cents is not None:
        waits = _WAITS[standing.under_way_waits_for]
        message = f"A payout of {format_usd(standing.under_way_cents)} {waits}; the next one can follow it."
        found.append(PayoutBlocker(ErrorCode.PAYOUT_IN_PROGRESS, message))
    if standing.payable_cents < standing.minimum_cents:
        found.extend(PayoutBlocker(ErrorCode.BELOW_MINIMUM_PAYOUT, message) for message in _money_blockers(standing))
    return tuple(found)


def _account_blockers(standing: PayoutStanding) -> list[str]:
    """What Stripe wants stands beside what the bank said; once the account is ready, neither does any more."""
    if standing.status is AccountStatus.READY:
        return []
    if standing.status in {None, AccountStatus.CREATING, AccountStatus.CLOSED}:
        return ["No payout account is connected; connect one to be paid."]
    found = [_stripe_blocker(standing)]
    if standing.bank_failure is not None:
        if standing.status is AccountStatus.RESTRICTED and not (standing.disabled_reason or standing.requirements):
            found.clear()  # nothing else is known to be wrong
        found.append(f"The bank refused the last payment ({standing.bank_failure}); give another bank account.")
    return found


def _stripe_blocker(standing: PayoutStanding) -> str:
    due = _due(standing.requirements)
    if standing.status is AccountStatus.ONBOARDING:
        return f"The payout account is not finished{due}; go on with connecting it."
    if standing.status is AccountStatus.UNDER_REVIEW:
        return "Stripe is reviewing the payout account; payouts begin when it has finished."
    reason = f" ({standing.disabled_reason})" if standing.disabled_reason else ""
    return f"Stripe has restricted the payout account{reason}{due}."


def _due(requirements: tuple[str, ...]) -> str:
    """What Stripe still wants to know, in its own names of fields."""
    if not requirements:
        return ""
    named = ", ".join(requirements[:REQUIREMENTS_NAMED_MAX])
    more = len(requirements) - REQUIREMENTS_NAMED_MAX
    return f": still needed are {named}{f' and {more} more' if more > 0 else ''}"


def _money_blockers(standing: PayoutStanding) -> list[str]:
    minimum = format_usd(standing.minimum_cents)
    if standing.available_micros < 0:
        owed = format_usd_micros(-standing.available_micros)
        found = [f"You owe {owed} from reversed sales; what you earn next covers it first."]
    else:
        found = [f"A payout is at least {minimum}; {format_usd_micros(standing.available_micros)} is available."]
    if standing.disputed:
        found.append("Some of your earnings are held until disputes about the money they were paid with are decided.")
    return found


def transit(creator_id: UUID) -> Account:
    """What of a creator's money is being sent; one payout at a time, so it is that payout's amount."""
    return Account(AccountKind.TRANSIT, creator_id)


@dataclass(frozen=True, slots=True)
class PayoutMoney:
    """Whose payout, and how much: what each of its entries is made of. `amount_cents` is more than 0."""

    payout_id: UUID
    creator_id: UUID
    amount_cents: int

    @property
    def micros(self) -> int:
        return cents_to_micros(self.amount_cents)

    def reserved(self) -> EntryDraft:
        """The money leaves what is available, in the transaction that makes the payout."""
        lines = (Line(available(self.creator_id), -self.micros), Line(transit(self.creator_id), self.micros))
        return self._draft(reserve_idem(self.payout_id), EntryKind.PAYOUT, lines, "Payout")

    def confirmed(self, transfer_id: str) -> EntryDraft:
        """Stripe made the transfer. This and `given_back` have one name: a payout ends once."""
        lines = (Line(transit(self.creator_id), -self.micros), Line(STRIPE, self.micros))
        return self._draft(end_idem(self.payout_id), EntryKind.PAYOUT_CONFIRMED, lines, "Payout sent", transfer_id)

    def given_back(self) -> EntryDraft:
        """Nothing was sent and nothing will be: the creator has the money again."""
        lines = (Line(transit(self.creator_id), -self.micros), Line(available(self.creator_id), self.micros))
        return self._draft(end_idem(self.payout_id), EntryKind.PAYOUT_RETURNED, lines, "Payout not sent")

    def confirmed_late(self, transfer_id: str) -> EntryDraft:
        """A transfer turned up after the money was given back: it left all the same."""
        lines = (Line(available(self.creator_id), -self.micros), Line(STRIPE, self.micros))
        return self._draft(late_idem(self.payout_id), EntryKind.PAYOUT_CONFIRMED, lines, "Payout sent", transfer_id)

    def reversed(self, reversal_id: str, amount_cents: int) -> EntryDraft:
        """A part of the transfer, or all of it, came back to the platform later."""
        micros = cents_to_micros(amount_cents)
        lines = (Line(STRIPE, -micros), Line(available(self.creator_id), micros))
        idem = reversal_idem(self.payout_id, reversal_id)
        return self._draft(idem, EntryKind.PAYOUT_RETURNED, lines, "Payout taken back", reversal_id)

    def _draft(
        self, idem: str, kind: EntryKind, lines: tuple[Line, ...], description: str, ref: str | None = None
    ) -> EntryDraft:
        return EntryDraft(idem=idem, kind=kind, lines=lines, ref=ref or str(self.payout_id), description=description)


def reserve_idem(payout_id: UUID) -> str:
    return f"po:{payout_id}"


def end_idem(payout_id: UUID) -> str:
    return f"po:{payout_id}:end"


def late_idem(payout_id: UUID) -> str:
    return f"po:{payout_id}:late"


def reversal_idem(payout_id: UUID, reversal_id: str) -> str:
    return f"po:{payout_id}:rev:{reversal_id}"
