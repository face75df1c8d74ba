"""The moments of a purchase, each from the side that knows it best."""

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Final

from gateway.domain.money import format_usd, format_usd_micros
from gateway.domain.timeline import Happening, HappeningKind, Source
from gateway.services.events.review import StoredEvent
from gateway.services.explaining.judging import StripeSide
from gateway.services.explaining.rows import OurSide
from gateway.stripe_service import ChargeLook, StripeSubscription
from models.checkout import Checkout, CheckoutMode, CheckoutState
from models.deposit_dispute import DepositDispute, DisputeState
from models.stripe_event import EventState

_STATES: Final = {
    EventState.NEW: " and waits to be applied",
    EventState.DOING: " and is being applied",
    EventState.DONE: "",
    EventState.IGNORED: "; nothing was to be done",
    EventState.DEAD: " and was given up",
}
_INQUIRY: Final = "The customer's bank asked about the payment, and nothing was withdrawn."
_DISPUTE_ENDS: Final = {
    DisputeState.WON: "The dispute was won; the money is back.",
    DisputeState.LOST: "The dispute was lost; the bank kept the money.",
}


def purchase_name(checkout: Checkout) -> str:
    """What was to be bought, in a few words: a deposit of $25.00; PRO, monthly, for $29.00."""
    if checkout.mode == CheckoutMode.DEPOSIT:
        return f"a deposit of {format_usd(checkout.amount_cents)}"
    return f"{checkout.tier}, {(checkout.interval or '').lower()}, for {format_usd(checkout.amount_cents)}"


def purchase_happenings(ours: OurSide, theirs: StripeSide, *, now: datetime) -> Iterator[Happening]:
    """Everything that happened to one purchase, in no order."""
    checkout = ours.checkout
    yield Happening(
        checkout.created_at,
        Source.GATEWAY,
        HappeningKind.STARTED,
        f"The purchase of {purchase_name(checkout)} began.",
        str(checkout.id),
    )
    if checkout.state == CheckoutState.REFUSED:
        message = "Stripe would not make the payment page."
        yield Happening(checkout.asked_at, Source.GATEWAY, HappeningKind.REFUSED, message, checkout.refusal)
    yield from _stripe_happenings(theirs, now=now)
    yield from _applied(ours)
    for dispute in ours.disputes:
        yield from _dispute_happenings(dispute)
    yield from event_happenings(ours.events)


def event_happenings(events: Iterable[StoredEvent]) -> Iterator[Happening]:
    """When each event came, and what became of it."""
    for event in events:
        times = f" ({event.deliveries} deliveries)" if event.deliveries > 1 else ""
        state = "" if event.note else _STATES[event.state]
        message = f"{event.type} arrived{times}{state}."
        yield Happening(event.received_at, Source.INBOX, HappeningKind.EVENT_RECEIVED, message, event.event_id)
        if event.done_at is not None and (event.note or event.state is EventState.DONE):
            message = f"{event.type} was ignored: {event.note}" if event.note else f"{event.type} was applied."
            yield Happening(event.done_at, Source.INBOX, HappeningKind.EVENT_FINISHED, message, event.event_id)


def subscription_happenings(subscription: StripeSubscription) -> Iterator[Happening]:
    """A subscription's beginning and end, as Stripe tells them."""
    started = f"The subscription began; it is {_plain(subscription.status)} now."
    ref = subscription.subscription_id
    yield Happening(subscription.created_at, Source.STRIPE, HappeningKind.SUBSCRIPTION_STARTED, started, ref)
    if subscription.ended_at is not None:
        ended = "The subscription ended."
        yield Happening(subscription.ended_at, Source.STRIPE, HappeningKind.SUBSCRIPTION_ENDED, ended, ref)


def _stripe_happenings(theirs: StripeSide, *, now: datetime) -> Iterator[Happening]:
    look = theirs.look
    if look is None:
        return
    session = look.session
    made = "Stripe made the payment page."
    yield Happening(session.created_at, Source.STRIPE, HappeningKind.PAGE_MADE, made, session.session_id)
    if session.status == "expired":
        closed = "The payment page closed without a payment."
        at = min(session.expires_at, now)
        yield Happening(at, Source.STRIPE, HappeningKind.EXPIRED, closed, session.session_id)
    if look.charge is not None:
        yield _charge_happening(look.charge)
    if look.subscription is not None:
        yield from subscription_happenings(look.subscription)


def _charge_happening(charge: ChargeLook) -> Happening:
    kind, what = {
        "succeeded": (HappeningKind.PAID, "was paid"),
        "pending": (HappeningKind.PAGE_COMPLETED, "is on its way through the bank"),
    }.get(charge.status, (HappeningKind.FAILED, "was refused by the bank"))
    why = f" ({_plain(charge.failure_code)})" if kind is HappeningKind.FAILED and charge.failure_code else ""
    message = f"{format_usd(charge.amount_cents)} {what}{why}."
    return Happening(charge.created_at, Source.STRIPE, kind, message, charge.charge_id)


def _applied(ours: OurSide) -> Iterator[Happening]:
    checkout = ours.checkout
    for entry in ours.entries:
        amount = format_usd_micros(abs(entry.amount_micros))
        if entry.idem.startswith("dep:"):
            message, kind = f"The wallet was credited with {amount}.", HappeningKind.APPLIED
        elif entry.amount_micros < 0:
            message, kind = f"{amount} was refunded to the card.", HappeningKind.REFUNDED
        else:
            message, kind = f"A refund of {amount} did not go through and was given back.", HappeningKind.REFUNDED
        yield Happening(entry.at, Source.LEDGER, kind, message, entry.idem)
    if checkout.settled_at is not None and checkout.mode == CheckoutMode.SUBSCRIPTION:
        message = f"{checkout.tier} was handed over."
        yield Happening(checkout.settled_at, Source.GATEWAY, HappeningKind.APPLIED, message, checkout.subscription_id)


def _dispute_happenings(dispute: DepositDispute) -> Iterator[Happening]:
    inquiry = dispute.version == 0  # the bank never held any money of it
    opened = _INQUIRY if inquiry else "The customer's bank contested the payment."
    yield Happening(dispute.created_at, Source.GATEWAY, HappeningKind.DISPUTE_OPENED, opened, dispute.id)
    ended = _DISPUTE_ENDS.get(DisputeState(dispute.state))
    if ended is not None and not inquiry:
        yield Happening(dispute.updated_at, Source.GATEWAY, HappeningKind.DISPUTE_ENDED, ended, dispute.id)


def _plain(word: str) -> str:
    return word.replace("_", " ")
