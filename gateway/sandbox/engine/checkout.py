"""Checkout sessions: opened, paid, expired."""

from dataclasses import dataclass
from typing import Any, Final

from gateway.sandbox.engine import customers, invoices, payments, renewals, subscriptions
from gateway.sandbox.engine.agenda import Turn, deed
from gateway.sandbox.engine.blanks import nulls
from gateway.sandbox.engine.book import Book
from gateway.sandbox.engine.cards import Card, Conduct, Decline
from gateway.sandbox.engine.subscriptions import ItemOrder, SubscriptionOrder
from gateway.sandbox.refusals import Json, state_conflict

PLACEHOLDER: Final = "{CHECKOUT_SESSION_ID}"


@dataclass(frozen=True, slots=True)
class Paid:
    """What paying a session came to; `decline` is None when the session is complete."""

    decline: Decline | None


def success_url(session: Json) -> str:
    """Where the browser goes after paying: only the literal placeholder is filled in, as Stripe does."""
    return session["success_url"].replace(PLACEHOLDER, session["id"])


def plan_expiry(book: Book, session: Json) -> None:
    book.around.agenda.at(session["expires_at"], Turn.EXPIRE, book, _expire_when_due, session)


@deed("checkout.expire")
def _expire_when_due(book: Book, session: Json) -> None:
    if session["status"] == "open":
        expire(book, session)


def expire(book: Book, session: Json) -> None:
    """Close an open session without payment.

    Raises:
        Refusal: it is not open any more.
    """
    if session["status"] != "open":
        raise state_conflict(
            'Only Checkout Sessions with a status in ["open"] can be expired. '
            f"This Checkout Session has a status of {session['status']}.",
        )
    session |= {"status": "expired", "url": None, "expires_at": min(session["expires_at"], book.now)}
    book.emit("checkout.session.expired", session)


def pay(book: Book, session: Json, card: Card, *, email: str | None) -> Paid:
    """Pay an open session with a card its owner typed in. A declined card leaves it open.

    Raises:
        Refusal: the session is not open.
    """
    if session["status"] != "open":
        raise state_conflict(f"This Checkout Session is {session['status']}; it cannot be paid.")
    decline = payments.decline_of(card, owner_present=True)
    address = session["customer_email"] or email or _email_of(book, session["customer"])
    method = customers.new_payment_method(book, card, billing={"email": address})
    if decline is not None:
        intent = _intent_for_attempts(book, session)
        payments.attempt(book, intent, method, owner_present=True)
        return Paid(decline)
    customer = _customer_for(book, session, address)
    if session["mode"] == "payment":
        _pay_once(book, session, method, customer)
    elif session["mode"] == "subscription":
        _subscribe(book, session, method, customer)
    _complete(book, session, customer, address)
    return Paid(None)


def _email_of(book: Book, customer_id: str | None) -> str | None:
    customer = book.find("customer", customer_id)
    return customer["email"] if customer else None


def _customer_for(book: Book, session: Json, email: str | None) -> Json | None:
    """The session's customer, made when there is none and one is needed: a single payment by a guest needs none."""
    if session["customer"] is not None:
        return book.get("customer", session["customer"])
    keeps_card = _order(book, session).get("payment_intent_data", {}).get("setup_future_usage")
    if session["mode"] == "payment" and session["customer_creation"] != "always" and not keeps_card:
        return None
    return customers.new_customer(book, {"email": email or ""})


def _order(book: Book, session: Json) -> Json:
    return book.behind.session_orders[session["id"]]


def _intent_for_attempts(book: Book, session: Json) -> Json:
    """One payment intent holds all of a session's attempts."""
    order = _order(book, session)
    if "intent" not in order:
        more: Json = order.get("payment_intent_data", {})
        if session["mode"] == "subscription":
            more = {"description": "Subscription creation"}
        intent = payments.new_intent(
            book,
            amount=session["amount_total"],
            currency=session["currency"],
            customer=session["customer"],
            more=more,
        )
        order["intent"] = intent["id"]
        if session["mode"] == "payment":
            session["payment_intent"] = intent["id"]
    return book.get("payment_intent", order["intent"])


def _pay_once(book: Book, session: Json, method: Json, customer: Json | None) -> None:
    if session["amount_total"] == 0:
        session["payment_status"] = "no_payment_required"
        return
    intent = _intent_for_attempts(book, session)
    intent["customer"] = customer["id"] if customer else None
    if customer is not None and intent["setup_future_usage"]:
        customers.attach(book, method, customer, make_default=False)
    attempt = payments.attempt(book, intent, method, owner_present=True)
    session["payment_status"] = "paid" if attempt.status == "paid" else "unpaid"


def _subscribe(book: Book, session: Json, method: Json, customer: Json | None) -> None:
    assert customer is not None, "a subscription always has a customer"
    customers.attach(book, method, customer, make_default=False)
    recurring, once = _split_lines(book, session)
    plan: Json = _order(book, session).get("subscription_data", {})
    order = SubscriptionOrder(
        customer=customer,
        items=tuple(ItemOrder(line["price"], line["quantity"]) for line in recurring),
        metadata=plan.get("metadata", {}),
        description=plan.get("description"),
        method=method["id"],
        trial_end=trial_end(book, plan),
        billing_mode=plan.get("billing_mode", {}).get("type", "flexible"),
        without_card=subscriptions.without_card(plan),
    )
    subscription = subscriptions.new_subscription(book, order, status="active")
    invoice = subscriptions.first_invoice(book, subscription, extra=[_once_line(book, line) for line in once])
    book.emit("customer.subscription.created", subscription)
    session["subscription"] = subscription["id"]
    session["invoice"] = invoice["id"]
    session["payment_status"] = _collect_first(book, session, invoice, method)
    renewals.watch(book, subscription)


