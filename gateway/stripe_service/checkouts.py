"""Checkout Sessions: subscriptions and deposits, made with our metadata on everything that comes of them."""

import re
from collections.abc import Awaitable
from datetime import datetime

import stripe

from gateway.domain.clock import unix
from gateway.domain.money import CURRENCY
from gateway.stripe_service.connection import PAGE_ENTRIES, Calls, keyed
from gateway.stripe_service.objects import METADATA_CHECKOUT, METADATA_CUSTOMER, CheckoutSession
from gateway.stripe_service.reading import read_session

#: From a session to when its money may be moved; Stripe follows at most four steps.
_MONEY_PATH = "payment_intent.latest_charge.balance_transaction"
#: Looking for a lost session goes through at most this many pages of a hundred.
SESSION_PAGES_MAX = 20
_SESSION_ID = re.compile(r"cs_(?:test|live)_[A-Za-z0-9]{1,240}", re.ASCII)


def is_session_id(text: str) -> bool:
    """Whether a text can be a Checkout Session's id; nothing else may reach Stripe's address."""
    return _SESSION_ID.fullmatch(text) is not None


class CheckoutCalls(Calls):
    """Calls about Checkout Sessions.

    Both kinds carry `gateway_customer` and `gateway_checkout` on the session and on what it makes, and the customer as
    `client_reference_id`. `success_url` must hold `{CHECKOUT_SESSION_ID}` literally; Stripe fills it in.
    """

    async def create_subscription_checkout(
        self,
        *,
        stripe_customer_id: str,
        price_id: str,
        customer_id: str,
        checkout_id: str,
        success_url: str,
        cancel_url: str,
        expires_at: datetime | None = None,
        idempotency_key: str,
    ) -> CheckoutSession:
        """A page where the customer takes out a subscription to one price."""
        metadata = _metadata(customer_id=customer_id, checkout_id=checkout_id)
        params: stripe.params.checkout.SessionCreateParams = {
            "mode": "subscription",
            "customer": stripe_customer_id,
            "line_items": [{"price": price_id, "quantity": 1}],
            "success_url": success_url,
            "cancel_url": cancel_url,
            "client_reference_id": customer_id,
            "metadata": metadata,
            "subscription_data": {"metadata": metadata},
        }
        return await self._create(params, expires_at=expires_at, idempotency_key=idempotency_key)

    async def create_deposit_checkout(
        self,
        *,
        stripe_customer_id: str,
        amount_cents: int,
        product_name: str,
        customer_id: str,
        checkout_id: str,
        success_url: str,
        cancel_url: str,
        expires_at: datetime | None = None,
        idempotency_key: str,
    ) -> CheckoutSession:
        """A page where the customer pays a sum in US dollars once."""
        metadata = _metadata(customer_id=customer_id, checkout_id=checkout_id)
        params: stripe.params.checkout.SessionCreateParams = {
            "mode": "payment",
            "customer": stripe_customer_id,
            "line_items": [
                {
                    "price_data": {
                        "currency": CURRENCY,
                        "unit_amount": amount_cents,
                        "product_data": {"name": product_name},
                    },
                    "quantity": 1,
                }
            ],
            "success_url": success_url,
            "cancel_url": cancel_url,
            "client_reference_id": customer_id,
            "metadata": metadata,
            "payment_intent_data": {"metadata": metadata},
        }
        return await self._create(params, expires_at=expires_at, idempotency_key=idempotency_key)

    async def retrieve_session(self, session_id: str) -> CheckoutSession | None:
        """The session with its payment's state and charge; None for an unknown id and for a text that is no id."""
        if not is_session_id(session_id):
            return None
        request = self._stripe.v1.checkout.sessions.retrieve_async(session_id, {"expand": [_MONEY_PATH]})
        return await self._stripe.ask_if_exists("checkout.sessions.retrieve", request, read_session)

    async def find_sessions(
        self, *, stripe_customer_id: str, checkout_id: str, created_after: datetime
    ) -> list[CheckoutSession]:
        """The sessions made for a checkout row of ours, newest first: what a lost answer may have left behind.

        Raises:
            ProviderRejected: Stripe has no such customer (any more).
            ProviderUnavailable: no clear answer, or too many sessions to be sure.
        """

        def fetch(after: str | None) -> Awaitable[stripe.StripeObject]:
            params: stripe.params.checkout.SessionListParams = {
                "customer": stripe_customer_id,
                "created": {"gte": unix(created_after)},
                "limit": PAGE_ENTRIES,
            }
            if after is not None:
                params["starting_after"] = after
            return self._stripe.v1.checkout.sessions.list_async(params)

        found = await self._stripe.entries("checkout.sessions.list", fetch, read_session, pages_max=SESSION_PAGES_MAX)
        return [session for session in found if session.checkout_id == checkout_id]

    async def expire_session(self, *, session_id: str, idempotency_key: str) -> CheckoutSession:
        """Close an open session.

        Raises:
            ProviderRejected: it is not open (any more).
        """
        assert is_session_id(session_id), "only ids of our own rows are expired"
        request = self._stripe.v1.checkout.sessions.expire_async(session_id, {}, keyed(idempotency_key))
        return await self._stripe.ask("checkout.sessions.expire", request, read_session)

    async def _create(
        self,
        params: stripe.params.checkout.SessionCreateParams,
        *,
        expires_at: datetime | None,
        idempotency_key: str,
    ) -> CheckoutSession:
        if expires_at is not None:
            params["expires_at"] = unix(expires_at)
        request = self._stripe.v1.checkout.sessions.create_async(params, keyed(idempotency_key))
        return await self._stripe.ask("checkout.sessions.create", request, read_session)


def _metadata(*, customer_id: str, checkout_id: str) -> dict[str, str]:
    return {METADATA_CUSTOMER: customer_id, METADATA_CHECKOUT: checkout_id}
