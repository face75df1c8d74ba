"""Subscriptions and their items: /v1/subscriptions, /v1/subscription_items."""

from collections.abc import Iterable
from typing import Any, Final

from gateway.sandbox.engine import pauses, renewals, subscriptions, switches
from gateway.sandbox.engine.blanks import merged_metadata, or_none
from gateway.sandbox.engine.book import Book
from gateway.sandbox.engine.subscriptions import ItemOrder, SubscriptionOrder
from gateway.sandbox.engine.switches import Target
from gateway.sandbox.refusals import (
    Json,
    Refusal,
    missing_in_params,
    not_played,
    parameter_invalid,
    parameter_missing,
    state_conflict,
)
from gateway.sandbox.resources.customers import use_method
from gateway.sandbox.wire.operation import Call, Operation, in_range, listing, matches, operation

_ITEM_MORE: Final = (
    "billing_thresholds^:* current_trial^:* discounts^:* metadata:map|'' plan^:s price:s price_data^:* quantity:n "
    "tax_rates^:*"
)
_MORE: Final = (
    "add_invoice_items^:* application_fee_percent^:* automatic_tax^:* billing_schedules^:* billing_thresholds^:* "
    "cancel_at:i|(max_billed_until max_period_end min_period_end)|'' cancel_at_period_end:b "
    "collection_method:(charge_automatically) days_until_due^:i default_payment_method:s default_source^:s|'' "
    "default_tax_rates^:* description:s|'' discounts^:* invoice_settings^:* metadata:map|'' off_session:b "
    "on_behalf_of^:s payment_behavior:(allow_incomplete default_incomplete error_if_incomplete pending_if_incomplete) "
    "payment_settings:* pending_invoice_item_interval^:* "
    "proration_behavior:(always_invoice create_prorations none) transfer_data^:* trial_end:(now)|i trial_from_plan^:b "
    "trial_settings:{end_behavior!:{billing_cycle_anchor^:(now unchanged) "
    "missing_payment_method:(cancel create_invoice pause)}}"
)
_REASONS: Final = (
    "customer_service low_quality missing_features other switched_service too_complex too_expensive unused"
)
_CANCELLATION: Final = f"cancellation_details:{{comment:s|'' feedback:({_REASONS})|'' feedback_option^:s}}"
_CREATE: Final = (
    f"customer:s items:[{{{_ITEM_MORE}}}] backdate_start_date^:i billing_cycle_anchor^:i "
    "billing_cycle_anchor_config^:* billing_mode:{flexible:{proration_discounts:(included itemized)} "
    f"type!:(classic flexible)}} currency:s customer_account^:s trial_period_days:i {_MORE}"
)
_UPDATE: Final = (
    f"items:[{{id:s deleted:b clear_usage^:b {_ITEM_MORE}}}] billing_cycle_anchor:{{type!:(now unchanged)}} "
    "pause_collection:{behavior!:(keep_as_draft mark_uncollectible void) resumes_at:i}|'' proration_date:i "
    f"{_CANCELLATION} {_MORE}"
)


def _create(call: Call) -> Json:
    book, params = call.book, call.params
    if "customer" not in params:
        raise parameter_missing("customer")
    if not params.get("items"):
        raise parameter_missing("items")
    _check_behavior(params)
    customer = book.in_params("customer", params["customer"], param="customer")
    token: str | None = params.get("default_payment_method")
    method = use_method(book, token, param="default_payment_method")["id"] if token else None
    items = tuple(_ordered(book, item, index) for index, item in enumerate(params["items"]))
    if len({switches.rhythm_of(item.price) for item in items}) > 1:
        raise parameter_invalid("All items of a subscription must share one interval.", param="items")
    order = SubscriptionOrder(
        customer=customer,
        items=items,
        metadata=merged_metadata({}, params.get("metadata", {})),
        description=params.get("description"),
        method=method,
        trial_end=_trial_end(book, params),
        billing_mode=params.get("billing_mode", {}).get("type", "flexible"),
        without_card=subscriptions.without_card(params),
    )
    strict = params.get("payment_behavior") == "error_if_incomplete"
    subscription = subscriptions.begin(book, order, error_if_incomplete=strict)
    renewals.watch(book, subscription)
    _plan_end(book, subscription, params)
    return subscription


def _check_behavior(params: Json) -> None:
    if params.get("payment_behavior") in {"default_incomplete", "pending_if_incomplete"}:
        raise not_played("payment_behavior")


