"""Invoices: drafted, finalized, paid or not."""

from typing import Any, Final

from gateway.sandbox.engine import payments
from gateway.sandbox.engine.blanks import list_of, nulls
from gateway.sandbox.engine.book import Book
from gateway.sandbox.refusals import Json

_EMPTY: Final = (
    "account_tax_ids application automatically_finalizes_at customer_account customer_shipping "
    "default_payment_method default_source description due_date effective_at ending_balance footer from_invoice "
    "custom_fields last_finalization_error latest_revision next_payment_attempt number on_behalf_of receipt_number "
    "rendering shipping_cost shipping_details statement_descriptor test_clock webhooks_delivered_at"
)
_ZERO: Final = (
    "amount_overpaid",
    "amount_paid",
    "amount_shipping",
    "post_payment_credit_notes_amount",
    "pre_payment_credit_notes_amount",
)


def draft_invoice(
    book: Book,
    *,
    customer: Json,
    lines: list[Json],
    reason: str,
    subscription: Json | None,
    period: tuple[int, int],
    currency: str,
) -> Json:
    """A draft with `lines`, not yet in the book; `keep` puts it there."""
    invoice: Json = {
        **book.stamp("in", "invoice"),
        **nulls(_EMPTY),
        **dict.fromkeys(_ZERO, 0),
        "account_country": book.settings.country,
        "account_name": book.settings.business_name,
        "attempt_count": 0,
        "attempted": False,
        "auto_advance": True,
        "automatic_tax": {**nulls("disabled_reason liability provider status"), "enabled": False},
        "billing_reason": reason,
        "collection_method": "charge_automatically",
        "currency": currency,
        "customer": customer["id"],
        "customer_address": customer["address"],
        "customer_email": customer["email"],
        "customer_name": customer["name"],
        "customer_phone": customer["phone"],
        "customer_tax_exempt": customer["tax_exempt"],
        "customer_tax_ids": [],
        "default_tax_rates": [],
        "discounts": [],
        "issuer": {"type": "self"},
        "metadata": {},
        "parent": _parent(subscription),
        "payment_settings": nulls("default_mandate payment_method_options payment_method_types"),
        "period_end": period[1],
        "period_start": period[0],
        "starting_balance": customer["balance"],
        "status": "draft",
        "status_transitions": nulls("finalized_at marked_uncollectible_at paid_at voided_at"),
        "total_discount_amounts": [],
        "total_pretax_credit_amounts": [],
        "total_taxes": [],
    }
    _set_lines(invoice, lines)
    return invoice


def _parent(subscription: Json | None) -> Json | None:
    if subscription is None:
        return None
    details = {"metadata": dict(subscription["metadata"]), "subscription": subscription["id"]}
    return {"quote_details": None, "subscription_details": details, "type": "subscription_details"}


def _set_lines(invoice: Json, lines: list[Json]) -> None:
    total = sum(line["amount"] for line in lines)
    for line in lines:
        line["invoice"] = invoice["id"]
    due = max(0, total + min(0, invoice["starting_balance"]))
    invoice |= {
        "amount_due": due,
        "amount_remaining": due,
        "lines": list_of(lines, url=f"/v1/invoices/{invoice['id']}/lines"),
        "subtotal": total,
        "subtotal_excluding_tax": total,
        "total": total,
        "total_excluding_tax": total,
    }


def keep(book: Book, invoice: Json) -> Json:
    """Put a draft in the book and tell of it."""
    book.add(invoice)
    book.emit("invoice.created", invoice)
    return invoice


def add_lines(book: Book, invoice: Json, lines: list[Json]) -> None:
    with book.changing(invoice, "invoice.updated"):
        _set_lines(invoice, [*invoice["lines"]["data"], *lines])


def item_line(book: Book, item: Json, *, period: tuple[int, int]) -> Json:
    """The charge for one subscription item over one period."""
    price: Json = item["price"]
    quantity: int = item.get("quantity", 1)
    amount: int = price["unit_amount"] * quantity
    product = book.get("product", price["product"])
    details = {
        "invoice_item": None,
        "proration": False,
        "proration_details": {"credited_items": None},
        "subscription": item["subscription"],
        "subscription_item": item["id"],
    }
    return line(
        book,
        amount=amount,
        price=price,
        quantity=quantity,
        description=f"{quantity} × {product['name']} (at {amount_text(price)} / {price['recurring']['interval']})",  # noqa: RUF001 - as Stripe writes it
        period=period,
        parent={
            "invoice_item_details": None,
            "subscription_item_details": details,
            "type": "subscription_item_details",
        },
        subscription=item["subscription"],
    )


def amount_text(price: Json) -> str:
    cents: int = price["unit_amount"]
    return f"${cents // 100:,}.{cents % 100:02d}"


def line(
    book: Book,
    *,
    amount: int,
    price: Json,
    quantity: int,
    description: str,
    period: tuple[int, int],
    parent: Json,
    subscription: str | None,
) -> Json:
    return {
        **bare_line(book, amount=amount, currency=price["currency"]),
        "description": description,
        "parent": parent,
        "period": {"end": period[1], "start": period[0]},
        "pricing": {
            "price_details": {"price": price["id"], "product": price["product"]},
            "type": "price_details",
            "unit_amount_decimal": price["unit_amount_decimal"],
        },
        "quantity": quantity,
        "quantity_decimal": str(quantity),
        "subscription": subscription,
    }


