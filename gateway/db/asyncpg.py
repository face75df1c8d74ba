"""The PostgreSQL engine: asyncpg's connections in a pool of our own, every wait bounded, every cancel safe."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, TypeVar

from gateway.db.asyncpg_driver import Driver, connect
from gateway.db.asyncpg_errors import answered_by_server, translate_postgres
from gateway.db.connection import Connection
from gateway.db.dialect import Dialect, Parameters, Row
from gateway.db.errors import DatabaseUnavailable, OutcomeUnknown, TransactionMisuse
from gateway.db.limits import DatabaseLimits
from gateway.db.pool import Pool, PoolCounts
from gateway.db.tasks import spawn
from gateway.db.url import PostgresUrl

T = TypeVar("T")
_PING: Final = "SELECT 1"
# A pooled connection may have died since it was last used (the server restarted); a second try meets a live one.
_TRIES_MAX: Final = 2


class AsyncpgEngine:
    """One PostgreSQL database. Finds it again by itself after the server was away."""

    dialect: Dialect = "postgres"

    def __init__(self, address: PostgresUrl, limits: DatabaseLimits) -> None:
        self._address = address
        self._limits = limits
        self._settling: set[asyncio.Task[None]] = set()
        self.pool = Pool(
            open_one=self._connect,
            usable=_is_open,
            dispose=lambda connection: connection.terminate(),
            size_max=address.connections_max or limits.connections_max,
            acquire_seconds_max=limits.acquire_seconds_max,
        )

    @classmethod
    async def open(cls, address: PostgresUrl, limits: DatabaseLimits) -> "AsyncpgEngine":
        """Make sure the database answers; raises DatabaseUnavailable when it does not."""
        engine = cls(address, limits)
        await engine.ping()
        return engine

    async def begin(self) -> Connection:
        connection, _ = await self._first_word(lambda connection: connection.execute("BEGIN"))
        return AsyncpgConnection(self, connection)

    async def fetch(self, sql: str, params: Parameters) -> list[Row]:
        records = await self._read(lambda connection: connection.fetch(sql, *params))
        return [dict(record.items()) for record in records]

    async def fetch_one(self, sql: str, params: Parameters) -> Row | None:
        record = await self._read(lambda connection: connection.fetchrow(sql, *params))
        return None if record is None else dict(record.items())

    async def ping(self) -> None:
        await self.fetch_one(_PING, ())

    @property
    def counts(self) -> PoolCounts:
        return self.pool.counts

    async def aclose(self) -> None:
        if self._settling:
            await asyncio.wait(self._settling, timeout=self._limits.settle_seconds_max)
        for connection in await self.pool.drain(seconds_max=self._limits.settle_seconds_max):
            try:
                async with asyncio.timeout(self._limits.settle_seconds_max):
                    await connection.close()
            except Exception:  # noqa: BLE001 - whatever it is, closing goes on with the next
                connection.terminate()

    def take_back(self, connection: Driver, error: BaseException) -> None:
        """Give a connection back after something went wrong on it, without waiting."""
        answered = answered_by_server(error)
        if isinstance(error, TimeoutError):
            connection.terminate()  # the link may be frozen; nothing more is said over it
        if connection.is_closed() or (answered and not connection.is_in_transaction()):
            self.pool.release(connection)
            return
        task = spawn(self._settle(connection), name="postgres-settle")
        self._settling.add(task)
        task.add_done_callback(self._settling.discard)

    async def _settle(self, connection: Driver) -> None:
        """Wait until a cut-off statement is really over and undo what it was part of; else drop the connection."""
        try:
            async with asyncio.timeout(self._limits.settle_seconds_max):
                await self._wait_for_answer(connection)
                if connection.is_in_transaction():
                    await connection.execute("ROLLBACK")
        except Exception:  # noqa: BLE001 - nobody waits for this; a connection in doubt is not used again
            connection.terminate()
        except BaseException:
            connection.terminate()
            raise
        finally:
            self.pool.release(connection)

    async def _wait_for_answer(self, connection: Driver) -> None:
        """Nothing is sent before a cancelled statement has ended; what the answer says is of no account."""
        try:
            await connection.execute(_PING)
        except Exception as error:
            if not answered_by_server(error):
                raise

    async def _read(self, ask: Callable[[Driver], Awaitable[T]]) -> T:
        if self._address.pgbouncer:
            return await self._read_in_transaction(ask)
        connection, answer = await self._first_word(ask)
        self.pool.release(connection)
        return answer

    async def _read_in_transaction(self, ask: Callable[[Driver], Awaitable[T]]) -> T:
        """Behind a pooler, preparing and asking reach the same server connection only inside a transaction."""
        connection, _ = await self._first_word(lambda connection: connection.execute("BEGIN READ ONLY"))
        try:
            answer = await ask(connection)
            await connection.execute("COMMIT")
        except BaseException as error:
            self.take_back(connection, error)
            raise (translate_postgres(error, closed=connection.is_closed()) or error) from error
        self.pool.release(connection)
        return answer

    async def _first_word(self, ask: Callable[[Driver], Awaitable[T]]) -> tuple[Driver, T]:
        """Take a connection and say the first thing on it; once more if it turns out to have died in the pool."""
        for remaining in reversed(range(_TRIES_MAX)):
            connection = await self.pool.acquire()
            try:
                return connection, await ask(connection)
            except BaseException as error:
                timed_out = isinstance(error, TimeoutError)
                self.take_back(connection, error)
                translated = translate_postgres(error, closed=connection.is_closed())
                if remaining and not timed_out and connection.is_closed() and type(translated) is DatabaseUnavailable:
                    continue
                raise (translated or error) from error
        raise AssertionError("the last try returns or raises")

    async def _connect(self) -> Driver:
        return await connect(self._address, self._limits, settings=self._server_settings())

    def _server_settings(self) -> dict[str, str]:
        if self._address.pgbouncer:
            return {}  # a pooler refuses what it does not know; set them on the role
        limits = self._limits
        return {
            "TimeZone": "UTC",
            "statement_timeout": _milliseconds(limits.statement_seconds_max),
            "lock_timeout": _milliseconds(limits.lock_seconds_max),
            "idle_in_transaction_session_timeout": _milliseconds(limits.idle_in_transaction_seconds_max),
        }


class AsyncpgConnection(Connection):
    """A transaction on one connection of the pool."""

    dialect: Dialect = "postgres"

    def __init__(self, engine: AsyncpgEngine, connection: Driver) -> None:
        super().__init__()
        self._engine = engine
        self._connection = connection
        self._lock = asyncio.Lock()  # tasks of one gather take turns on the one connection

    async def _fetch(self, sql: str, params: Parameters) -> list[Row]:
        records = await self._say(lambda connection: connection.fetch(sql, *params))
        return [dict(record.items()) for record in records]

    async def _fetch_one(self, sql: str, params: Parameters) -> Row | None:
        record = await self._say(lambda connection: connection.fetchrow(sql, *params))
        return None if record is None else dict(record.items())

    async def _execute(self, sql: str, params: Parameters) -> int:
        status = await self._say(lambda connection: connection.execute(sql, *params))
        count = status.rpartition(" ")[2]  # "UPDATE 3", "INSERT 0 1", "SAVEPOINT"
        return int(count) if count.isdigit() else 0

    async def _execute_many(self, sql: str, params: Sequence[Parameters]) -> None:
        await self._say(lambda connection: connection.executemany(sql, params))

    async def _commit(self) -> None:
        try:
            async with self._lock:
                status = await self._connection.execute("COMMIT")
        except BaseException as error:
            self._engine.take_back(self._connection, error)
            translated = translate_postgres(error, closed=self._connection.is_closed())
            if type(translated) is DatabaseUnavailable:
                raise OutcomeUnknown(f"COMMIT was sent and its answer lost. {translated}") from error
            raise (translated or error) from error
        self._engine.pool.release(self._connection)
        if status != "COMMIT":
            raise TransactionMisuse(f"PostgreSQL answered COMMIT with {status}: nothing was stored.")

    async def _rollback(self) -> None:
        if self._connection.is_closed():
            self._engine.pool.release(self._connection)
            return
        try:
            async with self._lock:
                await self._connection.execute("ROLLBACK")
        except BaseException as error:
            self._engine.take_back(self._connection, error)
            if translate_postgres(error, closed=self._connection.is_closed()) is None:
                raise
        else:
            self._engine.pool.release(self._connection)

    def _abandon(self) -> None:
        self._engine.take_back(self._connection, asyncio.CancelledError())

    async def _say(self, ask: Callable[[Driver], Awaitable[T]]) -> T:
        async with self._lock:
            self._refuse_if_finished()  # it may have ended while this waited for its turn
            try:
                return await ask(self._connection)
            except TimeoutError as error:
                self._connection.terminate()
                raise DatabaseUnavailable("PostgreSQL did not answer in time.") from error
            except Exception as error:
                raise (translate_postgres(error, closed=self._connection.is_closed()) or error) from error


def _is_open(connection: Driver) -> bool:
    return not connection.is_closed()


def _milliseconds(seconds: float) -> str:
    return str(round(seconds * 1000))
