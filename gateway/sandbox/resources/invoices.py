"""Invoices and what paid them: /v1/invoices, /v1/invoice_payments."""

from collections.abc import Iterable
from typing import Final

from gateway.sandbox.engine import invoices, renewals, subscriptions
from gateway.sandbox.engine.customers import saved_method
from gateway.sandbox.engine.payments import require_chargeable
from gateway.sandbox.refusals import Json, state_conflict
from gateway.sandbox.resources.customers import use_method
from gateway.sandbox.wire.operation import Call, Operation, listing, matches, operation


def _invoices(call: Call) -> Iterable[Json]:
    wanted: str | None = call.params.get("subscription")
    for invoice in call.book.newest_first("invoice"):
        if matches(invoice, call.params, "collection_method created customer due_date status") and (
            wanted is None or subscriptions.subscription_id_of(invoice) == wanted
        ):
            yield invoice


def _pay(call: Call) -> Json:
    """Pay an open invoice now, with the card named or the saved one; a decline is a 402."""
    book = call.book
    invoice = book.at_path("invoice", call.id)
    if invoice["status"] == "paid":
        raise state_conflict("Invoice is already paid", code="invoice_already_paid")
    if invoice["status"] not in {"draft", "open"}:
        raise state_conflict(f"This invoice is {invoice['status']} and cannot be paid.")
    if invoice["status"] == "draft":
        invoices.finalize(book, invoice)
    subscription = book.find("subscription", subscriptions.subscription_id_of(invoice))
    if call.params.get("paid_out_of_band"):
        invoices.mark_paid(book, invoice, attempted=False)
    else:
        _charge(call, invoice, subscription)
    if subscription is not None:
        renewals.revive(book, subscription)
    return invoice


def _charge(call: Call, invoice: Json, subscription: Json | None) -> None:
    book = call.book
    customer = book.get("customer", invoice["customer"])
    named: str | None = call.params.get("payment_method")
    preferred: str | None = subscription["default_payment_method"] if subscription else None
    method = use_method(book, named, param="payment_method") if named else None
    method = method or saved_method(book, customer, preferred=preferred)
    if method is None and invoice["amount_due"] > 0:
        require_chargeable(book, None)
    attempt = invoices.pay(book, invoice, method)
    if attempt is not None and attempt.status == "declined":
        raise attempt.refusal(invoices.intent_of(book, invoice))


def _payments(call: Call) -> Iterable[Json]:
    intent: str | None = call.params.get("payment", {}).get("payment_intent")
    for row in call.book.newest_first("invoice_payment"):
        if matches(row, call.params, "created invoice status") and (
            intent is None or row["payment"]["payment_intent"] == intent
        ):
            yield row


OPERATIONS: Final[tuple[Operation, ...]] = (
    operation("GET", "/v1/invoices/{id}", "invoice", "", lambda call: call.book.at_path("invoice", call.id)),
    operation(
        "POST",
        "/v1/invoices/{id}/pay",
        "invoice",
        "forgive^:b mandate^:s off_session:b paid_out_of_band:b payment_method:s source^:s",
        _pay,
    ),
    listing(
        "/v1/invoices",
        "invoice",
        "collection_method:(charge_automatically send_invoice) created:range customer:s customer_account^:s "
        "due_date:range status:(draft open paid uncollectible void) subscription:s",
        _invoices,
    ),
    listing(
        "/v1/invoice_payments",
        "invoice_payment",
        "created:range invoice:s payment:{payment_intent:s payment_record^:s type!:(payment_intent payment_record)} "
        "status:(canceled open paid)",
        _payments,
    ),
)
