"""One signed line of an entry: what it did to one account."""

from tortoise import fields
from tortoise.models import Model


class Posting(Model):
    """Read only. `seq` numbers the postings of a cached account 1, 2, 3, … in the order they were applied to it.

    `seq` and `balance_after_micros` are null together, for derived accounts.
    """

    id = fields.UUIDField(primary_key=True)
    entry_id = fields.UUIDField()
    account_id = fields.UUIDField()
    amount_micros: int = fields.BigIntField()
    seq = fields.BigIntField(null=True)
    balance_after_micros = fields.BigIntField(null=True)

    class Meta(Model.Meta):
        table = "posting"
        unique_together = (("entry_id", "account_id"), ("account_id", "seq"))
