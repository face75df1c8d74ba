"""Hosted pages: our row first, then Stripe's Checkout Session, under one key that survives every retry."""

import hashlib
import json
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from uuid import UUID

import structlog

from gateway.db import Connection
from gateway.db.orm import OrmClient
from gateway.domain.errors import (
    IdempotencyConflict,
    InProgress,
    InvalidInput,
    PaymentFailed,
    ProviderError,
    ProviderMisconfigured,
    ProviderRejected,
    SessionExpired,
)
from gateway.domain.ids import new_id
from gateway.domain.money import CURRENCY
from gateway.services.billing import Billing
from gateway.services.customers import customer_id_of, ensure_stripe_customer, forget_stripe_customer
from gateway.stripe_service import CheckoutSession
from models.checkout import Checkout, CheckoutMode, CheckoutState

log = structlog.stdlib.get_logger()

#: A client's own key for a purchase.
CLIENT_KEY_CHARACTERS_MAX = 255
#: What the payment page and the receipt call a deposit.
_DEPOSIT_NAME = "Wallet deposit"
#: How long one key is used again for a session that Stripe has not given us.
KEY_TRUSTED_MINUTES = 10
#: When a purchase that has no end yet is looked at without anybody asking; see `stale_checkouts`.
FIRST_LOOK = timedelta(minutes=10)
#: How often a purchase is looked at again in one request: a Customer that is gone, a key that is spent.
_TRIES_MAX = 4


@dataclass(frozen=True, slots=True)
class HostedPage:
    """A page of Stripe's to send the browser to."""

    session_id: str
    url: str


@dataclass(frozen=True, slots=True)
class Order:
    """What is asked for; its digest, of what the client sent alone, decides whether two requests are the same."""

    mode: CheckoutMode
    amount_cents: int
    success_url: str
    cancel_url: str
    tier: str | None = None
    interval: str | None = None

    @property
    def digest(self) -> str:
        sent = asdict(self)
        if self.mode is CheckoutMode.SUBSCRIPTION:
            del sent["amount_cents"]  # the catalogue's, which may change between two tries
        return hashlib.sha256(json.dumps(sent, sort_keys=True).encode()).hexdigest()


def checked_client_key(key: str | None) -> str | None:
    """The client's idempotency key, or a refusal that says what one looks like."""
    if key is not None and not 0 < len(key) <= CLIENT_KEY_CHARACTERS_MAX:
        raise InvalidInput(
            f"An idempotency key has 1 to {CLIENT_KEY_CHARACTERS_MAX} characters; got {len(key)}.",
            path=("input", "idempotencyKey"),
        )
    return key


def draft_checkout(
    order: Order,
    *,
    subject: str,
    stripe_customer_id: str,
    price_id: str | None,
    client_key: str | None,
    now: datetime,
) -> Checkout:
    """The row of a purchase that is about to begin; everything Stripe will be told is frozen in it."""
    checkout_id = new_id(now)
    return Checkout(
        id=checkout_id,
        customer_id=customer_id_of(subject),
        mode=order.mode.value,
        state=CheckoutState.CREATING.value,
        tier=order.tier,
        interval=order.interval,
        price_id=price_id,
        amount_cents=order.amount_cents,
        currency=CURRENCY,
        success_url=order.success_url,
        cancel_url=order.cancel_url,
        stripe_customer_id=stripe_customer_id,
        client_key=client_key,
        input_digest=order.digest,
        stripe_key=f"checkout:{checkout_id}:1",
        asked_at=now,
        look_at=now + FIRST_LOOK,
        created_at=now,
    )


async def find_earlier(
    client: OrmClient, *, customer_id: UUID, order: Order, client_key: str | None
) -> Checkout | None:
    """The purchase this client key began before.

    Raises:
        IdempotencyConflict: it began one with other input.
    """
    if client_key is None:
        return None
    earlier = await Checkout.get_or_none(
        customer_id=customer_id, mode=order.mode.value, client_key=client_key, using_db=client
    )
    if earlier is not None and earlier.input_digest != order.digest:
        raise IdempotencyConflict(
            "This idempotency key was used for another request; use a new key for new input.",
            path=("input", "idempotencyKey"),
        )
    return earlier


