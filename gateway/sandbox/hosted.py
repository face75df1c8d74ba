"""What the hosted pages see of the local Stripe, and what a person may do there."""

from dataclasses import dataclass
from typing import Literal, Protocol


@dataclass(frozen=True, slots=True)
class PriceLine:
    """One line a person pays for; amounts are whole cents, `interval` is month, year or None for a one-off."""

    description: str
    amount_cents: int
    interval: Literal["month", "year"] | None


@dataclass(frozen=True, slots=True)
class CheckoutView:
    """A Checkout Session as its page shows it; both URLs are ready to send a browser to."""

    session_id: str
    mode: Literal["payment", "subscription"]
    status: Literal["open", "complete", "expired"]
    payment_status: Literal["paid", "unpaid", "no_payment_required"]
    business_name: str
    lines: tuple[PriceLine, ...]
    total_cents: int
    currency: str
    customer_email: str | None
    success_url: str
    cancel_url: str | None
    expires_at: int


@dataclass(frozen=True, slots=True)
class PayOutcome:
    """What paying came to: a place to go to, or the reason the card was declined (the session stays open)."""

    redirect_url: str | None
    decline_code: str | None = None
    message: str | None = None


@dataclass(frozen=True, slots=True)
class SwitchOption:
    """A price the portal offers instead of the present one."""

    price_id: str
    label: str
    amount_cents: int
    interval: Literal["month", "year"]


@dataclass(frozen=True, slots=True)
class PortalSubscription:
    """The subscription a portal session is about."""

    subscription_id: str
    product_name: str
    status: str
    amount_cents: int
    interval: Literal["month", "year"]
    current_period_end: int
    cancel_at: int | None
    owed_cents: int | None
    """What its oldest open invoice asks for; None when nothing is to be paid now."""
    switch_options: tuple[SwitchOption, ...]


@dataclass(frozen=True, slots=True)
class PortalInvoice:
    """One row of the invoice history."""

    number: str
    created: int
    total_cents: int
    status: str


@dataclass(frozen=True, slots=True)
class PortalView:
    """A portal session as its page shows it."""

    session_id: str
    business_name: str
    customer_label: str
    return_url: str
    card_last4: str | None
    subscriptions: tuple[PortalSubscription, ...]
    invoices: tuple[PortalInvoice, ...]


class HostedWorld(Protocol):
    """The part of the local Stripe behind its pages. An unknown or expired portal session gives None."""

    def checkout_view(self, session_id: str) -> CheckoutView | None: ...

    def pay(self, session_id: str, *, card_number: str, email: str | None) -> PayOutcome:
        """Pay an open session; a session that is no longer open answers with its success URL and does nothing."""
        ...

    def portal_view(self, session_id: str) -> PortalView | None: ...

    def switch_price(self, session_id: str, *, subscription_id: str, price_id: str) -> None: ...

    def cancel_at_period_end(self, session_id: str, *, subscription_id: str) -> None: ...

    def resume(self, session_id: str, *, subscription_id: str) -> None: ...

    def pay_overdue(self, session_id: str, *, subscription_id: str) -> PayOutcome:
        """Pay the oldest open invoice with the saved card; redirect_url is None when it worked."""
        ...

    def replace_card(self, session_id: str, *, card_number: str) -> PayOutcome:
        """Save another card; a declined number gives its reason. redirect_url is None when it worked."""
        ...
