"""Work that met others is run again as a whole; what cannot be known or helped by that is not."""

import asyncio
import sqlite3
from pathlib import Path

import pytest

from gateway.db import Conflict, Connection, Contention, Database, DatabaseLimits, DatabaseUnavailable, open_database
from gateway.db.limits import RETRIES_MAX
from gateway.db.rows import integer

NO_WAIT = DatabaseLimits(busy_seconds_max=0.01)


@pytest.fixture
def engine() -> str:
    """These races are PostgreSQL's, unless a test says otherwise."""
    return "postgres"


async def balance(connection: Connection) -> int:
    row = await connection.fetch_one("SELECT sum(cents) AS cents FROM sale")
    assert row is not None
    return integer(row, "cents") if row["cents"] is not None else 0


async def test_serialization_failures_are_retried_until_every_sum_is_right(shop_database: Database) -> None:
    """Each work stores one more than the sum it read; run one after the other they would double it."""
    works, tries = 8, 0

    async def add_one_more_than_all(connection: Connection) -> None:
        nonlocal tries
        tries += 1
        name = f"sale {tries}"
        await connection.execute("SET TRANSACTION ISOLATION LEVEL SERIALIZABLE")
        total = await balance(connection)
        await asyncio.sleep(0)
        await connection.execute("INSERT INTO sale (name, cents) VALUES ($1, $2)", [name, total + 1])

    await asyncio.gather(*(shop_database.run(add_one_more_than_all) for _ in range(works)))
    assert tries > works
    async with shop_database.transaction() as connection:
        assert await balance(connection) == 2**works - 1
    assert shop_database.counts.open == shop_database.counts.idle


async def test_one_of_a_deadlocked_pair_is_run_again(shop_database: Database) -> None:
    both_hold = asyncio.Barrier(2)
    tries = 0
    async with shop_database.transaction() as connection:
        await connection.execute("INSERT INTO till (code, cents) VALUES ('left', 0), ('right', 0)")

    async def take(connection: Connection, first: str, second: str) -> None:
        nonlocal tries
        tries += 1
        meeting = tries <= 2
        await connection.execute("SET LOCAL deadlock_timeout = '10ms'")
        await connection.execute("UPDATE till SET cents = cents + 1 WHERE code = $1", [first])
        if meeting:
            await both_hold.wait()
        await connection.execute("UPDATE till SET cents = cents + 1 WHERE code = $1", [second])

    async with asyncio.timeout(30):
        await asyncio.gather(
            shop_database.run(lambda connection: take(connection, "left", "right")),
            shop_database.run(lambda connection: take(connection, "right", "left")),
        )
    assert tries == 3
    assert await shop_database.fetch("SELECT cents FROM till WHERE code <> 'main'") == [{"cents": 2}, {"cents": 2}]


async def test_lock_that_does_not_come_is_waited_for_again(shop_database: Database) -> None:
    tries = 0
    held, release = asyncio.Event(), asyncio.Event()

    async def hold() -> None:
        async with shop_database.transaction() as connection:
            await connection.execute("UPDATE till SET cents = 5")
            held.set()
            await release.wait()

    async def add(connection: Connection) -> None:
        nonlocal tries
        tries += 1
        if tries == 3:
            release.set()
        await connection.execute("SET LOCAL lock_timeout = '10ms'" if tries < 3 else "SET LOCAL lock_timeout = '10s'")
        await connection.execute("UPDATE till SET cents = cents + 1")

    holder = asyncio.create_task(hold())
    await held.wait()
    await shop_database.run(add)
    await holder
    assert tries == 3
    assert await shop_database.fetch("SELECT cents FROM till") == [{"cents": 6}]


async def test_swallowed_serialization_failure_is_retried_all_the_same(shop_database: Database) -> None:
    tries = 0

    async def careless(connection: Connection) -> None:
        nonlocal tries
        tries += 1
        if tries == 1:
            with pytest.raises(Contention):
                await connection.execute(RAISE_40001)
        await connection.execute("UPDATE till SET cents = cents + 1")

    await shop_database.run(careless)
    assert tries == 2
    assert await shop_database.fetch("SELECT cents FROM till") == [{"cents": 1}]


RAISE_40001 = "DO $$ BEGIN RAISE EXCEPTION 'planned' USING ERRCODE = '40001'; END $$"


