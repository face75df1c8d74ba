"""What a scheduled run came to, once a creator and period."""

from tortoise import fields
from tortoise.models import Model


class PayoutRun(Model):
    """A payout, or the code of the first reason why there was none."""

    creator_id = fields.UUIDField(primary_key=True)  # with `period`; Tortoise knows keys of one column only
    period = fields.CharField(max_length=32)
    payout_id = fields.UUIDField(null=True)
    blocker = fields.CharField(max_length=64, null=True)
    created_at = fields.DatetimeField()

    class Meta(Model.Meta):
        table = "payout_run"
