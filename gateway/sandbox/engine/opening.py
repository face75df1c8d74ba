"""Opening a checkout session: what may be asked for, and what it then shows."""

from typing import Final
from urllib.parse import urlsplit

from gateway.sandbox.catalogue import is_at_least
from gateway.sandbox.engine import checkout
from gateway.sandbox.engine.blanks import merged_metadata, nulls
from gateway.sandbox.engine.book import Book
from gateway.sandbox.engine.customers import check_email
from gateway.sandbox.engine.session_lines import new_lines
from gateway.sandbox.refusals import Json, Refusal, not_played, parameter_invalid, parameter_missing

EXPIRES_SECONDS_MIN: Final = 30 * 60
EXPIRES_SECONDS_MAX: Final = 24 * 3600
REFERENCE_CHARACTERS_MAX: Final = 200
URL_CHARACTERS_MAX: Final = 5000
TYPES_GONE_SINCE: Final = "2026-09-30.endive"
_EMPTY: Final = (
    "after_expiration cancel_url client_reference_id client_secret collected_information consent "
    "consent_collection currency_conversion customer customer_account customer_creation customer_details "
    "customer_email integration_identifier invoice invoice_creation locale managed_payments optional_items "
    "origin_context payment_intent payment_link payment_method_collection payment_method_configuration_details "
    "permissions recovered_from saved_payment_method_options setup_intent shipping_address_collection shipping_cost "
    "submit_type subscription wallet_options allowed_payment_method_types allow_promotion_codes "
    "billing_address_collection"
)
_ECHOED: Final = (
    "allow_promotion_codes",
    "allowed_payment_method_types",
    "billing_address_collection",
    "client_reference_id",
    "customer",
    "customer_email",
    "integration_identifier",
    "locale",
    "origin_context",
    "submit_type",
)
_TEXTS: Final = "after_submit shipping_address submit terms_of_service_acceptance"


def check_version(params: Json, version: str | None) -> None:
    """The list of payment method types went away in endive; only callers of older versions may still send it."""
    if "payment_method_types" in params and version is not None and is_at_least(version, TYPES_GONE_SINCE):
        raise Refusal(
            "The `payment_method_types` parameter is no longer supported as of API version 2026-09-30.endive. "
            "Use `allowed_payment_method_types` or `excluded_payment_method_types` instead.",
            code="payment_method_types_no_longer_supported",
            param="payment_method_types",
        )


def open_session(book: Book, params: Json) -> Json:
    """A new open session.

    Raises:
        Refusal: the parameters contradict each other or a limit.
    """
    mode = _check(book, params)
    expires_at = _expiry(book, params.get("expires_at"))
    lines = new_lines(book, params["line_items"], mode=mode)
    total = sum(line["amount_total"] for line in lines)
    session: Json = _blank_session(book, params) | {
        "amount_subtotal": total,
        "amount_total": total,
        "currency": lines[0]["currency"],
        "expires_at": expires_at,
        "mode": mode,
        "payment_status": "unpaid",
        "status": "open",
    }
    session["url"] = f"{book.around.base_url}/c/pay/{session['id']}"
    book.behind.session_lines[session["id"]] = lines
    book.behind.session_orders[session["id"]] = {
        name: params[name] for name in ("payment_intent_data", "subscription_data") if name in params
    }
    book.add(session)
    checkout.plan_expiry(book, session)
    return session


def _blank_session(book: Book, params: Json) -> Json:
    mode = params["mode"]
    stamped = book.stamp(f"cs_{book.mode}", "checkout.session")
    email: str | None = params.get("customer_email")
    customer = book.find("customer", params.get("customer"))
    shown = email or (customer or {}).get("email")
    details = {**nulls("address business_name individual_name name phone"), "email": shown, "tax_exempt": "none"}
    return {
        **stamped,
        **nulls(_EMPTY),
        **{name: params[name] for name in _ECHOED if name in params},
        "adaptive_pricing": {"enabled": params.get("adaptive_pricing", {}).get("enabled", False)},
        "automatic_tax": {**nulls("liability provider status"), "enabled": False},
        "cancel_url": params.get("cancel_url"),
        "custom_fields": [],
        "custom_text": nulls(_TEXTS),
        "customer_creation": _customer_creation(params),
        "customer_details": {**details, "tax_ids": None} if shown else None,
        "discounts": [],
        "metadata": merged_metadata({}, params.get("metadata", {})),
        "payment_method_collection": params.get("payment_method_collection", "always")
        if mode == "subscription"
        else None,
        "payment_method_options": {"card": {"request_three_d_secure": "automatic"}},
        "payment_method_types": params.get("payment_method_types") or ["card"],
        "phone_number_collection": {"enabled": params.get("phone_number_collection", {}).get("enabled", False)},
        "shipping_options": [],
        "success_url": params["success_url"],
        "total_details": {"amount_discount": 0, "amount_shipping": 0, "amount_tax": 0},
        "ui_mode": "hosted_page",
    }


