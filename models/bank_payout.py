"""One payout of Stripe's from a connected account to its bank, as Stripe last showed it."""

from tortoise import fields
from tortoise.models import Model


class BankPayout(Model):
    """What carries our transfers on their last stretch; `amount_minor` is in the bank's `currency`.

    Written only by the look whose ticket is the highest (see docs/payouts.md).
    """

    id = fields.CharField(max_length=255, primary_key=True)
    connected_account_id = fields.UUIDField()
    status = fields.CharField(max_length=32)
    amount_minor: int = fields.BigIntField()
    currency = fields.CharField(max_length=3)
    arrival_at = fields.DatetimeField(null=True)
    failure_code = fields.CharField(max_length=255, null=True)
    failure_message = fields.TextField(null=True)
    applied_ticket: int = fields.BigIntField()
    synced_at = fields.DatetimeField()
    created_at = fields.DatetimeField()

    class Meta(Model.Meta):
        table = "bank_payout"
