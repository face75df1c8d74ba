"""A small shop to test with: two plans, a customer, sessions."""

from dataclasses import dataclass
from typing import Any, Literal, cast

from stripe.params.checkout import SessionCreateParams

from gateway.sandbox.refusals import Json
from tests.sandbox.local_stripe import LocalStripe, plain

SUCCESS = "https://shop.test/done?session_id={CHECKOUT_SESSION_ID}"
META = {"gateway_customer": "u_1", "gateway_checkout": "c_1"}


@dataclass(frozen=True, slots=True)
class Shop:
    product: str
    monthly: str
    yearly: str
    dearer: str
    customer: str


async def open_shop(local: LocalStripe) -> Shop:
    """Pro at $29 a month or $261 a year, Business at $99 a month, and one customer."""
    sdk = local.sdk.v1
    product = await sdk.products.create_async({"name": "Pro"})
    business = await sdk.products.create_async({"name": "Business"})

    async def price(key: str, cents: int, interval: Literal["month", "year"], of: str) -> str:
        made = await sdk.prices.create_async(
            {
                "product": of,
                "currency": "usd",
                "unit_amount": cents,
                "lookup_key": key,
                "recurring": {"interval": interval},
            }
        )
        return made.id

    customer = await sdk.customers.create_async({"email": "ada@example.com", "metadata": {"gateway_customer": "u_1"}})
    return Shop(
        product=product.id,
        monthly=await price("pro_monthly", 2900, "month", product.id),
        yearly=await price("pro_yearly", 26100, "year", product.id),
        dearer=await price("business_monthly", 9900, "month", business.id),
        customer=customer.id,
    )


async def deposit_session(
    local: LocalStripe, *, customer: str | None = None, cents: int = 2500, **more: object
) -> Json:
    line: Json = {
        "price_data": {"currency": "usd", "unit_amount": cents, "product_data": {"name": "Wallet deposit"}},
        "quantity": 1,
    }
    params: Json = {"mode": "payment", "line_items": [line], "payment_intent_data": {"metadata": META}, **more}
    return await _session(local, params, customer)


async def plan_session(local: LocalStripe, price: str, *, customer: str | None = None, **more: object) -> Json:
    line: Json = {"price": price, "quantity": 1}
    params: Json = {"mode": "subscription", "line_items": [line], "subscription_data": {"metadata": META}, **more}
    return await _session(local, params, customer)


async def _session(local: LocalStripe, params: Json, customer: str | None) -> Json:
    whole: dict[str, Any] = {"success_url": SUCCESS, "metadata": META, **params}
    if customer is not None:
        whole["customer"] = customer
    return await plain(local.sdk.v1.checkout.sessions.create_async(cast("SessionCreateParams", whole)))


async def pay(local: LocalStripe, session: Json, card: str | None = None, *, email: str | None = None) -> Json:
    """Pay on the session's page; returns the session as it is then."""
    fields = {"checkout_session": session["id"], "card_number": card, "email": email}
    await local.control("checkout/pay", {name: value for name, value in fields.items() if value})
    return await plain(local.sdk.v1.checkout.sessions.retrieve_async(session["id"]))


async def subscribe(local: LocalStripe, shop: Shop, *, price: str | None = None, card: str | None = None) -> Json:
    """A subscription bought on the checkout page."""
    session = await plan_session(local, price or shop.monthly, customer=shop.customer)
    paid = await pay(local, session, card)
    return await subscription(local, paid["subscription"])


async def subscription(local: LocalStripe, id: str) -> Json:
    return await plain(local.sdk.v1.subscriptions.retrieve_async(id))
