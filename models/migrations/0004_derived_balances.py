"""What the platform's own accounts hold, known without summing their history and without a row that all wait for.

Each posting of a derived account is also counted in `ledger_tail`, by the trigger of the statement that writes it.
Folding moves rows of the tail into `ledger_checkpoint`, in one transaction. So in every view of the database a
posting is counted in exactly one of the two, whenever it was committed and whatever any clock says.
"""

from models.migrations import Migration

_CHECKPOINT_COLUMNS = """
    account_id {uuid} NOT NULL PRIMARY KEY REFERENCES ledger_account (id) ON DELETE RESTRICT,
    balance_micros {bigint} NOT NULL,
    folded_at {time} NOT NULL
"""

# No foreign key: it would lock the six accounts of the platform in every entry.
_TAIL_COLUMNS = """
    id {serial},
    account_id {uuid} NOT NULL,
    amount_micros {bigint} NOT NULL
"""

# One row. `due_at` is when some node is to check the books next; the rest is what the last check found.
_CHECK_COLUMNS = """
    id {int} NOT NULL PRIMARY KEY CHECK (id = 1),
    due_at {time} NOT NULL,
    checked_at {time},
    faults {bigint}
"""

_POSTGRES_TYPES = {
    "uuid": "uuid",
    "bigint": "bigint",
    "int": "integer",
    "time": "timestamptz",
    "serial": "bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY",
    "epoch": "'1970-01-01T00:00:00Z'",
}
_SQLITE_TYPES = {
    "uuid": "TEXT",
    "bigint": "INTEGER",
    "int": "INTEGER",
    "time": "TEXT",
    "serial": "INTEGER NOT NULL PRIMARY KEY",
    "epoch": "'1970-01-01 00:00:00.000000+00:00'",
}

# One row an account and statement: a hundred charges in one transaction add one row for the fees, not a hundred.
_POSTGRES_TRIGGER = (
    """CREATE FUNCTION posting_into_tail() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        INSERT INTO ledger_tail (account_id, amount_micros)
        SELECT account_id, sum(amount_micros) FROM fresh WHERE seq IS NULL
        GROUP BY account_id HAVING sum(amount_micros) <> 0;
        RETURN NULL;
    END $$""",
    """CREATE TRIGGER posting_counted AFTER INSERT ON posting REFERENCING NEW TABLE AS fresh
    FOR EACH STATEMENT EXECUTE FUNCTION posting_into_tail()""",
)

_SQLITE_TRIGGER = (
    """CREATE TRIGGER posting_counted AFTER INSERT ON posting WHEN new.seq IS NULL
    BEGIN
        INSERT INTO ledger_tail (account_id, amount_micros) VALUES (new.account_id, new.amount_micros);
    END""",
)

# After the trigger, which on PostgreSQL keeps writers out until this migration is committed: nothing falls between.
_WHAT_STANDS = """
    INSERT INTO ledger_checkpoint (account_id, balance_micros, folded_at)
    SELECT a.id, coalesce((SELECT sum(p.amount_micros) FROM posting AS p WHERE p.account_id = a.id), 0), {epoch}
    FROM ledger_account AS a WHERE NOT a.cached
"""

_FIRST_CHECK = "INSERT INTO books_check (id, due_at) VALUES (1, {epoch})"


def _statements(types: dict[str, str], trigger: tuple[str, ...], *, suffix: str, tail_suffix: str) -> tuple[str, ...]:
    return (
        f"CREATE TABLE ledger_checkpoint ({_CHECKPOINT_COLUMNS.format(**types)}){suffix}",
        f"CREATE TABLE ledger_tail ({_TAIL_COLUMNS.format(**types)}){suffix}{tail_suffix}",
        f"CREATE TABLE books_check ({_CHECK_COLUMNS.format(**types)}){suffix}",
        *trigger,
        _WHAT_STANDS.format(**types),
        _FIRST_CHECK.format(**types),
    )


MIGRATION = Migration(
    name="0004_derived_balances",
    postgres=_statements(
        _POSTGRES_TYPES,
        _POSTGRES_TRIGGER,
        suffix="",
        # The tail is short and always changing, so it is cleaned by count, not by a share of its size.
        tail_suffix=" WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000)",
    ),
    sqlite=_statements(_SQLITE_TYPES, _SQLITE_TRIGGER, suffix=" STRICT", tail_suffix=""),
)
