"""One try to have Stripe make the transfer of a payout, under one idempotency key."""

from enum import StrEnum

from tortoise import fields
from tortoise.models import Model


class AttemptState(StrEnum):
    """sending <-> unknown -> made | refused | lapsed; only after one of the last two comes another attempt.

    `lapsed`: Stripe has forgotten the key, and has no transfer to show for it.
    """

    SENDING = "sending"
    UNKNOWN = "unknown"
    MADE = "made"
    REFUSED = "refused"
    LAPSED = "lapsed"


class PayoutAttempt(Model):
    """Committed before Stripe is asked, so that whoever goes on knows that it may have been."""

    payout_id = fields.UUIDField(primary_key=True)  # with `number`; Tortoise knows keys of one column only
    number = fields.IntField()
    stripe_key = fields.CharField(max_length=255, unique=True)
    state = fields.CharField(max_length=16)
    first_sent_at = fields.DatetimeField()
    last_sent_at = fields.DatetimeField()
    sends = fields.IntField()
    missing_since = fields.DatetimeField(null=True)
    transfer_id = fields.CharField(max_length=255, unique=True, null=True)
    refusal_code = fields.CharField(max_length=100, null=True)
    refusal_message: str | None = fields.TextField(null=True)
    ended_at = fields.DatetimeField(null=True)

    class Meta(Model.Meta):
        table = "payout_attempt"
