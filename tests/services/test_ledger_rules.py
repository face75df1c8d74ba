# ruff: noqa: S608 - these tests write SQL by hand on purpose, from constants
"""The ledger's rules are the database's own: whoever writes SQL by hand is refused, on both engines."""

import sqlite3
from collections.abc import Iterable
from importlib import import_module
from uuid import UUID

import pytest

from gateway.db import Conflict, Database, RuleViolation
from gateway.domain.ledger import PLATFORM_KINDS, STRIPE, Account
from gateway.domain.money import AMOUNT_MICROS_MAX
from models.migrations import Migration
from tests.services.ledger_drafts import (
    ANN,
    ANN_WALLET,
    BOB_AVAILABLE,
    BOB_PENDING,
    deposit,
    recorded,
    release,
    tool_call,
)
from tests.support.books import assert_books_balance

ENTRY = UUID("01900000-0000-7000-8000-0000000000e1")
POSTING = "01900000-0000-7000-8000-00000000000"
_NEW_ENTRY = f"""INSERT INTO ledger_entry (id, idem, digest, kind, description, created_at) VALUES
    ('{ENTRY}', 'raw:1', '{"0" * 64}', 'adjustment', '', '2026-11-22 12:00:00.000000+00:00')"""
_SEAL = f"UPDATE ledger_entry SET sealed = true WHERE id = '{ENTRY}'"

# What the ledger holds before each attempt: wallet 10,000,000 after two postings, seq 2.
WALLET_MICROS = 10_000_000


def posting(number: int, account: Account, amount: object, seq: object = "NULL", after: object = "NULL") -> str:
    return f"""INSERT INTO posting (id, entry_id, account_id, amount_micros, seq, balance_after_micros)
        VALUES ('{POSTING}{number}', '{ENTRY}', '{account.id}', {amount}, {seq}, {after})"""


def account_row(code: str, kind: str, *, owner: str = "NULL", balance: int = 0, currency: str = "usd") -> str:
    return f"""INSERT INTO ledger_account
        (id, code, kind, owner_id, floor_at_zero, cached, balance_micros, currency, created_at)
        VALUES ('{ENTRY}', '{code}', '{kind}', {owner}, true, true, {balance}, '{currency}', '2026-11-22 12:00:00Z')"""


async def prepare(database: Database) -> None:
    await recorded(database, deposit(25_000_000))
    await recorded(database, tool_call(15_000_000))
    await recorded(database, release(2_000_000))


async def contents(database: Database) -> list[object]:
    tables = ("ledger_account", "ledger_entry", "posting")
    return [await database.fetch(f"SELECT * FROM {table} ORDER BY id") for table in tables]


async def execute_all(database: Database, statements: Iterable[str]) -> None:
    async with database.transaction() as connection:
        for statement in statements:
            await connection.execute(statement)


async def refused(database: Database, *statements: str) -> None:
    """Run the statements in one transaction: it is refused as a whole, and every row is as before."""
    before = await contents(database)
    with pytest.raises((RuleViolation, Conflict)):
        await execute_all(database, statements)
    assert await contents(database) == before
    await assert_books_balance(database)


_ON_WALLET = f"WHERE id = '{ANN_WALLET.id}'"

TAMPERINGS = {
    "posting changed": "UPDATE posting SET amount_micros = amount_micros * 2",
    "posting moved to another account": f"UPDATE posting SET account_id = '{STRIPE.id}'",
    "posting deleted": "DELETE FROM posting",
    "entry unsealed": "UPDATE ledger_entry SET sealed = false",
    "entry sealed again": "UPDATE ledger_entry SET sealed = true",
    "entry renamed": "UPDATE ledger_entry SET idem = 'dep:cs_2' WHERE idem = 'dep:cs_1'",
    "entry described anew": "UPDATE ledger_entry SET description = 'Nothing happened'",
    "entry deleted": "DELETE FROM ledger_entry",
    "balance raised": f"UPDATE ledger_account SET balance_micros = balance_micros + 1 {_ON_WALLET}",
    "balance raised and counted": f"""UPDATE ledger_account
        SET balance_micros = balance_micros + 1, version = version + 1 {_ON_WALLET}""",
    "balance set back with its count": f"UPDATE ledger_account SET balance_micros = 25000000, version = 1 {_ON_WALLET}",
    "count raised": f"UPDATE ledger_account SET version = version + 1 {_ON_WALLET}",
    "floor taken away": f"UPDATE ledger_account SET floor_at_zero = false {_ON_WALLET}",
    "balance no longer kept": f"UPDATE ledger_account SET cached = false {_ON_WALLET}",
    "account given to another": f"UPDATE ledger_account SET owner_id = '{ENTRY}', code = 'wallet:{ENTRY}' {_ON_WALLET}",
    "account changed into itself": f"UPDATE ledger_account SET code = code {_ON_WALLET}",
    "account deleted": "DELETE FROM ledger_account",
    "account born rich": account_row(f"wallet:{ENTRY}", "wallet", owner=f"'{ENTRY}'", balance=1),
    "account in another currency": account_row(f"wallet:{ENTRY}", "wallet", owner=f"'{ENTRY}'", currency="eur"),
    "account under a false name": account_row(f"wallet:{ANN}", "wallet", owner=f"'{ENTRY}'"),
    "second wallet of one owner": account_row(f"wallet:{ANN}", "wallet", owner=f"'{ANN}'"),
    "entry born sealed": _NEW_ENTRY.replace("created_at)", "created_at, sealed)").replace("+00:00')", "+00:00', true)"),
    "entry under a taken name": _NEW_ENTRY.replace("raw:1", "dep:cs_1"),
    "entry left unsealed": _NEW_ENTRY,
}


