"""Invoices and what paid them: /v1/invoices, /v1/invoice_payments."""

from collections.abc import Iterable
from typing import Final

from gateway.sandbox.engine import invoices, renewals, standalone, subscriptions
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
    named: str | None = call.params.get("payment_method")
    preferred: str | None = subscription["default_payment_method"] if subscription else None
    method = use_method(book, named, param="payment_method") if named else None
    method = method or standalone.method_for(book, invoice, preferred=preferred)
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


def _create_item(call: Call) -> Json:
    standalone.check_item(call.params)
    return standalone.new_invoice_item(call.book, call.params)


def _create(call: Call) -> Json:
    method: str | None = call.params.get("default_payment_method")
    if method:
        call.params["default_payment_method"] = use_method(call.book, method, param="default_payment_method")["id"]
    return standalone.new_invoice(call.book, call.params)


def _finalize(call: Call) -> Json:
    invoice = call.book.at_path("invoice", call.id)
    standalone.finalize_invoice(call.book, invoice)
    return invoice


def _void(call: Call) -> Json:
    invoice = call.book.at_path("invoice", call.id)
    standalone.void_invoice(call.book, invoice)
    return invoice


OPERATIONS: Final[tuple[Operation, ...]] = (
    operation(
        "POST",
        "/v1/invoiceitems",
        "invoiceitem",
        "customer!:s amount:i currency:s description:s invoice:s metadata:map|''",
        _create_item,
    ),
    operation(
        "POST",
        "/v1/invoices",
        "invoice",
        "customer!:s auto_advance:b collection_method:(charge_automatically) currency:s default_payment_method:s "
        "description:s metadata:map|'' pending_invoice_items_behavior:(exclude include)",
        _create,
    ),
    operation("POST", "/v1/invoices/{id}/finalize", "invoice", "auto_advance:b", _finalize),
    operation("POST", "/v1/invoices/{id}/void", "invoice", "", _void),
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
