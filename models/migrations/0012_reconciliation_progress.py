"""How far reconciliation and the check of the books are, so that neither ever leaves anything out."""

from models.migrations import Migration

# `next_day`: every day before it was compared, from the first on. `due_at` is the claim of the node at work.
# `balance_off_micros` is by how much the totals were off when they were last compared.
_PROGRESS_COLUMNS = """
    id {int} NOT NULL PRIMARY KEY CHECK (id = 1),
    next_day {text} NOT NULL CHECK (length(next_day) = 10),
    due_at {time},
    balance_off_micros {bigint} NOT NULL DEFAULT 0
"""

_KINDS = "'missing_here', 'missing_there', 'amount', 'timing', 'unknown_type', 'account', 'unchecked'"

# The columns of 0010, with a kind more; SQLite cannot change a check of a table that stands.
_DIFFERENCE_COLUMNS = f"""
    subject {{text}} NOT NULL PRIMARY KEY,
    kind {{text}} NOT NULL CHECK (kind IN ({_KINDS})),
    day {{text}} NOT NULL,
    sentence {{text}} NOT NULL,
    action {{text}} NOT NULL,
    ours_micros {{bigint}} NOT NULL,
    theirs_micros {{bigint}} NOT NULL,
    first_seen_at {{time}} NOT NULL,
    last_seen_at {{time}} NOT NULL,
    resolved_at {{time}},
    accepted_at {{time}}
"""

_POSTGRES_TYPES = {"text": "text", "bigint": "bigint", "int": "integer", "time": "timestamptz"}
_SQLITE_TYPES = {"text": "TEXT", "bigint": "INTEGER", "int": "INTEGER", "time": "TEXT"}

_POSTGRES_KINDS = (
    "ALTER TABLE reconciliation_difference DROP CONSTRAINT reconciliation_difference_kind_check",
    f"""ALTER TABLE reconciliation_difference ADD CONSTRAINT reconciliation_difference_kind_check
        CHECK (kind IN ({_KINDS}))""",
)
_SQLITE_KINDS = (
    f"CREATE TABLE reconciliation_difference_new ({_DIFFERENCE_COLUMNS.format(**_SQLITE_TYPES)}) STRICT",
    """INSERT INTO reconciliation_difference_new SELECT subject, kind, day, sentence, action, ours_micros,
        theirs_micros, first_seen_at, last_seen_at, resolved_at, accepted_at FROM reconciliation_difference""",
    "DROP TABLE reconciliation_difference",
    "ALTER TABLE reconciliation_difference_new RENAME TO reconciliation_difference",
    """CREATE INDEX reconciliation_difference_open ON reconciliation_difference (kind)
       WHERE resolved_at IS NULL AND accepted_at IS NULL""",
)


def _statements(types: dict[str, str], kinds: tuple[str, ...], *, suffix: str) -> tuple[str, ...]:
    return (
        f"CREATE TABLE reconciliation_progress ({_PROGRESS_COLUMNS.format(**types)}){suffix}",
        # A reading that has no time was begun before times were kept: it is begun anew.
        f"ALTER TABLE reconciliation_day ADD COLUMN pull_begun_at {types['time']}",
        *kinds,
        # How far a check of the books is that did not end within one round.
        f"ALTER TABLE books_check ADD COLUMN progress {types['text']}",
        # What a creator earned from its own calls is summed up by the audit as what is held is.
        "CREATE INDEX tool_charge_own ON tool_charge (creator_id) WHERE state = 'own'",
    )


MIGRATION = Migration(
    name="0012_reconciliation_progress",
    postgres=_statements(_POSTGRES_TYPES, _POSTGRES_KINDS, suffix=""),
    sqlite=_statements(_SQLITE_TYPES, _SQLITE_KINDS, suffix=" STRICT"),
)
