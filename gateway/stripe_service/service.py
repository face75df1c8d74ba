"""StripeService: every call the gateway makes, in the domain's words."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from gateway.stripe_service.accounts import AccountCalls
from gateway.stripe_service.balance import BalanceCalls
from gateway.stripe_service.bank_payouts import BankPayoutCalls
from gateway.stripe_service.charges import ChargeCalls
from gateway.stripe_service.checkouts import CheckoutCalls
from gateway.stripe_service.connection import (
    NETWORK_RETRIES,
    TIMEOUT_SECONDS,
    CallObserver,
    StripeConnection,
    nobody,
    open_connection,
)
from gateway.stripe_service.customers import CustomerCalls
from gateway.stripe_service.events import EventCalls
from gateway.stripe_service.looking import LookingCalls
from gateway.stripe_service.own_account import OwnAccountCalls
from gateway.stripe_service.prices import PriceCalls
from gateway.stripe_service.subscriptions import SubscriptionCalls
from gateway.stripe_service.transfers import TransferCalls
from gateway.stripe_service.transport import Sleep


class StripeService(
    CustomerCalls,
    CheckoutCalls,
    SubscriptionCalls,
    PriceCalls,
    EventCalls,
    ChargeCalls,
    AccountCalls,
    TransferCalls,
    BankPayoutCalls,
    BalanceCalls,
    LookingCalls,
    OwnAccountCalls,
):
    """Stripe, typed: arguments by keyword, frozen values back, ProviderRejected or ProviderUnavailable on failure.

    Every write takes the caller's idempotency key; after ProviderUnavailable the same key is used again, never a new
    one. Reads of one object give None where there is none.
    """

    @property
    def connection(self) -> StripeConnection:
        """What the set-up builds its own calls on."""
        return self._stripe

    def observed(self, observe: CallObserver) -> "StripeService":
        """The same way to Stripe for one piece of work: `observe` hears of its calls, beside whoever hears of all."""
        return StripeService(self._stripe.observed(observe))

    @property
    def livemode(self) -> bool:
        """Whether the key is a live one: events and objects of the other mode are not ours."""
        return self._stripe.livemode


@asynccontextmanager
async def open_stripe(
    *,
    api_key: str,
    api_base: str | None = None,
    timeout_seconds: float = TIMEOUT_SECONDS,
    max_network_retries: int = NETWORK_RETRIES,
    sleep: Sleep = asyncio.sleep,
    observe: CallObserver = nobody,
) -> AsyncGenerator[StripeService]:
    """A StripeService for the running event loop; its connections are its own and are closed at the end.

    `observe` hears of every call; metrics listen there.

    Raises:
        StripeSettingsError: the key or the address cannot be used.
    """
    async with open_connection(
        api_key=api_key,
        api_base=api_base,
        timeout_seconds=timeout_seconds,
        max_network_retries=max_network_retries,
        sleep=sleep,
        observe=observe,
    ) as connection:
        yield StripeService(connection)
