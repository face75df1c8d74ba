"""The one word that sums up a purchase: computed from facts alone, so that every case can be looked at in a table."""

from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    """How something stands between us and Stripe. A closed set; docs/operations.md has a row for each."""

    PAID_AND_APPLIED = "PAID_AND_APPLIED"
    PARTLY_REFUNDED = "PARTLY_REFUNDED"
    REFUNDED = "REFUNDED"
    DISPUTED = "DISPUTED"
    DISPUTE_LOST = "DISPUTE_LOST"
    WAITING_FOR_PAYMENT = "WAITING_FOR_PAYMENT"
    BANK_WORKING = "BANK_WORKING"
    EXPIRED = "EXPIRED"
    FAILED = "FAILED"
    BEING_MADE = "BEING_MADE"
    REFUSED_BY_STRIPE = "REFUSED_BY_STRIPE"
    NO_PURCHASE = "NO_PURCHASE"
    EVENT_APPLIED = "EVENT_APPLIED"
    EVENT_IGNORED = "EVENT_IGNORED"
    # What needs somebody, or a moment of patience.
    PAID_NOT_APPLIED = "PAID_NOT_APPLIED"
    EVENT_WAITING = "EVENT_WAITING"
    EVENT_DEAD = "EVENT_DEAD"
    EVENT_NEVER_ARRIVED = "EVENT_NEVER_ARRIVED"
    REFUND_NOT_APPLIED = "REFUND_NOT_APPLIED"
    DISPUTE_NOT_APPLIED = "DISPUTE_NOT_APPLIED"
    PLAN_BEHIND = "PLAN_BEHIND"
    MISMATCH = "MISMATCH"
    PAGE_LOST = "PAGE_LOST"
    BOOKS_WRONG = "BOOKS_WRONG"
    # What cannot be judged.
    STRIPE_UNREACHABLE = "STRIPE_UNREACHABLE"
    WRONG_MODE = "WRONG_MODE"
    NOT_OURS = "NOT_OURS"
    UNKNOWN = "UNKNOWN"


class SessionStanding(StrEnum):
    """What Stripe says of a Checkout Session; SILENT when it gave no answer, MISSING when it knows no such session."""

    SILENT = "silent"
    MISSING = "missing"
    OPEN = "open"
    PAID = "paid"
    BANK = "bank"
    DEAD = "dead"
    EXPIRED = "expired"


class EventStanding(StrEnum):
    """The worst that can be said of the stored events about a thing."""

    NONE = "none"
    FINISHED = "finished"
    WAITING = "waiting"
    DEAD = "dead"


class DisputeStanding(StrEnum):
    """The worst that can be said of the disputes about a payment; OVER when we know of some and none is here."""

    NONE = "none"
    OVER = "over"
    OPEN = "open"
    LOST = "lost"


@dataclass(frozen=True, slots=True, kw_only=True)
class PurchaseFacts:
    """All that a purchase's verdict depends on.

    `ours`: there is a row of ours. `page_made`: the row knows its session. `closed`: the row is, and nothing will come
    of it. `fits`: Stripe's session is the one our row asked for. `booked`: the wallet has what a settled deposit paid
    (always true of a plan). `plan_fits`: our mirror of the subscription says what Stripe says. `disputed_at_stripe`:
    Stripe says that the payment was. `refunded_at_stripe_cents` is None where Stripe was not heard.
    """

    session: SessionStanding
    ours: bool = True
    mode_fits: bool = True
    settled: bool = False
    refused: bool = False
    page_made: bool = True
    closed: bool = False
    fits: bool = True
    booked: bool = True
    plan_fits: bool = True
    event: EventStanding = EventStanding.NONE
    dispute: DisputeStanding = DisputeStanding.NONE
    dispute_event: EventStanding = EventStanding.NONE
    disputed_at_stripe: bool = False
    amount_cents: int = 0
    refunded_cents: int = 0
    refunded_at_stripe_cents: int | None = None


def purchase_verdict(facts: PurchaseFacts) -> Verdict:
    """What a purchase comes to. What is wrong is said before what is merely so."""
    if not facts.mode_fits:
        return Verdict.WRONG_MODE
    if not facts.ours:
        return _strange_verdict(facts.session)
    if facts.settled:
        return _settled_verdict(facts)
    if facts.refused:
        return Verdict.REFUSED_BY_STRIPE
    if not facts.page_made:
        return Verdict.EXPIRED if facts.closed else Verdict.BEING_MADE
    return _unsettled_verdict(facts)


