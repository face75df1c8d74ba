"""Subscriptions: beginning, changing, ending."""

from dataclasses import dataclass, field
from typing import Any, Final

from gateway.sandbox.engine import invoices, payments
from gateway.sandbox.engine.agenda import Turn, deed
from gateway.sandbox.engine.blanks import list_of, nulls, or_none
from gateway.sandbox.engine.book import Book
from gateway.sandbox.engine.catalog import plan_of
from gateway.sandbox.engine.customers import saved_method
from gateway.sandbox.engine.periods import step_from
from gateway.sandbox.refusals import Json

INCOMPLETE_SECONDS: Final = 23 * 3600
TRIAL_NOTICE_SECONDS: Final = 3 * 86_400
ENDED: Final = frozenset({"canceled", "incomplete_expired"})
_EMPTY: Final = (
    "application application_fee_percent billing_cycle_anchor_config billing_thresholds cancel_at canceled_at "
    "customer_account days_until_due default_payment_method default_source description ended_at latest_invoice "
    "managed_payments next_pending_invoice_item_invoice on_behalf_of pause_collection "
    "pending_invoice_item_interval pending_setup_intent pending_update schedule test_clock transfer_data "
    "trial_end trial_start"
)


@dataclass(frozen=True, slots=True)
class ItemOrder:
    """One thing subscribed to."""

    price: Json
    quantity: int = 1
    metadata: Json = field(default_factory=dict[str, Any])


@dataclass(frozen=True, slots=True)
class SubscriptionOrder:
    """What a subscription begins with."""

    customer: Json
    items: tuple[ItemOrder, ...]
    metadata: Json = field(default_factory=dict[str, Any])
    description: str | None = None
    method: str | None = None
    trial_end: int | None = None
    billing_mode: str = "flexible"
    without_card: str = "create_invoice"
    """What becomes of a trial that ends without a card: create_invoice, pause or cancel."""


def without_card(params: Json) -> str:
    behavior: Json = params.get("trial_settings", {}).get("end_behavior", {})
    return behavior.get("missing_payment_method", "create_invoice")


def new_subscription(book: Book, order: SubscriptionOrder, *, status: str) -> Json:
    """A subscription with its items, before its first invoice."""
    start = book.now
    anchor = order.trial_end or start
    recurring: Json = order.items[0].price["recurring"]
    end = order.trial_end or step_from(
        anchor, interval=recurring["interval"], count=recurring["interval_count"], steps=1
    )
    subscription: Json = {
        **book.stamp("sub", "subscription"),
        **nulls(_EMPTY),
        "automatic_tax": {"disabled_reason": None, "enabled": False, "liability": None},
        "billing_cycle_anchor": anchor,
        "billing_mode": {
            "flexible": {"proration_discounts": "included"} if order.billing_mode == "flexible" else None,
            "type": order.billing_mode,
        },
        "billing_schedules": [],
        "cancel_at_period_end": False,
        "cancellation_details": nulls("comment feedback feedback_option reason"),
        "collection_method": "charge_automatically",
        "currency": order.items[0].price["currency"],
        "customer": order.customer["id"],
        "default_payment_method": order.method,
        "default_tax_rates": [],
        "description": or_none(order.description),
        "discounts": [],
        "invoice_settings": {
            **nulls("account_tax_ids custom_fields description footer"),
            "issuer": {"type": "self"},
        },
        "metadata": dict(order.metadata),
        "payment_settings": {
            "payment_method_options": None,
            "payment_method_types": None,
            "save_default_payment_method": "off",
        },
        "start_date": start,
        "status": "trialing" if order.trial_end else status,
        "trial_settings": {
            "end_behavior": {"billing_cycle_anchor": None, "missing_payment_method": order.without_card}
        },
    }
    if order.trial_end:
        subscription |= {"trial_start": start, "trial_end": order.trial_end}
    rows: list[Json] = [new_item(book, subscription["id"], one, period=(start, end)) for one in order.items]
    url = f"/v1/subscription_items?subscription={subscription['id']}"
    subscription["items"] = list_of(rows, url=url)
    if order.customer["currency"] is None:
        order.customer["currency"] = subscription["currency"]
    return book.add(subscription)


def new_item(book: Book, subscription_id: str, order: ItemOrder, *, period: tuple[int, int]) -> Json:
    return {
        "id": book.new_id("si"),
        "object": "subscription_item",
        "billing_thresholds": None,
        "created": book.now,
        "current_period_end": period[1],
        "current_period_start": period[0],
        "current_trial": None,
        "discounts": [],
        "metadata": dict(order.metadata),
        "plan": plan_of(order.price),
        "price": order.price,
        "quantity": order.quantity,
        "subscription": subscription_id,
        "tax_rates": [],
    }


