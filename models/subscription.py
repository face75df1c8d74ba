"""Our row about one Stripe Subscription."""

from datetime import datetime

from tortoise import fields
from tortoise.models import Model


class Subscription(Model):
    """A mirror for support and mapping. The plan is decided from Stripe; from here comes what Stripe does not know."""

    id = fields.CharField(max_length=255, primary_key=True)
    customer_id = fields.UUIDField()
    status = fields.CharField(max_length=32)
    price_id = fields.CharField(max_length=255, null=True)
    #: Of the last price that the catalogue knew; it says what tier the subscription gave.
    lookup_key = fields.CharField(max_length=200, null=True)
    current_period_end = fields.DatetimeField(null=True)
    cancels_at = fields.DatetimeField(null=True)
    #: When it was first seen past due; empty in every other state.
    past_due_since: datetime | None = fields.DatetimeField(null=True)
    ended_at = fields.DatetimeField(null=True)
    created_at = fields.DatetimeField()
    synced_at = fields.DatetimeField()

    class Meta(Model.Meta):
        table = "subscription"
