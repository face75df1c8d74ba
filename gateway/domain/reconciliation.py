"""Comparing our books with Stripe's, in plain Python: what belongs together, and what a difference is called.

Both sides are cut into subjects, each a name such as `dep:cs_…` or `tr:tr_…`, and each subject is compared by its
sums, which are what it changed Stripe's balance by: plus is money that Stripe holds for us.

    subject            at Stripe                                      in the ledger
    dep:<session>      payments of the session's charge, failed ones  dep:<session>
    ref:<charge>       refunds of the charge and failed ones          ref:<charge>:…
    dp:<dispute>       what the dispute moved                         dp:<dispute>:…
    tr:<transfer>      the transfer                                   po:<payout>:end, po:<payout>:late
    trr:<reversal>     the reversal                                   po:<payout>:rev:<reversal>
    sub:<line>         a line of a subscription's payment             sub:<line>
    bank:<line>        a payout to the platform's bank, a top-up      bank:<line>
    fee:<line>         the fee of a line                              fee:<line>
    hold:<name>        what Stripe holds back from payouts            nothing
    txn:<line>         a line that is none of these                   adj:… that refers to the line
    entry:<name>       nothing                                        any other entry on `stripe`
    acct:<account>     a connected account                            its row
    balance:usd        all that it holds                              all of `stripe`
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from typing import Final

from gateway.domain.clock import CLOCKS_DIFFER_MAX
from gateway.domain.money import CURRENCY, format_usd_micros

#: What only one side knows yet is no difference while it is younger than this: events come late.
TIMING_ALLOWANCE: Final = timedelta(hours=48)

#: A day is over, for Stripe and for us, when this has passed after its midnight UTC: more than clocks may differ by.
DAY_SETTLES_AFTER: Final = CLOCKS_DIFFER_MAX + timedelta(hours=1)

#: Types of balance lines, in Stripe's words (reporting by balance transaction type).
PAYMENT_TYPES: Final = frozenset({"charge", "payment"})
REFUND_TYPES: Final = frozenset({"refund", "payment_refund", "refund_failure", "payment_failure_refund"})
#: How the payment of a delayed method is taken back that was never made; of a settled deposit it is a refund.
PAYMENT_FAILURE: Final = "payment_failure_refund"
#: Disputes, and refunds that failed, on some accounts: the object that made the line says which.
ADJUSTMENT_TYPES: Final = frozenset({"adjustment"})
TRANSFER_TYPES: Final = frozenset({"transfer"})
REVERSAL_TYPES: Final = frozenset({"transfer_refund", "transfer_cancel", "transfer_failure"})
BANK_TYPES: Final = frozenset({"payout", "payout_failure", "payout_cancel", "topup", "topup_reversal"})
FEE_TYPES: Final = frozenset({"stripe_fee", "stripe_fx_fee", "tax_fee"})
HOLD_TYPES: Final = frozenset({"payout_minimum_balance_hold", "payout_minimum_balance_release"})
#: Lines of these types are money of customers: one that is nobody's is missing here, not of an unknown type.
CUSTOMER_TYPES: Final = PAYMENT_TYPES | REFUND_TYPES

#: The subjects that are no lines of one thing: the whole balance, and what Stripe holds back from payouts.
TOTAL: Final = "balance:usd"
MINIMUM_BALANCE: Final = "hold:minimum_balance"


class DifferenceKind(StrEnum):
    """What is wrong; TIMING alone is not, yet. UNCHECKED is what Stripe would not show us, whatever it is."""

    MISSING_HERE = "missing_here"
    MISSING_THERE = "missing_there"
    AMOUNT = "amount"
    TIMING = "timing"
    UNKNOWN_TYPE = "unknown_type"
    ACCOUNT = "account"
    UNCHECKED = "unchecked"


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One thing the two sides do not agree about. The sums are what each says Stripe's balance changed by.

    `known_there` is False where Stripe has no line of it at all.
    """

    kind: DifferenceKind
    subject: str
    sentence: str
    action: str
    ours_micros: int = 0
    theirs_micros: int = 0
    known_there: bool = True

    @property
    def is_open(self) -> bool:
        """Whether somebody must look at it."""
        return self.kind is not DifferenceKind.TIMING


@dataclass(frozen=True, slots=True)
class Part:
    """One line, or one entry, of a subject. `type` is the line's type at Stripe, or the entry's kind."""

    micros: int
    at: datetime
    type: str
    currency: str = CURRENCY


@dataclass(frozen=True, slots=True)
class Sides:
    """All that Stripe and all that our ledger say of one subject.

    `is_under_way`: a deposit whose payment takes days; Stripe counts it from the first, we when it is there.
    """

    subject: str
    theirs: tuple[Part, ...] = ()
    ours: tuple[Part, ...] = ()
    is_under_way: bool = False


_NOUNS: Final = {
    "dep": "deposit",
    "ref": "refunds of charge",
    "dp": "dispute",
    "tr": "transfer",
    "trr": "reversal",
    "sub": "subscription payment",
    "bank": "bank transfer",
    "fee": "fee",
    "txn": "line",
    "hold": "hold",
    "entry": "entry",
    "acct": "connected account",
}
_UNEXPLAINED: Final = "Look it up at Stripe; nothing here is changed by itself."
_LATER: Final = "It is looked at again with the next day."


def kind_of(subject: str) -> str:
    """The first part of a subject's name."""
    return subject.partition(":")[0]


def id_of(subject: str) -> str:
    """What a subject's name is about: an id of Stripe's, or an entry's name."""
    return subject.partition(":")[2]


