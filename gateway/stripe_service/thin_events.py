"""Thin events: what the second generation of Stripe's API tells of accounts; who changed, and nothing of how."""

from typing import Final

from gateway.stripe_service.fields import Fields
from gateway.stripe_service.objects import WebhookEvent
from gateway.stripe_service.reading import kept_payload

THIN_OBJECT: Final = "v2.core.event"
_ACCOUNT: Final = "v2.core.account"


def is_thin(fields: Fields) -> bool:
    return fields.values.get("object") == THIN_OBJECT


def is_about_accounts(fields: Fields) -> bool:
    """The only thin events that have no snapshot beside them here."""
    return fields.text("type").startswith(_ACCOUNT)


def read_thin_event(fields: Fields) -> WebhookEvent:
    """A thin event as a pointer like any other: `account` is the connected account it is about, if it names one."""
    related = fields.maybe_child("related_object")
    related_type = related.text("type") if related else None
    account = related.text("id") if related and related_type == _ACCOUNT else fields.maybe_text("context")
    return WebhookEvent(
        event_id=fields.text("id"),
        type=fields.text("type"),
        object_id=related.text("id") if related else None,
        object_type=related_type,
        account=account,
        created_at=fields.instant("created"),
        api_version=None,
        livemode=fields.flag("livemode"),
        payload=kept_payload(fields.values),
    )
