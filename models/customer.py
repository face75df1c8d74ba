"""The party billed: one row per JWT subject."""

from tortoise import fields
from tortoise.models import Model


class Customer(Model):
    """One person who buys. `stripe_customer_id` stays empty until the first purchase begins."""

    id = fields.UUIDField(primary_key=True)
    subject = fields.CharField(max_length=255, unique=True)
    stripe_customer_id = fields.CharField(max_length=255, unique=True, null=True)
    #: Counts the Stripe Customers this row has had: a deleted one is followed by a new one, under a new key.
    stripe_generation = fields.IntField(default=0)
    #: When the present generation was first asked for; Stripe forgets idempotency keys a day later.
    stripe_requested_at = fields.DatetimeField(null=True)
    created_at = fields.DatetimeField()

    class Meta(Model.Meta):
        table = "customer"
