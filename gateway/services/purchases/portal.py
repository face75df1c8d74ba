"""Stripe's customer portal: where subscriptions, cards and invoices are looked after."""

from gateway.domain.errors import NoBillingAccount, ProviderRejected
from gateway.domain.ids import new_id
from gateway.services.billing import Billing
from gateway.services.customers import find_stripe_customer

_NOTHING_HERE = "You have not bought anything yet, so there is no billing portal for you."


async def open_portal(billing: Billing, *, subject: str, return_url: str) -> str:
    """A fresh, short-lived address of this customer's portal; made per click, never stored or logged.

    Raises:
        RedirectNotAllowed: the return URL is not on the list; Stripe was not called.
        NoBillingAccount: nothing was ever bought, so there is nothing to look after.
        ProviderUnavailable, ProviderRejected: Stripe did not answer, or refused.
    """
    back = billing.redirects.check(return_url, path=("input", "returnUrl"))
    stripe_customer_id = await find_stripe_customer(billing.database, subject)
    if stripe_customer_id is None:
        raise NoBillingAccount(_NOTHING_HERE)
    try:
        session = await billing.stripe.create_portal_session(
            stripe_customer_id=stripe_customer_id,
            return_url=back,
            configuration_id=await billing.portal.find(),
            idempotency_key=f"portal:{new_id(billing.clock.now())}",
        )
    except ProviderRejected:
        customer = await billing.stripe.retrieve_customer(stripe_customer_id)
        if customer is not None and customer.deleted:
            raise NoBillingAccount(_NOTHING_HERE) from None
        raise
    return session.url
