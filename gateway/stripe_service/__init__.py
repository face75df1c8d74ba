"""The only place that speaks to Stripe: typed calls in, frozen values out, failures in the domain's words."""

from gateway.stripe_service.account_reading import METADATA_ACCOUNT, AccountLink, StripeAccount
from gateway.stripe_service.accounts import LinkUse
from gateway.stripe_service.balance import BalancePage, StripeBalanceLine
from gateway.stripe_service.bank_payouts import BankPayoutContents, StripeBankPayout
from gateway.stripe_service.checkouts import is_session_id
from gateway.stripe_service.connection import API_VERSION, StripeSettingsError
from gateway.stripe_service.events import (
    ACCOUNT_EVENTS,
    BANK_PAYOUT_EVENTS,
    CONNECT_ACCOUNT_EVENTS,
    CONNECT_EVENTS,
    EVENT_TYPES_MAX,
    THIN_EVENTS,
    EventPage,
)
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
from gateway.stripe_service.transfers import METADATA_PAYOUT, StripeTransfer, StripeTransferReversal
from gateway.stripe_service.webhooks import WebhookRefusal, WebhookRefused, checked_secrets, parse_event

__all__ = [
    "ACCOUNT_EVENTS",
    "API_VERSION",
    "BANK_PAYOUT_EVENTS",
    "CONNECT_ACCOUNT_EVENTS",
    "CONNECT_EVENTS",
    "EVENT_TYPES_MAX",
    "METADATA_ACCOUNT",
    "METADATA_CHECKOUT",
    "METADATA_CUSTOMER",
    "METADATA_PAYOUT",
    "THIN_EVENTS",
    "AccountLink",
    "BalancePage",
    "BankPayoutContents",
    "ChargeLook",
    "CheckoutSession",
    "EventPage",
    "LinkUse",
    "PortalSession",
    "PriceBook",
    "PricesNotReady",
    "SessionLook",
    "SetupReport",
    "StripeAccount",
    "StripeBalanceLine",
    "StripeBankPayout",
    "StripeCharge",
    "StripeCustomer",
    "StripeCustomerRef",
    "StripeDispute",
    "StripePrice",
    "StripeService",
    "StripeSettingsError",
    "StripeSubscription",
    "StripeTransfer",
    "StripeTransferReversal",
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
