"""One payout: what a creator is sent, from the reservation of the money to its arrival."""

from tortoise import fields
from tortoise.models import Model


class Payout(Model):
    """Amount, currency and destination are frozen when the money is reserved; `state` is a PayoutState.

    `input_digest` is of what was asked for, `period` names the scheduled run it belongs to. `attempts` counts the
    rows of payout_attempt. `returned_cents` is what of its transfer was reversed later. `silences` counts the times in
    a row that Stripe gave no clear answer to a look.
    """

    id = fields.UUIDField(primary_key=True)
    creator_id = fields.UUIDField()
    connected_account_id = fields.UUIDField()
    destination = fields.CharField(max_length=255)
    amount_cents: int = fields.BigIntField()
    currency = fields.CharField(max_length=3)
    state = fields.CharField(max_length=16)
    manual = fields.BooleanField()
    period = fields.CharField(max_length=32, null=True)
    client_key = fields.CharField(max_length=255, null=True)
    input_digest = fields.CharField(max_length=64)
    attempts = fields.IntField(default=0)
    waits_for = fields.CharField(max_length=16, null=True)
    due_at = fields.DatetimeField(null=True)
    silences = fields.IntField(default=0)
    account_awaited_since = fields.DatetimeField(null=True)
    funds_awaited_since = fields.DatetimeField(null=True)
    transfer_id = fields.CharField(max_length=255, unique=True, null=True)
    destination_payment_id = fields.CharField(max_length=255, unique=True, null=True)
    returned_cents: int = fields.BigIntField(default=0)
    bank_payout_id = fields.CharField(max_length=255, null=True)
    arrival_at = fields.DatetimeField(null=True)
    failure_code = fields.CharField(max_length=100, null=True)
    failure_message: str | None = fields.TextField(null=True)
    requested_at = fields.DatetimeField()
    transferred_at = fields.DatetimeField(null=True)
    ended_at = fields.DatetimeField(null=True)

    class Meta(Model.Meta):
        table = "payout"
