"""What a customer does in the portal."""

from dataclasses import dataclass
from typing import Final

from gateway.sandbox.engine import customers, invoices, renewals, subscriptions, switches
from gateway.sandbox.engine.book import Book
from gateway.sandbox.engine.cards import Card, Decline
from gateway.sandbox.engine.switches import Target
from gateway.sandbox.refusals import Json


@dataclass(frozen=True, slots=True)
class OpenPortal:
    """A portal session that can still be used."""

    book: Book
    session: Json
    configuration: Json
    customer: Json

    def feature(self, name: str) -> Json:
        return self.configuration["features"][name]

    def own_subscription(self, id: str) -> Json | None:
        """The customer's living subscription of that id; nobody reaches another's."""
        found = self.book.find("subscription", id)
        if found is None or found["customer"] != self.customer["id"] or found["status"] in subscriptions.ENDED:
            return None
        return found


def open_portal(book: Book, session_id: str) -> OpenPortal | None:
    """The session behind a portal page; None once its hour is over or its customer is deleted."""
    session = book.get("billing_portal.session", session_id)
    if book.now >= book.behind.portal_expiries[session_id] or session["customer"] in book.behind.deleted:
        return None
    return OpenPortal(
        book=book,
        session=session,
        configuration=book.get("billing_portal.configuration", session["configuration"]),
        customer=book.get("customer", session["customer"]),
    )


def switch_options(opened: OpenPortal, subscription: Json) -> list[Json]:
    """The active prices a subscription of one item may change to, cheapest first."""
    switching = opened.feature("subscription_update")
    if not switching["enabled"] or len(subscription["items"]["data"]) != 1 or subscription["cancel_at"] is not None:
        return []
    present: Json = subscription["items"]["data"][0]["price"]
    products: list[Json] = switching["products"] or []
    allowed: set[str] = {price for product in products for price in product["prices"]}
    options = [
        price
        for price in opened.book.table("price").values()
        if price["active"]
        and price["recurring"] is not None
        and price["recurring"]["interval"] in {"month", "year"}
        and price["currency"] == subscription["currency"]
        and price["id"] != present["id"]
        and (price["id"] in allowed or not allowed)
    ]
    return sorted(options, key=lambda price: (price["recurring"]["interval"], price["unit_amount"]))


def switch_price(opened: OpenPortal, *, subscription_id: str, price_id: str) -> None:
    """Change to an offered price; anything else is ignored, as the page offers nothing else."""
    subscription = opened.own_subscription(subscription_id)
    if subscription is None:
        return
    price = next((one for one in switch_options(opened, subscription) if one["id"] == price_id), None)
    if price is None:
        return
    item: Json = subscription["items"]["data"][0]
    proration: switches.Proration = opened.feature("subscription_update")["proration_behavior"]
    switch = switches.plan_switch(
        opened.book, subscription, (Target(item, price, item["quantity"]),), proration=proration
    )
    switches.apply_switch(opened.book, subscription, switch)


def cancel_at_period_end(opened: OpenPortal, *, subscription_id: str) -> None:
    """End with the period. Flexible billing sets only cancel_at; the classic mode sets the flag as well."""
    subscription = opened.own_subscription(subscription_id)
    feature = opened.feature("subscription_cancel")
    if subscription is None or not feature["enabled"] or subscription["cancel_at"] is not None:
        return
    if feature["mode"] == "immediately":
        subscriptions.cancel(opened.book, subscription, reason="cancellation_requested")
        return
    classic = subscription["billing_mode"]["type"] == "classic"
    end = subscriptions.current_period(subscription)[1]
    subscriptions.schedule_cancel(opened.book, subscription, cancel_at=end, by_flag=classic)


def resume(opened: OpenPortal, *, subscription_id: str) -> None:
    """Lift a planned end."""
    subscription = opened.own_subscription(subscription_id)
    if subscription is not None and subscription["cancel_at"] is not None:
        subscriptions.schedule_cancel(opened.book, subscription, cancel_at=None, by_flag=False)


def overdue_invoice(book: Book, subscription: Json) -> Json | None:
    """The oldest invoice that its customer has to see to; one whose payment is under way is not."""
    for invoice in book.table("invoice").values():
        if invoice["status"] == "open" and subscriptions.subscription_id_of(invoice) == subscription["id"]:
            payment = invoices.payment_of(book, invoice)
            intent = book.get("payment_intent", payment["payment"]["payment_intent"]) if payment else None
            if intent is None or intent["status"] != "processing":
                return invoice
    return None


def pay_overdue(opened: OpenPortal, *, subscription_id: str) -> Decline | None:
    """Collect the oldest open invoice with the saved card, as a retry does; the reason if the card is declined."""
    book = opened.book
    subscription = opened.own_subscription(subscription_id)
    invoice = overdue_invoice(book, subscription) if subscription is not None else None
    if subscription is None or invoice is None:
        return None
    method = customers.saved_method(book, opened.customer, preferred=subscription["default_payment_method"])
    if method is None and invoice["amount_due"] > 0:
        return _NO_CARD
    attempt = invoices.pay(book, invoice, method)
    if invoice["status"] == "paid":
        renewals.revive(book, subscription)
    return attempt.decline if attempt is not None else None


_NO_CARD: Final = Decline("resource_missing", None, "No card is saved; add one first.")


def replace_card(opened: OpenPortal, card: Card) -> None:
    """Save another card and use it for everything from now on."""
    book, customer = opened.book, opened.customer
    method = customers.new_payment_method(book, card, billing={"email": customer["email"]})
    customers.attach(book, method, customer, make_default=True)
    for subscription in book.newest_first("subscription"):
        if subscription["customer"] == customer["id"] and subscription["status"] not in subscriptions.ENDED:
            with book.changing(subscription, "customer.subscription.updated"):
                subscription["default_payment_method"] = method["id"]
