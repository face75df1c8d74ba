"""Filling the wallet: an amount within limits, a page to pay it on."""

from datetime import datetime

from gateway.db import Connection
from gateway.domain.errors import AmountOutOfRange
from gateway.domain.money import cents_to_micros, format_usd
from gateway.domain.redirects import with_session_id
from gateway.services.billing import Billing
from gateway.services.customers import add_customer, customer_id_of, ensure_stripe_customer, lock_customer
from gateway.services.purchases.hosted import (
    HostedPage,
    Order,
    checked_client_key,
    draft_checkout,
    find_earlier,
    open_page,
)
from models.checkout import Checkout, CheckoutMode


async def start_deposit(
    billing: Billing,
    *,
    subject: str,
    amount_cents: int,
    success_url: str,
    cancel_url: str,
    client_key: str | None,
) -> HostedPage:
    """Make, or find again, the page on which this customer pays a deposit of whole cents.

    Raises:
        RedirectNotAllowed, AmountOutOfRange, InvalidInput: refused; Stripe was not called.
        IdempotencyConflict: the client key was used with other input.
        ProviderUnavailable, ProviderRejected: Stripe did not answer, or refused.
    """
    redirects = billing.redirects
    success = with_session_id(redirects.check(success_url, path=("input", "successUrl")))
    cancel = redirects.check(cancel_url, path=("input", "cancelUrl"))
    key = checked_client_key(client_key)
    order = Order(CheckoutMode.DEPOSIT, amount_cents, success, cancel)
    earlier = await find_earlier(billing.database.orm, customer_id=customer_id_of(subject), order=order, client_key=key)
    if earlier is not None:
        return await open_page(billing, earlier, subject=subject)
    _check_amount(billing, amount_cents)
    stripe_customer_id = await ensure_stripe_customer(billing, subject)
    now = billing.clock.now()
    draft = draft_checkout(
        order, subject=subject, stripe_customer_id=stripe_customer_id, price_id=None, client_key=key, now=now
    )
    checkout = await _claim(billing, draft, order=order, subject=subject, now=now)
    return await open_page(billing, checkout, subject=subject)


def _check_amount(billing: Billing, amount_cents: int) -> None:
    low, high = billing.rules.deposit_minimum_cents, billing.rules.deposit_maximum_cents
    if not low <= amount_cents <= high:
        raise AmountOutOfRange(
            f"A deposit is between {format_usd(low)} and {format_usd(high)}; got {format_usd(amount_cents)}.",
            minimum_micros=cents_to_micros(low),
            maximum_micros=cents_to_micros(high),
            path=("input", "amountCents"),
        )


async def _claim(billing: Billing, draft: Checkout, *, order: Order, subject: str, now: datetime) -> Checkout:
    """Store the draft, or return the deposit that the client key began before."""

    async def work(connection: Connection) -> Checkout:
        customer_id = await add_customer(connection, subject, now)
        if draft.client_key is not None:
            await lock_customer(connection, customer_id)
        earlier = await find_earlier(connection.orm, customer_id=customer_id, order=order, client_key=draft.client_key)
        if earlier is not None:
            return earlier
        await draft.save(using_db=connection.orm, force_create=True)
        return draft

    return await billing.database.run(work)
