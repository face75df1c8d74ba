"""What Stripe tells us, as frozen values: nothing of the SDK leaves this package in another form."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

#: Metadata keys on every object we make at Stripe: the JWT's `sub`, and the id of our checkout row.
METADATA_CUSTOMER = "gateway_customer"
METADATA_CHECKOUT = "gateway_checkout"
#: Metadata on our Prices: the lookup key they were made for, which stays when the lookup key moves to a newer Price.
METADATA_PRICE = "gateway_price"


@dataclass(frozen=True, slots=True)
class StripeCustomer:
    """A Stripe Customer; of a deleted one only the id is left."""

    stripe_customer_id: str
    deleted: bool
    email: str | None
    created_at: datetime | None
    livemode: bool | None
    metadata: Mapping[str, str]

    @property
    def customer_id(self) -> str | None:
        """Whom we made it for: the JWT's `sub`."""
        return self.metadata.get(METADATA_CUSTOMER)


@dataclass(frozen=True, slots=True)
class StripeCustomerRef:
    """Whose an object is: the Stripe Customer's id, and the object's own metadata to find our rows by."""

    stripe_customer_id: str
    metadata: Mapping[str, str]

    @property
    def customer_id(self) -> str | None:
        return self.metadata.get(METADATA_CUSTOMER)


@dataclass(frozen=True, slots=True)
class CheckoutSession:
    """A Checkout Session.

    `mode` is payment, subscription or setup; `status` open, complete or expired; `payment_status` paid, unpaid or
    no_payment_required. `complete` with `unpaid` is a payment still on its way, not a failed one. `url` is there only
    while the session is open. `payment_intent_status`, `charge_id` and `funds_available_at` (when Stripe lets us
    move the money) are known only where the session was fetched with `retrieve_session`.
    """

    session_id: str
    url: str | None
    mode: str
    status: str | None
    payment_status: str
    amount_total_cents: int | None
    currency: str | None
    stripe_customer_id: str | None
    client_reference_id: str | None
    metadata: Mapping[str, str]
    subscription_id: str | None
    payment_intent_id: str | None
    payment_intent_status: str | None
    charge_id: str | None
    funds_available_at: datetime | None
    livemode: bool
    created_at: datetime
    expires_at: datetime

    @property
    def customer_id(self) -> str | None:
        """Whom we made it for: the JWT's `sub`."""
        return self.metadata.get(METADATA_CUSTOMER)

    @property
    def checkout_id(self) -> str | None:
        """The id of our checkout row."""
        return self.metadata.get(METADATA_CHECKOUT)

    @property
    def is_paid(self) -> bool:
        """Money or its promise is there: what was bought may be handed over."""
        return self.status == "complete" and self.payment_status in {"paid", "no_payment_required"}


@dataclass(frozen=True, slots=True)
class StripeCharge:
    """A payment by one card or account. `amount_refunded_cents` is cumulative and falls when a refund fails later."""

    charge_id: str
    payment_intent_id: str | None
    amount_cents: int
    amount_refunded_cents: int
    currency: str
    livemode: bool


@dataclass(frozen=True, slots=True)
class StripeDispute:
    """A payment contested at the bank. `withdrawn_cents` is what the bank holds of our money now, without fees.

    It is a sum over what Stripe moved, in cents of `moved_currencies`; Stripe settles in the currency of our balance.
    `status` is in Stripe's words: needs_response, under_review, won, lost, warning_*, prevented, appeal_*.
    """

    dispute_id: str
    charge_id: str | None
    payment_intent_id: str | None
    status: str
    amount_cents: int
    withdrawn_cents: int
    currency: str
    livemode: bool
    moved_currencies: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class StripePrice:
    """A Price. `interval` is day, week, month, year, or None for a one-off; `product_active` None = not asked."""

    price_id: str
    lookup_key: str | None
    active: bool
    currency: str
    unit_amount_cents: int | None
    interval: str | None
    interval_count: int | None
    usage_type: str | None
    product_id: str
    product_active: bool | None
    metadata: Mapping[str, str]

    @property
    def plan_key(self) -> str | None:
        """The catalogue's lookup key, also of an old Price whose lookup key has moved to a newer one."""
        return self.lookup_key or self.metadata.get(METADATA_PRICE)


@dataclass(frozen=True, slots=True)
class SubscriptionItem:
    """One line of a Subscription; the period is the item's (a Subscription itself has none any more)."""

    item_id: str
    price: StripePrice
    quantity: int | None
    period_start_at: datetime
    period_end_at: datetime

    @property
    def price_id(self) -> str:
        return self.price.price_id

    @property
    def lookup_key(self) -> str | None:
        return self.price.lookup_key

    @property
    def interval(self) -> str | None:
        return self.price.interval

    @property
    def unit_amount_cents(self) -> int | None:
        return self.price.unit_amount_cents


@dataclass(frozen=True, slots=True)
class StripeSubscription:
    """A Subscription; `status` is in Stripe's words: trialing, active, past_due, unpaid and so on."""

    subscription_id: str
    stripe_customer_id: str
    status: str
    items: tuple[SubscriptionItem, ...]
    cancel_at: datetime | None
    cancel_at_period_end: bool
    canceled_at: datetime | None
    ended_at: datetime | None
    created_at: datetime
    trial_end_at: datetime | None
    collection_paused: bool
    latest_invoice_id: str | None
    livemode: bool
    metadata: Mapping[str, str]

    @property
    def customer_id(self) -> str | None:
        """Whom we made it for: the JWT's `sub`."""
        return self.metadata.get(METADATA_CUSTOMER)

    @property
    def current_period_end_at(self) -> datetime | None:
        """The latest end of a paid period among the items."""
        return max((item.period_end_at for item in self.items), default=None)

    @property
    def cancels_at(self) -> datetime | None:
        """When it ends if nothing is done: Stripe sets a date, or only the flag, or both."""
        if self.cancel_at is not None:
            return self.cancel_at
        return self.current_period_end_at if self.cancel_at_period_end else None


@dataclass(frozen=True, slots=True)
class PortalSession:
    """A short-lived way into Stripe's customer portal: made per click, never stored or logged."""

    portal_session_id: str
    url: str


@dataclass(frozen=True, slots=True)
class WebhookEvent:
    """One snapshot event, delivered or listed; a pointer (`object_type`, `object_id`, `account`) more than a source.

    `payload` is the event as compact JSON with sorted keys, without what is personal in it. `object_id` is None for the
    few objects without one.
    """

    event_id: str
    type: str
    object_id: str | None
    object_type: str | None
    account: str | None
    created_at: datetime
    api_version: str | None
    livemode: bool
    payload: str
