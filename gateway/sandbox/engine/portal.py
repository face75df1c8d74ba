"""The customer portal: its configurations and sessions."""

from typing import Any, Final

from gateway.sandbox.engine.blanks import merged_metadata, nulls, or_none
from gateway.sandbox.engine.book import Book
from gateway.sandbox.engine.opening import check_url
from gateway.sandbox.refusals import Json, Refusal, missing_in_params, parameter_missing, state_conflict

SESSION_SECONDS: Final = 3600
_FEEDBACK: Final = ["too_expensive", "missing_features", "switched_service", "unused", "other"]
_NO_CONFIGURATION: Final = (
    "No configuration provided and your test mode default configuration has not been created. Provide a configuration "
    "or create your default by saving your customer portal settings in test mode at "
    "https://dashboard.stripe.com/test/settings/billing/portal."
)


def new_configuration(book: Book, params: Json, *, is_default: bool = False) -> Json:
    _check_urls(params)
    configuration: Json = {
        **book.stamp("bpc", "billing_portal.configuration"),
        "active": True,
        "application": None,
        "business_profile": _profile({}, params.get("business_profile", {})),
        "default_return_url": or_none(params.get("default_return_url")),
        "features": _features(book, _blank_features(), params["features"]),
        "is_default": is_default,
        "login_page": {"enabled": params.get("login_page", {}).get("enabled", False), "url": None},
        "metadata": merged_metadata({}, params.get("metadata", {})),
        "name": or_none(params.get("name")),
        "updated": book.now,
    }
    book.add(configuration)
    book.emit("billing_portal.configuration.created", configuration)
    return configuration


def change_configuration(book: Book, configuration: Json, params: Json) -> Json:
    _check_urls(params)
    features = _features(book, configuration["features"], params.get("features", {}))
    with book.changing(configuration, "billing_portal.configuration.updated"):
        configuration["features"] = features
        configuration["business_profile"] = _profile(
            configuration["business_profile"], params.get("business_profile", {})
        )
        if "active" in params:
            configuration["active"] = params["active"]
        for name in ("default_return_url", "name"):
            if name in params:
                configuration[name] = or_none(params[name])
        if "metadata" in params:
            configuration["metadata"] = merged_metadata(configuration["metadata"], params["metadata"])
        configuration["updated"] = book.now
    return configuration


def _check_urls(params: Json) -> None:
    if params.get("default_return_url"):
        check_url(params["default_return_url"], param="default_return_url")
    for name in ("privacy_policy_url", "terms_of_service_url"):
        if params.get("business_profile", {}).get(name):
            check_url(params["business_profile"][name], param=f"business_profile[{name}]")


def _profile(present: Json, sent: Json) -> Json:
    blank = nulls("headline privacy_policy_url terms_of_service_url")
    return {**blank, **present, **{name: or_none(value) for name, value in sent.items()}}


def _blank_features() -> Json:
    return {
        "customer_update": {"allowed_updates": [], "enabled": False},
        "invoice_history": {"enabled": False},
        "payment_method_update": {"enabled": False, "payment_method_configuration": None},
        "subscription_cancel": {
            "cancellation_reason": {"enabled": False, "feedback_options": None, "options": list(_FEEDBACK)},
            "enabled": False,
            "mode": "at_period_end",
            "proration_behavior": "none",
        },
        "subscription_pause": {"duration": {"interval_options": [], "type": "indefinite"}, "enabled": False},
        "subscription_update": {
            "billing_cycle_anchor": None,
            "default_allowed_updates": [],
            "enabled": False,
            "products": None,
            "proration_behavior": "none",
            "schedule_at_period_end": {"conditions": []},
            "trial_update_behavior": "end_trial",
        },
    }