@pytest.mark.parametrize("statement", TAMPERINGS.values(), ids=TAMPERINGS.keys())
async def test_tampering_is_refused(database: Database, statement: str) -> None:
    await prepare(database)
    await refused(database, statement)


async def test_balance_cannot_be_set_back_to_one_it_had(database: Database) -> None:
    await recorded(database, deposit(25_000_000))
    await recorded(database, tool_call(25_000_000))
    await refused(database, f"UPDATE ledger_account SET balance_micros = 25000000, version = 1 {_ON_WALLET}")


POSTINGS = {
    "none": (),
    "a single one": (posting(1, ANN_WALLET, 5, 3, WALLET_MICROS + 5),),
    "unbalanced ones": (posting(1, ANN_WALLET, 5, 3, WALLET_MICROS + 5), posting(2, STRIPE, -4)),
    "an overdraft": (
        posting(1, ANN_WALLET, -WALLET_MICROS - 1, 3, -1),
        posting(2, STRIPE, WALLET_MICROS + 1),
    ),
    "a wrong balance after": (posting(1, ANN_WALLET, 5, 3, WALLET_MICROS + 6), posting(2, STRIPE, -5)),
    "a number left out": (posting(1, ANN_WALLET, 5, 4, WALLET_MICROS + 5), posting(2, STRIPE, -5)),
    "a number used before": (posting(1, ANN_WALLET, 5, 2, WALLET_MICROS + 5), posting(2, STRIPE, -5)),
    "no number on an account that counts": (posting(1, ANN_WALLET, 5), posting(2, STRIPE, -5)),
    "a number without a balance": (posting(1, ANN_WALLET, 5, 3), posting(2, STRIPE, -5)),
    "a number on a derived account": (posting(1, ANN_WALLET, 5, 3, WALLET_MICROS + 5), posting(2, STRIPE, -5, 1, -5)),
    "two on one account": (posting(1, STRIPE, 5), posting(2, STRIPE, -5)),
    "nothing moved": (posting(1, STRIPE, 0), posting(2, BOB_AVAILABLE, 0, 2, 2_000_000)),
    "too much moved": (
        posting(1, BOB_AVAILABLE, AMOUNT_MICROS_MAX + 1, 2, AMOUNT_MICROS_MAX + 2_000_001),
        posting(2, STRIPE, -AMOUNT_MICROS_MAX - 1),
    ),
    "an unknown account": (
        posting(1, ANN_WALLET, 5, 3, WALLET_MICROS + 5),
        posting(2, Account(BOB_PENDING.kind, ENTRY), -5),
    ),
    "a sealed entry's": (
        posting(1, ANN_WALLET, 5, 3, WALLET_MICROS + 5),
        posting(2, STRIPE, -5),
        _SEAL,
        posting(3, BOB_AVAILABLE, 5, 2, 2_000_005),
    ),
    "an unknown entry's": (posting(1, STRIPE, 5).replace(str(ENTRY), str(ANN)),),
}


@pytest.mark.parametrize("statements", POSTINGS.values(), ids=POSTINGS.keys())
async def test_entry_with_false_postings_is_refused(database: Database, statements: tuple[str, ...]) -> None:
    await prepare(database)
    seal = () if _SEAL in statements else (_SEAL,)
    await refused(database, _NEW_ENTRY, *statements, *seal)


async def test_posting_to_an_old_sealed_entry_is_refused(database: Database) -> None:
    await prepare(database)
    old = await database.fetch_one("SELECT id FROM ledger_entry WHERE idem = 'dep:cs_1'")
    assert old is not None
    late = posting(1, BOB_AVAILABLE, 5, 2, 2_000_005).replace(f"'{ENTRY}'", f"'{old['id']}'")
    await refused(database, late)


