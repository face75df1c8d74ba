"""One event that moved money: named, balanced, sealed, never changed."""

from tortoise import fields
from tortoise.models import Model


class LedgerEntry(Model):
    """Read only. `idem` is the name under which the event can happen once; `digest` tells what was asked under it."""

    id = fields.UUIDField(primary_key=True)
    idem = fields.CharField(max_length=200, unique=True)
    digest = fields.CharField(max_length=64)
    kind = fields.CharField(max_length=24)
    ref = fields.CharField(max_length=255, null=True)
    reverses = fields.UUIDField(unique=True, null=True)
    sealed = fields.BooleanField()
    description = fields.CharField(max_length=255)
    created_at = fields.DatetimeField()

    class Meta(Model.Meta):
        table = "ledger_entry"
