"""Payments and invoices that no checkout page and no subscription is behind."""

from typing import Final

from gateway.sandbox.engine import invoices, payments
from gateway.sandbox.engine.blanks import merged_metadata
from gateway.sandbox.engine.book import Book
from gateway.sandbox.engine.catalog import AMOUNT_CENTS_MAX, AMOUNT_CENTS_MIN, check_currency
from gateway.sandbox.engine.customers import saved_method
from gateway.sandbox.refusals import Json, Refusal, parameter_invalid, parameter_missing, state_conflict

_CONFIRMABLE: Final = frozenset({"requires_payment_method", "requires_confirmation"})


def open_intent(book: Book, params: Json, method: Json | None) -> Json:
    """A payment intent, charged at once when `confirm` says so.

    Raises:
        Refusal: 402 with the intent, when the card is declined.
    """
    if method is None and params.get("confirm"):
        raise parameter_missing("payment_method")
    customer = book.in_params("customer", params["customer"], param="customer") if "customer" in params else None
    amount = check_amount(params["amount"])
    intent = payments.new_intent(
        book,
        amount=amount,
        currency=check_currency(params["currency"]),
        customer=customer["id"] if customer else None,
        more={**params, "metadata": merged_metadata({}, params.get("metadata", {}))},
    )
    if method is not None:
        intent |= {"payment_method": method["id"], "status": "requires_confirmation"}
    if params.get("confirm"):
        confirm_intent(book, intent, method, owner_present=not params.get("off_session", False))
    return intent


def check_amount(amount: int) -> int:
    if amount < AMOUNT_CENTS_MIN:
        raise Refusal("Amount must be at least $0.50 usd", code="amount_too_small", param="amount")
    if amount > AMOUNT_CENTS_MAX:
        raise Refusal("Amount must be no more than $999,999.99", code="amount_too_large", param="amount")
    return amount


def confirm_intent(book: Book, intent: Json, method: Json | None, *, owner_present: bool) -> None:
    """Charge for an intent that waits for it.

    Raises:
        Refusal: its state forbids it, there is no card, or the card is declined (402).
    """
    if intent["status"] not in _CONFIRMABLE:
        raise state_conflict(
            f"You cannot confirm this PaymentIntent because it has a status of {intent['status']}.",
            code="payment_intent_unexpected_state",
        )
    chosen = method or book.find("payment_method", intent["payment_method"])
    if chosen is None:
        raise parameter_missing("payment_method")
    attempt = payments.attempt(book, intent, chosen, owner_present=owner_present)
    if attempt.status == "declined":
        raise attempt.refusal(intent)


def new_invoice_item(book: Book, params: Json) -> Json:
    """Something to pay that waits for the customer's next invoice, or goes on a draft at once."""
    customer = book.in_params("customer", params["customer"], param="customer")
    currency = check_currency(params.get("currency", "usd"))
    invoice = book.in_params("invoice", params["invoice"], param="invoice") if "invoice" in params else None
    if invoice is not None and invoice["status"] != "draft":
        raise state_conflict("Invoice items can only be added to draft invoices.", param="invoice")
    item = {
        **book.stamp("ii", "invoiceitem"),
        "amount": params["amount"],
        "currency": currency,
        "customer": customer["id"],
        "date": book.now,
        "description": params.get("description"),
        "invoice": invoice["id"] if invoice else None,
        "metadata": merged_metadata({}, params.get("metadata", {})),
        "period": {"end": book.now, "start": book.now},
        "proration": False,
        "quantity": 1,
    }
    book.add(item)
    book.emit("invoiceitem.created", item)
    if invoice is not None:
        invoices.add_lines(book, invoice, [_line(book, item)])
    return item


def new_invoice(book: Book, params: Json) -> Json:
    """A draft with the customer's waiting items."""
    customer = book.in_params("customer", params["customer"], param="customer")
    waiting = [
        item
        for item in book.table("invoiceitem").values()
        if item["customer"] == customer["id"] and item["invoice"] is None
    ]
    if params.get("pending_invoice_items_behavior") == "exclude":
        waiting = []
    invoice = invoices.draft_invoice(
        book,
        customer=customer,
        lines=[_line(book, item) for item in waiting],
        reason="manual",
        subscription=None,
        period=(book.now, book.now),
        currency=check_currency(params.get("currency") or (waiting[0]["currency"] if waiting else "usd")),
    )
    invoice["auto_advance"] = params.get("auto_advance", False)
    invoice["metadata"] = merged_metadata({}, params.get("metadata", {}))
    if params.get("default_payment_method"):
        invoice["default_payment_method"] = params["default_payment_method"]
    for item in waiting:
        item["invoice"] = invoice["id"]
    return invoices.keep(book, invoice)


def _line(book: Book, item: Json) -> Json:
    details = {
        "invoice_item": item["id"],
        "proration": False,
        "proration_details": {"credited_items": None},
        "subscription": None,
    }
    return {
        **invoices.bare_line(book, amount=item["amount"], currency=item["currency"]),
        "description": item["description"],
        "metadata": dict(item["metadata"]),
        "parent": {
            "invoice_item_details": details,
            "subscription_item_details": None,
            "type": "invoice_item_details",
        },
        "period": dict(item["period"]),
    }


def finalize_invoice(book: Book, invoice: Json) -> None:
    if invoice["status"] != "draft":
        raise state_conflict("This invoice is already finalized, you can't re-finalize a non-draft invoice.")
    invoices.finalize(book, invoice)
    if invoice["amount_due"] == 0:
        invoices.mark_paid(book, invoice, attempted=False)


def void_invoice(book: Book, invoice: Json) -> None:
    if invoice["status"] != "open":
        raise state_conflict(f"You can only void open invoices; this one is {invoice['status']}.")
    invoices.void(book, invoice)


def method_for(book: Book, invoice: Json, *, preferred: str | None) -> Json | None:
    """The card an invoice is charged to: its own, its subscription's, the customer's."""
    own = book.find("payment_method", invoice["default_payment_method"])
    if own is not None:
        return own
    return saved_method(book, book.get("customer", invoice["customer"]), preferred=preferred)


def check_item(params: Json) -> None:
    """The local Stripe's invoice items have amounts, not prices."""
    if "amount" not in params:
        raise parameter_missing("amount")
    if params["amount"] == 0:
        raise parameter_invalid("An invoice item must have an amount.", param="amount")
