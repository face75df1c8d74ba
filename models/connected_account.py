"""A creator's account at Stripe, as Stripe last showed it."""

from tortoise import fields
from tortoise.models import Model


class ConnectedAccount(Model):
    """One open row a creator, written before Stripe is asked for the account; a closed one stays as history.

    What Stripe says is written only by the sync whose ticket is the highest (see docs/payouts.md).
    """

    id = fields.UUIDField(primary_key=True)
    creator_id = fields.UUIDField()
    api = fields.CharField(max_length=2)
    country = fields.CharField(max_length=2)
    stripe_key = fields.CharField(max_length=255, unique=True)
    #: When the account was first asked for under this key; Stripe forgets keys after a while.
    asked_at = fields.DatetimeField()
    stripe_account_id = fields.CharField(max_length=255, unique=True, null=True)
    status = fields.CharField(max_length=16)
    transfers_active = fields.BooleanField(default=False)
    bank_payouts_active = fields.BooleanField(default=False)
    #: What the creator is asked for: a JSON list of Stripe's names for it.
    requirements: str = fields.TextField(default="[]")
    disabled_reason = fields.CharField(max_length=255, null=True)
    ticket: int = fields.BigIntField(default=0)
    applied_ticket: int = fields.BigIntField(default=0)
    sync_due_at = fields.DatetimeField(null=True)
    synced_at = fields.DatetimeField(null=True)
    created_at = fields.DatetimeField()
    closed_at = fields.DatetimeField(null=True)

    class Meta(Model.Meta):
        table = "connected_account"
