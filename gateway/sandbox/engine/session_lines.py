"""The lines of a checkout session: checked as a whole, and only then made."""

from dataclasses import dataclass
from typing import Any, Final

from gateway.sandbox.engine.book import Book
from gateway.sandbox.engine.catalog import (
    AMOUNT_CENTS_MAX,
    AMOUNT_CENTS_MIN,
    check_currency,
    check_unit_amount,
    new_price,
    recurrence,
)
from gateway.sandbox.refusals import Json, Refusal, parameter_invalid, parameter_missing

PAYMENT_LINES_MAX: Final = 100
RECURRING_LINES_MAX: Final = 20
ONE_TIME_LINES_MAX: Final = 20


@dataclass(frozen=True, slots=True)
class _Asked:
    """What one line asks for, before anything is made for it; `rhythm` is None for a one-off."""

    currency: str
    unit_cents: int
    quantity: int
    rhythm: tuple[str, int] | None


def new_lines(book: Book, sent: list[Json], *, mode: str) -> list[Json]:
    """The session's items; prices and products described inline come into being with them.

    Raises:
        Refusal: a line is wrong, or the lines do not go together. Nothing was made.
    """
    asked = [_read(book, line, at=f"line_items[{index}]") for index, line in enumerate(sent)]
    _check_together(asked, mode=mode)
    return [_item(book, line, _price_of(book, line)) for line in sent]


def _read(book: Book, line: Json, *, at: str) -> _Asked:
    if ("price" in line) == ("price_data" in line):
        raise parameter_invalid(
            f"You must specify exactly one of these parameters: {at}[price], {at}[price_data].", param=at
        )
    quantity: Any = line.get("quantity")
    if quantity is None:
        raise parameter_missing(f"{at}[quantity]")
    if not isinstance(quantity, int) or quantity < 1:
        raise parameter_invalid(
            "This value must be a whole number greater than or equal to 1.", param=f"{at}[quantity]"
        )
    if "price_data" in line:
        return _read_inline(book, line["price_data"], quantity, at=f"{at}[price_data]")
    price = book.in_params("price", line["price"], param=f"{at}[price]")
    if not price["active"]:
        raise parameter_invalid(
            "The price specified is inactive. This field only accepts active prices.", param=f"{at}[price]"
        )
    return _Asked(price["currency"], price["unit_amount"], quantity, _rhythm(price["recurring"]))


def _read_inline(book: Book, described: Json, quantity: int, *, at: str) -> _Asked:
    if ("product" in described) == ("product_data" in described):
        raise parameter_invalid(
            f"You must specify exactly one of these parameters: {at}[product], {at}[product_data].", param=at
        )
    if "product" in described:
        book.in_params("product", described["product"], param=f"{at}[product]")
    currency = check_currency(described["currency"], param=f"{at}[currency]")
    unit_cents = check_unit_amount(described, prefix=at)
    rhythm = recurrence(described["recurring"]) if "recurring" in described else None
    return _Asked(currency, unit_cents, quantity, _rhythm(rhythm))


def _rhythm(recurring: Json | None) -> tuple[str, int] | None:
    return (recurring["interval"], recurring["interval_count"]) if recurring else None


def _check_together(asked: list[_Asked], *, mode: str) -> None:
    recurring = [one for one in asked if one.rhythm is not None]
    if mode == "payment" and recurring:
        raise parameter_invalid(
            "You specified `payment` mode but passed a recurring price. Either switch to `subscription` mode or use "
            "only one-time prices.",
            param="line_items",
        )
    if mode == "payment" and len(asked) > PAYMENT_LINES_MAX:
        raise parameter_invalid(f"A payment can have up to {PAYMENT_LINES_MAX} line items.", param="line_items")
    if mode == "subscription":
        _check_subscription(asked, recurring)
    if len({one.currency for one in asked}) > 1:
        raise parameter_invalid("All prices on a Checkout Session must use the same currency.", param="line_items")
    _check_total(sum(one.unit_cents * one.quantity for one in asked), asked[0].currency, mode=mode)


def _check_subscription(asked: list[_Asked], recurring: list[_Asked]) -> None:
    if not recurring:
        raise parameter_invalid(
            "You must provide at least one recurring price in `subscription` mode when using prices.",
            param="line_items",
        )
    if len(recurring) > RECURRING_LINES_MAX or len(asked) - len(recurring) > ONE_TIME_LINES_MAX:
        raise parameter_invalid(
            f"A subscription can have up to {RECURRING_LINES_MAX} recurring and {ONE_TIME_LINES_MAX} one-time line "
            "items.",
            param="line_items",
        )
    if len({one.rhythm for one in recurring}) > 1:
        raise parameter_invalid(
            "Checkout does not support multiple prices with different billing intervals.", param="line_items"
        )


def _check_total(total: int, currency: str, *, mode: str) -> None:
    if mode == "payment" and 0 < total < AMOUNT_CENTS_MIN:
        raise Refusal(
            "The Checkout Session's total amount due must add up to at least "
            f"${AMOUNT_CENTS_MIN // 100}.{AMOUNT_CENTS_MIN % 100:02d} {currency}",
            code="amount_too_small",
            param="line_items",
        )
    if total > AMOUNT_CENTS_MAX:
        raise Refusal(
            f"The Checkout Session's total amount must be no more than $999,999.99 {currency}",
            code="amount_too_large",
            param="line_items",
        )


def _price_of(book: Book, line: Json) -> Json:
    if "price" in line:
        return book.get("price", line["price"])
    return new_price(book, {**line["price_data"], "active": False})


def _item(book: Book, line: Json, price: Json) -> Json:
    amount: int = price["unit_amount"] * line["quantity"]
    return {
        "id": book.new_id("li"),
        "object": "item",
        "adjustable_quantity": None,
        "amount_discount": 0,
        "amount_subtotal": amount,
        "amount_tax": 0,
        "amount_total": amount,
        "currency": price["currency"],
        "description": book.get("product", price["product"])["name"],
        "metadata": dict(line.get("metadata", {})),
        "price": price,
        "quantity": line["quantity"],
    }
