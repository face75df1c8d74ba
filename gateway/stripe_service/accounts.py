"""Connected accounts and the links to Stripe's pages about them: one interface over both generations of the API.

v2 (`/v2/core/accounts`) is what Stripe gives new platforms; v1 (`/v1/accounts` with controller properties) is for
platforms that had it before. Either way the account is an Express one: Stripe collects what it must know, shows the
creator a dashboard, and pays what arrives there on to the bank; the platform pays Stripe's fees and bears losses.
"""

from collections.abc import Awaitable
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final, Protocol

import stripe
from stripe.params.v2 import core as v2_params

from gateway.domain.clock import unix
from gateway.domain.connecting import AccountsApi
from gateway.domain.errors import ProviderMisconfigured, ProviderRejected
from gateway.stripe_service.account_reading import (
    METADATA_ACCOUNT,
    AccountLink,
    StripeAccount,
    read_account_link_v1,
    read_account_link_v2,
    read_account_v1,
    read_account_v2,
    read_login_link,
)
from gateway.stripe_service.connection import PAGE_ENTRIES, Calls, StripeConnection, keyed
from gateway.stripe_service.fields import Fields
from gateway.stripe_service.objects import METADATA_CUSTOMER

#: Looking for a lost account goes through at most this many pages of a hundred.
ACCOUNT_PAGES_MAX: Final = 50
#: Stripe's code for an account that is not connected to us (any more): a 403, like that of a wrong key.
_NOT_CONNECTED: Final = "account_invalid"


class LinkUse(StrEnum):
    """What a creator is sent to Stripe for: to hand in what is missing, or to change what is there."""

    ONBOARD = "onboard"
    UPDATE = "update"


class ConnectedAccounts(Protocol):
    """What both generations can do."""

    #: How long one key is used again; v1 repeats a stored 500 for a day. After that the account is looked for.
    key_trusted: timedelta

    async def create(
        self, *, customer_id: str, account_row_id: str, country: str, idempotency_key: str
    ) -> StripeAccount:
        """A new account for the JWT subject `customer_id` that asks to receive transfers."""
        ...

    async def retrieve(self, stripe_account_id: str) -> StripeAccount | None:
        """The account; None for one that is unknown or not connected to us (any more)."""
        ...

    async def find(
        self, *, account_row_id: str, created_after: datetime, created_before: datetime
    ) -> StripeAccount | None:
        """What a lost answer may have left behind. None is no proof on a platform of thousands of v2 accounts."""
        ...

    async def link(
        self, *, stripe_account_id: str, use: LinkUse, return_url: str, refresh_url: str, idempotency_key: str
    ) -> AccountLink:
        """A fresh way into Stripe's pages, for the creator alone."""
        ...


class AccountCalls(Calls):
    """Calls about connected accounts."""

    def accounts(self, api: AccountsApi) -> ConnectedAccounts:
        """The calls of one generation; an account stays with the one it was made with."""
        return AccountsV1(self._stripe) if api is AccountsApi.V1 else AccountsV2(self._stripe)


class AccountsV1:
    """`/v1/accounts`."""

    key_trusted = timedelta(minutes=10)

    def __init__(self, connection: StripeConnection) -> None:
        self._stripe = connection

    async def create(
        self, *, customer_id: str, account_row_id: str, country: str, idempotency_key: str
    ) -> StripeAccount:
        params: stripe.params.AccountCreateParams = {
            "country": country,
            "controller": {
                "fees": {"payer": "application"},
                "losses": {"payments": "application"},
                "requirement_collection": "stripe",
                "stripe_dashboard": {"type": "express"},
            },
            "capabilities": {"transfers": {"requested": True}},
            "metadata": {METADATA_CUSTOMER: customer_id, METADATA_ACCOUNT: account_row_id},
        }
        request = self._stripe.v1.accounts.create_async(params, keyed(idempotency_key))
        return await self._stripe.ask("accounts.create", request, read_account_v1)

    async def retrieve(self, stripe_account_id: str) -> StripeAccount | None:
        request = self._stripe.v1.accounts.retrieve_async(stripe_account_id)
        return await _shown(self._stripe.ask_if_exists("accounts.retrieve", request, read_account_v1))

    async def find(
        self, *, account_row_id: str, created_after: datetime, created_before: datetime
    ) -> StripeAccount | None:
        span: stripe.params.AccountListParamsCreated = {"gte": unix(created_after), "lte": unix(created_before)}

        def fetch(after: str | None) -> Awaitable[stripe.StripeObject]:
            params: stripe.params.AccountListParams = {"created": span, "limit": PAGE_ENTRIES}
            if after is not None:
                params["starting_after"] = after
            return self._stripe.v1.accounts.list_async(params)

        async for page in self._stripe.pages("accounts.list", fetch, read_account_v1, pages_max=ACCOUNT_PAGES_MAX):
            for account in page:
                if account.account_row_id == account_row_id:
                    return account
        return None

    async def link(
        self, *, stripe_account_id: str, use: LinkUse, return_url: str, refresh_url: str, idempotency_key: str
    ) -> AccountLink:
        """To change what is there, v1 has the Express dashboard, whose way back is the browser's own."""
        if use is LinkUse.UPDATE:
            return await _login_link(self._stripe, stripe_account_id, idempotency_key)
        params: stripe.params.AccountLinkCreateParams = {
            "account": stripe_account_id,
            "type": "account_onboarding",
            "return_url": return_url,
            "refresh_url": refresh_url,
        }
        request = self._stripe.v1.account_links.create_async(params, keyed(idempotency_key))
        return await self._stripe.ask("account_links.create", request, read_account_link_v1)


