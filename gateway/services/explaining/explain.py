"""One page that says what happened: our rows and Stripe's in one order, one verdict, one action."""

import asyncio
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from gateway.domain.errors import ProviderError
from gateway.domain.timeline import Happening, HappeningKind, Source, in_order
from gateway.domain.verdict_words import OPERATOR_WORDS
from gateway.domain.verdicts import (
    EventStanding,
    PurchaseFacts,
    SessionStanding,
    Verdict,
    customer_verdict,
    event_verdict,
    purchase_verdict,
)
from gateway.services.billing import Billing
from gateway.services.customers import stripe_customers_of
from gateway.services.events.review import events_about
from gateway.services.explaining.happenings import (
    event_happenings,
    purchase_happenings,
    purchase_name,
    subscription_happenings,
)
from gateway.services.explaining.judging import StripeSide, ask_stripe, facts_of, mode_fits
from gateway.services.explaining.rows import EVENTS_SHOWN_MAX, OurSide, load_our_side, standing_of
from gateway.services.explaining.standing import checkout_standing, customer_standing, plan_fits, subscriptions_of
from gateway.services.explaining.target import Target, find_adopted, find_target
from models.checkout import Checkout, CheckoutMode
from models.stripe_event import EventState

#: A customer's purchases that are shown; of each that is not settled Stripe is asked.
PURCHASES_SHOWN_MAX: Final = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """The page. `standing` is how things are now, one sentence a thing; `action` is the one thing that helps, if any.

    `stripe_answered` is None where Stripe was not asked.
    """

    given: str
    about: str
    verdict: Verdict
    message: str
    action: str | None
    happenings: tuple[Happening, ...] = ()
    standing: tuple[str, ...] = ()
    stripe_answered: bool | None = None


@dataclass(frozen=True, slots=True)
class Purchase:
    """One purchase, looked at from both sides."""

    ours: OurSide
    theirs: StripeSide
    verdict: Verdict


async def explain(billing: Billing, given: str) -> Explanation:
    """Say what happened to whatever an id means. Reads only, and says so where Stripe does not answer."""
    target = await find_target(billing, given)
    if target.event is None and target.is_event:
        return await _strange_event(billing, target.given)
    if target.checkout is None and target.is_session:
        target = await _adopted(billing, target)
    if target.checkout is not None:
        return await _about_purchase(billing, target, target.checkout)
    if target.event is not None:
        return _about_event(target)
    if target.customer_id is not None:
        return await _about_customer(billing, target.given, target.customer_id)
    return await _about_stranger(billing, target)


async def look_at(billing: Billing, checkout: Checkout) -> Purchase:
    """Both sides of a purchase, with one call to Stripe."""
    theirs = await ask_stripe(billing, checkout.session_id)
    charge_id = theirs.look.charge.charge_id if theirs.look and theirs.look.charge else None
    ours = await load_our_side(billing.database, checkout, charge_id=charge_id)
    return Purchase(ours, theirs, purchase_verdict(facts_of(billing, ours, theirs)))


async def _about_purchase(billing: Billing, target: Target, checkout: Checkout) -> Explanation:
    purchase = await look_at(billing, checkout)
    verdict = purchase.verdict
    if verdict is Verdict.PAID_AND_APPLIED and checkout.mode == CheckoutMode.SUBSCRIPTION:
        subscriptions = await subscriptions_of(billing, checkout.customer_id)
        if subscriptions is not None and not await plan_fits(billing, checkout.customer_id, subscriptions):
            verdict = Verdict.PLAN_BEHIND  # because of another of the customer's subscriptions
    if target.event is not None:
        ignored = target.event.state is EventState.IGNORED
        verdict = event_verdict(standing_of([target.event]), ignored=ignored, purchase=verdict)
    happenings = purchase_happenings(purchase.ours, purchase.theirs, now=billing.clock.now())
    events = [target.event] if target.event and target.event not in purchase.ours.events else []
    return _page(
        given=target.given,
        about=f"{purchase_name(checkout)} ({checkout.session_id or f'checkout {checkout.id}'})",
        verdict=verdict,
        ids=_ids(purchase.ours, target),
        happenings=in_order([*happenings, *event_happenings(events)]),
        standing=(*checkout_standing(checkout), *await customer_standing(billing, checkout.customer_id)),
        stripe_answered=None if checkout.session_id is None else not purchase.theirs.silent,
    )


