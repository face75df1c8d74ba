# ruff: noqa: S608 - these tests write SQL by hand on purpose, from constants
"""Postings written by one statement: the rules hold for each of them, wherever in the statement it stands."""

from collections.abc import Sequence
from typing import cast

import asyncpg  # pyright: ignore[reportMissingTypeStubs] - it has none
import pytest

from gateway.db import Connection, Database, RuleViolation, migrate, open_database
from gateway.db.migration_plan import known_migrations
from gateway.domain.ledger import FEES, Account, AccountKind
from gateway.domain.money import AMOUNT_MICROS_MAX
from tests.services.ledger_drafts import (
    ANN,
    ANN_WALLET,
    BOB_AVAILABLE,
    deposit,
    recorded,
    tool_call,
)
from tests.services.ledger_raw import (
    AVAILABLE_MICROS,
    WALLET_MICROS,
    WALLET_SEQ,
    Line,
    entry_id,
    from_stripe,
    on_wallet,
    open_entries,
    posting_id,
    postings,
    prepare,
    seal,
    values,
)
from tests.support.books import assert_books_balance
from tests.support.postgres import PostgresServer

SEALED_OR_UNKNOWN = "the entry is sealed or unknown"
NOT_CONTINUED = "the posting does not continue its account"
BALANCE_MICROS_MAX = 9 * 10**18


async def contents(database: Database) -> list[object]:
    tables = ("ledger_account", "ledger_entry", "posting", "ledger_tail")
    return [await database.fetch(f"SELECT * FROM {table} ORDER BY id") for table in tables]


async def wallet_row(database: Database) -> dict[str, object]:
    row = await database.fetch_one(
        "SELECT balance_micros, version FROM ledger_account WHERE code = $1", (ANN_WALLET.code,)
    )
    assert row is not None
    return dict(row)


async def execute_all(database: Database, *statements: str) -> None:
    async with database.transaction() as connection:
        for statement in statements:
            await connection.execute(statement)


async def refused(database: Database, *statements: str) -> RuleViolation:
    """The transaction is refused as a whole, and every row is as before."""
    before = await contents(database)
    with pytest.raises(RuleViolation) as refusal:
        await execute_all(database, *statements)
    assert await contents(database) == before
    await assert_books_balance(database)
    return refusal.value


_THREE = (from_stripe(1, -5), from_stripe(2, -5), from_stripe(3, -5))

DISCONTINUED: dict[str, tuple[Line, ...]] = {
    "a number left out at the start": (
        on_wallet(1, 5, place=2, total=5),
        on_wallet(2, 5, place=3, total=10),
        on_wallet(3, 5, place=4, total=15),
    ),
    "a number left out in the middle": (
        on_wallet(1, 5, place=1, total=5),
        on_wallet(2, 5, place=3, total=10),
        on_wallet(3, 5, place=4, total=15),
    ),
    "a wrong balance at the start": (
        on_wallet(1, 5, place=1, total=6),
        on_wallet(2, 5, place=2, total=11),
        on_wallet(3, 5, place=3, total=16),
    ),
    "a wrong balance in the middle": (
        on_wallet(1, 5, place=1, total=5),
        on_wallet(2, 5, place=2, total=11),
        on_wallet(3, 5, place=3, total=15),
    ),
    "a wrong balance at the end": (
        on_wallet(1, 5, place=1, total=5),
        on_wallet(2, 5, place=2, total=10),
        on_wallet(3, 5, place=3, total=16),
    ),
    "a leap between two": (
        on_wallet(1, 5, place=1, total=5),
        on_wallet(2, 5, place=2, total=1_000_005),
        on_wallet(3, 5, place=3, total=1_000_010),
    ),
    "a number on a derived account": (
        on_wallet(1, 5, place=1, total=5),
        (2, FEES, 5, 1, 5),
        on_wallet(3, 5, place=2, total=10),
    ),
    "no number on an account that counts": (
        on_wallet(1, 5, place=1, total=5),
        (2, BOB_AVAILABLE, 5, None, None),
        on_wallet(3, 5, place=2, total=10),
    ),
    "another account's false balance": (
        on_wallet(1, 5, place=1, total=5),
        (2, BOB_AVAILABLE, 5, 2, AVAILABLE_MICROS + 6),
        on_wallet(3, 5, place=2, total=10),
    ),
}


