"""Products and prices: /v1/products, /v1/prices."""

from collections.abc import Iterable
from typing import Final

from gateway.sandbox.engine import catalog
from gateway.sandbox.refusals import Json, parameter_invalid
from gateway.sandbox.wire.operation import Call, Operation, listing, matches, operation

LOOKUP_KEYS_MAX: Final = 10
_DEFAULT_PRICE: Final = (
    "{currency!:s currency_options^:* custom_unit_amount^:* metadata:map "
    "recurring:{interval!:(day month week year) interval_count:i} tax_behavior:(exclusive inclusive unspecified) "
    "unit_amount:i unit_amount_decimal:s}"
)
_PRICE_MORE: Final = (
    "active:b billing_scheme:(per_unit) currency_options^:* custom_unit_amount^:* lookup_key:s metadata:map "
    "nickname:s recurring:{interval!:(day month week year) interval_count:i meter^:s trial_period_days^:i "
    "usage_type:(licensed)} tax_behavior:(exclusive inclusive unspecified) tiers^:* tiers_mode^:s "
    "transfer_lookup_key:b transform_quantity^:* unit_amount:i unit_amount_decimal:s"
)
_TAX_DETAILS: Final = "tax_details:{performance_location:s tax_code:s|''}"
_PRODUCT: Final = (
    "active:b description:s|'' images:[s]|'' marketing_features:[{name!:s}]|'' metadata:map|'' package_dimensions^:* "
    f"shippable:b statement_descriptor:s tax_code:s|'' {_TAX_DETAILS} unit_label:s|'' url:s|''"
)
_PRODUCT_DATA: Final = (
    f"active:b id:s metadata:map name!:s statement_descriptor:s tax_code:s {_TAX_DETAILS} unit_label:s"
)


def _create_product(call: Call) -> Json:
    return catalog.new_product(call.book, call.params)


def _update_product(call: Call) -> Json:
    return catalog.change_product(call.book, call.book.at_path("product", call.id), call.params)


def _products(call: Call) -> Iterable[Json]:
    wanted: list[str] | None = call.params.get("ids")
    for product in call.book.newest_first("product"):
        if matches(product, call.params, "active created shippable type url") and (
            wanted is None or product["id"] in wanted
        ):
            yield product


def _create_price(call: Call) -> Json:
    return catalog.new_price(call.book, call.params)


def _update_price(call: Call) -> Json:
    return catalog.change_price(call.book, call.book.at_path("price", call.id), call.params)


def _prices(call: Call) -> Iterable[Json]:
    keys: list[str] | None = call.params.get("lookup_keys")
    if keys is not None and len(keys) > LOOKUP_KEYS_MAX:
        raise parameter_invalid(f"You can filter by at most {LOOKUP_KEYS_MAX} lookup keys.", param="lookup_keys")
    rhythm: Json = call.params.get("recurring", {})
    for price in call.book.newest_first("price"):
        if not matches(price, call.params, "active created currency product type"):
            continue
        if keys is not None and price["lookup_key"] not in keys:
            continue
        if rhythm and (
            price["recurring"] is None or not matches(price["recurring"], rhythm, "interval usage_type meter")
        ):
            continue
        yield price


OPERATIONS: Final[tuple[Operation, ...]] = (
    operation(
        "POST",
        "/v1/products",
        "product",
        f"name!:s id:s type:(good service) default_price_data:{_DEFAULT_PRICE} {_PRODUCT}",
        _create_product,
    ),
    operation("GET", "/v1/products/{id}", "product", "", lambda call: call.book.at_path("product", call.id)),
    operation("POST", "/v1/products/{id}", "product", f"name:s default_price:s {_PRODUCT}", _update_product),
    listing(
        "/v1/products",
        "product",
        "active:b created:range ids:[s] shippable:b type:(good service) url:s",
        _products,
    ),
    operation(
        "POST",
        "/v1/prices",
        "price",
        f"currency!:s product:s product_data:{{{_PRODUCT_DATA}}} {_PRICE_MORE}",
        _create_price,
    ),
    operation("GET", "/v1/prices/{id}", "price", "", lambda call: call.book.at_path("price", call.id)),
    operation(
        "POST",
        "/v1/prices/{id}",
        "price",
        "active:b currency_options^:* lookup_key:s metadata:map|'' nickname:s "
        "tax_behavior:(exclusive inclusive unspecified) transfer_lookup_key:b",
        _update_price,
    ),
    listing(
        "/v1/prices",
        "price",
        "active:b created:range currency:s lookup_keys:[s] product:s recurring:{interval:(day month week year) "
        "meter:s usage_type:(licensed metered)} type:(one_time recurring)",
        _prices,
    ),
)
