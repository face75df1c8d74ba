"""Reading an account: its balance, and its postings newest first."""

import pytest

from gateway.db import Connection, Database
from gateway.domain.ledger import STRIPE, wallet
from gateway.services.ledger import balance, postings_page
from gateway.services.ledger.reading import PAGE_STATEMENT
from tests.services.ledger_drafts import ANN_WALLET, BOB, NOW, deposit, recorded
from tests.support.books import assert_books_balance


async def test_account_nobody_used_holds_nothing(database: Database) -> None:
    assert await balance(database, ANN_WALLET) == 0
    assert await balance(database, STRIPE) == 0
    assert await postings_page(database, ANN_WALLET, limit=1) == []


async def test_statement_of_an_account_is_paged_newest_first(database: Database) -> None:
    for n in range(5):
        await recorded(database, deposit(1_000_000 * (n + 1), session_id=f"cs_{n}"))
    first = await postings_page(database, ANN_WALLET, limit=2)
    await recorded(database, deposit(50_000_000, session_id="cs_late"))
    second = await postings_page(database, ANN_WALLET, before_seq=first[-1].seq, limit=3)
    assert [(row.seq, row.amount_micros, row.balance_after_micros) for row in (*first, *second)] == [
        (5, 5_000_000, 15_000_000),
        (4, 4_000_000, 10_000_000),
        (3, 3_000_000, 6_000_000),
        (2, 2_000_000, 3_000_000),
        (1, 1_000_000, 1_000_000),
    ]
    assert (first[0].kind, first[0].ref, first[0].description) == ("deposit", "cs_4", "Deposit")
    assert first[0].created_at == NOW
    assert await postings_page(database, wallet(BOB), limit=2) == []


async def test_statement_is_bounded_and_of_owned_accounts_only(database: Database) -> None:
    with pytest.raises(ValueError, match="have no order"):
        await postings_page(database, STRIPE, limit=1)
    for limit in (0, 501):
        with pytest.raises(ValueError, match="A page has 1 to 500"):
            await postings_page(database, ANN_WALLET, limit=limit)


async def test_page_walks_the_index_without_sorting(database: Database) -> None:
    await recorded(database, deposit(1_000_000))

    async def explain(connection: Connection) -> str:
        if connection.dialect == "sqlite":
            rows = await connection.fetch(f"EXPLAIN QUERY PLAN {PAGE_STATEMENT}", (ANN_WALLET.id, 2, 25))
        else:
            await connection.execute("SET LOCAL enable_seqscan = off")  # the tables are too small for anything else
            await connection.execute("SET LOCAL enable_bitmapscan = off")
            rows = await connection.fetch(f"EXPLAIN {PAGE_STATEMENT}", (ANN_WALLET.id, 2, 25))
        return " ".join(str(value) for row in rows for value in row.values())

    steps = await database.run(explain)
    assert "posting_account_seq" in steps or "sqlite_autoindex_posting_3 (account_id=? AND seq<?)" in steps, steps
    assert "Sort" not in steps
    assert "TEMP B-TREE" not in steps
    await assert_books_balance(database)
