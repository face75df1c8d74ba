"""The events we live by, and listing them: what a webhook should have brought and did not."""

from collections.abc import AsyncIterator, Awaitable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import stripe

from gateway.domain.clock import unix
from gateway.stripe_service.connection import PAGE_ENTRIES, Calls
from gateway.stripe_service.fields import Fields
from gateway.stripe_service.objects import WebhookEvent
from gateway.stripe_service.reading import read_event

#: What the account's webhook endpoint is subscribed to.
ACCOUNT_EVENTS: Final = (
    "checkout.session.completed",
    "checkout.session.async_payment_succeeded",
    "checkout.session.async_payment_failed",
    "checkout.session.expired",
    "customer.deleted",
    "customer.subscription.created",
    "customer.subscription.updated",
    "customer.subscription.deleted",
    "customer.subscription.paused",
    "customer.subscription.resumed",
    "invoice.paid",
    "invoice.payment_succeeded",
    "invoice.payment_failed",
    "charge.updated",
    "charge.refunded",
    "refund.created",
    "refund.updated",
    "refund.failed",
    "charge.dispute.created",
    "charge.dispute.updated",
    "charge.dispute.closed",
    "charge.dispute.funds_withdrawn",
    "charge.dispute.funds_reinstated",
    "transfer.created",
    "transfer.updated",
    "transfer.reversed",
    "balance.available",
)

#: What connected accounts tell of themselves.
CONNECT_ACCOUNT_EVENTS: Final = ("account.updated", "account.application.deauthorized", "capability.updated")

#: What they tell of money on its way to their banks.
BANK_PAYOUT_EVENTS: Final = ("payout.created", "payout.updated", "payout.paid", "payout.failed", "payout.canceled")

#: What the endpoint for connected accounts is subscribed to; each of these events names its account.
CONNECT_EVENTS: Final = (*CONNECT_ACCOUNT_EVENTS, *BANK_PAYOUT_EVENTS)

#: What the second generation of the API tells of accounts, in thin events alone.
THIN_EVENTS: Final = (
    "v2.core.account.closed",
    "v2.core.account.updated",
    "v2.core.account[configuration.recipient].capability_status_updated",
    "v2.core.account[configuration.recipient].updated",
    "v2.core.account[identity].updated",
    "v2.core.account[requirements].updated",
)

#: Stripe takes at most this many types in one listing.
EVENT_TYPES_MAX: Final = 20
EVENT_PAGES_MAX: Final = 1_000


@dataclass(frozen=True, slots=True)
class EventPage:
    """Some events, newest first; `next_after` is where the next page begins, None behind the last one."""

    events: tuple[WebhookEvent, ...]
    next_after: str | None


class EventCalls(Calls):
    """Calls about events."""

    async def event_page(self, *, since: datetime, types: Sequence[str], after: str | None) -> EventPage:
        """One page of the events since a moment, that included; at most twenty types.

        Raises:
            ProviderRejected: Stripe knows no event `after` any more.
            ProviderUnavailable: no clear answer.
        """
        assert len(types) <= EVENT_TYPES_MAX, "Stripe takes no more types at once"
        params: stripe.params.EventListParams = {
            "created": {"gte": unix(since)},
            "types": list(types),
            "limit": PAGE_ENTRIES,
        }
        if after is not None:
            params["starting_after"] = after
        return await self._stripe.ask("events.list", self._stripe.v1.events.list_async(params), _read_event_page)

    async def list_events(
        self,
        *,
        since: datetime,
        until: datetime | None = None,
        types: Sequence[str] = ACCOUNT_EVENTS,
        undelivered_only: bool = False,
    ) -> AsyncIterator[WebhookEvent]:
        """The events of a span of time (Stripe keeps thirty days), newest first for each twenty types.

        Raises:
            ProviderUnavailable: no clear answer, or more than a hundred thousand events.
        """
        created: stripe.params.EventListParamsCreated = {"gte": unix(since)}
        if until is not None:
            created["lte"] = unix(until)
        for start in range(0, len(types), EVENT_TYPES_MAX):
            chosen = list(types[start : start + EVENT_TYPES_MAX])

            def fetch(after: str | None, chosen: list[str] = chosen) -> Awaitable[stripe.StripeObject]:
                params: stripe.params.EventListParams = {"created": created, "types": chosen, "limit": PAGE_ENTRIES}
                if undelivered_only:
                    params["delivery_success"] = False
                if after is not None:
                    params["starting_after"] = after
                return self._stripe.v1.events.list_async(params)

            async for page in self._stripe.pages("events.list", fetch, read_event, pages_max=EVENT_PAGES_MAX):
                for event in page:
                    yield event


def _read_event_page(fields: Fields) -> EventPage:
    events = tuple(read_event(entry) for entry in fields.children())
    return EventPage(events, events[-1].event_id if events and fields.flag("has_more") else None)
