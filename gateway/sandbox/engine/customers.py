"""Customers and the cards saved for them."""

from typing import Any, Final

from gateway.sandbox.engine.blanks import merged_metadata, nulls, or_none
from gateway.sandbox.engine.book import Book
from gateway.sandbox.engine.cards import Card
from gateway.sandbox.refusals import Json, parameter_invalid

EMAIL_CHARACTERS_MAX: Final = 512
_TEXTS: Final = ("description", "email", "name", "phone")
_PLAIN: Final = ("balance", "preferred_locales", "invoice_prefix", "next_invoice_sequence")


def new_customer(book: Book, params: Json) -> Json:
    if "email" in params:
        check_email(params["email"], param="email")
    customer: Json = {
        **book.stamp("cus", "customer"),
        **nulls("currency default_source test_clock"),
        **{name: or_none(params.get(name)) for name in _TEXTS},
        "address": address(params.get("address")),
        "balance": params.get("balance", 0),
        "delinquent": False,
        "discount": None,
        "invoice_prefix": params.get("invoice_prefix") or book.around.ids.letters(8).upper(),
        "invoice_settings": nulls("custom_fields default_payment_method footer rendering_options"),
        "metadata": merged_metadata({}, params.get("metadata", {})),
        "next_invoice_sequence": params.get("next_invoice_sequence", 1),
        "preferred_locales": params.get("preferred_locales", []),
        "shipping": shipping(params.get("shipping")),
        "tax_exempt": params.get("tax_exempt") or "none",
    }
    book.add(customer)
    book.emit("customer.created", customer)
    return customer


def change_customer(book: Book, customer: Json, params: Json) -> Json:
    if "email" in params:
        check_email(params["email"], param="email")
    preferred = params.get("invoice_settings", {}).get("default_payment_method")
    if preferred:
        _check_owner(book.in_params("payment_method", preferred, param=_DEFAULT_METHOD), customer)
    with book.changing(customer, "customer.updated"):
        customer.update((name, or_none(params[name])) for name in _TEXTS if name in params)
        if "address" in params:
            customer["address"] = address(params["address"])
        if "shipping" in params:
            customer["shipping"] = shipping(params["shipping"])
        customer.update((name, params[name]) for name in _PLAIN if name in params)
        if "tax_exempt" in params:
            customer["tax_exempt"] = params["tax_exempt"] or "none"
        if preferred is not None:
            customer["invoice_settings"]["default_payment_method"] = or_none(preferred)
        if "metadata" in params:
            customer["metadata"] = merged_metadata(customer["metadata"], params["metadata"])
    return customer


_DEFAULT_METHOD: Final = "invoice_settings[default_payment_method]"


def _check_owner(method: Json, customer: Json) -> None:
    if method["customer"] != customer["id"]:
        raise parameter_invalid(
            f"The customer does not have a payment method with the ID {method['id']}. "
            "The payment method must be attached to the customer.",
            param=_DEFAULT_METHOD,
        )


def check_email(text: str, *, param: str) -> None:
    local, at, domain = text.rpartition("@")
    plausible = bool(local and at and domain) and not any(letter.isspace() for letter in text)
    if text and (not plausible or len(text) > EMAIL_CHARACTERS_MAX):
        raise parameter_invalid(f"Invalid email address: {text}", param=param, code="email_invalid")


_ADDRESS: Final = "city country line1 line2 postal_code state"


def address(params: Json | str | None) -> Json | None:
    if not params or isinstance(params, str):
        return None
    return {**nulls(_ADDRESS), **{name: or_none(value) for name, value in params.items()}}


def shipping(params: Json | str | None) -> Json | None:
    if not params or isinstance(params, str):
        return None
    texts = {
        name: or_none(params.get(name)) for name in ("carrier", "name", "phone", "tracking_number") if name in params
    }
    return {"phone": None, **texts, "address": address(params["address"])}


def new_payment_method(book: Book, card: Card, *, billing: Json | None = None) -> Json:
    """A card on file, not yet anyone's."""
    method: Json = {
        **book.stamp("pm", "payment_method"),
        "allow_redisplay": "unspecified",
        "billing_details": {**nulls("address email name phone tax_id"), **(billing or {})},
        **face(card),
        "customer": None,
        "metadata": {},
    }
    book.behind.cards[method["id"]] = card
    return book.add(method)


def face(card: Card) -> Json:
    """What a payment method shows of itself, under the name of its type."""
    if card.kind == "sepa_debit":
        account = nulls("bank_code branch_code country fingerprint mandate") | {"last4": card.last4}
        return {"sepa_debit": account, "type": "sepa_debit"}
    return {"card": _card_face(card), "type": "card"}


def _card_face(card: Card) -> Json:
    return {
        "brand": card.brand,
        "country": "US",
        "display_brand": card.brand,
        "exp_month": card.exp_month,
        "exp_year": card.exp_year,
        "funding": "credit",
        "last4": card.last4,
    }


def attach(book: Book, method: Json, customer: Json, *, make_default: bool) -> None:
    """Save a payment method for a customer."""
    if method["customer"] != customer["id"]:
        method["customer"] = customer["id"]
        book.emit("payment_method.attached", method)
    if make_default:
        with book.changing(customer, "customer.updated"):
            customer["invoice_settings"]["default_payment_method"] = method["id"]


def saved_method(book: Book, customer: Json, *, preferred: str | None = None) -> Json | None:
    """What a charge without the owner's presence goes to: the subscription's method, else the customer's."""
    for named in (preferred, customer["invoice_settings"]["default_payment_method"]):
        method = book.find("payment_method", named)
        if method is not None and method["customer"] == customer["id"]:
            return method
    return None


def deleted_customer(customer: Json) -> dict[str, Any]:
    return {"id": customer["id"], "object": "customer", "deleted": True}