async def test_honest_sql_passes(database: Database) -> None:
    """The control: the statements above are refused for their faults, not for being raw."""
    await prepare(database)
    honest = (_NEW_ENTRY, posting(1, ANN_WALLET, 5, 3, WALLET_MICROS + 5), posting(2, STRIPE, -5), _SEAL)
    await execute_all(database, honest)
    row = await database.fetch_one("SELECT balance_micros, version FROM ledger_account WHERE code LIKE 'wallet:%'")
    assert row == {"balance_micros": WALLET_MICROS + 5, "version": 3}


async def test_posting_that_is_ignored_as_a_duplicate_moves_no_balance(database: Database) -> None:
    await prepare(database)
    once = posting(1, ANN_WALLET, 5, 3, WALLET_MICROS + 5)
    ignored = f"{posting(2, ANN_WALLET, 5, 4, WALLET_MICROS + 10)} ON CONFLICT DO NOTHING"
    expected = WALLET_MICROS + 5
    try:
        await execute_all(database, (_NEW_ENTRY, once, ignored, posting(3, STRIPE, -5), _SEAL))
    except RuleViolation:  # SQLite refuses where PostgreSQL ignores
        expected = WALLET_MICROS
    row = await database.fetch_one("SELECT balance_micros FROM ledger_account WHERE code LIKE 'wallet:%'")
    assert row == {"balance_micros": expected}


@pytest.mark.parametrize("engine", ["postgres"])
@pytest.mark.parametrize("tables", ["posting", "ledger_entry CASCADE", "ledger_account CASCADE"])
async def test_truncating_is_refused(database: Database, tables: str) -> None:
    await prepare(database)
    await refused(database, f"TRUNCATE {tables}")


@pytest.mark.parametrize("engine", ["sqlite"])
@pytest.mark.parametrize("amount", ["5.5", "'five'", "NULL", "9223372036854775808"])
async def test_amount_that_is_no_whole_number_is_refused(database: Database, amount: str) -> None:
    await prepare(database)
    await refused(database, _NEW_ENTRY, posting(1, STRIPE, amount))


REPLACINGS = {
    "posting": "INSERT OR REPLACE INTO posting SELECT * FROM posting WHERE seq = 2",
    "posting with another amount": """INSERT OR REPLACE INTO posting
        SELECT id, entry_id, account_id, amount_micros + 1, seq, balance_after_micros FROM posting WHERE seq = 2""",
    "entry": "INSERT OR REPLACE INTO ledger_entry SELECT * FROM ledger_entry WHERE idem = 'dep:cs_1'",
    "entry by its name": f"INSERT OR REPLACE{_NEW_ENTRY.removeprefix('INSERT').replace('raw:1', 'dep:cs_1')}",
    "account": f"INSERT OR REPLACE INTO ledger_account SELECT * FROM ledger_account {_ON_WALLET}",
    "account by its code": f"""INSERT OR REPLACE INTO ledger_account
        SELECT '{ENTRY}', code, kind, owner_id, floor_at_zero, cached, 0, 0, currency, created_at
        FROM ledger_account {_ON_WALLET}""",
    "account updated": f"UPDATE OR REPLACE ledger_account SET id = '{STRIPE.id}' {_ON_WALLET}",
    "seal": "INSERT OR REPLACE INTO ledger_seal (value) VALUES (0)",
    "seal taken away": "DELETE FROM ledger_seal",
}


@pytest.mark.parametrize("engine", ["sqlite"])
@pytest.mark.parametrize("statement", REPLACINGS.values(), ids=REPLACINGS.keys())
async def test_replacing_rows_is_refused_even_on_a_stranger_s_connection(
    database: Database, database_url: str, statement: str
) -> None:
    await prepare(database)
    await refused(database, statement)
    before = await contents(database)
    stranger = sqlite3.connect(database_url.removeprefix("sqlite://"))
    try:
        stranger.execute("PRAGMA foreign_keys = ON")
        with pytest.raises(sqlite3.IntegrityError), stranger:
            stranger.execute(statement)
    finally:
        stranger.close()
    assert await contents(database) == before
    await assert_books_balance(database)


def test_platform_accounts_are_migrated_under_the_ids_the_code_computes() -> None:
    migration: Migration = import_module("models.migrations.0001_ledger").MIGRATION
    for kind in PLATFORM_KINDS:
        assert f"('{Account(kind).id}', '{kind.value}', '{kind.value}'," in migration.sqlite[-1]
        assert f"('{Account(kind).id}', '{kind.value}', '{kind.value}'," in migration.postgres[-1]