def _trial_end(book: Book, params: Json) -> int | None:
    if params.get("trial_end") == "now":
        return None
    if "trial_end" in params:
        return params["trial_end"]
    days: int | None = params.get("trial_period_days")
    return book.now + days * renewals.DAY_SECONDS if days else None


def _ordered(book: Book, item: Json, index: int) -> ItemOrder:
    if "price" not in item:
        raise parameter_missing(f"items[{index}][price]")
    price = book.in_params("price", item["price"], param=f"items[{index}][price]")
    if price["type"] != "recurring" or not price["active"]:
        raise parameter_invalid(
            f"The price {price['id']} must be active and recurring to be subscribed to.", param=f"items[{index}][price]"
        )
    return ItemOrder(price, _quantity(item, 1, index), merged_metadata({}, item.get("metadata", {})))


def _quantity(item: Json, present: int, index: int) -> int:
    quantity: Any = item.get("quantity", present)
    if not isinstance(quantity, int) or quantity < 0:
        raise parameter_invalid(
            "This value must be a whole number greater than or equal to 0.", param=f"items[{index}][quantity]"
        )
    return quantity


def _update(call: Call) -> Json:
    book, params = call.book, call.params
    subscription = _alive(call)
    _check_behavior(params)
    if params.get("billing_cycle_anchor", {}).get("type") == "now":
        raise not_played("billing_cycle_anchor[type]")
    if params.get("trial_end", "now") != "now":
        raise not_played("trial_end")
    method: str | None = params.get("default_payment_method")
    if method:
        book.in_params("payment_method", method, param="default_payment_method")
    if "items" in params:
        targets = tuple(target_of(book, subscription, item, index) for index, item in enumerate(params["items"]))
        proration: switches.Proration = params.get("proration_behavior", "create_prorations")
        switch = switches.plan_switch(book, subscription, targets, proration=proration, at=params.get("proration_date"))
        strict = params.get("payment_behavior") == "error_if_incomplete"
        switches.apply_switch(book, subscription, switch, error_if_incomplete=strict)
    _set_fields(book, subscription, params)
    _plan_end(book, subscription, params)
    if "trial_end" in params and subscription["status"] == "trialing":
        renewals.end_trial(book, subscription)
    return subscription


def _alive(call: Call) -> Json:
    subscription = call.book.at_path("subscription", call.id)
    if subscription["status"] in subscriptions.ENDED:
        raise state_conflict(
            "A canceled subscription can only update its cancellation_details and metadata.", param="id"
        )
    return subscription


def target_of(book: Book, subscription: Json, sent: Json, index: int) -> Target:
    """What one of the sent items asks of the subscription; without its id it adds another item.

    Raises:
        Refusal: the item or the price is unknown.
    """
    at = f"items[{index}]"
    if "id" not in sent:
        order = _ordered(book, sent, index)
        return Target(None, order.price, order.quantity, order.metadata)
    item = next((one for one in subscription["items"]["data"] if one["id"] == sent["id"]), None)
    if item is None:
        raise missing_in_params("subscription item", sent["id"], param=f"{at}[id]")
    if sent.get("deleted"):
        return Target(item, None)
    price = book.in_params("price", sent["price"], param=f"{at}[price]") if "price" in sent else item["price"]
    return Target(item, price, _quantity(sent, item["quantity"], index), sent.get("metadata"))


def _set_fields(book: Book, subscription: Json, params: Json) -> None:
    with book.changing(subscription, "customer.subscription.updated"):
        if "metadata" in params:
            subscription["metadata"] = merged_metadata(subscription["metadata"], params["metadata"])
        for name in ("description", "default_payment_method"):
            if name in params:
                subscription[name] = or_none(params[name])
        if "pause_collection" in params:
            pause: Any = params["pause_collection"]
            subscription["pause_collection"] = {"resumes_at": None, **pause} if pause else None
        subscription["cancellation_details"] |= {
            name: or_none(value) for name, value in params.get("cancellation_details", {}).items()
        }


