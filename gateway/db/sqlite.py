"""The SQLite engine: one writer that begins IMMEDIATE, and readers of their own that never wait for it."""

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

from gateway.db.connection import Connection
from gateway.db.dialect import Dialect, Parameters, Row, SqliteValue, sqlite_parameters, sqlite_statement
from gateway.db.errors import DatabaseUnavailable, OutcomeUnknown
from gateway.db.limits import DatabaseLimits
from gateway.db.pool import Pool, PoolCounts
from gateway.db.sqlite_errors import translate_sqlite
from gateway.db.sqlite_file import open_reader, open_writer
from gateway.db.sqlite_thread import ConnectionStopped, SqliteThread

T = TypeVar("T")
_PING: Final = "SELECT 1"


class SqliteEngine:
    """One SQLite file. Transactions take turns; reads run beside them and see only what is committed."""

    dialect: Dialect = "sqlite"

    def __init__(self, path: Path, writer: SqliteThread, limits: DatabaseLimits) -> None:
        self._path = path
        self._writer = writer
        self._turn = asyncio.Lock()
        self._limits = limits
        self._readers = Pool(
            open_one=self._open_reader,
            usable=lambda reader: reader.running,
            dispose=SqliteThread.stop,
            size_max=limits.readers_max,
            acquire_seconds_max=limits.acquire_seconds_max,
        )

    @classmethod
    async def open(cls, path: Path, limits: DatabaseLimits) -> "SqliteEngine":
        """Open or create the file; raises DatabaseUnavailable when it cannot be read and written."""
        opening = partial(open_writer, path, busy_seconds=limits.busy_seconds_max)
        return cls(path, await SqliteThread.start(opening, name=f"sqlite-writer-{path.name}"), limits)

    async def begin(self) -> Connection:
        await self._take_turn(seconds_max=self._limits.acquire_seconds_max)
        begun = self._writer.submit(_begin)
        try:
            await asyncio.shield(begun)
        except asyncio.CancelledError:
            self.end_turn(_rollback)
            raise
        except sqlite3.Error as error:
            self._turn.release()
            raise (translate_sqlite(error) or error) from error
        return SqliteConnection(self, self._writer)

    def end_turn(self, job: Callable[[sqlite3.Connection], None]) -> "asyncio.Future[None]":
        """End the open transaction with `job` and let the next one begin, even if nobody waits for it any more."""
        ended = self._writer.submit(job)
        ended.add_done_callback(lambda _: self._turn.release())
        return ended

    async def fetch(self, sql: str, params: Parameters) -> list[Row]:
        statement, values = _prepare(sql, params)
        return await self._read(partial(fetch_rows, statement=statement, values=values))

    async def fetch_one(self, sql: str, params: Parameters) -> Row | None:
        statement, values = _prepare(sql, params)
        return await self._read(partial(fetch_row, statement=statement, values=values))

    async def ping(self) -> None:
        await self.fetch(_PING, ())

    @property
    def counts(self) -> PoolCounts:
        return self._readers.counts

    async def aclose(self) -> None:
        # The transaction under way may end; those that wait behind it find the writer stopped.
        with suppress(DatabaseUnavailable):
            await self._take_turn(seconds_max=self._limits.settle_seconds_max)
            self._turn.release()
        self._writer.stop()
        for reader in await self._readers.drain(seconds_max=self._limits.settle_seconds_max):
            await reader.aclose()
        await self._writer.aclose()

    async def _take_turn(self, *, seconds_max: float) -> None:
        if not self._turn.locked():
            await self._turn.acquire()
            return
        try:
            async with asyncio.timeout(seconds_max):
                await self._turn.acquire()
        except TimeoutError as error:
            raise DatabaseUnavailable(f"The turn to write did not come within {seconds_max:g} s.") from error

    async def _read(self, job: Callable[[sqlite3.Connection], T]) -> T:
        reader = await self._readers.acquire()
        reading = reader.submit(job)
        # The reader is free when the job is done, not when its caller stops waiting.
        reading.add_done_callback(lambda _: self._readers.release(reader))
        try:
            return await asyncio.shield(reading)
        except sqlite3.Error as error:
            raise (translate_sqlite(error) or error) from error

    async def _open_reader(self) -> SqliteThread:
        opening = partial(open_reader, self._path, busy_seconds=self._limits.busy_seconds_max)
        return await SqliteThread.start(opening, name=f"sqlite-reader-{self._path.name}")


