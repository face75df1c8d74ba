"""Where Stripe sends thin events of connected accounts: an event destination, as v2 calls an endpoint."""

from typing import Final

from stripe.params.v2 import core as v2_params

from gateway.domain.errors import ProviderRejected
from gateway.stripe_service.connection import PAGE_ENTRIES
from gateway.stripe_service.events import THIN_EVENTS
from gateway.stripe_service.fields import Fields
from gateway.stripe_service.portal import METADATA_SETUP
from gateway.stripe_service.setup_journal import SetupOutcome, SetupRun, covers

DESTINATION_MARK: Final = "thin_destination"
_WHAT: Final = "event destination for thin events"
#: Events of the accounts connected to us, and not of our own.
_EVENTS_FROM: Final = "@accounts"
_URL: Final = "webhook_endpoint.url"
_SECRET: Final = "webhook_endpoint.signing_secret"  # noqa: S105 - the name of a part of the answer


async def set_up_destination(run: SetupRun, *, url: str) -> str | None:
    """The destination, made or repaired; the signing secret of a new one.

    Where Stripe does not let this key make one, the line says so and the rest of the set-up stands: it can be made by
    hand, and accounts are looked at from time to time even if no event comes.
    """
    try:
        found = await _ours(run)
        if found is None:
            return await _create(run, url=url)
        await _repair(run, found, url=url)
    except ProviderRejected as refusal:
        reason = refusal.provider_code or "no reason given"
        run.note(SetupOutcome.SKIPPED, _WHAT, f"Stripe refused: {reason}; docs/payouts.md says how to make it by hand")
    return None


async def _create(run: SetupRun, *, url: str) -> str | None:
    params: v2_params.EventDestinationCreateParams = {
        "name": "Billing gateway",
        "type": "webhook_endpoint",
        "webhook_endpoint": {"url": url},
        "event_payload": "thin",
        "enabled_events": list(THIN_EVENTS),
        "events_from": [_EVENTS_FROM],
        "metadata": {METADATA_SETUP: DESTINATION_MARK},
        "include": [_SECRET, _URL],
    }
    request = run.connection.client.v2.core.event_destinations.create_async(
        params, run.options("create destination", params)
    )
    made = await run.connection.ask("v2.event_destinations.create", request, lambda fields: fields)
    run.note(SetupOutcome.CREATED, f"{_WHAT} {made.text('id')}", url)
    return made.child("webhook_endpoint").text("signing_secret")


async def _repair(run: SetupRun, found: Fields, *, url: str) -> None:
    destination_id = found.text("id")
    what = f"{_WHAT} {destination_id}"
    destinations = run.connection.client.v2.core.event_destinations
    wanted: dict[str, object] = {"enabled_events": list(THIN_EVENTS), "webhook_endpoint": {"url": url}}
    enabled = found.text("status") == "enabled"
    if enabled and covers(found.values, wanted):
        run.note(SetupOutcome.UNCHANGED, what, url)
        return
    if not covers(found.values, wanted):
        params: v2_params.EventDestinationUpdateParams = {
            "enabled_events": list(THIN_EVENTS),
            "webhook_endpoint": {"url": url},
        }
        update = destinations.update_async(destination_id, params, run.options(f"update {destination_id}", params))
        await run.connection.ask("v2.event_destinations.update", update, _read_id)
    if not enabled:
        enable = destinations.enable_async(destination_id, {}, run.options(f"enable {destination_id}", {}))
        await run.connection.ask("v2.event_destinations.enable", enable, _read_id)
    run.note(SetupOutcome.REPAIRED, what, url)


async def _ours(run: SetupRun) -> Fields | None:
    """Stripe allows fewer destinations than one page holds."""
    params: v2_params.EventDestinationListParams = {"include": [_URL], "limit": PAGE_ENTRIES}
    request = run.connection.client.v2.core.event_destinations.list_async(params)
    found = await run.connection.ask("v2.event_destinations.list", request, lambda fields: fields.children())
    return next((one for one in found if one.metadata().get(METADATA_SETUP) == DESTINATION_MARK), None)


def _read_id(fields: Fields) -> str:
    return fields.text("id")
