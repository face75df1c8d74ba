"""The only place that speaks to Stripe: typed calls in, frozen values out, failures in the domain's words."""

from gateway.stripe_service.checkouts import is_session_id
from gateway.stripe_service.connection import API_VERSION, StripeSettingsError
from gateway.stripe_service.events import ACCOUNT_EVENTS, EVENT_TYPES_MAX, EventPage
from gateway.stripe_service.looking import ChargeLook, SessionLook
from gateway.stripe_service.objects import (
    METADATA_CHECKOUT,
    METADATA_CUSTOMER,
    CheckoutSession,
    PortalSession,
    StripeCharge,
    StripeCustomer,
    StripeCustomerRef,
    StripeDispute,
    StripePrice,
    StripeSubscription,
    SubscriptionItem,
    WebhookEvent,
)
from gateway.stripe_service.prices import PriceBook, PricesNotReady
from gateway.stripe_service.service import StripeService, open_stripe
from gateway.stripe_service.setup import SetupReport, set_up_stripe
from gateway.stripe_service.webhooks import WebhookRefusal, WebhookRefused, checked_secrets, parse_event

__all__ = [
    "ACCOUNT_EVENTS",
    "API_VERSION",
    "EVENT_TYPES_MAX",
    "METADATA_CHECKOUT",
    "METADATA_CUSTOMER",
    "ChargeLook",
    "CheckoutSession",
    "EventPage",
    "PortalSession",
    "PriceBook",
    "PricesNotReady",
    "SessionLook",
    "SetupReport",
    "StripeCharge",
    "StripeCustomer",
    "StripeCustomerRef",
    "StripeDispute",
    "StripePrice",
    "StripeService",
    "StripeSettingsError",
    "StripeSubscription",
    "SubscriptionItem",
    "WebhookEvent",
    "WebhookRefusal",
    "WebhookRefused",
    "checked_secrets",
    "is_session_id",
    "open_stripe",
    "parse_event",
    "set_up_stripe",
]
