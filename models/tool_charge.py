"""One paid call of a tool, with the price and the share of its moment."""

from tortoise import fields
from tortoise.models import Model


class ToolCharge(Model):
    """Its id is its ledger entry's. Amounts are micro-dollars; fee + net is gross.

    `lost_micros` of the gross is lost in disputes, `charge_loss` has in which; `lost_net_micros` of that the creator
    gave up. `dispute_id` is the open dispute that holds the rest.
    """

    id = fields.UUIDField(primary_key=True)
    consumer_id = fields.UUIDField()
    call_id = fields.CharField(max_length=128)
    tool_id = fields.CharField(max_length=100)
    creator_id = fields.UUIDField()
    gross_micros: int = fields.BigIntField()
    fee_micros: int = fields.BigIntField()
    net_micros: int = fields.BigIntField()
    fee_bps = fields.IntField()
    wallet_after_micros: int = fields.BigIntField()
    state = fields.CharField(max_length=16)
    available_at = fields.DatetimeField()
    lost_micros: int = fields.BigIntField(default=0)
    lost_net_micros: int = fields.BigIntField(default=0)
    dispute_id = fields.CharField(max_length=255, null=True)
    reversal_reason: str | None = fields.TextField(null=True)
    reversed_by: str | None = fields.TextField(null=True)
    created_at = fields.DatetimeField()

    class Meta(Model.Meta):
        table = "tool_charge"
