"""A bucket of the ledger and, where it is kept, its balance."""

from tortoise import fields
from tortoise.models import Model


class LedgerAccount(Model):
    """One account; `code` is `<kind>:<owner id>`, or the bare kind for the platform's own.

    Read only: the rows are made by gateway.services.ledger, and `balance_micros` and `version` move only where a
    posting says so (the database refuses anything else). A cached account counts its postings in `version`; a derived
    one (`cached` false) keeps neither, its balance is the sum of its postings.
    """

    id = fields.UUIDField(primary_key=True)
    code = fields.CharField(max_length=64, unique=True)
    kind = fields.CharField(max_length=24)
    owner_id = fields.UUIDField(null=True)
    floor_at_zero = fields.BooleanField()
    cached = fields.BooleanField()
    balance_micros: int = fields.BigIntField()
    version: int = fields.BigIntField()
    currency = fields.CharField(max_length=3)
    created_at = fields.DatetimeField()

    class Meta(Model.Meta):
        table = "ledger_account"