@pytest.mark.parametrize("lines", DISCONTINUED.values(), ids=DISCONTINUED.keys())
async def test_one_false_posting_among_true_ones_is_refused(database: Database, lines: tuple[Line, ...]) -> None:
    await prepare(database)
    refusal = await refused(database, open_entries(1, 2, 3), postings(*lines, *_THREE), seal(1, 2, 3))
    assert NOT_CONTINUED in str(refusal)


@pytest.mark.parametrize("seq", [None, 1])
async def test_unknown_account_among_known_ones_is_refused(database: Database, seq: int | None) -> None:
    await prepare(database)
    unknown = (2, Account(AccountKind.WALLET, entry_id(9)), 5, seq, seq and 5)
    lines = (on_wallet(1, 5, place=1, total=5), unknown, from_stripe(1, -5), from_stripe(2, -5))
    refusal = await refused(database, open_entries(1, 2), postings(*lines), seal(1, 2))
    assert NOT_CONTINUED in str(refusal)


async def test_floor_broken_on_the_way_is_refused_though_the_end_is_above_it(database: Database) -> None:
    await prepare(database)
    lines = (
        on_wallet(1, -WALLET_MICROS - 1, place=1, total=-WALLET_MICROS - 1),
        on_wallet(2, 5, place=2, total=-WALLET_MICROS + 4),
        from_stripe(1, WALLET_MICROS + 1),
        from_stripe(2, -5),
    )
    refusal = await refused(database, open_entries(1, 2), postings(*lines), seal(1, 2))
    assert "ledger_account_floor" in str(refusal)
    assert refusal.constraint == ("ledger_account_floor" if database.dialect == "postgres" else None)


async def test_account_without_a_floor_may_pass_below_zero(database: Database) -> None:
    await prepare(database)
    lines = (
        (1, BOB_AVAILABLE, -AVAILABLE_MICROS - 1, 2, -1),
        (2, BOB_AVAILABLE, 5, 3, 4),
        from_stripe(1, AVAILABLE_MICROS + 1),
        from_stripe(2, -5),
    )
    await execute_all(database, open_entries(1, 2), postings(*lines), seal(1, 2))
    await assert_raw_entries_are_whole(database)


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("engine", ["postgres"])
async def test_balance_too_large_on_the_way_is_refused(database: Database, sign: int) -> None:
    """Nine thousand of the largest amounts, and one back again."""
    await prepare(database)
    many = BALANCE_MICROS_MAX // AMOUNT_MICROS_MAX + (sign < 0)
    entries = f"""INSERT INTO ledger_entry (id, idem, digest, kind, description, created_at)
        SELECT gen_random_uuid(), 'raw:' || n, repeat('0', 64), 'adjustment', '', now()
        FROM generate_series(1, {many + 1}) AS n"""
    total = f"{AVAILABLE_MICROS} + {sign} * {AMOUNT_MICROS_MAX} * CASE WHEN n > {many} THEN {many - 1} ELSE n END"
    lines = f"""INSERT INTO posting (id, entry_id, account_id, amount_micros, seq, balance_after_micros)
        SELECT gen_random_uuid(), id, '{BOB_AVAILABLE.id}',
            {sign} * {AMOUNT_MICROS_MAX} * CASE WHEN n > {many} THEN -1 ELSE 1 END, n + 1, {total}
        FROM (SELECT id, split_part(idem, ':', 2)::bigint AS n FROM ledger_entry WHERE idem LIKE 'raw:%') AS e"""
    refusal = await refused(database, entries, lines)
    assert refusal.constraint == "ledger_account_range"


