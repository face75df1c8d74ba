"""One open database: transactions that are retried as a whole, and reads outside of them."""

import asyncio
import random
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from functools import cached_property
from types import TracebackType
from typing import NoReturn, Protocol, TypeVar

import structlog

import models
from gateway.db.asyncpg import AsyncpgEngine
from gateway.db.connection import Connection
from gateway.db.dialect import Dialect, Parameters, Row
from gateway.db.errors import Contention, TransactionMisuse
from gateway.db.limits import (
    DEFAULT_LIMITS,
    RETRIES_MAX,
    RETRY_DELAY_SECONDS_FIRST,
    RETRY_DELAY_SECONDS_MAX,
    DatabaseLimits,
)
from gateway.db.orm import OrmClient, model_modules, register_models
from gateway.db.pool import PoolCounts
from gateway.db.sqlite import SqliteEngine
from gateway.db.url import SqliteUrl, parse_database_url

T = TypeVar("T")
Work = Callable[[Connection], Awaitable[T]]

log: structlog.stdlib.BoundLogger = structlog.get_logger()


class Engine(Protocol):
    """What SQLite and PostgreSQL each bring."""

    @property
    def dialect(self) -> Dialect: ...

    async def begin(self) -> Connection: ...

    async def fetch(self, sql: str, params: Parameters) -> list[Row]: ...

    async def fetch_one(self, sql: str, params: Parameters) -> Row | None: ...

    async def ping(self) -> None: ...

    @property
    def counts(self) -> PoolCounts: ...

    async def aclose(self) -> None: ...


class RetryObserver(Protocol):
    """Told of every transaction that is about to be run again; `reason` is the value of a ContentionReason."""

    def __call__(self, *, reason: str) -> None: ...


def _nobody(*, reason: str) -> None:
    """Watches nothing."""


class Database:
    """An open database. Several may be open in one process, of either kind.

    `jitter` returns a number from 0 to 1 and spreads the retries of those who collided; `retried` hears of each.
    """

    def __init__(self, engine: Engine, *, jitter: Callable[[], float], retried: RetryObserver) -> None:
        self._engine = engine
        self._jitter = jitter
        self._retried = retried
        self._in_transaction: set[asyncio.Task[object] | None] = set()

    @property
    def dialect(self) -> Dialect:
        return self._engine.dialect

    @property
    def counts(self) -> PoolCounts:
        """How full the pool is; on SQLite that of the readers, beside which there is one writer."""
        return self._engine.counts

    @cached_property
    def orm(self) -> OrmClient:
        """Tortoise's `using_db` for reads outside any transaction; writing through it is refused."""
        return OrmClient(_Reads(self), dialect=self.dialect)

    async def run(self, work: Work[T]) -> T:
        """Run `work` in one transaction, commit, and return what it returned.

        Run again from its start when other transactions were in the way, so it must do nothing that cannot be
        repeated or undone by a rollback: no network, no sending. Raises Contention when the retries are used up,
        OutcomeUnknown when the answer to COMMIT was lost, and otherwise what `work` raised, after a rollback.
        """
        for attempt in range(RETRIES_MAX):
            try:
                return await self._run_once(work)
            except Contention as error:
                self._retried(reason=error.reason.value)
                log.info("database.retry", attempt=attempt + 1, reason=str(error))
            await asyncio.sleep(self._delay_seconds(attempt))
        return await self._run_once(work)

    def transaction(self) -> "Transaction":
        """One transaction, committed at the end of the block and rolled back when it raises; never retried."""
        return Transaction(self._engine, self._in_transaction)

    async def fetch(self, sql: str, params: Parameters = ()) -> list[Row]:
        """Read outside any transaction: all rows of what is committed now."""
        return await self._engine.fetch(sql, params)

    async def fetch_one(self, sql: str, params: Parameters = ()) -> Row | None:
        """Read outside any transaction: the first row, or None."""
        return await self._engine.fetch_one(sql, params)

    async def ping(self) -> None:
        """Ask the database for an answer; raises DatabaseUnavailable when there is none."""
        await self._engine.ping()

    async def aclose(self) -> None:
        """Refuse new work, wait a bounded time for what is under way, and close."""
        await self._engine.aclose()

    async def _run_once(self, work: Work[T]) -> T:
        async with self.transaction() as connection:
            return await work(connection)

    def _delay_seconds(self, attempt: int) -> float:
        bound = min(RETRY_DELAY_SECONDS_MAX, RETRY_DELAY_SECONDS_FIRST * 2**attempt)
        return bound * self._jitter()


class Transaction:
    """The block of one transaction; made by `Database.transaction`."""

    def __init__(self, engine: Engine, in_transaction: set[asyncio.Task[object] | None]) -> None:
        self._engine = engine
        self._in_transaction = in_transaction
        self._task: asyncio.Task[object] | None = None
        self._connection: Connection | None = None

    async def __aenter__(self) -> Connection:
        task = asyncio.current_task()
        if task in self._in_transaction:
            raise TransactionMisuse(
                "This task has a transaction open already and would wait for itself; hand its connection on instead."
            )
        self._connection = await self._engine.begin()
        self._task = task
        self._in_transaction.add(task)
        return self._connection

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        assert self._connection is not None, "a transaction is left only after it was entered"
        self._in_transaction.discard(self._task)
        if error is None:
            await self._connection.commit()
        elif isinstance(error, Exception):
            await self._connection.rollback()
        else:
            self._connection.abandon()


class _Reads:
    """A database as Tortoise may read it."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def fetch(self, sql: str, params: Parameters = ()) -> list[Row]:
        return await self._database.fetch(sql, params)

    async def fetch_one(self, sql: str, params: Parameters = ()) -> Row | None:
        return await self._database.fetch_one(sql, params)

    async def execute(self, sql: str, params: Parameters = ()) -> NoReturn:
        raise TransactionMisuse("database.orm only reads; write in a transaction, with connection.orm.")

    async def execute_many(self, sql: str, params: Sequence[Parameters]) -> NoReturn:
        await self.execute(sql)


@asynccontextmanager
async def open_database(
    url: str,
    *,
    limits: DatabaseLimits = DEFAULT_LIMITS,
    jitter: Callable[[], float] = random.random,
    retried: RetryObserver = _nobody,
) -> AsyncGenerator[Database]:
    """Open the database behind the URL for the length of the block; `retried` hears of transactions that are repeated.

    Raises DatabaseUrlInvalid, or DatabaseUnavailable when it does not answer. Migrating is `migrate`'s affair.
    """
    address = parse_database_url(url)
    register_models(model_modules(models))
    engine: Engine
    if isinstance(address, SqliteUrl):
        engine = await SqliteEngine.open(address.path, limits)
    else:
        engine = await AsyncpgEngine.open(address, limits)
    database = Database(engine, jitter=jitter, retried=retried)
    try:
        yield database
    finally:
        await database.aclose()
