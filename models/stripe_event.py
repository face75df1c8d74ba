"""One stored webhook event: the inbox between Stripe and the worker."""

from enum import StrEnum

from tortoise import fields
from tortoise.models import Model


class EventState(StrEnum):
    """new -> doing -> done | ignored, back to new after a failure, `dead` after too many."""

    NEW = "new"
    DOING = "doing"
    DONE = "done"
    IGNORED = "ignored"
    DEAD = "dead"


class StripeEvent(Model):
    """An event as it arrived. The payload is a pointer and evidence, never the truth about money or plans."""

    id = fields.CharField(max_length=255, primary_key=True)
    type = fields.CharField(max_length=255)
    object_id = fields.CharField(max_length=255, null=True)
    account = fields.CharField(max_length=255, null=True)
    api_version = fields.CharField(max_length=64, null=True)
    livemode = fields.BooleanField()
    payload = fields.TextField()
    state = fields.CharField(max_length=16)
    attempts = fields.IntField()
    refusals = fields.IntField(default=0)
    deliveries = fields.IntField()
    due_at = fields.DatetimeField()
    lease_until = fields.DatetimeField(null=True)
    token: int = fields.BigIntField()
    lost = fields.IntField(default=0)
    error: str | None = fields.TextField(null=True)
    occurred_at = fields.DatetimeField()
    received_at = fields.DatetimeField()
    done_at = fields.DatetimeField(null=True)

    class Meta(Model.Meta):
        table = "stripe_event"
