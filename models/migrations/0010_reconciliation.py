"""A mirror of Stripe's balance lines, how far each day was read and compared, and the differences that were found."""

from models.migrations import Migration

# Stripe never changes a line; what is mirrored follows Stripe all the same. `subject` is what of ours the line is
# about, and `pull` the reading of its day that saw it last (0: seen by itself).
_LINE_COLUMNS = """
    id {text} NOT NULL PRIMARY KEY,
    type {text} NOT NULL,
    source_id {text},
    transfer_id {text},
    subject {text} NOT NULL,
    amount_cents {bigint} NOT NULL,
    fee_cents {bigint} NOT NULL,
    currency {text} NOT NULL,
    created_at {time} NOT NULL,
    available_at {time} NOT NULL,
    pull {bigint} NOT NULL
"""

# `pulling` with the `cursor` to go on after is a reading that is under way or was cut off.
_DAY_COLUMNS = """
    day {text} NOT NULL PRIMARY KEY CHECK (length(day) = 10),
    pull {bigint} NOT NULL DEFAULT 0,
    pulling {boolean} NOT NULL DEFAULT {false},
    cursor {text},
    due_at {time},
    reconciled_at {time},
    CHECK (pulling OR cursor IS NULL)
"""

# `accepted_at`: a person has looked at it and lives with it, as long as it says the same.
_DIFFERENCE_COLUMNS = """
    subject {text} NOT NULL PRIMARY KEY,
    kind {text} NOT NULL CHECK (
        kind IN ('missing_here', 'missing_there', 'amount', 'timing', 'unknown_type', 'account')),
    day {text} NOT NULL,
    sentence {text} NOT NULL,
    action {text} NOT NULL,
    ours_micros {bigint} NOT NULL,
    theirs_micros {bigint} NOT NULL,
    first_seen_at {time} NOT NULL,
    last_seen_at {time} NOT NULL,
    resolved_at {time},
    accepted_at {time}
"""

# The kinds of entries that move `stripe`; none is as frequent as a call, so calls pay nothing for these indexes.
_MONEY_KINDS = (
    "'deposit', 'refund', 'dispute', 'dispute_reversal', 'payout_confirmed', 'payout_returned', 'stripe_fee', "
    "'subscription', 'bank_transfer', 'adjustment'"
)

_INDEXES = (
    "CREATE INDEX balance_transaction_by_time ON balance_transaction (created_at, id)",
    "CREATE INDEX balance_transaction_by_subject ON balance_transaction (subject)",
    """CREATE INDEX reconciliation_difference_open ON reconciliation_difference (kind)
       WHERE resolved_at IS NULL AND accepted_at IS NULL""",
    f"CREATE INDEX ledger_entry_money_by_time ON ledger_entry (created_at, id) WHERE kind IN ({_MONEY_KINDS})",
    f"CREATE INDEX ledger_entry_money_by_ref ON ledger_entry (ref) WHERE kind IN ({_MONEY_KINDS})",
    "CREATE INDEX payout_by_transfer_time ON payout (transferred_at) WHERE transferred_at IS NOT NULL",
)

_POSTGRES_TYPES = {"text": "text", "bigint": "bigint", "time": "timestamptz", "boolean": "boolean", "false": "false"}
_SQLITE_TYPES = {"text": "TEXT", "bigint": "INTEGER", "time": "TEXT", "boolean": "INTEGER", "false": "0"}

_TABLES = {
    "balance_transaction": _LINE_COLUMNS,
    "reconciliation_day": _DAY_COLUMNS,
    "reconciliation_difference": _DIFFERENCE_COLUMNS,
}


def _statements(types: dict[str, str], *, suffix: str) -> tuple[str, ...]:
    tables = tuple(f"CREATE TABLE {name} ({columns.format(**types)}){suffix}" for name, columns in _TABLES.items())
    return (*tables, *_INDEXES)


MIGRATION = Migration(
    name="0010_reconciliation",
    postgres=_statements(_POSTGRES_TYPES, suffix=""),
    sqlite=_statements(_SQLITE_TYPES, suffix=" STRICT"),
)