async def _about_customer(billing: Billing, given: str, customer_id: UUID) -> Explanation:
    newest = (
        await Checkout.filter(customer_id=customer_id)
        .order_by("-created_at", "-id")
        .limit(PURCHASES_SHOWN_MAX)
        .using_db(billing.database.orm)
    )
    purchases = await asyncio.gather(*(look_at(billing, one) for one in newest))
    subscriptions = await subscriptions_of(billing, customer_id)
    fits = None if subscriptions is None else await plan_fits(billing, customer_id, subscriptions)
    verdict = customer_verdict(tuple(one.verdict for one in purchases), plan_fits=fits)
    about_customer = await events_about(
        billing.database, await stripe_customers_of(billing.database, customer_id), limit=EVENTS_SHOWN_MAX
    )
    now = billing.clock.now()
    happenings = {
        *(moment for one in purchases for moment in purchase_happenings(one.ours, one.theirs, now=now)),
        *(moment for one in subscriptions or () for moment in subscription_happenings(one)),
        *event_happenings(about_customer),
    }
    worst = next((one for one in purchases if one.verdict is verdict), None)
    return _page(
        given=given,
        about=f"customer {customer_id}",
        verdict=verdict,
        ids=_ids(worst.ours, None) if worst else {"about": str(customer_id), "event": ""},
        happenings=in_order(happenings),
        standing=await customer_standing(billing, customer_id),
        stripe_answered=subscriptions is not None and not any(one.theirs.silent for one in purchases),
    )


def _about_event(target: Target) -> Explanation:
    """An event that is about nothing of ours, or about a customer only."""
    event = target.event
    assert event is not None, "the caller looked"
    verdict = event_verdict(standing_of([event]), ignored=event.state is EventState.IGNORED, purchase=None)
    return _page(
        given=target.given,
        about=f"{event.type} ({event.event_id})",
        verdict=verdict,
        ids={"about": event.object_id or event.event_id, "event": event.event_id},
        happenings=in_order(event_happenings([event])),
        standing=tuple(f"{name}: {text}" for name, text in (("last error", event.error), ("note", event.note)) if text),
        event=True,
    )


async def _strange_event(billing: Billing, event_id: str) -> Explanation:
    """An event that never arrived: Stripe knows whether there is one."""
    try:
        event = await billing.stripe.retrieve_event(event_id)
    except ProviderError:
        return _page(given=event_id, about=event_id, verdict=Verdict.STRIPE_UNREACHABLE, stripe_answered=False)
    if event is None:
        return _page(given=event_id, about=event_id, verdict=Verdict.UNKNOWN, stripe_answered=True)
    sent = f"{event.type} happened at Stripe."
    return _page(
        given=event_id,
        about=f"{event.type} ({event_id})",
        verdict=Verdict.EVENT_NEVER_ARRIVED,
        ids={"about": event.object_id or "", "event": event_id},
        happenings=(Happening(event.created_at, Source.STRIPE, HappeningKind.EVENT_RECEIVED, sent, event_id),),
        stripe_answered=True,
        event=True,
    )


async def _adopted(billing: Billing, target: Target) -> Target:
    """A session that we did not live to write down is ours by its metadata."""
    theirs = await ask_stripe(billing, target.given) if mode_fits(billing, target.given) else StripeSide()
    checkout = await find_adopted(billing, theirs.look.session.checkout_id if theirs.look else None)
    if checkout is None or checkout.session_id not in (None, target.given):
        return target
    checkout.session_id = target.given
    return Target(given=target.given, checkout=checkout, customer_id=checkout.customer_id)


async def _about_stranger(billing: Billing, target: Target) -> Explanation:
    """Nothing of ours: a session may still be somebody else's at Stripe."""
    if not target.is_session:
        verdict = Verdict.STRIPE_UNREACHABLE if target.silent else Verdict.UNKNOWN
        answered = None if target.kind_at_stripe is None else not target.silent
        return _page(given=target.given, about=target.given, verdict=verdict, stripe_answered=answered)
    fits = mode_fits(billing, target.given)
    theirs = await ask_stripe(billing, target.given if fits else None)
    facts = PurchaseFacts(session=theirs.standing, ours=False, mode_fits=fits)
    answered = None if not fits else theirs.standing is not SessionStanding.SILENT
    return _page(given=target.given, about=target.given, verdict=purchase_verdict(facts), stripe_answered=answered)


def _page(
    *,
    given: str,
    about: str,
    verdict: Verdict,
    ids: dict[str, str] | None = None,
    happenings: tuple[Happening, ...] = (),
    standing: tuple[str, ...] = (),
    stripe_answered: bool | None = None,
    event: bool = False,
) -> Explanation:
    """The page with the words of its verdict; of an event that is about no purchase, doing it again is what helps."""
    words = OPERATOR_WORDS[verdict]
    action = words.action
    if event and verdict in {Verdict.EVENT_NEVER_ARRIVED, Verdict.EVENT_WAITING}:
        action = OPERATOR_WORDS[Verdict.EVENT_DEAD].action
    return Explanation(
        given=given,
        about=about,
        verdict=verdict,
        message=words.message,
        action=None if action is None else action.format(**(ids or {"about": given, "event": given})),
        happenings=happenings,
        standing=standing,
        stripe_answered=stripe_answered,
    )


def _ids(ours: OurSide, target: Target | None) -> dict[str, str]:
    """What the action's command is about: the session, or the customer whose plan is behind."""
    event = target.event if target else None
    dead = event or next((one for one in ours.session_events if standing_of([one]) is EventStanding.DEAD), None)
    about = ours.checkout.session_id or str(ours.checkout.id)
    return {"about": about, "event": dead.event_id if dead else ""}