def _plan_end(book: Book, subscription: Json, params: Json) -> None:
    """Follow `cancel_at_period_end` and `cancel_at`."""
    if "cancel_at_period_end" in params and params.get("cancel_at"):
        raise parameter_invalid(
            "You may only specify one of these parameters: cancel_at, cancel_at_period_end.", param="cancel_at"
        )
    end = subscriptions.current_period(subscription)[1]
    if "cancel_at_period_end" in params:
        wanted: bool = params["cancel_at_period_end"]
        if wanted or subscription["cancel_at_period_end"]:
            subscriptions.schedule_cancel(book, subscription, cancel_at=end if wanted else None, by_flag=True)
    elif "cancel_at" in params:
        at: Any = params["cancel_at"]
        if isinstance(at, int) and at <= book.now:
            raise Refusal("The `cancel_at` timestamp must be in the future.", param="cancel_at")
        moment = None if at == "" else at if isinstance(at, int) else end
        subscriptions.schedule_cancel(book, subscription, cancel_at=moment, by_flag=False)


def _cancel(call: Call) -> Json:
    subscription = call.book.at_path("subscription", call.id)
    if subscription["status"] in subscriptions.ENDED:
        raise Refusal(f"No such subscription: '{call.id}'", status=404, code="resource_missing", param="id")
    if call.params.get("prorate") or call.params.get("invoice_now"):
        raise not_played("prorate" if call.params.get("prorate") else "invoice_now")
    details = {name: or_none(value) for name, value in call.params.get("cancellation_details", {}).items()}
    subscriptions.cancel(call.book, subscription, reason="cancellation_requested", **details)
    return subscription


def _pause(call: Call) -> Json:
    subscription = _alive(call)
    pauses.pause(call.book, subscription)
    return subscription


def _resume(call: Call) -> Json:
    subscription = _alive(call)
    pauses.resume(call.book, subscription)
    return subscription


def _subscriptions(call: Call) -> Iterable[Json]:
    """A customer who was never there is refused; one who was deleted still has its canceled subscriptions."""
    customer: str | None = call.params.get("customer")
    if customer is not None:
        call.book.in_params("customer", customer, param="customer", deleted_too=True)
    wanted: str | None = call.params.get("status")
    for subscription in call.book.newest_first("subscription"):
        if not matches(subscription, call.params, "collection_method created customer"):
            continue
        if _has_status(subscription, wanted) and _has_periods(subscription, call.params):
            yield subscription


def _has_status(subscription: Json, wanted: str | None) -> bool:
    """Without a status all but the canceled ones count; `ended` is both ways of having ended."""
    status: str = subscription["status"]
    if wanted is None:
        return status != "canceled"
    if wanted == "ended":
        return status in subscriptions.ENDED
    return wanted in {"all", status}


def _has_periods(subscription: Json, params: Json) -> bool:
    start, end = subscriptions.current_period(subscription)
    if "current_period_start" in params and not in_range(start, params["current_period_start"]):
        return False
    if "current_period_end" in params and not in_range(end, params["current_period_end"]):
        return False
    prices = {item["price"]["id"] for item in subscription["items"]["data"]}
    return "price" not in params or params["price"] in prices


def _items(call: Call) -> Iterable[Json]:
    subscription = call.book.in_params("subscription", call.params["subscription"], param="subscription")
    return subscription["items"]["data"]


OPERATIONS: Final[tuple[Operation, ...]] = (
    operation("POST", "/v1/subscriptions", "subscription", _CREATE, _create),
    operation(
        "GET", "/v1/subscriptions/{id}", "subscription", "", lambda call: call.book.at_path("subscription", call.id)
    ),
    operation("POST", "/v1/subscriptions/{id}", "subscription", _UPDATE, _update),
    operation("DELETE", "/v1/subscriptions/{id}", "subscription", f"invoice_now:b prorate:b {_CANCELLATION}", _cancel),
    operation(
        "POST",
        "/v1/subscriptions/{id}/pause",
        "subscription",
        "bill_for^:* invoicing_behavior^:s type:(subscription)",
        _pause,
    ),
    operation(
        "POST",
        "/v1/subscriptions/{id}/resume",
        "subscription",
        "billing_cycle_anchor:{type!:(unchanged)} payment_behavior:(resume_on_payment_attempt "
        "resume_on_payment_success) proration_behavior:(none) proration_date^:i",
        _resume,
    ),
    listing(
        "/v1/subscriptions",
        "subscription",
        "automatic_tax^:* collection_method:(charge_automatically send_invoice) created:range "
        "current_period_end:range current_period_start:range customer:s customer_account^:s plan^:s price:s "
        "status:(active all canceled ended incomplete incomplete_expired past_due paused trialing unpaid) "
        "test_clock^:s",
        _subscriptions,
    ),
    listing("/v1/subscription_items", "subscription_item", "subscription!:s", _items),
)
