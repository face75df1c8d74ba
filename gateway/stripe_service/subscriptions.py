"""Subscriptions as they stand at Stripe now, and the portal where customers change them."""

from collections.abc import Awaitable
from typing import Final

import stripe

from gateway.stripe_service.connection import PAGE_ENTRIES, Calls, keyed
from gateway.stripe_service.customers import is_object_id
from gateway.stripe_service.objects import PortalSession, StripeSubscription
from gateway.stripe_service.portal import find_configuration
from gateway.stripe_service.reading import read_portal_session, read_subscription

SUBSCRIPTION_PAGES_MAX: Final = 10


class SubscriptionCalls(Calls):
    """Calls about Subscriptions and portal sessions."""

    async def list_subscriptions(self, stripe_customer_id: str) -> tuple[StripeSubscription, ...]:
        """Every subscription the customer ever had, newest first: all of them or an error, never a part.

        Raises:
            ProviderRejected: Stripe does not know the customer.
            ProviderUnavailable: no clear answer, or more than a thousand subscriptions.
        """

        def fetch(after: str | None) -> Awaitable[stripe.StripeObject]:
            params: stripe.params.SubscriptionListParams = {
                "customer": stripe_customer_id,
                "status": "all",
                "limit": PAGE_ENTRIES,
            }
            if after is not None:
                params["starting_after"] = after
            return self._stripe.v1.subscriptions.list_async(params)

        return await self._stripe.entries(
            "subscriptions.list", fetch, read_subscription, pages_max=SUBSCRIPTION_PAGES_MAX
        )

    async def retrieve_subscription(self, subscription_id: str) -> StripeSubscription | None:
        """The subscription, whatever its state, or None."""
        if not is_object_id(subscription_id):
            return None
        request = self._stripe.v1.subscriptions.retrieve_async(subscription_id)
        return await self._stripe.ask_if_exists("subscriptions.retrieve", request, read_subscription)

    async def create_portal_session(
        self,
        *,
        stripe_customer_id: str,
        return_url: str,
        configuration_id: str | None = None,
        idempotency_key: str,
    ) -> PortalSession:
        """A way into the portal for one click; without a configuration the account's default one is used.

        Raises:
            ProviderRejected: the customer is gone, or the account has no default configuration.
        """
        params: stripe.params.billing_portal.SessionCreateParams = {
            "customer": stripe_customer_id,
            "return_url": return_url,
        }
        if configuration_id is not None:
            params["configuration"] = configuration_id
        request = self._stripe.v1.billing_portal.sessions.create_async(params, keyed(idempotency_key))
        return await self._stripe.ask("billing_portal.sessions.create", request, read_portal_session)

    async def find_portal_configuration(self) -> str | None:
        """The id of the portal configuration that `gateway stripe-setup` made; None before it ran."""
        configuration = await find_configuration(self._stripe)
        return configuration.text("id") if configuration else None
