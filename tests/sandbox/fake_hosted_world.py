"""A hand-written world behind the pages: a few sessions in dictionaries, and a note of every change asked for."""

from dataclasses import dataclass, field, replace
from typing import Literal

from gateway.sandbox.hosted import (
    CheckoutView,
    PayOutcome,
    PortalInvoice,
    PortalSubscription,
    PortalView,
    PriceLine,
    SwitchOption,
)

SUCCESS_URL = "https://app.example.com/billing?session_id=cs_open&tab=plan"
CANCEL_URL = "https://app.example.com/billing?canceled=1"
RETURN_URL = "https://app.example.com/billing"
DECLINED_CARD = "4000000000000002"
NOVEMBER_22 = 1_795_374_600  # 22 November 2026, 19:10 UTC
DECEMBER_22 = 1_797_966_600
MONTHLY = SwitchOption("price_pro_monthly", "Pro, billed monthly", 2900, "month")
YEARLY = SwitchOption("price_pro_yearly", "Pro, billed yearly", 26100, "year")
BUSINESS = SwitchOption("price_business_monthly", "Business, billed monthly", 9900, "month")


def checkout(session_id: str, status: Literal["open", "complete", "expired"] = "open") -> CheckoutView:
    return CheckoutView(
        session_id=session_id,
        mode="subscription",
        status=status,
        payment_status="paid" if status == "complete" else "unpaid",
        business_name="Aerostack",
        lines=(PriceLine("Pro plan", 2900, "month"),),
        total_cents=2900,
        currency="usd",
        customer_email=None,
        success_url=SUCCESS_URL,
        cancel_url=CANCEL_URL,
        expires_at=NOVEMBER_22,
    )


def subscription(subscription_id: str = "sub_1") -> PortalSubscription:
    return PortalSubscription(
        subscription_id=subscription_id,
        product_name="Pro",
        status="active",
        amount_cents=2900,
        interval="month",
        current_period_end=DECEMBER_22,
        cancel_at=None,
        owed_cents=None,
        switch_options=(YEARLY, BUSINESS),
    )


def portal(session_id: str, *subscriptions: PortalSubscription) -> PortalView:
    return PortalView(
        session_id=session_id,
        business_name="Aerostack",
        customer_label="ada@example.com",
        return_url=RETURN_URL,
        card_last4="4242",
        subscriptions=subscriptions or (subscription(),),
        invoices=(
            PortalInvoice("AERO-0002", NOVEMBER_22, 2900, "paid"),
            PortalInvoice("AERO-0001", NOVEMBER_22 - 30 * 86_400, 123_456, "open"),
        ),
    )


@dataclass
class FakeHostedWorld:
    """Holds views by session id. Cards are accepted, save the declined one."""

    checkouts: dict[str, CheckoutView] = field(default_factory=dict[str, CheckoutView])
    portals: dict[str, PortalView] = field(default_factory=dict[str, PortalView])
    asked: list[tuple[str, ...]] = field(default_factory=list[tuple[str, ...]])

    def add(self, view: CheckoutView | PortalView) -> None:
        if isinstance(view, CheckoutView):
            self.checkouts[view.session_id] = view
        else:
            self.portals[view.session_id] = view

    def checkout_view(self, session_id: str) -> CheckoutView | None:
        return self.checkouts.get(session_id)

    def pay(self, session_id: str, *, card_number: str, email: str | None) -> PayOutcome:
        self.asked.append(("pay", session_id, card_number, email or "no e-mail"))
        if card_number == DECLINED_CARD:
            return PayOutcome(None, decline_code="generic_decline", message="Your card was declined.")
        view = self.checkouts[session_id]
        self.checkouts[session_id] = replace(view, status="complete", payment_status="paid")
        return PayOutcome(view.success_url)

    def portal_view(self, session_id: str) -> PortalView | None:
        return self.portals.get(session_id)

    def switch_price(self, session_id: str, *, subscription_id: str, price_id: str) -> None:
        self.asked.append(("switch", subscription_id, price_id))
        chosen = next(option for option in (MONTHLY, YEARLY, BUSINESS) if option.price_id == price_id)
        others = tuple(option for option in (MONTHLY, YEARLY, BUSINESS) if option != chosen)
        self._replace(
            session_id,
            subscription_id,
            amount_cents=chosen.amount_cents,
            interval=chosen.interval,
            switch_options=others,
        )

    def cancel_at_period_end(self, session_id: str, *, subscription_id: str) -> None:
        self.asked.append(("cancel", subscription_id))
        self._replace(session_id, subscription_id, cancel_at=DECEMBER_22)

    def resume(self, session_id: str, *, subscription_id: str) -> None:
        self.asked.append(("resume", subscription_id))
        self._replace(session_id, subscription_id, cancel_at=None)

    def pay_overdue(self, session_id: str, *, subscription_id: str) -> PayOutcome:
        self.asked.append(("pay_overdue", subscription_id))
        if self.portals[session_id].card_last4 == DECLINED_CARD[-4:]:
            return PayOutcome(None, decline_code="generic_decline", message="Your card was declined.")
        self._replace(session_id, subscription_id, status="active", owed_cents=None)
        return PayOutcome(None)

    def replace_card(self, session_id: str, *, card_number: str) -> PayOutcome:
        self.asked.append(("card", card_number))
        if card_number == DECLINED_CARD:
            return PayOutcome(None, decline_code="generic_decline", message="Your card was declined.")
        self.portals[session_id] = replace(self.portals[session_id], card_last4=card_number[-4:])
        return PayOutcome(None)

    def _replace(self, session_id: str, subscription_id: str, **changes: object) -> None:
        view = self.portals[session_id]
        changed = tuple(
            replace(one, **changes) if one.subscription_id == subscription_id else one for one in view.subscriptions
        )
        self.portals[session_id] = replace(view, subscriptions=changed)
