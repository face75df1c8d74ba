"""What a customer holds, as last reduced from all of its Stripe Subscriptions."""

from tortoise import fields
from tortoise.models import Model


class Plan(Model):
    """One row per customer; written only by the sync whose ticket is the highest (see docs/webhooks.md)."""

    customer_id = fields.UUIDField(primary_key=True)
    tier = fields.CharField(max_length=16)
    interval = fields.CharField(max_length=16, null=True)
    status = fields.CharField(max_length=16)
    price_cents: int = fields.BigIntField()
    subscription_id = fields.CharField(max_length=255, null=True)
    current_period_end = fields.DatetimeField(null=True)
    cancels_at = fields.DatetimeField(null=True)
    past_due_since = fields.DatetimeField(null=True)
    grace_ends_at = fields.DatetimeField(null=True)
    ticket: int = fields.BigIntField()
    applied_ticket: int = fields.BigIntField()
    synced_at = fields.DatetimeField(null=True)
    sync_due_at = fields.DatetimeField(null=True)
    silences = fields.IntField(default=0)

    class Meta(Model.Meta):
        table = "plan"
