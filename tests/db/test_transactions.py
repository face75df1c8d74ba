"""What a transaction promises: all or nothing, seen only when committed, refused when over."""

import asyncio
import contextvars

import pytest

from gateway.db import Conflict, Connection, Database, RuleViolation, TransactionMisuse, open_database, spawn
from gateway.db.rows import integer, text

SELL = "INSERT INTO sale (name, cents) VALUES ($1, $2)"
PAY_IN = "UPDATE till SET cents = cents + $1 WHERE code = 'main'"


async def sales(database: Database) -> list[str]:
    return [text(row, "name") for row in await database.fetch("SELECT name FROM sale ORDER BY name")]


async def till_cents(database: Database) -> int:
    row = await database.fetch_one("SELECT cents FROM till WHERE code = 'main'")
    assert row is not None
    return integer(row, "cents")


async def test_run_commits_and_returns_what_the_work_returned(shop_database: Database) -> None:
    async def sell(connection: Connection) -> int:
        await connection.execute(SELL, ["bread", 250])
        return await connection.execute(PAY_IN, [250])

    assert await shop_database.run(sell) == 1
    assert await sales(shop_database) == ["bread"]
    assert await till_cents(shop_database) == 250


async def test_run_that_raises_stores_nothing(shop_database: Database) -> None:
    async def sell_and_fail(connection: Connection) -> None:
        await connection.execute(SELL, ["bread", 250])
        await connection.execute(PAY_IN, [250])
        raise LookupError("no bag")

    with pytest.raises(LookupError, match="no bag"):
        await shop_database.run(sell_and_fail)
    assert await sales(shop_database) == []
    assert await till_cents(shop_database) == 0


async def test_reader_sees_nothing_uncommitted_and_does_not_wait(shop_database: Database) -> None:
    async with shop_database.transaction() as connection:
        await connection.execute(SELL, ["bread", 250])
        async with asyncio.timeout(10):
            assert await sales(shop_database) == []
        assert await connection.fetch_one("SELECT name FROM sale") == {"name": "bread"}
    assert await sales(shop_database) == ["bread"]


async def test_second_database_on_the_same_url_sees_the_commit(shop_database: Database, shop_url: str) -> None:
    async with open_database(shop_url) as other:
        async with shop_database.transaction() as connection:
            await connection.execute(SELL, ["bread", 250])
        assert await sales(other) == ["bread"]


async def test_execute_counts_rows_and_not_what_they_set_off(shop_database: Database) -> None:
    async with shop_database.transaction() as connection:
        assert await connection.execute(f"{SELL}, ($3, $4)", ["bread", 250, "milk", 120]) == 2
        assert await connection.execute("UPDATE sale SET cents = cents + 1") == 2
        assert await connection.execute("UPDATE sale SET cents = 0 WHERE name = $1", ["nothing"]) == 0
        counted = "WITH dear AS (SELECT id FROM sale WHERE cents > $1) UPDATE sale SET cents = 9 FROM dear"
        assert await connection.execute(f"{counted} WHERE dear.id = sale.id", [200]) == 1
        assert await connection.execute(f"{SELL} RETURNING id", ["salt", 80]) == 1


async def test_returning_gives_the_new_row(shop_database: Database) -> None:
    async with shop_database.transaction() as connection:
        row = await connection.fetch_one(f"{SELL} RETURNING name, cents", ["bread", 250])
    assert row == {"name": "bread", "cents": 250}


async def test_parameter_may_be_used_twice_and_out_of_order(shop_database: Database) -> None:
    row = await shop_database.fetch_one("SELECT $2::text AS b, $1::text AS a, $2::text AS again", ["x", "y"])
    assert row == {"b": "y", "a": "x", "again": "y"}


async def test_taken_name_is_a_conflict_that_names_its_columns(shop_database: Database) -> None:
    async def sell_twice(connection: Connection) -> None:
        await connection.execute(SELL, ["bread", 250])
        await connection.execute(SELL, ["bread", 300])

    with pytest.raises(Conflict) as refusal:
        await shop_database.run(sell_twice)
    assert (refusal.value.table, refusal.value.columns) == ("sale", ("name",))
    assert await sales(shop_database) == []


async def test_key_of_two_columns_names_both(shop_database: Database) -> None:
    with pytest.raises(Conflict) as refusal:
        async with shop_database.transaction() as connection:
            await connection.execute("INSERT INTO line (sale_id, number) VALUES (1, 1), (1, 1)")
    assert (refusal.value.table, refusal.value.columns) == ("line", ("sale_id", "number"))


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE till SET cents = -1",
        "INSERT INTO sale (name, cents) VALUES ('bread', NULL)",
        "INSERT INTO line (sale_id, number) VALUES (77, 1)",
    ],
    ids=["check", "not null", "foreign key, at commit"],
)
async def test_rule_of_the_database_is_a_rule_violation(shop_database: Database, statement: str) -> None:
    with pytest.raises(RuleViolation):
        async with shop_database.transaction() as connection:
            await connection.execute(statement)
    assert await till_cents(shop_database) == 0
    assert shop_database.counts.open == shop_database.counts.idle


async def test_trigger_refuses_in_its_own_words(shop_database: Database) -> None:
    async with shop_database.transaction() as connection:
        await connection.execute(SELL, ["bread", 250])
    with pytest.raises(RuleViolation, match="a sale is never deleted"):
        async with shop_database.transaction() as connection:
            await connection.execute("DELETE FROM sale")
    assert await sales(shop_database) == ["bread"]


