"""A dispute about a deposit: what the bank took of it, and what is owed because of that."""

from enum import StrEnum

from tortoise import fields
from tortoise.models import Model


class DisputeState(StrEnum):
    """open -> won | lost."""

    OPEN = "open"
    WON = "won"
    LOST = "lost"


class DepositDispute(Model):
    """Its id is Stripe's. `withdrawn_micros` is out of our hands now; `owed_micros` of it the customer had spent.

    `looks` counts how often Stripe was asked, `version` how often that brought something new. `wallet_seq` and
    `receivable_seq` are how long the histories of the customer's accounts were when the bank last took money.
    """

    id = fields.CharField(max_length=255, primary_key=True)
    checkout_id = fields.UUIDField()
    state = fields.CharField(max_length=16)
    withdrawn_micros: int = fields.BigIntField()
    owed_micros: int = fields.BigIntField()
    version = fields.IntField(default=0)
    looks = fields.IntField(default=0)
    wallet_seq: int = fields.BigIntField(default=0)
    receivable_seq: int = fields.BigIntField(default=0)
    created_at = fields.DatetimeField()
    updated_at = fields.DatetimeField()

    class Meta(Model.Meta):
        table = "deposit_dispute"