async def test_sealed_entry_among_open_ones_takes_no_posting(database: Database) -> None:
    await prepare(database)
    old = await database.fetch_one("SELECT id FROM ledger_entry WHERE idem = 'dep:cs_1'")
    assert old is not None
    lines = (
        on_wallet(1, 5, place=1, total=5),
        (2, BOB_AVAILABLE, 5, 2, AVAILABLE_MICROS + 5),
        on_wallet(3, 5, place=2, total=10),
        *_THREE,
    )
    late = postings(*lines).replace(str(entry_id(2)), str(old["id"]), 1)
    refusal = await refused(database, open_entries(1, 2, 3), late, seal(1, 2, 3))
    assert SEALED_OR_UNKNOWN in str(refusal)


_HONEST = (
    on_wallet(1, -7, place=1, total=-7),
    from_stripe(1, 7),
    on_wallet(2, 5, place=2, total=-2),
    from_stripe(2, -5),
)


async def assert_raw_entries_are_whole(database: Database) -> None:
    left = await database.fetch("SELECT id FROM ledger_entry WHERE idem LIKE 'raw:%' AND NOT sealed")
    assert left == []
    broken = await database.fetch(
        "SELECT a.code FROM ledger_account AS a JOIN posting AS p ON p.account_id = a.id AND p.seq = a.version "
        "WHERE a.balance_micros <> p.balance_after_micros OR a.version <> "
        "(SELECT count(*) FROM posting AS q WHERE q.account_id = a.id)"
    )
    assert broken == []


async def assert_honest_ones_stand(database: Database) -> None:
    assert await wallet_row(database) == {"balance_micros": WALLET_MICROS - 2, "version": WALLET_SEQ + 2}
    await assert_raw_entries_are_whole(database)


async def test_two_postings_of_one_account_are_both_applied(database: Database) -> None:
    await prepare(database)
    await execute_all(database, open_entries(1, 2), postings(*_HONEST), seal(1, 2))
    await assert_honest_ones_stand(database)


@pytest.mark.parametrize("engine", ["postgres"])
async def test_order_of_the_rows_in_the_statement_does_not_matter(database: Database) -> None:
    await prepare(database)
    await execute_all(database, open_entries(1, 2), postings(*reversed(_HONEST)), seal(1, 2))
    await assert_honest_ones_stand(database)


async def test_statement_continues_the_one_before_it(database: Database) -> None:
    await prepare(database)
    first, second = _HONEST[:2], _HONEST[2:]
    await execute_all(database, open_entries(1, 2), postings(*first), postings(*second, first=5), seal(1), seal(2))
    await assert_honest_ones_stand(database)


async def execute_and_undo(connection: Connection) -> None:
    """A true statement and a false one after it, both undone by the savepoint around them."""
    async with connection.savepoint():
        await connection.execute(postings(*_HONEST))
        await connection.execute(postings((1, BOB_AVAILABLE, 5, 9, 5), first=5))


async def test_statement_that_is_undone_leaves_its_numbers_free(database: Database) -> None:
    await prepare(database)
    async with database.transaction() as connection:
        await connection.execute(open_entries(1, 2))
        with pytest.raises(RuleViolation):
            await execute_and_undo(connection)
        await connection.execute(postings(*_HONEST))
        await connection.execute(seal(1, 2))
    await assert_honest_ones_stand(database)


async def test_statement_that_writes_nothing_passes(database: Database) -> None:
    await prepare(database)
    before = await contents(database)
    await execute_all(database, "INSERT INTO posting SELECT * FROM posting WHERE false")
    assert await contents(database) == before


_TABLE = "(VALUES {}) AS v (id, entry_id, account_id, amount_micros, seq, balance_after_micros)"
_SELECTED = """INSERT INTO posting (id, entry_id, account_id, amount_micros, seq, balance_after_micros)
    SELECT v.id::uuid, v.entry_id::uuid, v.account_id::uuid, v.amount_micros, v.seq, v.balance_after_micros FROM """