def subject_of_entry(*, idem: str, ref: str | None) -> str:
    """What an entry on `stripe` is compared with."""
    event, _, rest = idem.partition(":")
    if event in {"dep", "sub", "bank", "fee"}:
        return idem
    if event in {"ref", "dp"} and ref is not None:
        return f"{event}:{ref}"
    if event == "po" and ref is not None:
        return f"trr:{ref}" if ":rev:" in rest else f"tr:{ref}"
    if event == "adj" and ref is not None and ref.startswith("txn_"):
        return f"txn:{ref}"
    return f"entry:{idem}"


def fee_of(*, type: str, amount_cents: int, fee_cents: int) -> int:
    """What Stripe kept by a line: of its own fees, the line's whole amount."""
    return fee_cents - amount_cents if type in FEE_TYPES else fee_cents


def judge(sides: Sides, *, now: datetime) -> Difference | None:
    """What is wrong with a subject; None when both sides say the same."""
    if kind_of(sides.subject) == "txn" and not sides.ours:
        return _judge_unclaimed(sides, now=now)
    theirs, ours = _sum(sides.theirs), _sum(sides.ours)
    if theirs == ours:
        return None
    kind = _kind(sides, now=now)
    return Difference(
        kind=kind,
        subject=sides.subject,
        sentence=_sentence(sides, kind, theirs=theirs, ours=ours),
        action=_LATER if kind is DifferenceKind.TIMING else _UNEXPLAINED,
        ours_micros=ours,
        theirs_micros=theirs,
        known_there=bool(sides.theirs),
    )


def unchecked(subject: str) -> Difference:
    """What a subject is called that Stripe, which answers otherwise, does not show."""
    what = f"{_NOUNS[kind_of(subject)]} {id_of(subject)}"
    return Difference(
        kind=DifferenceKind.UNCHECKED,
        subject=subject,
        sentence=f"Stripe gave no clear answer about the {what}, so it was not compared.",
        action=_LATER,
    )


def judge_total(*, theirs_micros: int, ours_micros: int, explained_micros: int) -> Difference | None:
    """Whether Stripe's balance is the ledger's and the differences that are known; None when it is."""
    off = theirs_micros - ours_micros - explained_micros
    if off == 0:
        return None
    word = "more" if off > 0 else "less"
    return Difference(
        kind=DifferenceKind.AMOUNT,
        subject=TOTAL,
        sentence=f"Stripe holds {format_usd_micros(abs(off))} {word} than the ledger and the known differences say.",
        action="Look at Stripe's balance summary for lines from before the first day, and at the days by hand.",
        ours_micros=ours_micros + explained_micros,
        theirs_micros=theirs_micros,
    )


def _kind(sides: Sides, *, now: datetime) -> DifferenceKind:
    """What is younger than the allowance may be all there is to it; else one side has nothing, or another sum."""
    if not sides.ours and (sides.is_under_way or (kind_of(sides.subject) == "hold" and _sum(sides.theirs) < 0)):
        return DifferenceKind.TIMING
    since = now - TIMING_ALLOWANCE
    theirs_then, ours_then = (_sum(side, until=since) for side in (sides.theirs, sides.ours))
    if theirs_then == _sum(sides.ours) or ours_then == _sum(sides.theirs):
        return DifferenceKind.TIMING
    if not sides.ours:
        return DifferenceKind.MISSING_HERE
    return DifferenceKind.AMOUNT if sides.theirs else DifferenceKind.MISSING_THERE


def _judge_unclaimed(sides: Sides, *, now: datetime) -> Difference | None:
    """A line that nothing here asked for, or of a type that is not known here: reported, never guessed."""
    if not sides.theirs:
        return None
    (line,) = sides.theirs
    if line.micros == 0:
        return None
    amount, line_id = format_usd_micros(line.micros), id_of(sides.subject)
    if line.type not in CUSTOMER_TYPES:
        kind = DifferenceKind.UNKNOWN_TYPE
        sentence = f"Line {line_id} of {amount} belongs to nothing known here; its type is {line.type}."
    else:
        young = line.at > now - TIMING_ALLOWANCE
        kind = DifferenceKind.TIMING if young else DifferenceKind.MISSING_HERE
        sentence = f"Line {line_id} is a {line.type} of {amount} of which nothing here knows."
    return Difference(
        kind=kind, subject=sides.subject, sentence=sentence, action=_UNEXPLAINED, theirs_micros=line.micros
    )


def _sentence(sides: Sides, kind: DifferenceKind, *, theirs: int, ours: int) -> str:
    what = f"{_NOUNS[kind_of(sides.subject)]} {id_of(sides.subject)}"
    there, here = format_usd_micros(theirs), format_usd_micros(ours)
    if not sides.ours:
        return f"Stripe has {there} of the {what}; the ledger has nothing of it."
    if not sides.theirs:
        return f"The ledger has {here} of the {what}; Stripe has nothing of it."
    return f"Stripe has {there} of the {what}, the ledger {here}."


def _sum(parts: tuple[Part, ...], *, until: datetime | None = None) -> int:
    return sum(part.micros for part in parts if until is None or part.at <= until)


def last_day_over(now: datetime) -> date:
    """The newest UTC day to which nothing is added any more, by a clock that may be some time ahead."""
    return (now - DAY_SETTLES_AFTER).date() - timedelta(days=1)


def day_bounds(day: date) -> tuple[datetime, datetime]:
    """The first moment of a UTC day, and that of the next."""
    start = datetime(day.year, day.month, day.day, tzinfo=UTC)
    return start, start + timedelta(days=1)
