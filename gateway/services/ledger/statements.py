"""The ledger's SQL on both engines, each statement for any number of rows at once.

Rows travel as one array a column on PostgreSQL and as one JSON text on SQLite, so that the text of a statement, and
with it the prepared plan, is the same for one row and for a thousand.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from gateway.db import Dialect, Parameters
from gateway.db.batches import list_parameter, row_parameters


@dataclass(frozen=True, slots=True, kw_only=True)
class Statements:
    """Every lock is taken in one order: accounts by id, then entries by idem.

    `insert_entries` returns the entries it could write; one is left out when its idem, or what it reverses, is taken.
    Where `insert_postings` is None, `insert_entries` writes the postings too, but only if no entry was left out.
    """

    dialect: Dialect
    lock_accounts: str
    create_accounts: str
    find_entries: str
    insert_entries: str
    insert_postings: str | None
    seal_entries: str

    def rows(self, rows: Sequence[Sequence[object]]) -> Parameters:
        """The first parameters of a statement that takes a table of rows; there is at least one row."""
        return row_parameters(self.dialect, rows)

    def values(self, values: Sequence[object]) -> object:
        """The one parameter that hands over a list of values."""
        return list_parameter(self.dialect, values)


_POSTGRES: Final = Statements(
    dialect="postgres",
    # NO KEY: nothing here changes an id, and a weaker lock leaves foreign keys alone.
    lock_accounts="""
        SELECT id, balance_micros, version FROM ledger_account
        WHERE id = ANY($1::uuid[]) ORDER BY id FOR NO KEY UPDATE""",
    create_accounts="""
        INSERT INTO ledger_account (id, code, kind, owner_id, floor_at_zero, cached, created_at)
        SELECT a.*, $7::timestamptz
        FROM unnest($1::uuid[], $2::text[], $3::text[], $4::uuid[], $5::boolean[], $6::boolean[])
            AS a (id, code, kind, owner_id, floor_at_zero, cached)
        ORDER BY a.id ON CONFLICT DO NOTHING""",
    find_entries="""
        SELECT e.id, e.idem, e.digest, e.reverses, p.account_id, p.balance_after_micros
        FROM ledger_entry AS e JOIN posting AS p ON p.entry_id = e.id
        WHERE e.idem = ANY($1::text[]) OR e.reverses = ANY($2::uuid[])""",
    insert_entries="""
        WITH claimed AS (
            INSERT INTO ledger_entry (id, idem, digest, kind, ref, reverses, description, created_at)
            SELECT e.*, $8::timestamptz
            FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::uuid[], $7::text[])
                AS e (id, idem, digest, kind, ref, reverses, description)
            ORDER BY e.idem ON CONFLICT DO NOTHING RETURNING id),
        posted AS (
            INSERT INTO posting (id, entry_id, account_id, amount_micros, seq, balance_after_micros)
            SELECT p.id, p.entry_id, p.account_id, p.amount_micros, p.seq, p.balance_after_micros
            FROM unnest($9::uuid[], $10::uuid[], $11::uuid[], $12::bigint[], $13::bigint[], $14::bigint[])
                WITH ORDINALITY AS p (id, entry_id, account_id, amount_micros, seq, balance_after_micros, place)
            WHERE (SELECT count(*) FROM claimed) = cardinality($1) ORDER BY p.place)
        SELECT id FROM claimed""",
    insert_postings=None,
    seal_entries="UPDATE ledger_entry SET sealed = true WHERE id = ANY($1::uuid[])",
)

_SQLITE: Final = Statements(
    dialect="sqlite",
    lock_accounts="""
        SELECT id, balance_micros, version FROM ledger_account
        WHERE id IN (SELECT value FROM json_each($1))""",
    create_accounts="""
        INSERT INTO ledger_account (id, code, kind, owner_id, floor_at_zero, cached, created_at)
        SELECT json_extract(value, '$[0]'), json_extract(value, '$[1]'), json_extract(value, '$[2]'),
            json_extract(value, '$[3]'), json_extract(value, '$[4]'), json_extract(value, '$[5]'), $2
        FROM json_each($1) WHERE true ON CONFLICT DO NOTHING""",
    find_entries="""
        SELECT e.id, e.idem, e.digest, e.reverses, p.account_id, p.balance_after_micros
        FROM ledger_entry AS e JOIN posting AS p ON p.entry_id = e.id
        WHERE e.idem IN (SELECT value FROM json_each($1)) OR e.reverses IN (SELECT value FROM json_each($2))""",
    insert_entries="""
        INSERT INTO ledger_entry (id, idem, digest, kind, ref, reverses, description, created_at)
        SELECT json_extract(value, '$[0]'), json_extract(value, '$[1]'), json_extract(value, '$[2]'),
            json_extract(value, '$[3]'), json_extract(value, '$[4]'), json_extract(value, '$[5]'),
            json_extract(value, '$[6]'), $2
        FROM json_each($1) WHERE true ON CONFLICT DO NOTHING RETURNING id""",
    insert_postings="""
        INSERT INTO posting (id, entry_id, account_id, amount_micros, seq, balance_after_micros)
        SELECT json_extract(value, '$[0]'), json_extract(value, '$[1]'), json_extract(value, '$[2]'),
            json_extract(value, '$[3]'), json_extract(value, '$[4]'), json_extract(value, '$[5]')
        FROM json_each($1) ORDER BY key""",
    seal_entries="UPDATE ledger_entry SET sealed = 1 WHERE id IN (SELECT value FROM json_each($1))",
)


def statements_for(dialect: Dialect) -> Statements:
    return _SQLITE if dialect == "sqlite" else _POSTGRES