def _features(book: Book, present: Json, sent: Json) -> Json:
    """Each feature as it is after the change; an empty value unsets, a part not sent stays."""
    switching: Json = sent.get("subscription_update", {})
    products: Any = switching.get("products", present["subscription_update"]["products"]) or None
    if switching.get("enabled") and not products:
        raise parameter_missing("features[subscription_update][products]")
    for index, product in enumerate(products or []):
        at = f"features[subscription_update][products][{index}]"
        book.in_params("product", product["product"], param=f"{at}[product]")
        for position, price in enumerate(product["prices"]):
            book.in_params("price", price, param=f"{at}[prices][{position}]")
    merged: Json = {}
    for name, feature in present.items():
        changes: Json = {part: [] if value == "" else value for part, value in sent.get(name, {}).items()}
        if name == "subscription_cancel" and "cancellation_reason" in changes:
            changes["cancellation_reason"] = {**feature["cancellation_reason"], **changes["cancellation_reason"]}
        merged[name] = {**feature, **changes}
    blank = {"adjustable_quantity": {"enabled": False, "maximum": None, "minimum": 1}}
    if products:
        merged["subscription_update"]["products"] = [{**blank, **product} for product in products]
    return merged


def saved_default(book: Book) -> Json | None:
    """What stands for the dashboard's saved settings: all is allowed, any active recurring price may be chosen."""
    found = next((one for one in book.table("billing_portal.configuration").values() if one["is_default"]), None)
    if found is not None or not book.settings.portal_default_saved:
        return found
    features: Json = {
        "customer_update": {"allowed_updates": ["email", "name", "address"], "enabled": True},
        "invoice_history": {"enabled": True},
        "payment_method_update": {"enabled": True},
        "subscription_cancel": {"enabled": True},
    }
    configuration = new_configuration(book, {"features": features}, is_default=True)
    switching: Json = configuration["features"]["subscription_update"]
    switching |= {
        "default_allowed_updates": ["price"],
        "enabled": True,
        "products": [],
        "proration_behavior": "create_prorations",
    }
    return configuration


def new_session(book: Book, params: Json) -> Json:
    """A portal session for a customer; it can be used for an hour."""
    if "customer" not in params:
        raise parameter_missing("customer")
    customer = book.in_params("customer", params["customer"], param="customer")
    configuration = _configuration_for(book, params.get("configuration"))
    return_url = params.get("return_url") or configuration["default_return_url"]
    if return_url is None:
        raise parameter_missing("return_url")
    check_url(return_url, param="return_url")
    flow = _flow(book, customer, params["flow_data"]) if "flow_data" in params else None
    session: Json = {
        **book.stamp("bps", "billing_portal.session"),
        "configuration": configuration["id"],
        "customer": customer["id"],
        "customer_account": None,
        "flow": flow,
        "locale": params.get("locale"),
        "on_behalf_of": None,
        "return_url": return_url,
    }
    session["url"] = f"{book.around.base_url}/p/session/{session['id']}"
    book.behind.portal_expiries[session["id"]] = book.now + SESSION_SECONDS
    book.add(session)
    book.emit("billing_portal.session.created", session)
    return session


def _configuration_for(book: Book, id: str | None) -> Json:
    if id is None:
        found = saved_default(book)
        if found is None:
            raise Refusal(_NO_CONFIGURATION)
        return found
    configuration = book.in_params("billing_portal.configuration", id, param="configuration")
    if not configuration["active"]:
        raise state_conflict("The portal configuration is not active.", param="configuration")
    return configuration


_FLOW_DEFAULTS: Final[dict[str, Json]] = {
    "subscription_cancel": {"retention": None},
    "subscription_update_confirm": {"discounts": None},
}


def _flow(book: Book, customer: Json, sent: Json) -> Json:
    """The one thing a deep link leads to; a subscription it names must be the customer's."""
    kind: str = sent["type"]
    part: Json | None = sent.get(kind)
    if kind.startswith("subscription_"):
        if part is None:
            raise parameter_missing(f"flow_data[{kind}]")
        subscription = book.find("subscription", part["subscription"])
        if subscription is None or subscription["customer"] != customer["id"]:
            raise missing_in_params("subscription", part["subscription"], param=f"flow_data[{kind}][subscription]")
    after: Json = sent.get("after_completion", {"type": "portal_homepage"})
    names = "customer_update subscription_cancel subscription_pause subscription_update subscription_update_confirm"
    flow: Json = nulls(names) | {
        "after_completion": {**nulls("hosted_confirmation redirect"), **after},
        "type": kind,
    }
    if part is not None:
        defaults = _FLOW_DEFAULTS.get(kind, {})
        flow[kind] = {**defaults, **part}
    return flow
