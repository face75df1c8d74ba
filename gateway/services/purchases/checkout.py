"""Buying a plan: one live subscription a customer, and one page at a time to buy it on."""

from datetime import datetime, timedelta

import structlog

from gateway.db import Connection
from gateway.domain.errors import (
    AlreadySubscribed,
    InProgress,
    PaymentFailed,
    PaymentPending,
    ProviderRejected,
    SessionExpired,
    SessionNotFound,
    TierNotPurchasable,
)
from gateway.domain.ids import new_id
from gateway.domain.plans import BillingInterval, PlanPrice, Tier
from gateway.domain.redirects import with_session_id
from gateway.domain.subscriptions import blocks_purchase
from gateway.services.billing import Billing
from gateway.services.customers import (
    add_customer,
    customer_id_of,
    ensure_stripe_customer,
    find_stripe_customer,
    lock_customer,
)
from gateway.services.plans.syncing import sync_plan
from gateway.services.purchases.hosted import (
    HostedPage,
    Order,
    checked_client_key,
    draft_checkout,
    find_earlier,
    open_page,
)
from gateway.services.purchases.settle import PageStillOpen, close_checkout, close_unmade, settle_checkout
from gateway.stripe_service import PricesNotReady
from models.checkout import UNSETTLED_STATES, Checkout, CheckoutMode, CheckoutState
from models.subscription import Subscription

log = structlog.stdlib.get_logger()

#: How many older pages of the same customer are put out of the way before giving up.
SUPERSEDED_MAX = 3
#: A row without its page is left alone for as long as somebody may be making it.
UNMADE_SECONDS_MIN = 60
#: An open page with less time left than this is replaced rather than shown again.
PAGE_REUSE_MINUTES_MIN = 10

_SUBSCRIBED = "You already have a subscription; change or cancel it in the billing portal (the `portal` mutation)."


async def start_checkout(
    billing: Billing,
    *,
    subject: str,
    tier: Tier,
    interval: BillingInterval,
    success_url: str,
    cancel_url: str,
    client_key: str | None,
) -> HostedPage:
    """Make, or find again, the page on which this customer buys this plan.

    Raises:
        RedirectNotAllowed, TierNotPurchasable, InvalidInput: the input cannot be sold; Stripe was not called.
        AlreadySubscribed: there is a subscription; it is changed in the portal.
        IdempotencyConflict: the client key was used with other input.
        InProgress: another purchase of this customer is at a point where it cannot be put aside.
        ProviderUnavailable, ProviderRejected: Stripe did not answer, or refused.
    """
    redirects = billing.redirects
    success = with_session_id(redirects.check(success_url, path=("input", "successUrl")))
    cancel = redirects.check(cancel_url, path=("input", "cancelUrl"))
    key = checked_client_key(client_key)
    offer = billing.catalogue.offer(tier)
    if not offer.purchasable:
        raise TierNotPurchasable(f"{tier.value} is not for sale; it is what everybody has.", path=("input", "tier"))
    price = offer.price(interval)
    order = Order(CheckoutMode.SUBSCRIPTION, price.amount_cents, success, cancel, tier.value, interval.value)
    earlier = await find_earlier(billing.database.orm, customer_id=customer_id_of(subject), order=order, client_key=key)
    if earlier is not None:
        return await open_page(billing, earlier, subject=subject)
    price_id = await _price_id(billing, price)
    await _refuse_subscribed(billing, subject)
    stripe_customer_id = await ensure_stripe_customer(billing, subject)
    for left in reversed(range(SUPERSEDED_MAX + 1)):
        now = billing.clock.now()
        draft = draft_checkout(
            order,
            subject=subject,
            stripe_customer_id=stripe_customer_id,
            price_id=price_id,
            client_key=key,
            now=now,
        )
        checkout = await _claim(billing, draft, order=order, subject=subject, now=now)
        if _is_the_page(checkout, draft, now):
            return await open_page(billing, checkout, subject=subject)
        if left:  # whoever gives up leaves the last page alone, or many tabs at once would close all of theirs
            await _put_aside(billing, checkout)
    raise InProgress("Another purchase of yours is being made at this moment; try again in a few seconds.")


