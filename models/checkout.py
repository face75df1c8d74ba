"""Our row about one Stripe Checkout Session, written before Stripe is called."""

from datetime import UTC, datetime
from enum import StrEnum

from tortoise import fields
from tortoise.models import Model


class CheckoutMode(StrEnum):
    """What the session sells."""

    SUBSCRIPTION = "subscription"
    DEPOSIT = "deposit"


class CheckoutState(StrEnum):
    """creating -> open -> (pending ->) settled | failed | expired; `refused` when Stripe would not make the session."""

    CREATING = "creating"
    OPEN = "open"
    PENDING = "pending"
    SETTLED = "settled"
    FAILED = "failed"
    EXPIRED = "expired"
    REFUSED = "refused"


#: States in which money may still arrive.
UNSETTLED_STATES = (CheckoutState.CREATING, CheckoutState.OPEN, CheckoutState.PENDING)

#: A purchase for which no look was planned is due for one.
_AT_ONCE = datetime(1970, 1, 1, tzinfo=UTC)


class Checkout(Model):
    """What was asked for, and how it ended. Amounts are whole cents; everything Stripe was told is frozen here."""

    id = fields.UUIDField(primary_key=True)
    customer_id = fields.UUIDField()
    mode = fields.CharField(max_length=16)
    state = fields.CharField(max_length=16)
    tier = fields.CharField(max_length=16, null=True)
    interval = fields.CharField(max_length=16, null=True)
    price_id = fields.CharField(max_length=255, null=True)
    amount_cents: int = fields.BigIntField()
    currency = fields.CharField(max_length=3)
    success_url = fields.TextField()
    cancel_url = fields.TextField()
    stripe_customer_id = fields.CharField(max_length=255)
    client_key = fields.CharField(max_length=255, null=True)
    input_digest = fields.CharField(max_length=64)
    stripe_key = fields.CharField(max_length=255, unique=True)
    asked_at = fields.DatetimeField()
    session_id = fields.CharField(max_length=255, unique=True, null=True)
    session_url: str | None = fields.TextField(null=True)
    subscription_id = fields.CharField(max_length=255, null=True)
    payment_intent_id = fields.CharField(max_length=255, null=True)
    refusal: str | None = fields.TextField(null=True)
    expires_at = fields.DatetimeField(null=True)
    refunded_cents: int = fields.BigIntField(default=0)
    refund_version = fields.IntField(default=0)
    refund_charge_id = fields.CharField(max_length=255, null=True)
    settled_at = fields.DatetimeField(null=True)
    look_at = fields.DatetimeField(default=_AT_ONCE)
    looks = fields.IntField(default=0)
    silences = fields.IntField(default=0)
    #: When a deposit's money may be moved; assumed as long as `clearing_look_at` plans to ask.
    clears_at = fields.DatetimeField(null=True)
    clearing_look_at = fields.DatetimeField(null=True)
    clearing_looks = fields.IntField(default=0)
    created_at = fields.DatetimeField()

    class Meta(Model.Meta):
        table = "checkout"
