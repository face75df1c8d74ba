"""An index of what banks took, by when it was sent there: they may send it back within days."""

from models.migrations import Migration

# Worded as the statements word it.
_INDEX = "CREATE INDEX bank_payout_paid ON bank_payout (created_at) WHERE status = 'paid'"

MIGRATION = Migration(name="0018_paid_lately", postgres=(_INDEX,), sqlite=(_INDEX,))