async def open_page(billing: Billing, checkout: Checkout, *, subject: str) -> HostedPage:
    """The hosted page of a purchase: made if it is not there yet, else the one there is.

    Raises:
        SessionExpired, PaymentFailed: that page is over; a new purchase needs a new client key.
        InProgress: another purchase of the customer took its place meanwhile.
        ProviderUnavailable: Stripe did not answer; asking again finds the same page.
        ProviderRejected: Stripe refused, now or the first time.
    """
    for _ in range(_TRIES_MAX):
        if checkout.state != CheckoutState.CREATING:
            return _page_of(checkout)
        checkout = await _with_fresh_key(billing, checkout)
        try:
            session = await _create_session(billing, checkout, subject=subject)
        except ProviderMisconfigured:
            raise
        except ProviderRejected as refusal:
            checkout = await _after_refusal(billing, checkout, refusal, subject=subject)
        else:
            checkout = await record_session(billing, checkout.id, session)
            if checkout.session_id != session.session_id:
                await _expire_unseen(billing, session)
    raise InProgress("This purchase is being made at this moment; try again in a few seconds.")


def _page_of(checkout: Checkout) -> HostedPage:
    match CheckoutState(checkout.state):
        case CheckoutState.REFUSED:
            raise ProviderRejected(checkout.refusal or "The payment page could not be made.")
        case CheckoutState.EXPIRED if checkout.session_id is None:
            raise InProgress(
                "Another purchase of yours took this one's place; start again, with a new idempotency key."
            )
        case CheckoutState.EXPIRED:
            raise SessionExpired(
                "This page is closed: it was not used in time, or another purchase replaced it. Start again, "
                "with a new idempotency key."
            )
        case CheckoutState.FAILED:
            raise PaymentFailed("The payment on this page failed; start again, with a new idempotency key.")
        case _ if checkout.session_id and checkout.session_url:
            return HostedPage(session_id=checkout.session_id, url=checkout.session_url)
        case _:
            raise SessionExpired("This page is over; start again, with a new idempotency key.")


async def record_session(billing: Billing, checkout_id: UUID, session: CheckoutSession) -> Checkout:
    """Write down the session Stripe made for a row; a second time, or for a row that was closed, changes nothing."""

    async def work(connection: Connection) -> Checkout:
        await connection.execute(
            "UPDATE checkout SET state = 'open', session_id = $2, session_url = $3, expires_at = $4 "
            "WHERE id = $1 AND state = 'creating'",
            (checkout_id, session.session_id, session.url, session.expires_at),
        )
        return await Checkout.get(id=checkout_id, using_db=connection.orm)

    return await billing.database.run(work)


async def _with_fresh_key(billing: Billing, checkout: Checkout) -> Checkout:
    """Stripe repeats a stored 500 for a day: a row that is still without its session after a while asks anew.

    What the old key may have made nobody has ever seen, so nobody can pay there.
    """
    asked_at = checkout.asked_at
    now = billing.clock.now()
    if now - asked_at <= timedelta(minutes=KEY_TRUSTED_MINUTES):
        return checkout
    return await _move_on(billing, checkout, stripe_customer_id=checkout.stripe_customer_id, now=now)


async def _after_refusal(billing: Billing, checkout: Checkout, refusal: ProviderRejected, *, subject: str) -> Checkout:
    """Ask once more under another key where that can help; else note the refusal and pass it on."""
    now = billing.clock.now()
    if refusal.provider_code == "idempotency_error":
        log.error("checkout.key_conflict", checkout_id=str(checkout.id))
        return await _move_on(billing, checkout, stripe_customer_id=checkout.stripe_customer_id, now=now)
    if await _stripe_customer_is_gone(billing, checkout, refusal):
        stripe_customer_id = await _replace_customer(billing, checkout, subject=subject)
        return await _move_on(billing, checkout, stripe_customer_id=stripe_customer_id, now=now)
    await _refuse(billing, checkout, refusal)
    raise refusal


