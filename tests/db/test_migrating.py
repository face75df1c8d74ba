"""Migrations are applied once, in order, whole or not at all, and never over what this release does not know."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

import models.migrations
from gateway.db import Connection, MigrationRefused, RuleViolation, migrate, open_database, pending
from gateway.db.migration_plan import known_migrations
from models.migrations import Migration
from tests.db.shop import SHOP


def step(name: str, *statements: str) -> Migration:
    """A migration with the same statements for both engines."""
    return Migration(name=name, postgres=statements, sqlite=statements)


FIRST = step("0001_first", "CREATE TABLE a (id integer PRIMARY KEY)", "INSERT INTO a (id) VALUES (1), (2)")
SECOND = step("0002_second", "CREATE TABLE b (id integer PRIMARY KEY, a_id integer REFERENCES a (id))")
THIRD = step("0003_third", "ALTER TABLE a ADD COLUMN note text")


async def test_each_is_applied_once_and_in_order(empty_url: str) -> None:
    assert await pending(empty_url, migrations=[FIRST, SECOND]) == ("0001_first", "0002_second")
    assert await migrate(empty_url, migrations=[FIRST]) == ("0001_first",)
    assert await migrate(empty_url, migrations=[FIRST, SECOND, THIRD]) == ("0002_second", "0003_third")
    assert await migrate(empty_url, migrations=[FIRST, SECOND, THIRD]) == ()
    assert await pending(empty_url, migrations=[FIRST, SECOND, THIRD]) == ()
    async with open_database(empty_url) as database:
        assert await database.fetch("SELECT * FROM a") == [{"id": 1, "note": None}, {"id": 2, "note": None}]
        rows = await database.fetch("SELECT name, digest, applied_at FROM schema_migration ORDER BY name")
    assert [row["name"] for row in rows] == ["0001_first", "0002_second", "0003_third"]
    assert all(row["applied_at"] is not None for row in rows)


async def test_asking_what_is_pending_changes_nothing(engine: str, empty_url: str) -> None:
    assert await pending(empty_url, migrations=[FIRST]) == ("0001_first",)
    if engine == "sqlite":
        assert not Path(empty_url.removeprefix("sqlite://")).exists()


async def test_failing_statement_undoes_its_migration_and_keeps_the_ones_before(empty_url: str) -> None:
    failing = step("0002_second", "CREATE TABLE b (id integer PRIMARY KEY)", "INSERT INTO nowhere VALUES (1)")
    with pytest.raises(MigrationRefused, match=r"0002_second failed and was undone: .*nowhere"):
        await migrate(empty_url, migrations=[FIRST, failing])
    assert await pending(empty_url, migrations=[FIRST, SECOND]) == ("0002_second",)
    assert await migrate(empty_url, migrations=[FIRST, SECOND]) == ("0002_second",)


async def test_edited_migration_is_refused(empty_url: str) -> None:
    await migrate(empty_url, migrations=[FIRST])
    edited = step("0001_first", "CREATE TABLE a (id bigint PRIMARY KEY)")
    for ask in (migrate, pending):
        with pytest.raises(MigrationRefused, match="0001_first was edited after it was applied"):
            await ask(empty_url, migrations=[edited])


async def test_indented_otherwise_it_is_the_same_migration(empty_url: str) -> None:
    await migrate(empty_url, migrations=[FIRST])
    indented = step(FIRST.name, *(statement.replace(" (", "\n    (") for statement in FIRST.sqlite))
    assert await migrate(empty_url, migrations=[indented]) == ()


async def test_database_of_a_newer_release_is_refused(empty_url: str) -> None:
    await migrate(empty_url, migrations=[FIRST, SECOND, THIRD])
    for ask in (migrate, pending):
        with pytest.raises(MigrationRefused, match="newer release: 0002_second, 0003_third is not known"):
            await ask(empty_url, migrations=[FIRST])


async def test_migration_slipped_in_before_an_applied_one_is_refused(empty_url: str) -> None:
    await migrate(empty_url, migrations=[FIRST, THIRD])
    with pytest.raises(MigrationRefused, match="0002_second is not applied, though the later 0003_third is"):
        await migrate(empty_url, migrations=[FIRST, SECOND, THIRD])


async def test_statement_is_never_split(empty_url: str) -> None:
    await migrate(empty_url, migrations=[SHOP])

    async def sell_and_delete(connection: Connection) -> None:
        await connection.execute("INSERT INTO sale (name, cents) VALUES ('a;b', 1)")
        await connection.execute("DELETE FROM sale")

    async with open_database(empty_url) as database:
        with pytest.raises(RuleViolation, match="a sale is never deleted"):
            await database.run(sell_and_delete)


REBUILD = (
    "CREATE TABLE a_new (id integer PRIMARY KEY, kind text NOT NULL DEFAULT 'plain')",
    "INSERT INTO a_new (id) SELECT id FROM a",
    "DROP TABLE a",
    "ALTER TABLE a_new RENAME TO a",
)
CHILD = step("0002_child", "CREATE TABLE child (a_id integer NOT NULL REFERENCES a (id) ON DELETE CASCADE)")
FILL = step("0003_fill", "INSERT INTO child (a_id) VALUES (1), (2)")


@pytest.mark.parametrize("engine", ["sqlite"])
async def test_rebuilding_a_table_on_sqlite_keeps_the_rows_that_point_to_it(empty_url: str, engine: str) -> None:
    rebuild = Migration(name="0004_rebuild", postgres=(), sqlite=REBUILD)
    await migrate(empty_url, migrations=[FIRST, CHILD, FILL, rebuild])
    async with open_database(empty_url) as database:
        assert await database.fetch("SELECT a_id FROM child") == [{"a_id": 1}, {"a_id": 2}]
        with pytest.raises(RuleViolation, match="FOREIGN KEY"):
            async with database.transaction() as connection:
                await connection.execute("INSERT INTO child (a_id) VALUES (3)")


@pytest.mark.parametrize("engine", ["sqlite"])
async def test_rebuild_that_loses_rows_pointed_to_is_refused(empty_url: str, engine: str) -> None:
    losing = (REBUILD[0], f"{REBUILD[1]} WHERE id = 1", *REBUILD[2:])
    rebuild = Migration(name="0004_rebuild", postgres=(), sqlite=losing)
    with pytest.raises(MigrationRefused, match="rows of child that point to missing rows of a"):
        await migrate(empty_url, migrations=[FIRST, CHILD, FILL, rebuild])
    async with open_database(empty_url) as database:
        assert await database.fetch("SELECT id FROM a") == [{"id": 1}, {"id": 2}]


def test_migrations_of_this_release_are_numbered_in_a_row() -> None:
    names = [migration.name for migration in known_migrations()]
    assert [int(name[:4]) for name in names] == list(range(1, len(names) + 1))
    assert all(re.fullmatch(r"\d{4}_[a-z_]+", name) for name in names)
    folder = Path(str(models.migrations.__file__)).parent
    assert names == sorted(path.stem for path in folder.glob("[0-9]*.py"))


async def test_release_migrates_from_nothing_and_from_each_step(empty_url: str) -> None:
    known = known_migrations()
    for count in range(1, len(known) + 1):
        assert await migrate(empty_url, migrations=known[:count]) == (known[count - 1].name,)
    assert await migrate(empty_url) == ()


def test_digest_is_of_the_statements_of_one_engine() -> None:
    other = replace(FIRST, postgres=("SELECT 1",))
    assert other.digest("sqlite") == FIRST.digest("sqlite")
    assert other.digest("postgres") != FIRST.digest("postgres")
