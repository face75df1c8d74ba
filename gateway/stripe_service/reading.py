"""From Stripe's objects to ours: one function a type, strict about what we use, blind to the rest."""

from collections.abc import Mapping

import orjson

from gateway.domain.redaction import TooDeep, redact
from gateway.stripe_service.fields import Fields, MalformedAnswer
from gateway.stripe_service.objects import (
    CheckoutSession,
    PortalSession,
    StripeCharge,
    StripeCustomer,
    StripeCustomerRef,
    StripeDispute,
    StripePrice,
    StripeSubscription,
    SubscriptionItem,
    WebhookEvent,
)


def _expect(fields: Fields, kind: str) -> None:
    """An answer can be an object of another kind; it is never read as this one."""
    found = fields.maybe_text("object")
    if found != kind:
        raise MalformedAnswer(f"object is not {kind}")


def read_customer(fields: Fields) -> StripeCustomer:
    _expect(fields, "customer")
    return StripeCustomer(
        stripe_customer_id=fields.text("id"),
        deleted=fields.maybe_flag("deleted") or False,
        email=fields.maybe_text("email"),
        created_at=fields.maybe_moment("created"),
        livemode=fields.maybe_flag("livemode"),
        metadata=fields.metadata(),
    )


def read_customer_ref(fields: Fields) -> StripeCustomerRef | None:
    """Whose a subscription, invoice, session, charge or payment intent is; None for one without a customer."""
    stripe_customer_id = fields.maybe_ref("customer")
    if stripe_customer_id is None:
        return None
    return StripeCustomerRef(stripe_customer_id=stripe_customer_id, metadata=fields.metadata())


def read_dispute_customer_ref(fields: Fields) -> StripeCustomerRef | None:
    """A dispute names no customer; its expanded charge does."""
    charge = fields.maybe_child("charge")
    return read_customer_ref(charge) if charge else None


def read_session(fields: Fields) -> CheckoutSession:
    _expect(fields, "checkout.session")
    intent = fields.maybe_child("payment_intent")
    charge = intent.maybe_child("latest_charge") if intent else None
    funds = charge.maybe_child("balance_transaction") if charge else None
    return CheckoutSession(
        session_id=fields.text("id"),
        url=fields.maybe_text("url"),
        mode=fields.text("mode"),
        status=fields.maybe_text("status"),
        payment_status=fields.text("payment_status"),
        amount_total_cents=fields.maybe_whole("amount_total"),
        currency=fields.maybe_text("currency"),
        stripe_customer_id=fields.maybe_ref("customer"),
        client_reference_id=fields.maybe_text("client_reference_id"),
        metadata=fields.metadata(),
        subscription_id=fields.maybe_ref("subscription"),
        payment_intent_id=fields.maybe_ref("payment_intent"),
        payment_intent_status=intent.maybe_text("status") if intent else None,
        charge_id=intent.maybe_ref("latest_charge") if intent else None,
        funds_available_at=funds.maybe_moment("available_on") if funds else None,
        livemode=fields.flag("livemode"),
        created_at=fields.moment("created"),
        expires_at=fields.moment("expires_at"),
    )


def read_charge(fields: Fields) -> StripeCharge:
    _expect(fields, "charge")
    return StripeCharge(
        charge_id=fields.text("id"),
        payment_intent_id=fields.maybe_ref("payment_intent"),
        amount_cents=fields.whole("amount"),
        amount_refunded_cents=fields.whole("amount_refunded"),
        currency=fields.text("currency"),
        livemode=fields.flag("livemode"),
    )


def read_dispute(fields: Fields) -> StripeDispute:
    _expect(fields, "dispute")
    moves = fields.children("balance_transactions")
    return StripeDispute(
        dispute_id=fields.text("id"),
        charge_id=fields.maybe_ref("charge"),
        payment_intent_id=fields.maybe_ref("payment_intent"),
        status=fields.text("status"),
        amount_cents=fields.whole("amount"),
        withdrawn_cents=-sum(move.whole("amount") for move in moves),
        moved_currencies=frozenset(move.text("currency") for move in moves),
        currency=fields.text("currency"),
        livemode=fields.flag("livemode"),
    )


