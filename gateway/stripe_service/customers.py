"""Stripe Customers: made once per JWT subject, found again when the answer to making one was lost."""

import re
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Final

import stripe

from gateway.domain.clock import unix
from gateway.stripe_service.connection import PAGE_ENTRIES, Calls, keyed
from gateway.stripe_service.objects import METADATA_CUSTOMER, StripeCustomer, StripeCustomerRef
from gateway.stripe_service.reading import read_customer, read_customer_ref, read_dispute_customer_ref

#: Looking for a lost customer goes through at most this many pages of a hundred.
CUSTOMER_PAGES_MAX: Final = 50

_OBJECT_ID = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,254}", re.ASCII)


def is_object_id(text: str) -> bool:
    """Whether a text can be an id of Stripe's; the SDK would turn an empty one into a listing."""
    return _OBJECT_ID.fullmatch(text) is not None


class CustomerCalls(Calls):
    """Calls about Customers, and about whose an object is."""

    async def create_customer(
        self, *, customer_id: str, email: str | None = None, idempotency_key: str
    ) -> StripeCustomer:
        """A new Stripe Customer for the JWT subject `customer_id`, which is kept in its metadata."""
        params: stripe.params.CustomerCreateParams = {"metadata": {METADATA_CUSTOMER: customer_id}}
        if email is not None:
            params["email"] = email
        request = self._stripe.v1.customers.create_async(params, keyed(idempotency_key))
        return await self._stripe.ask("customers.create", request, read_customer)

    async def retrieve_customer(self, stripe_customer_id: str) -> StripeCustomer | None:
        """The customer, or None; one that was deleted comes back with `deleted` set."""
        if not is_object_id(stripe_customer_id):
            return None
        request = self._stripe.v1.customers.retrieve_async(stripe_customer_id)
        return await self._stripe.ask_if_exists("customers.retrieve", request, read_customer)

    async def find_customer(
        self, *, created_after: datetime, customer_id: str, created_before: datetime | None = None
    ) -> StripeCustomer | None:
        """The newest customer made for a JWT subject in a span of time: what a lost answer may have left behind.

        Raises:
            ProviderUnavailable: too many customers were made since then to be sure there is none.
        """
        span: stripe.params.CustomerListParamsCreated = {"gte": unix(created_after)}
        if created_before is not None:
            span["lte"] = unix(created_before)

        def fetch(after: str | None) -> Awaitable[stripe.StripeObject]:
            params: stripe.params.CustomerListParams = {"created": span, "limit": PAGE_ENTRIES}
            if after is not None:
                params["starting_after"] = after
            return self._stripe.v1.customers.list_async(params)

        async for page in self._stripe.pages("customers.list", fetch, read_customer, pages_max=CUSTOMER_PAGES_MAX):
            for customer in page:
                if customer.customer_id == customer_id and not customer.deleted:
                    return customer
        return None

    async def customer_of(self, *, object_type: str, object_id: str) -> StripeCustomerRef | None:
        """Whose an object is, asked anew; None for an unknown object, one of nobody, or a type that is not known here.

        Types: customer, subscription, invoice, checkout.session, charge, payment_intent, dispute.
        """
        request = self._request_of(object_type, object_id) if is_object_id(object_id) else None
        if request is None:
            return None
        call = f"{object_type}.customer"
        if object_type == "customer":
            customer = await self._stripe.ask_if_exists(call, request(), read_customer)
            return StripeCustomerRef(customer.stripe_customer_id, customer.metadata) if customer else None
        read = read_dispute_customer_ref if object_type == "dispute" else read_customer_ref
        return await self._stripe.ask_if_exists(call, request(), read)

    def _request_of(self, object_type: str, object_id: str) -> Callable[[], Awaitable[stripe.StripeObject]] | None:
        v1 = self._stripe.v1
        requests: dict[str, Callable[[], Awaitable[stripe.StripeObject]]] = {
            "customer": lambda: v1.customers.retrieve_async(object_id),
            "subscription": lambda: v1.subscriptions.retrieve_async(object_id),
            "invoice": lambda: v1.invoices.retrieve_async(object_id),
            "checkout.session": lambda: v1.checkout.sessions.retrieve_async(object_id),
            "charge": lambda: v1.charges.retrieve_async(object_id),
            "payment_intent": lambda: v1.payment_intents.retrieve_async(object_id),
            "dispute": lambda: v1.disputes.retrieve_async(object_id, {"expand": ["charge"]}),
        }
        return requests.get(object_type)
