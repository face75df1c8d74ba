"""Products and prices."""

from decimal import Decimal, InvalidOperation
from typing import Any, Final

from gateway.sandbox.engine.blanks import merged_metadata, nulls, or_none
from gateway.sandbox.engine.book import Book
from gateway.sandbox.refusals import Json, Refusal, parameter_invalid, parameter_missing, state_conflict

CURRENCIES: Final = frozenset({"usd", "eur", "gbp", "cad", "aud", "chf", "sek", "nok", "dkk", "pln", "nzd", "sgd"})
AMOUNT_CENTS_MIN: Final = 50
AMOUNT_CENTS_MAX: Final = 99_999_999
LOOKUP_KEY_CHARACTERS_MAX: Final = 200
_PRODUCT_FIELDS: Final = ("description", "statement_descriptor", "tax_code", "unit_label", "url")


def new_product(book: Book, params: Json) -> Json:
    if "id" in params and book.find("product", params["id"]) is not None:
        raise state_conflict("Product already exists.", code="resource_already_exists", param="id")
    product: Json = {
        **book.stamp("prod", "product"),
        **nulls("default_price package_dimensions shippable tax_details"),
        **{name: or_none(params.get(name)) for name in _PRODUCT_FIELDS},
        "active": params.get("active", True),
        "images": params.get("images") or [],
        "marketing_features": params.get("marketing_features") or [],
        "metadata": merged_metadata({}, params.get("metadata", {})),
        "name": params["name"],
        "type": params.get("type", "service"),
        "updated": book.now,
    }
    if "id" in params:
        product["id"] = params["id"]
    book.add(product)
    book.emit("product.created", product)
    if "default_price_data" in params:
        price = new_price(book, {**params["default_price_data"], "product": product["id"]})
        product["default_price"] = price["id"]
    return product


def change_product(book: Book, product: Json, params: Json) -> Json:
    if params.get("default_price"):
        book.in_params("price", params["default_price"], param="default_price")
    with book.changing(product, "product.updated"):
        for name in (*_PRODUCT_FIELDS, "default_price"):
            if name in params:
                product[name] = or_none(params[name])
        for name in ("active", "name", "shippable"):
            if name in params:
                product[name] = params[name]
        for name in ("images", "marketing_features"):
            if name in params:
                product[name] = params[name] or []
        if "metadata" in params:
            product["metadata"] = merged_metadata(product["metadata"], params["metadata"])
        product["updated"] = book.now
    return product


def check_currency(currency: str, *, param: str = "currency") -> str:
    lowered = currency.lower()
    if lowered not in CURRENCIES:
        raise parameter_invalid(
            f"Invalid currency: {currency}. Stripe currently supports these currencies: "
            f"{', '.join(sorted(CURRENCIES))}",
            param=param,
        )
    return lowered


def check_unit_amount(params: Json, *, prefix: str = "") -> int:
    """The whole cents of `unit_amount` or `unit_amount_decimal`; exactly one of them is given."""
    name = f"{prefix}[unit_amount]" if prefix else "unit_amount"
    if "unit_amount" in params and "unit_amount_decimal" in params:
        raise parameter_invalid(
            "You may only specify one of these parameters: unit_amount, unit_amount_decimal.", param=name
        )
    if "unit_amount_decimal" in params:
        return _whole_cents(params["unit_amount_decimal"], param=name)
    if "unit_amount" not in params:
        raise parameter_missing(name)
    amount: int = params["unit_amount"]
    if amount < 0:
        raise parameter_invalid("Invalid non-negative integer", param=name, code="parameter_invalid_integer")
    if amount > AMOUNT_CENTS_MAX:
        raise Refusal("Amount must be no more than $999,999.99", code="amount_too_large", param=name)
    return amount


def _whole_cents(text: str, *, param: str) -> int:
    try:
        amount = Decimal(text)
    except InvalidOperation as error:
        raise parameter_invalid(f"Invalid decimal: {text}", param=param) from error
    if amount != amount.to_integral_value() or not 0 <= amount <= AMOUNT_CENTS_MAX:
        raise parameter_invalid(f"The local Stripe takes whole cents only; got {text}.", param=param)
    return int(amount)