async def test_failure_raised_at_commit_is_retried(shop_database: Database) -> None:
    tries = 0
    async with shop_database.transaction() as connection:
        await connection.execute(
            f"CREATE FUNCTION late() RETURNS trigger LANGUAGE plpgsql AS $body$ BEGIN IF NEW.cents = 1 THEN "
            f"{RAISE_40001.removeprefix('DO $$ BEGIN ').removesuffix(' END $$')} END IF; RETURN NEW; END $body$"
        )
        await connection.execute(
            "CREATE CONSTRAINT TRIGGER late AFTER UPDATE ON till DEFERRABLE INITIALLY DEFERRED "
            "FOR EACH ROW EXECUTE FUNCTION late()"
        )

    async def add(connection: Connection) -> None:
        nonlocal tries
        tries += 1
        await connection.execute("UPDATE till SET cents = $1", [tries])

    await shop_database.run(add)
    assert tries == 2
    assert await shop_database.fetch("SELECT cents FROM till") == [{"cents": 2}]


@pytest.mark.parametrize(
    ("state", "reason"), [("40001", "serialization"), ("40P01", "deadlock"), ("55P03", "lock_timeout")]
)
async def test_every_retry_is_told_with_its_reason(shop_url: str, state: str, reason: str) -> None:
    reasons: list[str] = []

    def retried(*, reason: str) -> None:
        reasons.append(reason)

    async def twice_in_the_way(connection: Connection) -> None:
        if len(reasons) < 2:
            await connection.execute(RAISE_40001.replace("40001", state))

    async with open_database(shop_url, jitter=lambda: 0.0, retried=retried) as database:
        await database.run(twice_in_the_way)

    assert reasons == [reason, reason]


async def test_retries_end_with_contention(shop_database: Database) -> None:
    tries = 0

    async def never(connection: Connection) -> None:
        nonlocal tries
        tries += 1
        await connection.execute(RAISE_40001)

    with pytest.raises(Contention):
        await shop_database.run(never)
    assert tries == RETRIES_MAX + 1
    assert shop_database.counts.open == shop_database.counts.idle


async def test_statement_prepared_before_a_migration_is_prepared_anew(shop_database: Database, shop_url: str) -> None:
    async def read(connection: Connection) -> list[str]:
        rows = await connection.fetch("SELECT * FROM till")
        return sorted(rows[0])

    assert await shop_database.run(read) == ["cents", "code"]
    async with open_database(shop_url) as other, other.transaction() as connection:
        await connection.execute("ALTER TABLE till ADD COLUMN place text")
    assert await shop_database.run(read) == ["cents", "code", "place"]


async def test_block_is_not_retried(shop_database: Database) -> None:
    with pytest.raises(Contention):
        async with shop_database.transaction() as connection:
            await connection.execute(RAISE_40001)


async def test_conflict_is_not_retried(shop_database: Database) -> None:
    tries = 0

    async def sell_twice(connection: Connection) -> None:
        nonlocal tries
        tries += 1
        await connection.execute("INSERT INTO sale (name, cents) VALUES ('a', 1), ('a', 1)")

    with pytest.raises(Conflict):
        await shop_database.run(sell_twice)
    assert tries == 1


@pytest.mark.parametrize("engine", ["sqlite"])
async def test_file_locked_by_another_program_is_contention(shop_url: str, engine: str) -> None:
    tries = 0
    reasons: list[str] = []

    def retried(*, reason: str) -> None:
        reasons.append(reason)

    async def add(connection: Connection) -> None:
        nonlocal tries
        tries += 1
        await connection.execute("UPDATE till SET cents = cents + 1")

    async with open_database(shop_url, limits=NO_WAIT, jitter=lambda: 0.0, retried=retried) as database:
        with sqlite3.connect(Path(shop_url.removeprefix("sqlite://")), isolation_level=None) as stranger:
            stranger.execute("BEGIN IMMEDIATE")
            with pytest.raises(Contention, match="locked"):
                await database.run(add)
            assert await database.fetch("SELECT cents FROM till") == [{"cents": 0}]
            stranger.execute("ROLLBACK")
        stranger.close()
        await database.run(add)
    assert tries == 1
    assert reasons == ["busy"] * RETRIES_MAX


async def test_busy_pool_is_unavailable_not_forever(shop_url: str) -> None:
    limits = DatabaseLimits(acquire_seconds_max=0.05)
    async with open_database(f"{shop_url}?connections=1", limits=limits) as database, database.transaction():
        with pytest.raises(DatabaseUnavailable, match="All 1 connections"):
            await database.fetch("SELECT 1")


@pytest.mark.parametrize("engine", ["sqlite"])
async def test_turn_to_write_that_does_not_come_is_unavailable(shop_url: str, engine: str) -> None:
    async def add(connection: Connection) -> None:
        await connection.execute("UPDATE till SET cents = cents + 1")

    limits = DatabaseLimits(acquire_seconds_max=0.05)
    async with open_database(shop_url, limits=limits) as database:
        async with database.transaction():
            waiting = asyncio.create_task(database.run(add))
            with pytest.raises(DatabaseUnavailable, match="turn to write"):
                await waiting
        await database.run(add)
