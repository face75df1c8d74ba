"""Events and who hears of them: /v1/events, /v1/webhook_endpoints."""

from collections.abc import Iterable
from typing import Final

from gateway.sandbox.catalogue import API_VERSIONS
from gateway.sandbox.engine import endpoints
from gateway.sandbox.refusals import Json, parameter_invalid
from gateway.sandbox.wire.operation import Call, Operation, listing, matches, operation

TYPES_MAX: Final = 20


def _events(call: Call) -> Iterable[Json]:
    types: list[str] | None = call.params.get("types")
    if types is not None and "type" in call.params:
        raise parameter_invalid("You may only specify one of these parameters: type, types.", param="types")
    if types is not None and len(types) > TYPES_MAX:
        raise parameter_invalid(f"You can filter by at most {TYPES_MAX} types.", param="types")
    patterns = types if types is not None else [call.params["type"]] if "type" in call.params else None
    delivered: bool | None = call.params.get("delivery_success")
    for event in call.book.newest_first("event"):
        if not matches(event, call.params, "created"):
            continue
        if patterns is not None and not any(_is_of(event["type"], pattern) for pattern in patterns):
            continue
        if delivered is None or delivered == (event["pending_webhooks"] == 0):
            yield event


def _is_of(type: str, pattern: str) -> bool:
    """A pattern may end in `.*`."""
    return type.startswith(pattern[:-1]) if pattern.endswith("*") else type == pattern


def _create(call: Call) -> Json:
    endpoint = endpoints.new_endpoint(call.book, call.params)
    return {**endpoint, "secret": call.book.behind.endpoint_secrets[endpoint["id"]][0]}


def _update(call: Call) -> Json:
    return endpoints.change_endpoint(call.book, call.book.at_path("webhook_endpoint", call.id), call.params)


def _delete(call: Call) -> Json:
    endpoints.remove_endpoint(call.book, call.book.at_path("webhook_endpoint", call.id))
    return {"id": call.id, "object": "webhook_endpoint", "deleted": True}


_VERSIONS: Final = " ".join(sorted(API_VERSIONS))

OPERATIONS: Final[tuple[Operation, ...]] = (
    operation("GET", "/v1/events/{id}", "event", "", lambda call: call.book.at_path("event", call.id)),
    listing("/v1/events", "event", "created:range delivery_success:b type:s types:[s]", _events),
    operation(
        "POST",
        "/v1/webhook_endpoints",
        "webhook_endpoint",
        f"url!:s enabled_events!:[s] api_version:({_VERSIONS}) connect:b description:s|'' metadata:map|''",
        _create,
    ),
    operation(
        "GET",
        "/v1/webhook_endpoints/{id}",
        "webhook_endpoint",
        "",
        lambda call: call.book.at_path("webhook_endpoint", call.id),
    ),
    operation(
        "POST",
        "/v1/webhook_endpoints/{id}",
        "webhook_endpoint",
        "url:s enabled_events:[s] disabled:b description:s|'' metadata:map|''",
        _update,
    ),
    operation("DELETE", "/v1/webhook_endpoints/{id}", "webhook_endpoint", "", _delete),
    listing(
        "/v1/webhook_endpoints",
        "webhook_endpoint",
        "",
        lambda call: call.book.newest_first("webhook_endpoint"),
    ),
)