def bare_line(book: Book, *, amount: int, currency: str) -> Json:
    """A line without a price: an amount only."""
    return {
        "id": book.new_id("il"),
        "object": "line_item",
        "amount": amount,
        "currency": currency,
        "discount_amounts": [],
        "discountable": True,
        "discounts": [],
        "invoice": None,
        "livemode": book.livemode,
        "metadata": {},
        "pretax_credit_amounts": [],
        "pricing": None,
        "quantity": 1,
        "quantity_decimal": "1",
        "subscription": None,
        "subtotal": amount,
        "taxes": [],
    }


def finalize(book: Book, invoice: Json) -> None:
    """Close the draft: it gets its number, and the customer's balance is used up or added to."""
    customer = book.get("customer", invoice["customer"])
    _apply_balance(book, invoice, customer)
    number = customer["next_invoice_sequence"]
    customer["next_invoice_sequence"] = number + 1
    address = f"{book.around.base_url}/i/{invoice['id']}"
    invoice |= {
        "effective_at": book.now,
        "hosted_invoice_url": address,
        "invoice_pdf": f"{address}/pdf",
        "number": f"{customer['invoice_prefix']}-{number:04d}",
        "status": "open",
    }
    invoice["status_transitions"]["finalized_at"] = book.now
    book.emit("invoice.finalized", invoice)


def _apply_balance(book: Book, invoice: Json, customer: Json) -> None:
    invoice["starting_balance"] = customer["balance"]
    due = max(0, invoice["total"] + customer["balance"])
    ending = customer["balance"] + invoice["total"] - due
    invoice |= {"amount_due": due, "amount_remaining": due, "ending_balance": ending}
    if ending != customer["balance"]:
        with book.changing(customer, "customer.updated"):
            customer["balance"] = ending


def pay(book: Book, invoice: Json, method: Json | None, *, owner_present: bool = False) -> payments.Attempt | None:
    """Try to collect an open invoice; None when no charge was made: nothing due, or no card to charge."""
    if invoice["amount_due"] == 0:
        mark_paid(book, invoice, attempted=False)
        return None
    if method is None:
        mark_attempt_failed(book, invoice)
        return None
    attempt = payments.attempt(book, intent_of(book, invoice), method, owner_present=owner_present)
    if attempt.status == "paid":
        mark_paid(book, invoice)
    elif attempt.status == "declined":
        mark_attempt_failed(book, invoice)
    else:
        invoice |= {"attempted": True, "attempt_count": invoice["attempt_count"] + 1}
    return attempt


def intent_of(book: Book, invoice: Json) -> Json:
    """The payment intent that collects an invoice, made at its first attempt."""
    payment = payment_of(book, invoice)
    if payment is None:
        intent = payments.new_intent(
            book,
            amount=invoice["amount_due"],
            currency=invoice["currency"],
            customer=invoice["customer"],
            more={"description": invoice["description"] or _DESCRIPTIONS.get(invoice["billing_reason"])},
        )
        payment = link_intent(book, invoice, intent)
    return book.get("payment_intent", payment["payment"]["payment_intent"])


_DESCRIPTIONS: Final = {
    "subscription_create": "Subscription creation",
    "subscription_cycle": "Subscription update",
    "subscription_update": "Subscription update",
}


def link_intent(book: Book, invoice: Json, intent: Json) -> Json:
    """Say that `intent` collects `invoice`."""
    return book.add(
        {
            **book.stamp("inpay", "invoice_payment"),
            "amount_paid": None,
            "amount_requested": invoice["amount_due"],
            "currency": invoice["currency"],
            "invoice": invoice["id"],
            "is_default": True,
            "payment": {"payment_intent": intent["id"], "type": "payment_intent"},
            "status": "open",
            "status_transitions": nulls("canceled_at paid_at"),
        }
    )


def payment_of(book: Book, invoice: Json) -> Json | None:
    return next((row for row in book.table("invoice_payment").values() if row["invoice"] == invoice["id"]), None)


def invoice_of_intent(book: Book, intent: Json) -> Json | None:
    for row in book.table("invoice_payment").values():
        if row["payment"]["payment_intent"] == intent["id"]:
            return book.get("invoice", row["invoice"])
    return None


def mark_paid(book: Book, invoice: Json, *, attempted: bool = True) -> None:
    """The invoice is settled. Without an attempt (nothing due, or paid elsewhere) only invoice.paid tells of it."""
    due: int = invoice["amount_due"]
    changes: dict[str, Any] = {
        "amount_paid": due,
        "amount_remaining": 0,
        "attempted": True,
        "next_payment_attempt": None,
        "status": "paid",
    }
    if attempted and invoice["status"] == "open":
        changes["attempt_count"] = invoice["attempt_count"] + 1
    invoice |= changes
    invoice["status_transitions"]["paid_at"] = book.now
    payment = payment_of(book, invoice)
    if payment is not None:
        payment |= {"amount_paid": due, "status": "paid"}
        payment["status_transitions"]["paid_at"] = book.now
        book.emit("invoice_payment.paid", payment)
    book.emit("invoice.paid", invoice)
    if attempted:
        book.emit("invoice.payment_succeeded", invoice)


def mark_attempt_failed(book: Book, invoice: Json) -> None:
    invoice |= {"attempted": True, "attempt_count": invoice["attempt_count"] + 1}
    book.emit("invoice.payment_failed", invoice)


def void(book: Book, invoice: Json) -> None:
    with book.changing(invoice, "invoice.voided"):
        invoice["status"] = "void"
        invoice["next_payment_attempt"] = None
        invoice["status_transitions"]["voided_at"] = book.now