async def _price_id(billing: Billing, price: PlanPrice) -> str:
    try:
        return (await billing.prices.book()).price_id(price)
    except PricesNotReady as error:
        log.exception("prices.not_ready", problems=error.problems)
        raise ProviderRejected("This plan cannot be sold at the moment; please try again later.") from None


async def _refuse_subscribed(billing: Billing, subject: str) -> None:
    """Ask Stripe itself: a subscription bought elsewhere may not have reached us yet."""
    stripe_customer_id = await find_stripe_customer(billing.database, subject)
    if stripe_customer_id is None:
        return
    reduction = await sync_plan(billing, customer_id=customer_id_of(subject))
    if reduction.has_subscription:
        raise AlreadySubscribed(_SUBSCRIBED)


async def _claim(billing: Billing, draft: Checkout, *, order: Order, subject: str, now: datetime) -> Checkout:
    """Store the draft, or return the purchase that is in its way: the client key's own, or the one open page."""

    async def work(connection: Connection) -> Checkout:
        customer_id = await add_customer(connection, subject, now)
        await lock_customer(connection, customer_id)
        earlier = await find_earlier(connection.orm, customer_id=customer_id, order=order, client_key=draft.client_key)
        if earlier is not None:
            return earlier
        for row in await Subscription.filter(customer_id=customer_id, ended_at=None).using_db(connection.orm):
            if blocks_purchase(row.status):
                raise AlreadySubscribed(_SUBSCRIBED)
        standing = await Checkout.get_or_none(
            customer_id=customer_id,
            mode=CheckoutMode.SUBSCRIPTION.value,
            state__in=[state.value for state in UNSETTLED_STATES],
            using_db=connection.orm,
        )
        if standing is not None:
            return standing
        await draft.save(using_db=connection.orm, force_create=True)
        return draft

    return await billing.database.run(work)


def _is_the_page(checkout: Checkout, draft: Checkout, now: datetime) -> bool:
    """Whether this row is the one to show: the draft itself, the client key's own, or an open page that sells the same.

    So a double click sees one page.
    """
    if checkout.id == draft.id or (draft.client_key is not None and checkout.client_key == draft.client_key):
        return True
    same = (checkout.input_digest, checkout.price_id, checkout.stripe_customer_id, checkout.amount_cents) == (
        draft.input_digest,
        draft.price_id,
        draft.stripe_customer_id,
        draft.amount_cents,
    )
    lasting = checkout.expires_at is None or checkout.expires_at - now > timedelta(minutes=PAGE_REUSE_MINUTES_MIN)
    return same and lasting and checkout.state != CheckoutState.PENDING


async def _put_aside(billing: Billing, checkout: Checkout) -> None:
    """See that the page in the way can never be paid beside the new one; if it was paid, settle it.

    Raises:
        AlreadySubscribed: it was paid.
        InProgress: its payment is on the way.
        ProviderUnavailable: Stripe did not answer, so it may still be paid.
    """
    if checkout.session_id is None:
        if billing.clock.now() - checkout.asked_at < timedelta(seconds=UNMADE_SECONDS_MIN):
            raise InProgress("Another purchase of yours is being made at this moment; try again in a few seconds.")
        # Nobody is making it any more, or somebody very slow who will find the row closed and closes the page too.
        await close_unmade(billing, checkout.id)
        return
    try:
        await settle_checkout(billing, session_id=checkout.session_id)
    except PageStillOpen:
        await _expire(billing, checkout, checkout.session_id)
    except PaymentPending as pending:
        raise InProgress(
            "Your earlier payment for a plan is still on its way through the bank; wait for its outcome."
        ) from pending
    except (PaymentFailed, SessionExpired):
        return
    except SessionNotFound:
        log.exception("checkout.page_lost", checkout_id=str(checkout.id))
        await close_checkout(billing, checkout.id, CheckoutState.EXPIRED)
    else:
        raise AlreadySubscribed(_SUBSCRIBED)


async def _expire(billing: Billing, checkout: Checkout, session_id: str) -> None:
    now = billing.clock.now()
    try:
        await billing.stripe.expire_session(session_id=session_id, idempotency_key=f"expire:{new_id(now)}")
    except ProviderRejected:
        return  # it is open no longer: the next look says what became of it
    await close_checkout(billing, checkout.id, CheckoutState.EXPIRED)
    log.info("checkout.superseded", checkout_id=str(checkout.id))
