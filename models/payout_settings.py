"""How often a creator is paid by itself."""

from tortoise import fields
from tortoise.models import Model


class PayoutSettings(Model):
    """`frequency` is a PayoutFrequency; `next_run_at` is None for MANUAL. Without a row it is MANUAL."""

    creator_id = fields.UUIDField(primary_key=True)
    frequency = fields.CharField(max_length=16)
    next_run_at = fields.DatetimeField(null=True)
    updated_at = fields.DatetimeField()

    class Meta(Model.Meta):
        table = "payout_settings"
