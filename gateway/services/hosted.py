"""Hosted pages: our row first, then Stripe's Checkout Session, under one key that survives every retry."""

import hashlib
import json
from dataclasses import asdict, dataclass
from datetime import datetime
from uuid import UUID

import structlog

from gateway.db import Connection
from gateway.domain.errors import IdempotencyConflict, InvalidInput, ProviderRejected
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
#: How often a purchase is taken up again after its Stripe Customer turned out to be gone.
_CUSTOMERS_TRIED_MAX = 2


@dataclass(frozen=True, slots=True)
class HostedPage:
    """A page of Stripe's to send the browser to."""

    session_id: str
    url: str


@dataclass(frozen=True, slots=True)
class Order:
    """What is asked for; its digest decides whether two requests are the same."""

    mode: CheckoutMode
    amount_cents: int
    success_url: str
    cancel_url: str
    tier: str | None = None
    interval: str | None = None

    @property
    def digest(self) -> str:
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()


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
        created_at=now,
    )


async def find_earlier(
    connection: Connection, *, customer_id: UUID, order: Order, client_key: str | None
) -> Checkout | None:
    """The purchase this client key began before.

    Raises:
        IdempotencyConflict: it began one with other input.
    """
    if client_key is None:
        return None
    earlier = await Checkout.get_or_none(
        customer_id=customer_id, mode=order.mode.value, client_key=client_key, using_db=connection.orm
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
        ProviderUnavailable: Stripe did not answer; asking again finds the same page.
        ProviderRejected: Stripe refused, now or the first time.
    """
    for _ in range(_CUSTOMERS_TRIED_MAX):
        if checkout.session_id is not None and checkout.session_url is not None:
            return HostedPage(session_id=checkout.session_id, url=checkout.session_url)
        if checkout.state == CheckoutState.REFUSED:
            raise ProviderRejected(checkout.refusal or "The payment page could not be made.")
        try:
            session = await _create_session(billing, checkout, subject=subject)
        except ProviderRejected as refusal:
            if not await _stripe_customer_is_gone(billing, checkout, refusal):
                await _refuse(billing, checkout, refusal)
                raise
            checkout = await _move_to_new_customer(billing, checkout, subject=subject)
        else:
            checkout = await record_session(billing, checkout.id, session)
    assert checkout.session_id and checkout.session_url, "recorded, or an exception was raised"  # noqa: PT018 - one belief
    return HostedPage(session_id=checkout.session_id, url=checkout.session_url)


async def record_session(billing: Billing, checkout_id: UUID, session: CheckoutSession) -> Checkout:
    """Write down the session Stripe made for a row; a second time changes nothing."""

    async def work(connection: Connection) -> Checkout:
        await connection.execute(
            "UPDATE checkout SET state = 'open', session_id = $2, session_url = $3, expires_at = $4 "
            "WHERE id = $1 AND state = 'creating'",
            (checkout_id, session.session_id, session.url or "", session.expires_at),
        )
        return await Checkout.get(id=checkout_id, using_db=connection.orm)

    return await billing.database.run(work)


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
    if refusal.provider_code != "resource_missing":
        return False
    customer = await billing.stripe.retrieve_customer(checkout.stripe_customer_id)
    return customer is None or customer.deleted


async def _move_to_new_customer(billing: Billing, checkout: Checkout, *, subject: str) -> Checkout:
    """Somebody deleted the Stripe Customer: make another, and ask again under another key."""

    async def forget(connection: Connection) -> None:
        await forget_stripe_customer(connection, checkout.customer_id, checkout.stripe_customer_id)

    await billing.database.run(forget)
    stripe_customer_id = await ensure_stripe_customer(billing, subject)
    log.warning("checkout.customer_replaced", checkout_id=str(checkout.id))

    async def move(connection: Connection) -> Checkout:
        await connection.execute(
            "UPDATE checkout SET stripe_customer_id = $2, stripe_key = $3 WHERE id = $1 AND state = 'creating'",
            (checkout.id, stripe_customer_id, f"checkout:{checkout.id}:{stripe_customer_id}"),
        )
        return await Checkout.get(id=checkout.id, using_db=connection.orm)

    return await billing.database.run(move)


async def _refuse(billing: Billing, checkout: Checkout, refusal: ProviderRejected) -> None:
    billing.prices.forget()

    async def work(connection: Connection) -> None:
        await connection.execute(
            "UPDATE checkout SET state = 'refused', refusal = $2 WHERE id = $1 AND state = 'creating'",
            (checkout.id, refusal.message),
        )

    await billing.database.run(work)
    log.error("checkout.refused", checkout_id=str(checkout.id), provider_code=refusal.provider_code)
