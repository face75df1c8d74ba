"""One reversal of a payout's transfer, as Stripe made it."""

from tortoise import fields
from tortoise.models import Model


class TransferReversal(Model):
    """Its id is Stripe's; it is booked in the transaction that writes this row."""

    id = fields.CharField(max_length=255, primary_key=True)
    payout_id = fields.UUIDField()
    amount_cents: int = fields.BigIntField()
    created_at = fields.DatetimeField()

    class Meta(Model.Meta):
        table = "transfer_reversal"
