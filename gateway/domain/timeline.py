"""What happened, as a list of moments in order, whoever tells of them."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class Source(StrEnum):
    """Who knows of it."""

    GATEWAY = "gateway"
    LEDGER = "ledger"
    INBOX = "inbox"
    STRIPE = "stripe"


class HappeningKind(StrEnum):
    """What kind of thing happened, in the usual course of things: where times are equal, this order decides."""

    STARTED = "STARTED"
    REFUSED = "REFUSED"
    PAGE_MADE = "PAGE_MADE"
    PAGE_COMPLETED = "PAGE_COMPLETED"
    PAID = "PAID"
    SUBSCRIPTION_STARTED = "SUBSCRIPTION_STARTED"
    FAILED = "FAILED"
    EXPIRED = "EXPIRED"
    EVENT_RECEIVED = "EVENT_RECEIVED"
    APPLIED = "APPLIED"
    REFUNDED = "REFUNDED"
    DISPUTE_OPENED = "DISPUTE_OPENED"
    DISPUTE_ENDED = "DISPUTE_ENDED"
    SUBSCRIPTION_ENDED = "SUBSCRIPTION_ENDED"
    EVENT_FINISHED = "EVENT_FINISHED"


#: How our own machinery learned of it is the operator's business.
OPERATOR_KINDS = frozenset({HappeningKind.EVENT_RECEIVED, HappeningKind.EVENT_FINISHED, HappeningKind.REFUSED})


@dataclass(frozen=True, slots=True)
class Happening:
    """One moment. `message` names no person and no id, so that the owner may read it; `ref` is the id it is about."""

    at: datetime
    source: Source
    kind: HappeningKind
    message: str
    ref: str | None = None


#: What causes comes before what follows, where both bear the same second.
_ORDER = {kind: place for place, kind in enumerate(HappeningKind)}


def in_order(happenings: Iterable[Happening]) -> tuple[Happening, ...]:
    """Oldest first. Stripe counts in whole seconds, so within one second the usual course of things decides."""
    return tuple(sorted(happenings, key=lambda one: (int(one.at.timestamp()), _ORDER[one.kind], one.at, one.ref or "")))
