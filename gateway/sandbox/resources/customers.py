"""Customers and saved cards: /v1/customers, /v1/payment_methods."""

from collections.abc import Iterable
from typing import Final

from gateway.sandbox.engine import customers, invoices, subscriptions
from gateway.sandbox.engine.blanks import or_none
from gateway.sandbox.engine.book import Book
from gateway.sandbox.engine.cards import Card, CardRefused, card_of_token, read_card, read_iban
from gateway.sandbox.engine.payments import card_error
from gateway.sandbox.refusals import Json, missing_in_params, missing_in_path, parameter_missing
from gateway.sandbox.wire.operation import Call, Operation, listing, matches, operation

_FIELDS: Final = (
    "address:address|'' balance:i business_name^:s|'' cash_balance^:* description:s email:s individual_name^:s|'' "
    "invoice_prefix:s invoice_settings:{custom_fields^:* default_payment_method:s footer^:s rendering_options^:*} "
    "metadata:map|'' name:s next_invoice_sequence:i phone:s preferred_locales:[s] "
    "shipping:{address!:address name!:s phone:s}|'' source^:s tax^:* tax_exempt:(exempt none reverse)|'' validate:b"
)


def _create(call: Call) -> Json:
    token: str | None = call.params.get("payment_method")
    method = use_method(call.book, token, param="payment_method") if token else None
    customer = customers.new_customer(call.book, call.params)
    if method is not None:
        customers.attach(call.book, method, customer, make_default=False)
    preferred: str | None = call.params.get("invoice_settings", {}).get("default_payment_method")
    if preferred and method is not None and preferred in {token, method["id"]}:
        customers.change_customer(call.book, customer, {"invoice_settings": {"default_payment_method": method["id"]}})
    return customer


def _retrieve(call: Call) -> Json:
    customer = call.book.at_path("customer", call.id)
    return customers.deleted_customer(customer) if call.id in call.book.behind.deleted else customer


def _update(call: Call) -> Json:
    customer = call.book.at_path("customer", call.id)
    if call.id in call.book.behind.deleted:
        raise missing_in_path("customer", call.id)
    return customers.change_customer(call.book, customer, call.params)


def _delete(call: Call) -> Json:
    """Deleting a customer ends its subscriptions at once."""
    book = call.book
    customer = book.at_path("customer", call.id)
    if call.id in book.behind.deleted:
        raise missing_in_path("customer", call.id)
    for subscription in book.newest_first("subscription"):
        if subscription["customer"] == call.id and subscription["status"] not in subscriptions.ENDED:
            subscriptions.cancel(book, subscription, reason="cancellation_requested")
    for invoice in book.newest_first("invoice"):
        if invoice["customer"] == call.id and invoice["status"] == "open":
            invoices.void(book, invoice)
    book.behind.deleted.add(call.id)
    book.emit("customer.deleted", customer)
    return customers.deleted_customer(customer)


def _customers(call: Call) -> Iterable[Json]:
    return (
        customer
        for customer in call.book.newest_first("customer")
        if customer["id"] not in call.book.behind.deleted and matches(customer, call.params, "email created")
    )


def use_method(book: Book, id: str, *, param: str) -> Json:
    """A saved payment method by id, or a new one from a test token such as pm_card_visa.

    Raises:
        Refusal: 400 resource_missing.
    """
    card = card_of_token(id)
    if card is not None:
        return customers.new_payment_method(book, card)
    return book.in_params("payment_method", id, param=param)


def _create_method(call: Call) -> Json:
    billing = {
        name: customers.address(value) if name == "address" else or_none(value)
        for name, value in call.params.get("billing_details", {}).items()
    }
    return customers.new_payment_method(call.book, _card(call.params), billing=billing)


def _card(params: Json) -> Card:
    """The card or bank account that the parameters describe.

    Raises:
        Refusal: 402 for a number that is none, 400 for a token that is not known.
    """
    kind: str = params["type"]
    described: Json | None = params.get(kind)
    if described is None:
        raise parameter_missing(kind)
    try:
        if kind == "sepa_debit":
            return read_iban(described["iban"])
        if "token" not in described:
            return read_card(described.get("number", ""))
    except CardRefused as refused:
        raise card_error(refused.decline, param=kind) from refused
    card = card_of_token(described["token"])
    if card is None:
        raise missing_in_params("token", described["token"], param="card[token]")
    return card


def _attach(call: Call) -> Json:
    customer = call.book.in_params("customer", call.params["customer"], param="customer")
    card = card_of_token(call.id)
    method = (
        customers.new_payment_method(call.book, card)
        if card is not None
        else call.book.at_path("payment_method", call.id)
    )
    customers.attach(call.book, method, customer, make_default=False)
    return method


def _methods(call: Call) -> Iterable[Json]:
    return (
        method
        for method in call.book.newest_first("payment_method")
        if method["customer"] is not None and matches(method, call.params, "customer type")
    )


OPERATIONS: Final[tuple[Operation, ...]] = (
    operation("POST", "/v1/customers", "customer", f"payment_method:s tax_id_data^:* test_clock^:s {_FIELDS}", _create),
    operation("GET", "/v1/customers/{id}", "customer", "", _retrieve),
    operation("POST", "/v1/customers/{id}", "customer", f"default_source^:s {_FIELDS}", _update),
    operation("DELETE", "/v1/customers/{id}", "customer", "", _delete),
    listing("/v1/customers", "customer", "created:range email:s test_clock^:s", _customers),
    operation(
        "POST",
        "/v1/payment_methods",
        "payment_method",
        "type!:(card sepa_debit) card:{number:s exp_month:i exp_year:i cvc:s token:s} sepa_debit:{iban!:s} "
        "billing_details:{address:address|'' email:s|'' name:s|'' phone:s|'' tax_id:s} metadata:map "
        "allow_redisplay:(always limited unspecified)",
        _create_method,
    ),
    operation(
        "GET",
        "/v1/payment_methods/{id}",
        "payment_method",
        "",
        lambda call: call.book.at_path("payment_method", call.id),
    ),
    operation("POST", "/v1/payment_methods/{id}/attach", "payment_method", "customer!:s", _attach),
    listing("/v1/payment_methods", "payment_method", "customer:s type:(card sepa_debit)", _methods),
)