class SqliteConnection(Connection):
    """A write transaction: it holds the file's only write lock from its first moment to its last."""

    dialect: Dialect = "sqlite"

    def __init__(self, engine: SqliteEngine, writer: SqliteThread) -> None:
        super().__init__()
        self._engine = engine
        self._writer = writer

    async def _fetch(self, sql: str, params: Parameters) -> list[Row]:
        statement, values = _prepare(sql, params)
        return await self._on_writer(partial(fetch_rows, statement=statement, values=values))

    async def _fetch_one(self, sql: str, params: Parameters) -> Row | None:
        statement, values = _prepare(sql, params)
        return await self._on_writer(partial(fetch_row, statement=statement, values=values))

    async def _execute(self, sql: str, params: Parameters) -> int:
        statement, values = _prepare(sql, params)
        return await self._on_writer(partial(execute_statement, statement=statement, values=values))

    async def _execute_many(self, sql: str, params: Sequence[Parameters]) -> None:
        statement, order = sqlite_statement(sql)
        values = [sqlite_parameters(one, order) for one in params]
        await self._on_writer(partial(execute_each, statement=statement, values=values))

    async def _commit(self) -> None:
        try:
            await asyncio.shield(self._engine.end_turn(_commit))
        except sqlite3.Error as error:
            translated = translate_sqlite(error)
            if type(translated) is DatabaseUnavailable and not isinstance(error, ConnectionStopped):
                raise OutcomeUnknown(f"COMMIT failed. {translated}") from error
            raise (translated or error) from error

    async def _rollback(self) -> None:
        # A rollback fails only where the transaction is gone already; the next BEGIN finds out about the rest.
        with suppress(sqlite3.Error):
            await asyncio.shield(self._engine.end_turn(_rollback))

    def _abandon(self) -> None:
        self._engine.end_turn(_rollback)

    async def _on_writer(self, job: Callable[[sqlite3.Connection], T]) -> T:
        try:
            return await asyncio.shield(self._writer.submit(job))
        except sqlite3.Error as error:
            raise (translate_sqlite(error) or error) from error


def fetch_rows(connection: sqlite3.Connection, *, statement: str, values: tuple[SqliteValue, ...]) -> list[Row]:
    cursor = connection.execute(statement, values)
    rows = cursor.fetchall()
    names = [column[0] for column in cursor.description or ()]
    return [dict(zip(names, row, strict=True)) for row in rows]


def fetch_row(connection: sqlite3.Connection, *, statement: str, values: tuple[SqliteValue, ...]) -> Row | None:
    rows = fetch_rows(connection, statement=statement, values=values)
    return rows[0] if rows else None


def execute_statement(connection: sqlite3.Connection, *, statement: str, values: tuple[SqliteValue, ...]) -> int:
    cursor = connection.execute(statement, values)
    cursor.fetchall()  # a RETURNING statement has not run to its end before its rows are read
    if cursor.rowcount >= 0:
        return cursor.rowcount
    if not statement.lstrip()[:4].upper().startswith("WITH"):
        return 0
    return connection.execute("SELECT changes()").fetchone()[0]


def execute_each(connection: sqlite3.Connection, *, statement: str, values: list[tuple[SqliteValue, ...]]) -> None:
    """`executemany`, which refuses RETURNING since Python 3.12."""
    for one in values:
        connection.execute(statement, one).fetchall()


def _prepare(sql: str, params: Parameters) -> tuple[str, tuple[SqliteValue, ...]]:
    statement, order = sqlite_statement(sql)
    return statement, sqlite_parameters(params, order)


def _begin(connection: sqlite3.Connection) -> None:
    _rollback(connection)
    connection.execute("BEGIN IMMEDIATE")


def _commit(connection: sqlite3.Connection) -> None:
    try:
        connection.execute("COMMIT")
    except BaseException:
        _rollback(connection)
        raise


def _rollback(connection: sqlite3.Connection) -> None:
    if connection.in_transaction:
        connection.execute("ROLLBACK")