class AccountsV2:
    """`/v2/core/accounts`."""

    #: Stripe keeps a v2 key for thirty days and does a request that failed again; if it did not, nobody waits long.
    key_trusted = timedelta(hours=1)

    def __init__(self, connection: StripeConnection) -> None:
        self._stripe = connection

    async def create(
        self, *, customer_id: str, account_row_id: str, country: str, idempotency_key: str
    ) -> StripeAccount:
        params: v2_params.AccountCreateParams = {
            "dashboard": "express",
            "identity": {"country": country.lower()},  # as v2 spells its own
            "configuration": {
                "recipient": {"capabilities": {"stripe_balance": {"stripe_transfers": {"requested": True}}}}
            },
            "defaults": {"responsibilities": {"fees_collector": "application", "losses_collector": "application"}},
            "metadata": {METADATA_CUSTOMER: customer_id, METADATA_ACCOUNT: account_row_id},
            "include": ["configuration.recipient", "identity", "requirements"],
        }
        request = self._stripe.client.v2.core.accounts.create_async(params, keyed(idempotency_key))
        return await self._stripe.ask("v2.accounts.create", request, read_account_v2)

    async def retrieve(self, stripe_account_id: str) -> StripeAccount | None:
        params: v2_params.AccountRetrieveParams = {"include": ["configuration.recipient", "identity", "requirements"]}
        request = self._stripe.client.v2.core.accounts.retrieve_async(stripe_account_id, params)
        return await _shown(self._stripe.ask_if_exists("v2.accounts.retrieve", request, read_account_v2))

    async def find(
        self,
        *,
        account_row_id: str,
        created_after: datetime,
        created_before: datetime,
    ) -> StripeAccount | None:
        """v2 cannot list a span of time: the first pages are looked through, whatever their order."""
        request = self._stripe.client.v2.core.accounts.list_async({"limit": PAGE_ENTRIES})
        for _ in range(ACCOUNT_PAGES_MAX):
            accounts, next_page = await self._stripe.ask("v2.accounts.list", request, _read_page)
            found = next((account for account in accounts if account.account_row_id == account_row_id), None)
            if found is not None or next_page is None:
                return found
            request = self._page(next_page)
        return None

    async def _page(self, address: str) -> stripe.StripeObject:
        answer = await self._stripe.client.raw_request_async("get", address)
        return self._stripe.client.deserialize(answer, api_mode="V2")

    async def link(
        self, *, stripe_account_id: str, use: LinkUse, return_url: str, refresh_url: str, idempotency_key: str
    ) -> AccountLink:
        """Where Stripe's own pages for changes are not for this account, its Express dashboard is."""
        try:
            return await self._link(stripe_account_id, use, return_url, refresh_url, idempotency_key)
        except ProviderMisconfigured:
            raise
        except ProviderRejected:
            if use is not LinkUse.UPDATE:
                raise
        return await _login_link(self._stripe, stripe_account_id, f"{idempotency_key}:login")

    async def _link(
        self, stripe_account_id: str, use: LinkUse, return_url: str, refresh_url: str, idempotency_key: str
    ) -> AccountLink:
        params: v2_params.AccountLinkCreateParams = {
            "account": stripe_account_id,
            "use_case": _use_case(use, return_url=return_url, refresh_url=refresh_url),
        }
        request = self._stripe.client.v2.core.account_links.create_async(params, keyed(idempotency_key))
        return await self._stripe.ask("v2.account_links.create", request, read_account_link_v2)


def _read_page(fields: Fields) -> tuple[tuple[StripeAccount, ...], str | None]:
    return tuple(read_account_v2(entry) for entry in fields.children()), fields.maybe_text("next_page_url")


def _use_case(use: LinkUse, *, return_url: str, refresh_url: str) -> v2_params.AccountLinkCreateParamsUseCase:
    if use is LinkUse.UPDATE:
        return {
            "type": "account_update",
            "account_update": {"return_url": return_url, "refresh_url": refresh_url},
        }
    return {
        "type": "account_onboarding",
        "account_onboarding": {"return_url": return_url, "refresh_url": refresh_url},
    }


async def _login_link(connection: StripeConnection, stripe_account_id: str, idempotency_key: str) -> AccountLink:
    """A way into the Express dashboard; both generations' accounts have one."""
    request = connection.v1.accounts.login_links.create_async(stripe_account_id, {}, keyed(idempotency_key))
    return await connection.ask("login_links.create", request, read_login_link)


async def _shown(asked: Awaitable[StripeAccount | None]) -> StripeAccount | None:
    """Stripe answers 403 for an account that took our access away; only the code tells it from a wrong key."""
    try:
        return await asked
    except ProviderMisconfigured as refusal:
        if refusal.provider_code == _NOT_CONNECTED:
            return None
        raise
