"""Thin events: who changed, not what it is now."""

from typing import Final

from gateway.sandbox.engine.account_face_v2 import iso
from gateway.sandbox.engine.book import Book
from gateway.sandbox.refusals import Json

OBJECT: Final = "v2.core.event"
#: The types the local Stripe makes.
TYPES: Final = frozenset(
    {
        "v2.core.account.closed",
        "v2.core.account.created",
        "v2.core.account.updated",
        "v2.core.account[configuration.recipient].capability_status_updated",
        "v2.core.account[configuration.recipient].updated",
        "v2.core.account[identity].updated",
        "v2.core.account[requirements].updated",
    }
)


def emit(platform: Book, type: str, record: Json, *, details: Json | None = None) -> Json:
    """Record a thin event about an account and hand it to the endpoints that want such.

    `details` are its `data`, which a receiver sees only when it retrieves the event.
    """
    assert type in TYPES, type
    origin = platform.around.origin
    event: Json = {
        "id": platform.new_id("evt"),
        "object": OBJECT,
        "created": iso(platform.now),
        "livemode": platform.livemode,
        "reason": None,
        "related_object": {"id": record["id"], "type": "v2.core.account", "url": f"/v2/core/accounts/{record['id']}"},
        "type": type,
    }
    if origin is not None:
        request = {"id": origin.request_id, "idempotency_key": origin.idempotency_key or ""}
        event["reason"] = {"type": "request", "request": request}
    if details is not None:
        event["data"] = details
    platform.add(event)
    platform.around.publish_thin(platform, event)
    return event


def notification(event: Json) -> Json:
    """What goes to an endpoint: the event without its details."""
    return {name: value for name, value in event.items() if name not in {"data", "changes"}}


def tell_changes(platform: Book, record: Json, before: Json, after: Json) -> None:
    """The thin events that lead from one face of an account to the other."""
    former, present = _capabilities(before), _capabilities(after)
    for name in sorted(former.keys() | present.keys()):
        if former.get(name) != present.get(name):
            emit(
                platform,
                "v2.core.account[configuration.recipient].capability_status_updated",
                record,
                details={"updated_capability": f"stripe_balance.{name}"},
            )
    for part, told in _PARTS.items():
        if before[part] != after[part]:
            emit(platform, told, record)
    if any(before[name] != after[name] for name in ("contact_email", "contact_phone", "display_name", "metadata")):
        emit(platform, "v2.core.account.updated", record)


_PARTS: Final = {
    "identity": "v2.core.account[identity].updated",
    "requirements": "v2.core.account[requirements].updated",
}


def _capabilities(face: Json) -> dict[str, str]:
    found: Json = face["configuration"]["recipient"]["capabilities"]["stripe_balance"]
    return {name: one["status"] for name, one in found.items() if one is not None}
