"""Webhook endpoints: where events go, and which."""

from typing import Final

from gateway.sandbox.catalogue import EVENT_TYPES, EVERY_EVENT
from gateway.sandbox.engine import thin_events
from gateway.sandbox.engine.blanks import merged_metadata, or_none
from gateway.sandbox.engine.book import Book
from gateway.sandbox.engine.opening import check_url
from gateway.sandbox.refusals import Json, parameter_invalid, state_conflict

ENDPOINTS_MAX: Final = 16


def new_endpoint(book: Book, params: Json, *, secret: str | None = None) -> Json:
    """An endpoint that hears of events from now on; its secret is known at its creation only."""
    check_url(params["url"], param="url")
    _check_types(params["enabled_events"], known=thin_events.TYPES if params.get("thin") else EVENT_TYPES)
    if len(book.table("webhook_endpoint")) >= ENDPOINTS_MAX:
        raise state_conflict(f"You have reached the maximum of {ENDPOINTS_MAX} test webhook endpoints.")
    endpoint: Json = {
        **book.stamp("we", "webhook_endpoint"),
        "api_version": params.get("api_version"),
        "application": None,
        "description": or_none(params.get("description")),
        "enabled_events": params["enabled_events"],
        "metadata": merged_metadata({}, params.get("metadata", {})),
        "status": "enabled",
        "url": params["url"],
    }
    if params.get("connect"):
        book.behind.connect_endpoints.add(endpoint["id"])
    if params.get("thin"):
        book.behind.thin_endpoints.add(endpoint["id"])
    book.behind.endpoint_secrets[endpoint["id"]] = [secret or f"whsec_{book.around.ids.letters(32)}"]
    return book.add(endpoint)


def change_endpoint(book: Book, endpoint: Json, params: Json) -> Json:
    if "url" in params:
        check_url(params["url"], param="url")
    if "enabled_events" in params:
        thin = endpoint["id"] in book.behind.thin_endpoints
        _check_types(params["enabled_events"], known=thin_events.TYPES if thin else EVENT_TYPES)
    for name in ("url", "enabled_events"):
        if name in params:
            endpoint[name] = params[name]
    if "description" in params:
        endpoint["description"] = or_none(params["description"])
    if "disabled" in params:
        endpoint["status"] = "disabled" if params["disabled"] else "enabled"
    if "metadata" in params:
        endpoint["metadata"] = merged_metadata(endpoint["metadata"], params["metadata"])
    return endpoint


def remove_endpoint(book: Book, endpoint: Json) -> None:
    """Nothing goes there any more, not even what waits for another try."""
    del book.table("webhook_endpoint")[endpoint["id"]]
    book.behind.endpoint_secrets.pop(endpoint["id"], None)
    book.behind.connect_endpoints.discard(endpoint["id"])
    book.behind.thin_endpoints.discard(endpoint["id"])


def _check_types(types: list[str], *, known: frozenset[str]) -> None:
    if not types:
        raise parameter_invalid("You must subscribe to at least one event.", param="enabled_events")
    for index, name in enumerate(types):
        if name not in known and name != EVERY_EVENT:
            raise parameter_invalid(f"Invalid enabled_events[{index}]: {name}", param=f"enabled_events[{index}]")


def hears(book: Book, endpoint: Json, event: Json) -> bool:
    """Whether an endpoint is told of an event: enabled, subscribed, of its style, and on its side of Connect."""
    thin = event["object"] == thin_events.OBJECT
    if endpoint["status"] != "enabled" or (endpoint["id"] in book.behind.thin_endpoints) != thin:
        return False
    if not thin and (endpoint["id"] in book.behind.connect_endpoints) != ("account" in event):
        return False
    return EVERY_EVENT in endpoint["enabled_events"] or event["type"] in endpoint["enabled_events"]
