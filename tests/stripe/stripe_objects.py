"""Stripe objects as the API of this version renders them, reduced to what a reader could look at."""

from typing import Any

JsonObject = dict[str, Any]

CREATED = 1_790_000_000
PERIOD_END = CREATED + 30 * 86_400


def listing(*entries: JsonObject, has_more: bool = False, url: str = "/v1/things") -> JsonObject:
    return {"object": "list", "data": list(entries), "has_more": has_more, "url": url}


def customer(customer_id: str = "cus_1", **changes: object) -> JsonObject:
    return {
        "id": customer_id,
        "object": "customer",
        "created": CREATED,
        "email": None,
        "livemode": False,
        "metadata": {"gateway_customer": "ada"},
        **changes,
    }


def session(session_id: str = "cs_test_a1", **changes: object) -> JsonObject:
    return {
        "id": session_id,
        "object": "checkout.session",
        "amount_total": 2500,
        "client_reference_id": "ada",
        "created": CREATED,
        "currency": "usd",
        "customer": "cus_1",
        "expires_at": CREATED + 86_400,
        "livemode": False,
        "metadata": {"gateway_customer": "ada", "gateway_checkout": "row-1"},
        "mode": "payment",
        "payment_intent": None,
        "payment_status": "unpaid",
        "status": "open",
        "subscription": None,
        "url": "https://checkout.stripe.com/c/pay/cs_test_a1",
        **changes,
    }


def price(price_id: str = "price_1", **changes: object) -> JsonObject:
    return {
        "id": price_id,
        "object": "price",
        "active": True,
        "currency": "usd",
        "lookup_key": "pro_monthly",
        "metadata": {},
        "product": "prod_1",
        "recurring": {"interval": "month", "interval_count": 1, "usage_type": "licensed"},
        "type": "recurring",
        "unit_amount": 2900,
        "unit_amount_decimal": "2900",
        **changes,
    }


def subscription(subscription_id: str = "sub_1", **changes: object) -> JsonObject:
    item = {
        "id": "si_1",
        "object": "subscription_item",
        "current_period_start": CREATED,
        "current_period_end": PERIOD_END,
        "price": price(),
        "quantity": 1,
    }
    return {
        "id": subscription_id,
        "object": "subscription",
        "cancel_at": None,
        "cancel_at_period_end": False,
        "canceled_at": None,
        "created": CREATED,
        "customer": "cus_1",
        "ended_at": None,
        "items": listing(item),
        "latest_invoice": "in_1",
        "livemode": False,
        "metadata": {"gateway_customer": "ada"},
        "pause_collection": None,
        "status": "active",
        "trial_end": None,
        **changes,
    }


def event(event_id: str = "evt_1", **changes: object) -> JsonObject:
    return {
        "id": event_id,
        "object": "event",
        "api_version": "2026-10-28.endive",
        "created": CREATED,
        "data": {"object": session(status="complete", payment_status="paid", url=None)},
        "livemode": False,
        "pending_webhooks": 1,
        "request": None,
        "type": "checkout.session.completed",
        **changes,
    }