_TWICE = f"{postings(*_HONEST[:2])}, {values(_HONEST[:1], first=9)}, {values(_HONEST[2:], first=3)}"

HONEST_WAYS = {
    "selected": _SELECTED + _TABLE.format(values(_HONEST)),
    "two inserts in one statement": (
        f"WITH one AS ({postings(*_HONEST[2:], first=3)}), two AS ({postings(*_HONEST[:2])}) SELECT 1"
    ),
    "one left out as a duplicate": f"{_TWICE} ON CONFLICT DO NOTHING",
}


@pytest.mark.parametrize("engine", ["postgres"])
@pytest.mark.parametrize("statement", HONEST_WAYS.values(), ids=HONEST_WAYS.keys())
async def test_honest_postings_are_applied_however_they_are_written(database: Database, statement: str) -> None:
    await prepare(database)
    await execute_all(database, open_entries(1, 2), statement, seal(1, 2))
    await assert_honest_ones_stand(database)


_TWO_THAT_LEAP = (*_HONEST[:2], on_wallet(2, 5, place=2, total=-1), from_stripe(2, -5))
FALSE_WAYS = {
    "selected": _SELECTED + _TABLE.format(values(_TWO_THAT_LEAP)),
    "two inserts in one statement": (
        f"WITH one AS ({postings(*_TWO_THAT_LEAP[:2])}), two AS ({postings(*_TWO_THAT_LEAP[2:], first=3)}) SELECT 1"
    ),
    "the one between them left out": postings(
        _HONEST[0], (1, ANN_WALLET, 5, WALLET_SEQ + 2, WALLET_MICROS - 2), on_wallet(2, 5, place=3, total=3)
    )
    + " ON CONFLICT DO NOTHING",
}


@pytest.mark.parametrize("engine", ["postgres"])
@pytest.mark.parametrize("statement", FALSE_WAYS.values(), ids=FALSE_WAYS.keys())
async def test_false_postings_are_refused_however_they_are_written(database: Database, statement: str) -> None:
    await prepare(database)
    refusal = await refused(database, open_entries(1, 2), statement, seal(1, 2))
    assert NOT_CONTINUED in str(refusal)


async def copy(url: str, lines: Sequence[Line]) -> None:
    connection = cast("asyncpg.Connection", await asyncpg.connect(url))
    try:
        async with connection.transaction():
            await connection.execute(open_entries(1, 2))
            rows = [
                (posting_id(place), entry_id(number), account.id, *rest)
                for place, (number, account, *rest) in enumerate(lines)
            ]
            await connection.copy_records_to_table("posting", records=rows)
            await connection.execute(seal(1, 2))
    finally:
        await connection.close()


@pytest.mark.parametrize("engine", ["postgres"])
async def test_copied_postings_are_applied_or_refused_like_inserted_ones(database: Database, database_url: str) -> None:
    await prepare(database)
    before = await contents(database)
    with pytest.raises(asyncpg.CheckViolationError, match=NOT_CONTINUED):
        await copy(database_url, _TWO_THAT_LEAP)
    assert await contents(database) == before
    await copy(database_url, _HONEST)
    await assert_honest_ones_stand(database)


async def test_database_with_a_history_goes_on_after_the_upgrade(postgres_server: PostgresServer) -> None:
    name = postgres_server.create()
    url = postgres_server.url(name)
    await migrate(url, migrations=known_migrations()[:4])
    async with open_database(url) as old_release:
        await recorded(old_release, deposit(25_000_000))
        await migrate(url)
        await recorded(old_release, tool_call(5_000_000))
    async with open_database(url) as database:
        await recorded(database, tool_call(10_000_000, call_id="2"))
        assert await wallet_row(database) == {"balance_micros": 10_000_000, "version": 3}
        assert (
            await database.fetch_one("SELECT owner_id FROM ledger_account WHERE code = $1", (ANN_WALLET.code,))
        ) == {"owner_id": ANN}
        await assert_books_balance(database)
    postgres_server.drop(name)
