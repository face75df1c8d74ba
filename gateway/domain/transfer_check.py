"""Whether a transfer at Stripe is the one that a payout of ours asked for."""

from dataclasses import dataclass
from datetime import datetime

from gateway.domain.money import cents_to_micros
from gateway.domain.reconciliation import TIMING_ALLOWANCE, Difference, DifferenceKind

_ACTION = "Look at the transfer in Stripe's dashboard; reverse there what should not be."


@dataclass(frozen=True, slots=True)
class TransferFacts:
    """A transfer as Stripe shows it; `named_payout` is the payout that its metadata names."""

    transfer_id: str
    amount_cents: int
    reversed_cents: int
    destination: str | None
    named_payout: str | None
    created_at: datetime


@dataclass(frozen=True, slots=True)
class PayoutFacts:
    """A payout of ours."""

    payout_id: str
    amount_cents: int
    destination: str
    transfer_id: str | None

    def may_be_paid_by(self, transfer_id: str) -> bool:
        """Whether the payout is paid by no other transfer."""
        return self.transfer_id in {None, transfer_id}


def judge_transfer(transfer: TransferFacts, payout: PayoutFacts | None, *, now: datetime) -> Difference | None:
    """What is wrong with a transfer beside its payout; None when it is the one that was asked for."""
    is_nobodys = payout is None or not payout.may_be_paid_by(transfer.transfer_id)
    if is_nobodys and transfer.reversed_cents == transfer.amount_cents:
        return None  # whoever made it took it back, as the action below says
    judged = _without_payout(transfer) if payout is None else _with_payout(transfer, payout)
    if judged is None:
        return None
    kind, sentence = judged
    is_new = transfer.created_at > now - TIMING_ALLOWANCE
    if kind is DifferenceKind.MISSING_HERE and payout is not None and payout.transfer_id is None and is_new:
        kind = DifferenceKind.TIMING
    is_recorded = payout is not None and payout.transfer_id == transfer.transfer_id
    return Difference(
        kind=kind,
        subject=f"tr:{transfer.transfer_id}",
        sentence=sentence,
        action=_ACTION,
        ours_micros=-cents_to_micros(payout.amount_cents) if payout is not None and is_recorded else 0,
        theirs_micros=-cents_to_micros(transfer.amount_cents),
    )


def _without_payout(transfer: TransferFacts) -> tuple[DifferenceKind, str]:
    name, named = transfer.transfer_id, transfer.named_payout
    if named is None:
        return DifferenceKind.MISSING_HERE, f"The transfer {name} was not made for any payout."
    return DifferenceKind.MISSING_HERE, f"The transfer {name} names the payout {named}, which does not exist here."


def _with_payout(transfer: TransferFacts, payout: PayoutFacts) -> tuple[DifferenceKind, str] | None:
    name, whose = transfer.transfer_id, payout.payout_id
    if not payout.may_be_paid_by(name):
        return (
            DifferenceKind.MISSING_HERE,
            f"The transfer {name} pays payout {whose} again, after {payout.transfer_id}.",
        )
    if payout.amount_cents != transfer.amount_cents:
        return DifferenceKind.AMOUNT, f"The transfer {name} is not of the amount of its payout {whose}."
    if payout.destination != transfer.destination:
        sentence = f"The transfer {name} of payout {whose} went to {transfer.destination}, not to {payout.destination}."
        return DifferenceKind.ACCOUNT, sentence
    if payout.transfer_id is None:
        return DifferenceKind.MISSING_HERE, f"The transfer {name} of payout {whose} is not recorded."
    return None
