"""Migrating a SQLite file, on a connection of its own."""

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

from gateway.db.errors import MigrationRefused
from gateway.db.limits import DatabaseLimits
from gateway.db.migration_plan import not_applied
from gateway.db.sqlite_errors import translate_sqlite
from gateway.db.sqlite_file import open_reader, open_writer
from gateway.db.sqlite_thread import SqliteThread
from models.migrations import Migration

_T = TypeVar("_T")

_CREATE_RECORD: Final = """CREATE TABLE IF NOT EXISTS schema_migration (
    name TEXT NOT NULL PRIMARY KEY,
    digest TEXT NOT NULL,
    applied_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%d %H:%M:%f+00:00', 'now'))
) STRICT"""
_HAS_RECORD: Final = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'schema_migration'"
_READ_RECORD: Final = "SELECT name, digest FROM schema_migration"
_WRITE_RECORD: Final = "INSERT INTO schema_migration (name, digest) VALUES (?, ?)"


async def migrate_sqlite(path: Path, known: Sequence[Migration], limits: DatabaseLimits) -> tuple[str, ...]:
    """Apply what is left, one write transaction each; whoever comes second waits for the file's write lock."""
    opening = partial(open_writer, path, busy_seconds=limits.migration_seconds_max)
    return await _on_thread(opening, partial(_apply_all, known=known))


async def applied_on_sqlite(path: Path, limits: DatabaseLimits) -> dict[str, str]:
    """The digests by name of what is applied; a file that does not exist has nothing applied."""
    if not await asyncio.to_thread(path.exists):
        return {}
    opening = partial(open_reader, path, busy_seconds=limits.busy_seconds_max)
    return await _on_thread(opening, _read_applied)


async def _on_thread(opening: Callable[[], sqlite3.Connection], job: Callable[[sqlite3.Connection], _T]) -> _T:
    thread = await SqliteThread.start(opening, name="sqlite-migrations")
    try:
        return await asyncio.shield(thread.submit(job))
    except sqlite3.Error as error:
        raise (translate_sqlite(error) or error) from error
    finally:
        await thread.aclose()


def _apply_all(connection: sqlite3.Connection, *, known: Sequence[Migration]) -> tuple[str, ...]:
    # Rebuilding a table drops the old one; with foreign keys on, that would delete the rows that point to it.
    # They are checked as a whole before each COMMIT instead.
    connection.execute("PRAGMA foreign_keys = OFF")
    done: list[str] = []
    while True:
        connection.execute("BEGIN IMMEDIATE")
        try:
            left = not_applied(known, _read_applied(connection), "sqlite")
            if not left:
                return tuple(done)
            _apply(connection, left[0])
            connection.execute("COMMIT")
            done.append(left[0].name)
        finally:
            if connection.in_transaction:
                connection.execute("ROLLBACK")


def _apply(connection: sqlite3.Connection, migration: Migration) -> None:
    connection.execute(_CREATE_RECORD)
    for statement in migration.sqlite:
        try:
            connection.execute(statement).close()
        except sqlite3.Error as error:
            raise MigrationRefused(f"{migration.name} failed and was undone: {error}, in: {statement}") from error
    if orphan := connection.execute("PRAGMA foreign_key_check").fetchone():
        raise MigrationRefused(
            f"{migration.name} leaves rows of {orphan[0]} that point to missing rows of {orphan[2]}."
        )
    connection.execute(_WRITE_RECORD, (migration.name, migration.digest("sqlite")))


def _read_applied(connection: sqlite3.Connection) -> dict[str, str]:
    if connection.execute(_HAS_RECORD).fetchone() is None:
        return {}
    return dict(connection.execute(_READ_RECORD).fetchall())