def read_price(fields: Fields) -> StripePrice:
    _expect(fields, "price")
    recurring = fields.maybe_child("recurring")
    product = fields.maybe_child("product")
    return StripePrice(
        price_id=fields.text("id"),
        lookup_key=fields.maybe_text("lookup_key"),
        active=fields.flag("active"),
        currency=fields.text("currency"),
        unit_amount_cents=fields.maybe_whole("unit_amount"),
        interval=recurring.text("interval") if recurring else None,
        interval_count=recurring.maybe_whole("interval_count") if recurring else None,
        usage_type=recurring.maybe_text("usage_type") if recurring else None,
        product_id=fields.ref("product"),
        product_active=(product.maybe_flag("active") or False) if product else None,
        metadata=fields.metadata(),
    )


def _read_item(fields: Fields) -> SubscriptionItem:
    return SubscriptionItem(
        item_id=fields.text("id"),
        price=read_price(fields.child("price")),
        quantity=fields.maybe_whole("quantity"),
        period_start_at=fields.moment("current_period_start"),
        period_end_at=fields.moment("current_period_end"),
    )


def read_subscription(fields: Fields) -> StripeSubscription:
    _expect(fields, "subscription")
    return StripeSubscription(
        subscription_id=fields.text("id"),
        stripe_customer_id=fields.ref("customer"),
        status=fields.text("status"),
        items=tuple(_read_item(item) for item in fields.child("items").children()),
        cancel_at=fields.maybe_moment("cancel_at"),
        cancel_at_period_end=fields.maybe_flag("cancel_at_period_end") or False,
        canceled_at=fields.maybe_moment("canceled_at"),
        ended_at=fields.maybe_moment("ended_at"),
        created_at=fields.moment("created"),
        trial_end_at=fields.maybe_moment("trial_end"),
        collection_paused=fields.maybe_child("pause_collection") is not None,
        latest_invoice_id=fields.maybe_ref("latest_invoice"),
        livemode=fields.flag("livemode"),
        metadata=fields.metadata(),
    )


def read_portal_session(fields: Fields) -> PortalSession:
    _expect(fields, "billing_portal.session")
    return PortalSession(portal_session_id=fields.text("id"), url=fields.text("url"))


def read_event(fields: Fields) -> WebhookEvent:
    """A snapshot event. Every field is checked for its type; the shape of the ids is the webhook door's business."""
    _expect(fields, "event")
    data_object = fields.child("data").child("object")
    return WebhookEvent(
        event_id=fields.text("id"),
        type=fields.text("type"),
        object_id=data_object.maybe_text("id"),
        object_type=data_object.maybe_text("object"),
        account=fields.maybe_text("account"),
        created_at=fields.moment("created"),
        api_version=fields.maybe_text("api_version"),
        livemode=fields.flag("livemode"),
        payload=kept_payload(fields.values),
    )


def kept_payload(values: Mapping[str, object]) -> str:
    """What is kept of an event: nothing that names a person.

    Raises:
        MalformedAnswer: it is nested too deeply to be one of Stripe's, or holds what JSON cannot.
    """
    try:
        return canonical_json(redact(values))
    except TooDeep as error:
        raise MalformedAnswer(str(error)) from None


def canonical_json(values: Mapping[str, object]) -> str:
    """Compact JSON with sorted keys: the same object always gives the same text.

    Raises:
        MalformedAnswer: it is nested too deeply to be one of Stripe's, or holds what JSON cannot.
    """
    try:
        return orjson.dumps(values, option=orjson.OPT_SORT_KEYS).decode()
    except orjson.JSONEncodeError:
        raise MalformedAnswer("it is nested too deeply, or holds a text or number that cannot be written") from None
