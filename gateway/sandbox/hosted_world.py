"""The hosted pages' view of the state: what a checkout or portal page shows, and what its buttons do."""

from typing import Any, Literal

from gateway.sandbox.engine import checkout, customers, payments, portal_moves
from gateway.sandbox.engine.book import Book
from gateway.sandbox.engine.cards import CardRefused, read_card
from gateway.sandbox.engine.portal_moves import OpenPortal
from gateway.sandbox.engine.subscriptions import ENDED
from gateway.sandbox.engine.world import World
from gateway.sandbox.hosted import (
    CheckoutView,
    PayOutcome,
    PortalInvoice,
    PortalSubscription,
    PortalView,
    PriceLine,
    SwitchOption,
)
from gateway.sandbox.refusals import Json


class HostedPages:
    """Implements `HostedWorld`. Every call first lets happen what has fallen due, as time passes without requests."""

    def __init__(self, world: World) -> None:
        self._world = world

    def checkout_view(self, session_id: str) -> CheckoutView | None:
        self._world.run_due()
        found = self._session(session_id)
        if found is None:
            return None
        book, session = found
        return CheckoutView(
            session_id=session_id,
            mode=session["mode"],
            status=session["status"],
            payment_status=session["payment_status"],
            business_name=book.settings.business_name,
            lines=tuple(_price_line(line) for line in book.behind.session_lines[session_id]),
            total_cents=session["amount_total"],
            currency=session["currency"],
            customer_email=_email(book, session),
            success_url=checkout.success_url(session),
            cancel_url=session["cancel_url"],
            expires_at=session["expires_at"],
        )

    def _session(self, session_id: str) -> tuple[Book, Json] | None:
        book = self._world.book_with("checkout.session", session_id)
        return (book, book.get("checkout.session", session_id)) if book is not None else None

    def pay(self, session_id: str, *, card_number: str, email: str | None) -> PayOutcome:
        self._world.run_due()
        found = self._session(session_id)
        if found is None:
            return PayOutcome(None, "resource_missing", "This checkout page does not exist.")
        book, session = found
        if session["status"] == "expired":
            return PayOutcome(None, "session_expired", "This checkout page has expired; nothing was charged.")
        if session["status"] != "open":
            return PayOutcome(redirect_url=checkout.success_url(session))
        try:
            card = read_card(card_number)
        except CardRefused as refused:
            return PayOutcome(None, refused.decline.code, refused.decline.message)
        decline = checkout.pay(book, session, card, email=email).decline
        if decline is not None:
            return PayOutcome(None, decline.decline_code or decline.code, decline.message)
        return PayOutcome(redirect_url=checkout.success_url(session))

    def portal_view(self, session_id: str) -> PortalView | None:
        opened = self._portal(session_id)
        if opened is None:
            return None
        book, customer = opened.book, opened.customer
        method = customers.saved_method(book, customer)
        for subscription in _living(book, customer):
            method = method or customers.saved_method(book, customer, preferred=subscription["default_payment_method"])
        return PortalView(
            session_id=session_id,
            business_name=book.settings.business_name,
            customer_label=customer["email"] or customer["name"] or customer["id"],
            return_url=opened.session["return_url"],
            card_last4=book.behind.cards[method["id"]].last4 if method else None,
            subscriptions=tuple(_portal_subscription(opened, one) for one in _living(book, customer)),
            invoices=tuple(
                PortalInvoice(
                    number=invoice["number"],
                    created=invoice["created"],
                    total_cents=invoice["total"],
                    status=invoice["status"],
                )
                for invoice in book.newest_first("invoice")
                if invoice["customer"] == customer["id"] and invoice["number"] is not None
            ),
        )

    def _portal(self, session_id: str) -> OpenPortal | None:
        self._world.run_due()
        book = self._world.book_with("billing_portal.session", session_id)
        return portal_moves.open_portal(book, session_id) if book is not None else None

    def switch_price(self, session_id: str, *, subscription_id: str, price_id: str) -> None:
        opened = self._portal(session_id)
        if opened is not None:
            portal_moves.switch_price(opened, subscription_id=subscription_id, price_id=price_id)

    def cancel_at_period_end(self, session_id: str, *, subscription_id: str) -> None:
        opened = self._portal(session_id)
        if opened is not None:
            portal_moves.cancel_at_period_end(opened, subscription_id=subscription_id)

    def resume(self, session_id: str, *, subscription_id: str) -> None:
        opened = self._portal(session_id)
        if opened is not None:
            portal_moves.resume(opened, subscription_id=subscription_id)

    def pay_overdue(self, session_id: str, *, subscription_id: str) -> PayOutcome:
        opened = self._portal(session_id)
        if opened is None:
            return PayOutcome(None, "resource_missing", "This portal page does not exist any more.")
        decline = portal_moves.pay_overdue(opened, subscription_id=subscription_id)
        return PayOutcome(None, decline.decline_code or decline.code, decline.message) if decline else PayOutcome(None)

    def replace_card(self, session_id: str, *, card_number: str) -> PayOutcome:
        opened = self._portal(session_id)
        if opened is None:
            return PayOutcome(None, "resource_missing", "This portal page does not exist any more.")
        try:
            card = read_card(card_number)
        except CardRefused as refused:
            return PayOutcome(None, refused.decline.code, refused.decline.message)
        decline = payments.decline_of(card, owner_present=True)
        if decline is not None:
            return PayOutcome(None, decline.decline_code or decline.code, decline.message)
        if card.conduct in payments.DELAYED:
            return PayOutcome(None, "card_not_supported", "This card cannot be saved for later payments.")
        portal_moves.replace_card(opened, card)
        return PayOutcome(redirect_url=None)


def _price_line(line: Json) -> PriceLine:
    recurring: Json | None = line["price"]["recurring"]
    return PriceLine(
        description=line["description"],
        amount_cents=line["amount_total"],
        interval=_interval(recurring["interval"]) if recurring else None,
    )


def _interval(text: str) -> Literal["month", "year"]:
    """The pages know months and years; shorter rhythms are shown as months."""
    return "year" if text == "year" else "month"


def _email(book: Book, session: Json) -> str | None:
    customer: Json = book.find("customer", session["customer"]) or {}
    shown: Any = session["customer_email"] or customer.get("email")
    return shown


def _living(book: Book, customer: Json) -> list[Json]:
    return [
        one
        for one in book.newest_first("subscription")
        if one["customer"] == customer["id"] and one["status"] not in ENDED
    ]


def _portal_subscription(opened: OpenPortal, subscription: Json) -> PortalSubscription:
    item: Json = subscription["items"]["data"][0]
    price: Json = item["price"]
    owed = portal_moves.overdue_invoice(opened.book, subscription)
    return PortalSubscription(
        subscription_id=subscription["id"],
        product_name=opened.book.get("product", price["product"])["name"],
        status=subscription["status"],
        amount_cents=price["unit_amount"] * item["quantity"],
        interval=_interval(price["recurring"]["interval"]),
        current_period_end=item["current_period_end"],
        cancel_at=subscription["cancel_at"],
        owed_cents=owed["amount_due"] if owed is not None else None,
        switch_options=tuple(
            SwitchOption(
                price_id=option["id"],
                label=opened.book.get("product", option["product"])["name"],
                amount_cents=option["unit_amount"],
                interval=_interval(option["recurring"]["interval"]),
            )
            for option in portal_moves.switch_options(opened, subscription)
        ),
    )