def first_invoice(book: Book, subscription: Json, *, extra: list[Json] | None = None) -> Json:
    """The finalized invoice a subscription begins with; nothing is due on it during a trial."""
    start, end = current_period(subscription)
    lines = [invoices.item_line(book, item, period=(start, end)) for item in subscription["items"]["data"]]
    if subscription["status"] == "trialing":
        for line in lines:
            line |= {"amount": 0, "subtotal": 0}
    invoice = invoices.draft_invoice(
        book,
        customer=book.get("customer", subscription["customer"]),
        lines=[*lines, *(extra or [])],
        reason="subscription_create",
        subscription=subscription,
        period=(start, start),
        currency=subscription["currency"],
    )
    subscription["latest_invoice"] = invoice["id"]
    invoices.keep(book, invoice)
    invoices.finalize(book, invoice)
    return invoice


def begin(book: Book, order: SubscriptionOrder, *, error_if_incomplete: bool = False) -> Json:
    """Start a subscription that is paid from a saved card, as the API does.

    A declined first payment leaves it incomplete for 23 hours.

    Raises:
        Refusal: 402, when `error_if_incomplete` and the card would be declined; nothing was begun.
    """
    method = saved_method(book, order.customer, preferred=order.method)
    due = 0 if order.trial_end else sum(one.price["unit_amount"] * one.quantity for one in order.items)
    if error_if_incomplete and due:
        payments.require_chargeable(book, method)
    subscription = new_subscription(book, order, status="incomplete")
    invoice = first_invoice(book, subscription)
    book.emit("customer.subscription.created", subscription)
    invoices.pay(book, invoice, method)
    if invoice["status"] == "paid" and subscription["status"] == "incomplete":
        with book.changing(subscription, "customer.subscription.updated"):
            subscription["status"] = "active"
    if subscription["status"] == "incomplete":
        book.around.agenda.at(book.now + INCOMPLETE_SECONDS, Turn.EXPIRE, book, _expire_incomplete, subscription)
    return subscription


@deed("subscription.expire_incomplete")
def _expire_incomplete(book: Book, subscription: Json) -> None:
    if subscription["status"] != "incomplete":
        return
    invoices.void(book, book.get("invoice", subscription["latest_invoice"]))
    with book.changing(subscription, "customer.subscription.updated"):
        subscription |= {"status": "incomplete_expired", "ended_at": book.now, "canceled_at": book.now}


def current_period(subscription: Json) -> tuple[int, int]:
    """All items share one rhythm, so the first tells for all."""
    item: Json = subscription["items"]["data"][0]
    return item["current_period_start"], item["current_period_end"]


def schedule_cancel(book: Book, subscription: Json, *, cancel_at: int | None, by_flag: bool, **details: object) -> None:
    """Set or lift the planned end. The portal of a flexible subscription sets only cancel_at, the API's flag both."""
    planned = cancel_at is not None
    with book.changing(subscription, "customer.subscription.updated"):
        subscription |= {
            "cancel_at": cancel_at,
            "cancel_at_period_end": by_flag and planned,
            "canceled_at": book.now if planned else None,
        }
        subscription["cancellation_details"] |= {
            "reason": "cancellation_requested" if planned else None,
            **details,
        }
    if cancel_at is not None:
        book.around.agenda.at(cancel_at, Turn.CANCEL, book, _cancel_as_planned, subscription, cancel_at)


@deed("subscription.cancel_as_planned")
def _cancel_as_planned(book: Book, subscription: Json, planned: int) -> None:
    if subscription["cancel_at"] == planned and subscription["status"] not in ENDED:
        cancel(book, subscription, reason="cancellation_requested")


def cancel(book: Book, subscription: Json, *, reason: str, **details: object) -> None:
    """End a subscription now; its open invoices are not collected any more."""
    for invoice in book.table("invoice").values():
        if invoice["status"] in {"draft", "open"} and _is_for(invoice, subscription):
            invoice |= {"auto_advance": False, "next_payment_attempt": None}
    book.behind.pending_lines.pop(subscription["id"], None)
    subscription |= {
        "canceled_at": subscription["canceled_at"] or book.now,
        "ended_at": book.now,
        "pause_collection": None,
        "status": "canceled",
    }
    subscription["cancellation_details"] |= {"reason": reason, **details}
    book.emit("customer.subscription.deleted", subscription)


def _is_for(invoice: Json, subscription: Json) -> bool:
    return subscription_id_of(invoice) == subscription["id"]


def subscription_id_of(invoice: Json) -> str | None:
    parent: Json | None = invoice["parent"]
    return parent["subscription_details"]["subscription"] if parent and parent["subscription_details"] else None


def schedule_cancel_quietly(book: Book, subscription: Json, cancel_at: int) -> None:
    """Move a planned end along with its period, inside a change that tells of itself."""
    subscription["cancel_at"] = cancel_at
    book.around.agenda.at(cancel_at, Turn.CANCEL, book, _cancel_as_planned, subscription, cancel_at)
