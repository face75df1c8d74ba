"""The webhook endpoints at Stripe: our address, our events, our version, recognised by their metadata."""

from collections.abc import Awaitable
from dataclasses import dataclass, field
from typing import Any, Final

import stripe

from gateway.stripe_service.connection import API_VERSION, PAGE_ENTRIES
from gateway.stripe_service.events import ACCOUNT_EVENTS, CONNECT_EVENTS
from gateway.stripe_service.fields import Fields
from gateway.stripe_service.portal import METADATA_SETUP
from gateway.stripe_service.setup_journal import SetupOutcome, SetupRun, covers

ENDPOINT_PAGES_MAX: Final = 5


@dataclass(frozen=True, slots=True)
class EndpointKind:
    """Whose events an endpoint is for: our own account's, or those of the accounts connected to it."""

    mark: str
    what: str
    events: tuple[str, ...]
    connect: bool

    @property
    def enabled_events(self) -> list[Any]:
        """The events, in a type that the SDK's list of every event's name takes."""
        return list(self.events)


#: Stripe keeps the two apart: each has its own secret, and neither hears what the other does.
OWN: Final = EndpointKind(mark="account_endpoint", what="webhook endpoint", events=ACCOUNT_EVENTS, connect=False)
CONNECTED: Final = EndpointKind(
    mark="connect_endpoint", what="webhook endpoint for connected accounts", events=CONNECT_EVENTS, connect=True
)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """The endpoint; Stripe shows its signing secret once, in the answer that made it."""

    endpoint_id: str
    secret: str | None = field(repr=False)


async def set_up_endpoint(run: SetupRun, kind: EndpointKind, *, url: str) -> Endpoint:
    """The endpoint of a kind, made or repaired.

    An endpoint's version cannot be changed: one of another version is left to deliver (an event that comes twice is
    stored once) and a new one is made beside it.
    """
    found = await _ours(run, kind)
    current = next((e for e in found if e.maybe_text("api_version") == API_VERSION), None)
    for endpoint in found:
        if endpoint is not current:
            detail = f"version {endpoint.maybe_text('api_version')}; delete it once the new secret is in use"
            run.note(SetupOutcome.SKIPPED, f"{kind.what} {endpoint.text('id')}", detail)
    return await _create(run, kind, url=url) if current is None else await _repair(run, kind, current, url=url)


async def _create(run: SetupRun, kind: EndpointKind, *, url: str) -> Endpoint:
    params: stripe.params.WebhookEndpointCreateParams = {
        "url": url,
        "enabled_events": kind.enabled_events,
        "api_version": API_VERSION,
        "description": "Billing gateway",
        "metadata": {METADATA_SETUP: kind.mark},
        "connect": kind.connect,
    }
    request = run.connection.v1.webhook_endpoints.create_async(params, run.options("create endpoint", params))
    endpoint = await run.connection.ask("webhook_endpoints.create", request, _read_endpoint)
    run.note(SetupOutcome.CREATED, f"{kind.what} {endpoint.endpoint_id}", url)
    return endpoint


async def _repair(run: SetupRun, kind: EndpointKind, found: Fields, *, url: str) -> Endpoint:
    endpoint_id = found.text("id")
    what = f"{kind.what} {endpoint_id}"
    wanted: dict[str, object] = {"url": url, "enabled_events": kind.enabled_events, "status": "enabled"}
    if covers(found.values, wanted):
        run.note(SetupOutcome.UNCHANGED, what, url)
        return Endpoint(endpoint_id=endpoint_id, secret=None)
    params: stripe.params.WebhookEndpointUpdateParams = {
        "url": url,
        "enabled_events": kind.enabled_events,
        "disabled": False,
    }
    options = run.options(f"update {endpoint_id}", params)
    request = run.connection.v1.webhook_endpoints.update_async(endpoint_id, params, options)
    await run.connection.ask("webhook_endpoints.update", request, _read_endpoint)
    run.note(SetupOutcome.REPAIRED, what, url)
    return Endpoint(endpoint_id=endpoint_id, secret=None)


async def _ours(run: SetupRun, kind: EndpointKind) -> list[Fields]:
    def fetch(after: str | None) -> Awaitable[stripe.StripeObject]:
        params: stripe.params.WebhookEndpointListParams = {"limit": PAGE_ENTRIES}
        if after is not None:
            params["starting_after"] = after
        return run.connection.v1.webhook_endpoints.list_async(params)

    pages = run.connection.pages("webhook_endpoints.list", fetch, lambda entry: entry, pages_max=ENDPOINT_PAGES_MAX)
    return [e async for page in pages for e in page if e.metadata().get(METADATA_SETUP) == kind.mark]


def _read_endpoint(fields: Fields) -> Endpoint:
    return Endpoint(endpoint_id=fields.text("id"), secret=fields.maybe_text("secret"))