async def _expire_unseen(billing: Billing, session: CheckoutSession) -> None:
    """A page whose row was closed meanwhile is shown to nobody; it is closed at Stripe too, as well as may be."""
    try:
        await billing.stripe.expire_session(
            session_id=session.session_id, idempotency_key=f"expire:{new_id(billing.clock.now())}"
        )
    except ProviderError as error:
        log.warning("checkout.unseen_page_left_open", session_id=session.session_id, reason=str(error))


async def _create_session(billing: Billing, checkout: Checkout, *, subject: str) -> CheckoutSession:
    if checkout.mode == CheckoutMode.DEPOSIT:
        return await billing.stripe.create_deposit_checkout(
            stripe_customer_id=checkout.stripe_customer_id,
            amount_cents=checkout.amount_cents,
            product_name=_DEPOSIT_NAME,
            customer_id=subject,
            checkout_id=str(checkout.id),
            success_url=checkout.success_url,
            cancel_url=checkout.cancel_url,
            idempotency_key=checkout.stripe_key,
        )
    assert checkout.price_id is not None, "the database demands a price of a subscription"
    return await billing.stripe.create_subscription_checkout(
        stripe_customer_id=checkout.stripe_customer_id,
        price_id=checkout.price_id,
        customer_id=subject,
        checkout_id=str(checkout.id),
        success_url=checkout.success_url,
        cancel_url=checkout.cancel_url,
        idempotency_key=checkout.stripe_key,
    )


async def _stripe_customer_is_gone(billing: Billing, checkout: Checkout, refusal: ProviderRejected) -> bool:
    """Only a Customer that Stripe says was deleted is gone; an unknown one means that the key is another account's."""
    if refusal.provider_code != "resource_missing":
        return False
    customer = await billing.stripe.retrieve_customer(checkout.stripe_customer_id)
    return customer is not None and customer.deleted


async def _replace_customer(billing: Billing, checkout: Checkout, *, subject: str) -> str:
    async def forget(connection: Connection) -> None:
        await forget_stripe_customer(connection, checkout.customer_id, checkout.stripe_customer_id)

    await billing.database.run(forget)
    log.warning("checkout.customer_replaced", checkout_id=str(checkout.id))
    return await ensure_stripe_customer(billing, subject)


async def _move_on(billing: Billing, checkout: Checkout, *, stripe_customer_id: str, now: datetime) -> Checkout:
    """Store the next key before it is used; of several callers one moves the row on, the others follow it."""

    async def work(connection: Connection) -> Checkout:
        await connection.execute(
            "UPDATE checkout SET stripe_customer_id = $2, stripe_key = $3, asked_at = $4 "
            "WHERE id = $1 AND state = 'creating' AND stripe_key = $5",
            (checkout.id, stripe_customer_id, _key_after(checkout), now, checkout.stripe_key),
        )
        return await Checkout.get(id=checkout.id, using_db=connection.orm)

    return await billing.database.run(work)


def _key_after(checkout: Checkout) -> str:
    prefix, _, number = checkout.stripe_key.rpartition(":")
    return f"{prefix}:{int(number) + 1}"


async def _refuse(billing: Billing, checkout: Checkout, refusal: ProviderRejected) -> None:
    billing.prices.forget()

    async def work(connection: Connection) -> None:
        await connection.execute(
            "UPDATE checkout SET state = 'refused', refusal = $2 WHERE id = $1 AND state = 'creating'",
            (checkout.id, refusal.message),
        )

    await billing.database.run(work)
    log.error("checkout.refused", checkout_id=str(checkout.id), provider_code=refusal.provider_code)