def new_price(book: Book, params: Json) -> Json:
    """A price for a product that exists or that `product_data` describes."""
    currency = check_currency(params["currency"])
    amount = check_unit_amount(params)
    if ("product" in params) == ("product_data" in params):
        raise parameter_invalid(
            "You must specify exactly one of these parameters: product, product_data.", param="product"
        )
    rhythm = recurrence(params["recurring"]) if "recurring" in params else None
    key = or_none(params.get("lookup_key"))
    holder = _check_lookup_key(book, key, transfer=params.get("transfer_lookup_key", False), own=None)
    if "product" in params:
        product = book.in_params("product", params["product"], param="product")
    else:
        product = new_product(book, params["product_data"])
    _release(book, holder)
    price: Json = {
        **book.stamp("price", "price"),
        **nulls("custom_unit_amount tiers_mode transform_quantity"),
        "active": params.get("active", True),
        "billing_scheme": "per_unit",
        "currency": currency,
        "lookup_key": key,
        "metadata": merged_metadata({}, params.get("metadata", {})),
        "nickname": or_none(params.get("nickname")),
        "product": product["id"],
        "recurring": rhythm,
        "tax_behavior": params.get("tax_behavior", "unspecified"),
        "type": "recurring" if rhythm else "one_time",
        "unit_amount": amount,
        "unit_amount_decimal": str(amount),
    }
    book.add(price)
    book.emit("price.created", price)
    return price


def recurrence(params: Json) -> Json:
    count: int = params.get("interval_count", 1)
    longest = {"day": 1095, "week": 156, "month": 36, "year": 3}[params["interval"]]
    if not 1 <= count <= longest:
        raise parameter_invalid(
            f"The interval must be between 1 and {longest} {params['interval']}s; got {count}.",
            param="recurring[interval_count]",
        )
    return {
        "interval": params["interval"],
        "interval_count": count,
        "meter": None,
        "trial_period_days": None,
        "usage_type": "licensed",
    }


def change_price(book: Book, price: Json, params: Json) -> Json:
    """Everything but the amount can change: another amount means another price."""
    moved = "lookup_key" in params
    key = or_none(params.get("lookup_key"))
    transfer = params.get("transfer_lookup_key", False)
    holder = _check_lookup_key(book, key, transfer=transfer, own=price["id"]) if moved else None
    _release(book, holder)
    with book.changing(price, "price.updated"):
        if moved:
            price["lookup_key"] = key
        for name in ("active", "tax_behavior"):
            if name in params:
                price[name] = params[name]
        if "nickname" in params:
            price["nickname"] = or_none(params["nickname"])
        if "metadata" in params:
            price["metadata"] = merged_metadata(price["metadata"], params["metadata"])
    return price


def _check_lookup_key(book: Book, key: str | None, *, transfer: bool, own: str | None) -> Json | None:
    """The other price that has the key now and will lose it; refused unless it is to be transferred."""
    if key is None:
        return None
    if len(key) > LOOKUP_KEY_CHARACTERS_MAX:
        raise parameter_invalid(
            f"A lookup key can be up to {LOOKUP_KEY_CHARACTERS_MAX} characters long.", param="lookup_key"
        )
    holder = next((one for one in book.table("price").values() if one["lookup_key"] == key), None)
    if holder is None or holder["id"] == own:
        return None
    if not transfer:
        raise parameter_invalid(
            f"A price (`{holder['id']}`) already uses that lookup key. Set `transfer_lookup_key=true` to transfer it.",
            param="lookup_key",
        )
    return holder


def _release(book: Book, holder: Json | None) -> None:
    if holder is not None:
        with book.changing(holder, "price.updated"):
            holder["lookup_key"] = None


def plan_of(price: Json) -> Json:
    """The old-style plan that subscription items still carry beside their price."""
    recurring: Json = price["recurring"]
    fields: Json = {name: price[name] for name in ("active", "created", "currency", "id", "livemode", "metadata")}
    more: dict[str, Any] = {name: price[name] for name in ("billing_scheme", "nickname", "product", "tiers_mode")}
    return {
        **fields,
        **more,
        "object": "plan",
        "amount": price["unit_amount"],
        "amount_decimal": price["unit_amount_decimal"],
        "interval": recurring["interval"],
        "interval_count": recurring["interval_count"],
        "meter": None,
        "transform_usage": None,
        "trial_period_days": None,
        "usage_type": recurring["usage_type"],
    }