def _collect_first(book: Book, session: Json, invoice: Json, method: Json) -> str:
    """Pay the first invoice; returns the session's payment status."""
    if invoice["amount_due"] == 0:
        invoices.mark_paid(book, invoice, attempted=False)
        return "no_payment_required"
    intent = _intent_for_attempts(book, session)
    intent["customer"] = invoice["customer"]
    intent["amount"] = invoice["amount_due"]
    invoices.link_intent(book, invoice, intent)
    invoices.pay(book, invoice, method, owner_present=True)
    return "paid" if invoice["status"] == "paid" else "unpaid"


def _split_lines(book: Book, session: Json) -> tuple[list[Json], list[Json]]:
    lines = book.behind.session_lines[session["id"]]
    recurring = [line for line in lines if line["price"]["type"] == "recurring"]
    return recurring, [line for line in lines if line["price"]["type"] == "one_time"]


def _once_line(book: Book, line: Json) -> Json:
    details = {
        "invoice_item": book.new_id("ii"),
        "proration": False,
        "proration_details": {"credited_items": None},
        "subscription": None,
    }
    return invoices.line(
        book,
        amount=line["amount_total"],
        price=line["price"],
        quantity=line["quantity"],
        description=line["description"],
        period=(book.now, book.now),
        parent={
            "invoice_item_details": details,
            "subscription_item_details": None,
            "type": "invoice_item_details",
        },
        subscription=None,
    )


def trial_end(book: Book, plan: Json) -> int | None:
    """When a trial asked for ends: given as a moment, or as days from now."""
    if "trial_end" in plan:
        return plan["trial_end"]
    days: int | None = plan.get("trial_period_days")
    return book.now + days * renewals.DAY_SECONDS if days else None


def _complete(book: Book, session: Json, customer: Json | None, email: str | None) -> None:
    session |= {
        "customer": customer["id"] if customer else None,
        "customer_details": {
            **nulls("address business_name individual_name name phone"),
            "email": (customer or {}).get("email") or email,
            "tax_exempt": "none",
            "tax_ids": [],
        },
        "status": "complete",
        "url": None,
    }
    book.emit("checkout.session.completed", session)
    intent_id = _order(book, session).get("intent")
    intent = book.find("payment_intent", intent_id)
    if intent is not None and intent["status"] == "processing":
        due = book.now + book.settings.delayed_payment_seconds
        book.around.agenda.at(due, Turn.SETTLE, book, _settle_when_due, intent)


@deed("payment.settle")
def _settle_when_due(book: Book, intent: Json) -> None:
    if intent["status"] != "processing":
        return
    if book.behind.cards[intent["payment_method"]].conduct is Conduct.NEVER_ARRIVES:
        fail_delayed(book, intent)
    else:
        settle_delayed(book, intent)


def settle_delayed(book: Book, intent: Json) -> None:
    """The money of a payment under way arrives: its invoice and its session follow.

    Raises:
        Refusal: nothing is under way.
    """
    _require_processing(intent)
    payments.mark_paid(book, intent, book.get("charge", intent["latest_charge"]))
    invoice = invoices.invoice_of_intent(book, intent)
    if invoice is not None:
        invoices.mark_paid(book, invoice)
        subscription = book.find("subscription", subscriptions.subscription_id_of(invoice))
        if subscription is not None:
            renewals.revive(book, subscription)
    session = session_of_intent(book, intent)
    if session is not None:
        session["payment_status"] = "paid"
        book.emit("checkout.session.async_payment_succeeded", session)


def fail_delayed(book: Book, intent: Json) -> None:
    """A payment under way does not arrive; a subscription it was for owes from now on.

    Raises:
        Refusal: nothing is under way.
    """
    _require_processing(intent)
    payments.mark_delayed_failed(book, intent)
    invoice = invoices.invoice_of_intent(book, intent)
    if invoice is not None:
        book.emit("invoice.payment_failed", invoice)
        subscription = book.find("subscription", subscriptions.subscription_id_of(invoice))
        if subscription is not None:
            renewals.after_failure(book, subscription, invoice)
    session = session_of_intent(book, intent)
    if session is not None:
        book.emit("checkout.session.async_payment_failed", session)


def _require_processing(intent: Json) -> None:
    if intent["status"] != "processing":
        raise state_conflict(
            f"The payment {intent['id']} is not under way: its status is {intent['status']}.",
            code="payment_intent_unexpected_state",
        )


def session_of_intent(book: Book, intent: Json) -> Json | None:
    orders: dict[str, dict[str, Any]] = book.behind.session_orders
    found = next((session for session, order in orders.items() if order.get("intent") == intent["id"]), None)
    return book.find("checkout.session", found)