async def test_swallowed_refusal_is_not_committed_over(shop_database: Database) -> None:
    async def swallow(connection: Connection) -> None:
        await connection.execute(SELL, ["bread", 250])
        with pytest.raises(Conflict):
            await connection.execute(SELL, ["bread", 250])

    with pytest.raises(TransactionMisuse, match="savepoint"):
        await shop_database.run(swallow)
    assert await sales(shop_database) == []


async def test_nothing_more_is_done_after_a_swallowed_refusal(shop_database: Database) -> None:
    async def go_on(connection: Connection) -> None:
        with pytest.raises(RuleViolation):
            await connection.execute("UPDATE till SET cents = -1")
        await connection.execute(SELL, ["bread", 250])

    with pytest.raises(TransactionMisuse, match="failed in this transaction"):
        await shop_database.run(go_on)
    assert await sales(shop_database) == []


async def sell_milk_and_taken_bread(connection: Connection) -> None:
    async with connection.savepoint():
        await connection.execute(SELL, ["milk", 120])
        await connection.execute(SELL, ["bread", 250])


async def test_savepoint_undoes_its_inside_only(shop_database: Database) -> None:
    async with shop_database.transaction() as connection:
        await connection.execute(SELL, ["bread", 250])
        with pytest.raises(Conflict):
            await sell_milk_and_taken_bread(connection)
        async with connection.savepoint():
            await connection.execute(SELL, ["salt", 80])
    assert await sales(shop_database) == ["bread", "salt"]


async def test_finished_transaction_is_refused(shop_database: Database) -> None:
    async with shop_database.transaction() as connection:
        await connection.execute(SELL, ["bread", 250])
    for use in (connection.fetch, connection.fetch_one, connection.execute):
        with pytest.raises(TransactionMisuse, match="has ended"):
            await use("SELECT 1")
    with pytest.raises(TransactionMisuse, match="has ended"):
        await connection.orm.execute_query("SELECT 1")


async def test_transaction_inside_a_transaction_of_the_same_task_is_refused(shop_database: Database) -> None:
    async with shop_database.transaction() as connection:
        with pytest.raises(TransactionMisuse, match="open already"):
            async with shop_database.transaction():
                pass
        await connection.execute(SELL, ["bread", 250])
    assert await sales(shop_database) == ["bread"]


async def test_task_spawned_inside_a_transaction_cannot_lose_what_it_was_told_is_stored(
    shop_database: Database,
) -> None:
    parent_over = asyncio.Event()

    async def outlive(parent: Connection) -> None:
        await parent_over.wait()
        with pytest.raises(TransactionMisuse):
            await parent.execute(SELL, ["through the parent", 1])

        async def sell(connection: Connection) -> None:
            await connection.execute(SELL, ["through its own", 1])

        await shop_database.run(sell)

    async with shop_database.transaction() as connection:
        await connection.execute(SELL, ["parent", 1])
        child = spawn(outlive(connection), name="child")

    async def sell_beside_and_fail(other: Connection) -> None:
        await other.execute(SELL, ["other", 1])
        parent_over.set()
        await asyncio.wait([child], timeout=0.1)  # on SQLite it has to wait for its turn
        raise LookupError

    with pytest.raises(LookupError):
        await shop_database.run(sell_beside_and_fail)
    await child
    assert await sales(shop_database) == ["parent", "through its own"]


async def test_spawned_task_inherits_no_context() -> None:
    secret: contextvars.ContextVar[str] = contextvars.ContextVar("secret", default="nothing")
    secret.set("the caller's")

    async def look() -> str:
        return secret.get()

    assert await spawn(look(), name="look") == "nothing"


async def test_gathered_statements_share_the_transaction(shop_database: Database) -> None:
    async with shop_database.transaction() as connection:
        await asyncio.gather(*(connection.execute(SELL, [f"sale {number}", 1]) for number in range(10)))
    assert len(await sales(shop_database)) == 10


async def test_statement_cut_by_a_timeout_is_not_committed_over(shop_database: Database) -> None:
    slow = "SELECT pg_sleep(5)" if shop_database.dialect == "postgres" else SLOW_ON_SQLITE

    async def give_up_waiting(connection: Connection) -> None:
        await connection.execute(SELL, ["bread", 250])
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(connection.fetch(slow), 0.02)

    with pytest.raises(TransactionMisuse):
        await shop_database.run(give_up_waiting)
    assert await sales(shop_database) == []


SLOW_ON_SQLITE = """WITH RECURSIVE tick (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM tick WHERE n < 1000000)
                    SELECT max(n) FROM tick"""


async def test_concurrent_runs_lose_no_update(shop_database: Database) -> None:
    async def pay_in(connection: Connection) -> None:
        await connection.execute(PAY_IN, [1])

    await asyncio.gather(*(shop_database.run(pay_in) for _ in range(50)))
    assert await till_cents(shop_database) == 50


async def test_closed_database_says_so(shop_url: str) -> None:
    from gateway.db import DatabaseUnavailable

    async with open_database(shop_url) as database:
        pass
    with pytest.raises(DatabaseUnavailable, match="closed"):
        await database.fetch("SELECT 1")
    with pytest.raises(DatabaseUnavailable, match="closed"):
        async with database.transaction():
            pass


async def test_wrong_statement_keeps_the_drivers_own_error(shop_database: Database) -> None:
    with pytest.raises(Exception, match="nowhere") as error:
        await shop_database.fetch("SELECT 1 FROM nowhere")
    assert type(error.value).__module__.split(".")[0] in {"sqlite3", "asyncpg"}
    assert await sales(shop_database) == []


async def test_reader_cannot_write_on_sqlite(shop_database: Database) -> None:
    from gateway.db import DatabaseUnavailable

    if shop_database.dialect == "postgres":
        return
    with pytest.raises(DatabaseUnavailable, match="readonly"):
        await shop_database.fetch(SELL, ["bread", 250])
