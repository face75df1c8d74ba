"""From two sides to the facts of a verdict: what our rows say beside what Stripe says."""

from dataclasses import dataclass

from gateway.domain.errors import ProviderError
from gateway.domain.subscriptions import payment_is_dead
from gateway.domain.verdicts import PurchaseFacts, SessionStanding
from gateway.services.billing import Billing
from gateway.services.explaining.rows import OurSide, standing_of
from gateway.services.purchases.settle import misfits
from gateway.stripe_service import SessionLook, is_session_id
from models.checkout import CheckoutState


@dataclass(frozen=True, slots=True)
class StripeSide:
    """Stripe's answer about a session; `silent` when there was none."""

    look: SessionLook | None = None
    silent: bool = False

    @property
    def standing(self) -> SessionStanding:
        """What the answer comes to."""
        if self.silent:
            return SessionStanding.SILENT
        return SessionStanding.MISSING if self.look is None else _standing(self.look)


async def ask_stripe(billing: Billing, session_id: str | None) -> StripeSide:
    """One call; a Stripe that does not answer, or not to our key, is an answer too."""
    if session_id is None:
        return StripeSide()
    try:
        return StripeSide(look=await billing.stripe.look_at_session(session_id))
    except ProviderError:
        return StripeSide(silent=True)


def mode_fits(billing: Billing, session_id: str) -> bool:
    """Whether a session's id is of the mode of our key."""
    return not is_session_id(session_id) or session_id.startswith("cs_live_") is billing.stripe.livemode


def facts_of(billing: Billing, ours: OurSide, theirs: StripeSide) -> PurchaseFacts:
    """What a verdict about a purchase with a row of ours is made of."""
    checkout, look = ours.checkout, theirs.look
    wrong = misfits(checkout, look.session, livemode=billing.stripe.livemode) if look else []
    return PurchaseFacts(
        session=theirs.standing,
        mode_fits=mode_fits(billing, checkout.session_id or ""),
        settled=checkout.state == CheckoutState.SETTLED,
        refused=checkout.state == CheckoutState.REFUSED,
        page_made=checkout.session_id is not None or look is not None,
        closed=checkout.state in {CheckoutState.EXPIRED, CheckoutState.FAILED},
        fits=not wrong,
        booked=ours.booked,
        plan_fits=_plan_fits(ours, theirs),
        event=standing_of(ours.session_events),
        dispute=ours.dispute,
        dispute_event=standing_of(ours.dispute_events),
        disputed_at_stripe=look is not None and look.charge is not None and look.charge.disputed,
        amount_cents=checkout.amount_cents,
        refunded_cents=checkout.refunded_cents,
        refunded_at_stripe_cents=look.charge.refunded_cents if look and look.charge else None,
    )


def _standing(look: SessionLook) -> SessionStanding:
    session, subscription = look.session, look.subscription
    if session.is_paid:
        return SessionStanding.PAID
    if session.status == "open":
        return SessionStanding.OPEN
    if session.status == "expired":
        return SessionStanding.EXPIRED
    dead = payment_is_dead(
        of_subscription=session.subscription_id is not None,
        payment_status=session.payment_intent_status,
        subscription_status=subscription.status if subscription else None,
    )
    return SessionStanding.DEAD if dead else SessionStanding.BANK


def _plan_fits(ours: OurSide, theirs: StripeSide) -> bool:
    """Whether our mirror of the subscription says what Stripe says; where nothing was said, nothing contradicts."""
    subscription = theirs.look.subscription if theirs.look else None
    if subscription is None:
        return True
    row, price_id = ours.subscription, subscription.items[0].price_id if subscription.items else None
    return row is not None and (row.status, row.price_id, row.cancels_at, row.current_period_end) == (
        subscription.status,
        price_id,
        subscription.cancels_at,
        subscription.current_period_end_at,
    )