def event_verdict(standing: EventStanding, *, ignored: bool, purchase: Verdict | None) -> Verdict:
    """What a stored event comes to: its own trouble first, then how the purchase stands that it is about."""
    if standing is EventStanding.DEAD:
        return Verdict.EVENT_DEAD
    if standing is EventStanding.WAITING:
        return Verdict.EVENT_WAITING
    if purchase is not None:
        return purchase
    return Verdict.EVENT_IGNORED if ignored else Verdict.EVENT_APPLIED


def customer_verdict(newest_first: tuple[Verdict, ...], *, plan_fits: bool | None) -> Verdict:
    """What a customer comes to: a purchase in trouble, then the plan, then an open dispute, then the newest purchase.

    `plan_fits` is None where Stripe did not say.
    """
    for verdict in newest_first:
        if verdict in NEEDS_SOMEBODY:
            return verdict
    if plan_fits is None:
        return Verdict.STRIPE_UNREACHABLE
    if not plan_fits:
        return Verdict.PLAN_BEHIND
    if Verdict.DISPUTED in newest_first:
        return Verdict.DISPUTED
    return newest_first[0] if newest_first else Verdict.NO_PURCHASE


#: With these an operator can do something that helps.
NEEDS_SOMEBODY = frozenset(
    {
        Verdict.PAID_NOT_APPLIED,
        Verdict.EVENT_WAITING,
        Verdict.EVENT_DEAD,
        Verdict.EVENT_NEVER_ARRIVED,
        Verdict.REFUND_NOT_APPLIED,
        Verdict.DISPUTE_NOT_APPLIED,
        Verdict.PLAN_BEHIND,
        Verdict.MISMATCH,
        Verdict.PAGE_LOST,
        Verdict.BOOKS_WRONG,
    }
)


def _strange_verdict(session: SessionStanding) -> Verdict:
    """Of a session without a row here."""
    if session is SessionStanding.SILENT:
        return Verdict.STRIPE_UNREACHABLE
    return Verdict.UNKNOWN if session is SessionStanding.MISSING else Verdict.NOT_OURS


def _settled_verdict(facts: PurchaseFacts) -> Verdict:
    if not facts.booked:
        return Verdict.BOOKS_WRONG
    at_stripe = facts.refunded_at_stripe_cents
    if at_stripe is not None and at_stripe != facts.refunded_cents:
        return Verdict.REFUND_NOT_APPLIED
    if _is_dispute_behind(facts):
        return Verdict.DISPUTE_NOT_APPLIED
    if facts.dispute in _DISPUTED:
        return _DISPUTED[facts.dispute]
    if facts.refunded_cents > 0:
        return Verdict.REFUNDED if facts.refunded_cents >= facts.amount_cents else Verdict.PARTLY_REFUNDED
    return Verdict.PAID_AND_APPLIED if facts.plan_fits else Verdict.PLAN_BEHIND


def _is_dispute_behind(facts: PurchaseFacts) -> bool:
    """Nothing is known here of a dispute, or of an open one not what its event tells: it may be over."""
    if facts.dispute is DisputeStanding.OPEN:
        return facts.dispute_event in {EventStanding.WAITING, EventStanding.DEAD}
    return facts.dispute is DisputeStanding.NONE and facts.disputed_at_stripe


_DISPUTED = {DisputeStanding.OPEN: Verdict.DISPUTED, DisputeStanding.LOST: Verdict.DISPUTE_LOST}
_UNPAID = {
    SessionStanding.SILENT: Verdict.STRIPE_UNREACHABLE,
    SessionStanding.MISSING: Verdict.PAGE_LOST,
    SessionStanding.OPEN: Verdict.WAITING_FOR_PAYMENT,
    SessionStanding.BANK: Verdict.BANK_WORKING,
    SessionStanding.DEAD: Verdict.FAILED,
    SessionStanding.EXPIRED: Verdict.EXPIRED,
}
_PAID = {
    EventStanding.NONE: Verdict.EVENT_NEVER_ARRIVED,
    EventStanding.WAITING: Verdict.EVENT_WAITING,
    EventStanding.DEAD: Verdict.EVENT_DEAD,
    EventStanding.FINISHED: Verdict.PAID_NOT_APPLIED,
}


def _unsettled_verdict(facts: PurchaseFacts) -> Verdict:
    if facts.session in {SessionStanding.SILENT, SessionStanding.MISSING}:
        return _UNPAID[facts.session]
    if not facts.fits:
        return Verdict.MISMATCH
    if facts.session is SessionStanding.PAID:
        return _PAID[facts.event]
    return _UNPAID[facts.session]