def _customer_creation(params: Json) -> str | None:
    if "customer" in params or params["mode"] == "subscription":
        return "always" if params["mode"] == "subscription" and "customer" not in params else None
    return params.get("customer_creation", "if_required")


def _check(book: Book, params: Json) -> str:
    """What must be there, and what excludes each other; returns the mode."""
    if "mode" not in params:
        raise parameter_missing("mode")
    mode: str = params["mode"]
    if mode == "setup":
        raise not_played("mode")
    if params.get("ui_mode", "hosted_page") != "hosted_page":
        raise not_played("ui_mode")
    if params.get("automatic_tax", {}).get("enabled"):
        raise not_played("automatic_tax[enabled]")
    if not params.get("line_items"):
        raise parameter_missing("line_items")
    if not params.get("success_url"):
        raise parameter_missing("success_url")
    for name in ("success_url", "cancel_url"):
        if name in params:
            check_url(params[name], param=name)
    _check_customer(book, params)
    _check_mode(params, mode)
    reference: str = params.get("client_reference_id", "")
    if len(reference) > REFERENCE_CHARACTERS_MAX:
        raise parameter_invalid(
            f"Invalid string: must be at most {REFERENCE_CHARACTERS_MAX} characters", param="client_reference_id"
        )
    return mode


def _check_customer(book: Book, params: Json) -> None:
    if "customer" in params and "customer_email" in params:
        raise parameter_invalid(
            "You may only specify one of these parameters: customer, customer_email.", param="customer"
        )
    if "customer" in params and "customer_creation" in params:
        raise parameter_invalid(
            "You may only specify one of these parameters: customer, customer_creation.", param="customer"
        )
    if "customer_update" in params and "customer" not in params:
        raise parameter_invalid("`customer_update` can only be used with `customer`.", param="customer_update")
    if "customer" in params:
        book.in_params("customer", params["customer"], param="customer")
    if "customer_email" in params:
        check_email(params["customer_email"], param="customer_email")


_ONLY_IN: Final = {
    "payment_intent_data": "payment",
    "customer_creation": "payment",
    "subscription_data": "subscription",
    "payment_method_collection": "subscription",
}


def _check_mode(params: Json, mode: str) -> None:
    for name, only in _ONLY_IN.items():
        if name in params and mode != only:
            raise parameter_invalid(f"You can not pass `{name}` in `{mode}` mode.", param=name)
    plan: Json = params.get("subscription_data", {})
    if "trial_end" in plan and "trial_period_days" in plan:
        raise parameter_invalid(
            "You may only specify one of these parameters: trial_end, trial_period_days.",
            param="subscription_data[trial_end]",
        )


def check_url(text: str, *, param: str) -> None:
    """An absolute http or https address; the rest is taken literally, as Stripe takes it."""
    try:
        parts = urlsplit(text)
        valid = parts.scheme in {"http", "https"} and bool(parts.hostname) and " " not in text
    except ValueError:
        valid = False
    if not valid or len(text) > URL_CHARACTERS_MAX:
        raise parameter_invalid("Not a valid URL", param=param, code="url_invalid")


def _expiry(book: Book, wanted: int | None) -> int:
    if wanted is None:
        return book.now + EXPIRES_SECONDS_MAX
    ahead = wanted - book.now
    if ahead > EXPIRES_SECONDS_MAX:
        raise parameter_invalid(
            "The `expires_at` timestamp must be less than 24 hours from Checkout Session creation.", param="expires_at"
        )
    # One second of grace: the caller took the time before the request travelled.
    if ahead < EXPIRES_SECONDS_MIN - 1:
        raise parameter_invalid(
            "The `expires_at` timestamp must be at least 30 minutes from Checkout Session creation.",
            param="expires_at",
        )
    return wanted
