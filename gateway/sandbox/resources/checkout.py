"""Checkout sessions: /v1/checkout/sessions."""

from collections.abc import Iterable
from typing import Final

from gateway.sandbox.engine import checkout, opening
from gateway.sandbox.engine.blanks import merged_metadata
from gateway.sandbox.refusals import Json, state_conflict
from gateway.sandbox.wire.operation import Call, Operation, listing, matches, operation

_PRODUCT_DATA: Final = (
    "{description:s images:[s] metadata:map name!:s tax_code:s "
    "tax_details:{performance_location:s tax_code:s|''} unit_label:s}"
)
_LINE: Final = (
    "{adjustable_quantity^:* metadata:map price:s price_data:{currency!:s product:s "
    f"product_data:{_PRODUCT_DATA} recurring:{{interval!:(day month week year) interval_count:i}} "
    "tax_behavior:(exclusive inclusive unspecified) unit_amount:i unit_amount_decimal:s} quantity:n tax_rates^:[s]}"
)
_SHIPPING: Final = (
    "{address!:{city:s country:s line1!:s line2:s postal_code:s state:s} carrier:s name!:s phone:s tracking_number:s}"
)
_PAYMENT: Final = (
    "{application_fee_amount^:i capture_method:(automatic automatic_async) description:s metadata:map "
    f"on_behalf_of^:s receipt_email:s setup_future_usage:(off_session on_session) shipping:{_SHIPPING} "
    "statement_descriptor:s statement_descriptor_suffix:s transfer_data^:* transfer_group:s}"
)
_SUBSCRIPTION: Final = (
    "{application_fee_percent^:n billing_cycle_anchor^:i billing_cycle_anchor_config^:* "
    "billing_mode:{flexible:{proration_discounts:(included itemized)} type!:(classic flexible)} default_tax_rates^:[s] "
    "description:s invoice_settings^:* metadata:map on_behalf_of^:s pending_invoice_item_interval^:* "
    "proration_behavior:(create_prorations none) transfer_data^:* trial_end:i trial_period_days:i "
    "trial_settings:{end_behavior!:{missing_payment_method!:(cancel create_invoice pause)}}}"
)
_LOCALES: Final = (
    "auto bg cs da de el en en-GB es es-419 et fi fil fr fr-CA hi-IN hr hu id it ja ko lt lv ms mt nb nl pl pt pt-BR "
    "ro ru sk sl sv th tr vi zh zh-HK zh-TW"
)
_CREATE: Final = (
    "adaptive_pricing:{enabled:b} after_expiration^:* allow_promotion_codes:b allowed_payment_method_types:[s] "
    "automatic_tax:{enabled!:b liability^:*} billing_address_collection:(auto required) branding_settings:* "
    "cancel_url:s client_reference_id:s consent_collection^:* currency:s custom_fields^:* custom_text:* customer:s "
    "customer_account^:s customer_creation:(always if_required) customer_email:s "
    "customer_update:{address:(auto never) name:(auto never) shipping:(auto never)} discounts^:* "
    "excluded_payment_method_types:[s] expires_at:i integration_identifier:s invoice_creation^:* "
    f"line_items:[{_LINE}] locale:({_LOCALES}) managed_payments^:* metadata:map mode:(payment setup subscription) "
    f"name_collection^:* optional_items^:* origin_context:(mobile_app web) payment_intent_data:{_PAYMENT} "
    "payment_method_collection:(always if_required) payment_method_configuration^:s payment_method_data^:* "
    "payment_method_options:* payment_method_types:[s] permissions^:* phone_number_collection:{enabled!:b} "
    "redirect_on_completion^:s return_url^:s saved_payment_method_options:* setup_intent_data:* "
    "shipping_address_collection^:* shipping_options^:* submit_type:(auto book donate pay subscribe) "
    f"subscription_data:{_SUBSCRIPTION} success_url:s tax_id_collection:{{enabled!:b required:(if_supported never)}} "
    "ui_mode:(elements embedded_page form hosted_page) wallet_options:*"
)


def _create(call: Call) -> Json:
    opening.check_version(call.params, call.version)
    return opening.open_session(call.book, call.params)


def _update(call: Call) -> Json:
    session = call.book.at_path("checkout.session", call.id)
    if session["status"] != "open":
        raise state_conflict(f"This Checkout Session is {session['status']} and cannot be updated.")
    if "metadata" in call.params:
        session["metadata"] = merged_metadata(session["metadata"], call.params["metadata"])
    return session


def _expire(call: Call) -> Json:
    session = call.book.at_path("checkout.session", call.id)
    checkout.expire(call.book, session)
    return session


def _sessions(call: Call) -> Iterable[Json]:
    email: str | None = call.params.get("customer_details", {}).get("email")
    for session in call.book.newest_first("checkout.session"):
        if not matches(session, call.params, "created customer payment_intent status subscription"):
            continue
        if email is None or (session["customer_details"] or {}).get("email") == email:
            yield session


def _lines(call: Call) -> Iterable[Json]:
    session = call.book.at_path("checkout.session", call.id)
    return call.book.behind.session_lines[session["id"]]


OPERATIONS: Final[tuple[Operation, ...]] = (
    operation("POST", "/v1/checkout/sessions", "checkout.session", _CREATE, _create),
    operation(
        "GET",
        "/v1/checkout/sessions/{id}",
        "checkout.session",
        "",
        lambda call: call.book.at_path("checkout.session", call.id),
    ),
    operation(
        "POST",
        "/v1/checkout/sessions/{id}",
        "checkout.session",
        "collected_information^:* line_items^:* metadata:map|'' payment_intent_data^:* shipping_options^:*",
        _update,
    ),
    operation("POST", "/v1/checkout/sessions/{id}/expire", "checkout.session", "", _expire),
    listing(
        "/v1/checkout/sessions",
        "checkout.session",
        "created:range customer:s customer_account^:s customer_details:{email!:s} payment_intent:s payment_link^:s "
        "status:(complete expired open) subscription:s",
        _sessions,
    ),
    listing("/v1/checkout/sessions/{id}/line_items", "item", "", _lines),
)
