"""The customer portal: /v1/billing_portal/configurations, /v1/billing_portal/sessions."""

from collections.abc import Iterable
from typing import Final

from gateway.sandbox.engine import portal
from gateway.sandbox.refusals import Json
from gateway.sandbox.wire.operation import Call, Operation, listing, matches, operation

_KIND: Final = "billing_portal.configuration"
_REASONS: Final = (
    "customer_service low_quality missing_features other switched_service too_complex too_expensive unused"
)
_PRORATION: Final = "proration_behavior:(always_invoice create_prorations none)"


def _features(*, updating: bool) -> str:
    """Creating a configuration asks for `enabled` where updating one does not."""
    must = "" if updating else "!"
    return (
        f"features{must}:{{customer_update:{{allowed_updates:[(address email name phone shipping tax_id)]|'' "
        f"enabled{must}:b}} invoice_history:{{enabled!:b}} "
        "payment_method_update:{enabled!:b payment_method_configuration^:s|''} "
        f"subscription_cancel:{{cancellation_reason:{{enabled!:b feedback_options^:* options{must}:[({_REASONS})]|''}} "
        f"enabled{must}:b mode:(at_period_end immediately) {_PRORATION}}} subscription_pause^:* "
        "subscription_update:{billing_cycle_anchor^:(now unchanged) "
        f"default_allowed_updates:[(price promotion_code quantity)]|'' enabled{must}:b "
        f"products:[{{adjustable_quantity^:* prices!:[s] product!:s}}]|'' {_PRORATION} schedule_at_period_end^:* "
        "trial_update_behavior:(continue_trial end_trial)}}"
    )


_PROFILE: Final = "business_profile:{headline:s|'' privacy_policy_url:s|'' terms_of_service_url:s|''}"
_MORE: Final = f"{_PROFILE} default_return_url:s|'' login_page:{{enabled!:b}} metadata:map|'' name:s|''"
_FLOWS: Final = (
    "customer_update payment_method_update subscription_cancel subscription_pause subscription_update "
    "subscription_update_confirm"
)
_FLOW: Final = (
    "{after_completion:{hosted_confirmation:{custom_message:s} redirect:{return_url!:s} "
    "type!:(hosted_confirmation portal_homepage redirect)} subscription_cancel:{retention^:* subscription!:s} "
    "subscription_pause^:* subscription_update:{subscription!:s} "
    "subscription_update_confirm:{discounts^:* items!:[{id!:s price:s quantity:n}] subscription!:s} "
    f"type!:({_FLOWS})}}"
)


def _create(call: Call) -> Json:
    return portal.new_configuration(call.book, call.params)


def _update(call: Call) -> Json:
    return portal.change_configuration(call.book, call.book.at_path(_KIND, call.id), call.params)


def _configurations(call: Call) -> Iterable[Json]:
    portal.saved_default(call.book)
    return (one for one in call.book.newest_first(_KIND) if matches(one, call.params, "active is_default"))


OPERATIONS: Final[tuple[Operation, ...]] = (
    operation("POST", "/v1/billing_portal/configurations", _KIND, f"{_features(updating=False)} {_MORE}", _create),
    operation(
        "GET", "/v1/billing_portal/configurations/{id}", _KIND, "", lambda call: call.book.at_path(_KIND, call.id)
    ),
    operation(
        "POST",
        "/v1/billing_portal/configurations/{id}",
        _KIND,
        f"active:b {_features(updating=True)} {_MORE}",
        _update,
    ),
    listing("/v1/billing_portal/configurations", _KIND, "active:b is_default:b", _configurations),
    operation(
        "POST",
        "/v1/billing_portal/sessions",
        "billing_portal.session",
        f"after_expiration^:* configuration:s customer:s customer_account^:s flow_data:{_FLOW} locale:s "
        "on_behalf_of^:s return_url:s",
        lambda call: portal.new_session(call.book, call.params),
    ),
)
