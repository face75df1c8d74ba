# ruff: noqa: S608 - these tests write SQL by hand on purpose, from constants
"""The audit finds what the rules would have refused: here the rules are taken away first, then the books are cooked."""

import sqlite3

import asyncpg  # pyright: ignore[reportMissingTypeStubs] - it has none
import pytest

from gateway.db import Database
from gateway.services.ledger import verify_books
from tests.services.ledger_drafts import ANN, ANN_WALLET, deposit, recorded, release, tool_call
from tests.support.books import assert_books_balance

_WALLET = f"WHERE id = '{ANN_WALLET.id}'"
_CALL = "(SELECT id FROM ledger_entry WHERE kind = 'tool_call')"

COOKED = {
    "balance-derived": f"UPDATE ledger_account SET balance_micros = balance_micros + 1 {_WALLET}",
    "balance-floor": f"UPDATE ledger_account SET balance_micros = -1 {_WALLET}",
    "seq-gapless": f"UPDATE ledger_account SET version = 7 {_WALLET}",
    "account-kind": f"UPDATE ledger_account SET floor_at_zero = false {_WALLET}",
    "balance-after": f"UPDATE posting SET balance_after_micros = 1 WHERE seq = 1 AND account_id = '{ANN_WALLET.id}'",
    "history-floor": f"UPDATE posting SET balance_after_micros = -1 WHERE seq = 1 AND account_id = '{ANN_WALLET.id}'",
    "entry-balanced": f"UPDATE posting SET amount_micros = amount_micros + 1 WHERE entry_id = {_CALL} AND seq IS NULL",
    "entry-digest": "UPDATE ledger_entry SET ref = 'cs_2' WHERE ref = 'cs_1'",
    "entry-sealed": "UPDATE ledger_entry SET sealed = false WHERE kind = 'tool_call'",
    "entry-double": f"DELETE FROM posting WHERE entry_id = {_CALL} AND seq IS NOT NULL",
    "posting-has-entry": f"UPDATE posting SET entry_id = '{ANN}' WHERE entry_id = {_CALL}",
    "derived-unnumbered": "UPDATE posting SET seq = 9, balance_after_micros = 9 WHERE amount_micros = 3000000",
}


async def cook(database_url: str, statement: str) -> None:
    """Run a statement with every trigger, foreign key and check of the ledger out of the way."""
    if database_url.startswith("sqlite"):
        connection = sqlite3.connect(database_url.removeprefix("sqlite://"), isolation_level=None)
        try:
            triggers = connection.execute("SELECT name FROM sqlite_schema WHERE type = 'trigger'").fetchall()
            for (name,) in triggers:
                connection.execute(f"DROP TRIGGER {name}")
            connection.execute("PRAGMA ignore_check_constraints = ON")
            connection.execute(statement)
        finally:
            connection.close()
        return
    owner: asyncpg.Connection = await asyncpg.connect(database_url)  # pyright: ignore[reportUnknownVariableType] - untyped
    try:
        await owner.execute("ALTER TABLE ledger_account DROP CONSTRAINT ledger_account_floor")
        await owner.execute("SET session_replication_role = replica")
        await owner.execute(statement)
    finally:
        await owner.close()


@pytest.mark.parametrize(("rule", "statement"), COOKED.items(), ids=COOKED.keys())
async def test_audit_finds_cooked_books(database: Database, database_url: str, rule: str, statement: str) -> None:
    await recorded(database, deposit(25_000_000))
    await recorded(database, tool_call(15_000_000))
    await recorded(database, release(2_000_000))
    await assert_books_balance(database)
    await cook(database_url, statement)
    faults = await verify_books(database)
    assert rule in {fault.rule for fault in faults}, faults
    assert rule in {fault.rule for fault in await verify_books(database, postings_max=1)}


async def test_audit_names_what_is_wrong(database: Database, database_url: str) -> None:
    await recorded(database, deposit(25_000_000))
    await cook(database_url, f"UPDATE ledger_account SET balance_micros = 26000000 {_WALLET}")
    (fault,) = await verify_books(database)
    assert fault.subject == ANN_WALLET.code
    assert fault.message == "The balance is 26000000 and the postings sum to 25000000."


async def test_audit_reads_more_than_one_batch(database: Database, database_url: str) -> None:
    for n in range(4):
        await recorded(database, deposit(1_000_000, session_id=f"cs_{n}"))
    await assert_books_balance(database)
    await cook(database_url, "UPDATE ledger_entry SET ref = 'other'")
    faults = await verify_books(database, batch_max=1)
    assert sorted(fault.subject for fault in faults) == [f"dep:cs_{n}" for n in range(4)]
    assert len(await verify_books(database, faults_max=2)) == 2


async def test_a_long_history_is_read_in_stretches(database: Database, database_url: str) -> None:
    for n in range(7):
        await recorded(database, deposit(1_000_000, session_id=f"cs_{n}"))
    for postings_max in (1, 3, 6, 7):
        assert await verify_books(database, postings_max=postings_max) == []
    await cook(database_url, f"UPDATE ledger_account SET balance_micros = 6000000 {_WALLET}")
    (fault,) = await verify_books(database, postings_max=3)
    assert fault.message == "The balance is 6000000 and the postings sum to 7000000."


async def test_audit_of_empty_books_finds_nothing(database: Database) -> None:
    await assert_books_balance(database)
