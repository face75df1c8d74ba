"""pgqueuer as the engine of the jobs: it says when to look at which job; the table `job` stays the truth.

A delivery is a row of pgqueuer's own, written in the transaction that makes a job due, and holds the job's id and
nothing else. Whoever receives it claims the job; what cannot be claimed needs no delivery. So a delivery that comes
twice, late or for nothing does no harm, and one that is lost is sent again by `sweep`.
"""

import asyncio
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final, Self
from uuid import UUID

from pgqueuer.core.tm import TaskManager
from pgqueuer.ports.driver import NotifyCallback
from pgqueuer.queries import Queries

from gateway.db import Connection, Database
from gateway.db.asyncpg_driver import Driver
from gateway.db.plain import plain_connection
from gateway.db.rows import identifier, integer
from gateway.domain.clock import Clock
from gateway.services.jobs import statements

#: The one entrypoint of ours in pgqueuer's tables.
ENTRYPOINT: Final = "gateway.job"
#: A job that is due since so long has lost its delivery, or was promised under the other engine.
SWEPT_AFTER: Final = timedelta(seconds=60)
SWEPT_AT_ONCE_MAX: Final = 500

_LOCK: Final = "LOCK TABLE schema_migration IN SHARE ROW EXCLUSIVE MODE"


class _Unlistening:
    """The part of a driver of pgqueuer that is the same for all of ours: nobody listens, polling finds everything.

    What this process notifies reaches its own callbacks, which is all that pgqueuer's health check asks for.
    """

    def __init__(self) -> None:
        self._callbacks: list[NotifyCallback] = []
        self._shutdown = asyncio.Event()
        self._tasks = TaskManager()

    async def add_listener(self, channel: str, callback: NotifyCallback) -> None:
        self._callbacks.append(callback)

    async def notify(self, channel: str, payload: str) -> None:
        for callback in self._callbacks:
            callback(payload)

    @property
    def shutdown(self) -> asyncio.Event:
        return self._shutdown

    @property
    def tm(self) -> TaskManager:
        return self._tasks

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        """The connection is somebody else's to close."""


class TransactionDriver(_Unlistening):
    """pgqueuer's statements inside a transaction of ours."""

    def __init__(self, connection: Connection) -> None:
        super().__init__()
        self._connection = connection

    async def fetch(self, query: str, *args: object) -> list[dict[str, object]]:
        return [dict(row) for row in await self._connection.fetch(query, args)]

    async def execute(self, query: str, *args: object) -> str:
        return str(await self._connection.execute(query, args))


class PoolDriver(_Unlistening):
    """pgqueuer's statements on our pool, each in a transaction of its own: retried, bounded, behind any pooler."""

    def __init__(self, database: Database) -> None:
        super().__init__()
        self._database = database

    async def fetch(self, query: str, *args: object) -> list[dict[str, object]]:
        return [dict(row) for row in await self._database.run(lambda connection: connection.fetch(query, args))]

    async def execute(self, query: str, *args: object) -> str:
        return str(await self._database.run(lambda connection: connection.execute(query, args)))


class PlainDriver(_Unlistening):
    """pgqueuer's statements on one connection outside any transaction, for its own schema."""

    def __init__(self, connection: Driver) -> None:
        super().__init__()
        self._connection = connection

    async def fetch(self, query: str, *args: object) -> list[dict[str, object]]:
        return [dict(record.items()) for record in await self._connection.fetch(query, *args)]

    async def execute(self, query: str, *args: object) -> str:
        return await self._connection.execute(query, *args)


class Deliveries:
    """Writes deliveries; `send` is what a JobTable calls in the transaction that makes a job due."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._queries: Queries | None = None

    async def send(self, connection: Connection, job_id: UUID, due_at: datetime) -> None:
        """Deliver the job at this time."""
        wait = max(due_at - self._clock.now(), timedelta(0))
        await self._on(connection).enqueue(ENTRYPOINT, job_id.bytes, execute_after=wait)

    async def sweep(self, connection: Connection) -> int:
        """Deliver anew what is due for too long; once for each claim, however often it is asked. Returns how many."""
        before = self._clock.now() - SWEPT_AFTER
        rows = await connection.fetch(statements.OVERDUE, (before, SWEPT_AT_ONCE_MAX))
        if not rows:
            return 0
        ids = [identifier(row, "id") for row in rows]
        count = len(ids)
        sent = await self._on(connection).enqueue(
            [ENTRYPOINT] * count,
            [job_id.bytes for job_id in ids],
            [0] * count,
            dedupe_key=[f"{job_id}:{integer(row, 'token')}" for job_id, row in zip(ids, rows, strict=True)],
            on_conflict="skip",
        )
        return sum(one is not None for one in sent)

    async def forget_log(self, database: Database) -> None:
        """Empty what pgqueuer has logged about our deliveries; the jobs themselves say how they went."""
        await Queries(PoolDriver(database)).clear_queue_log(ENTRYPOINT)

    def _on(self, connection: Connection) -> Queries:
        driver = TransactionDriver(connection)
        if self._queries is None:
            self._queries = Queries(driver)  # its statements are put together once
        return replace(self._queries, driver=driver)


async def is_installed(database: Database) -> bool:
    """Whether pgqueuer's tables are there, and are those of this release of it."""
    queries = Queries(PoolDriver(database))
    return await queries.schema_is_installed() and not (await queries.plan_upgrade()).statements


async def install(url: str) -> bool:
    """Create pgqueuer's tables, or bring them up to its release; True when there was something to do.

    Safe from any number of processes: one does it under the lock of our migrations, or under pgqueuer's own.
    """
    async with plain_connection(url) as connection:
        queries = Queries(PlainDriver(connection))
        if not await queries.schema_is_installed() and await _install_once(connection, queries):
            return True
        return bool((await queries.apply_upgrade()).statements)


async def _install_once(connection: Driver, queries: Queries) -> bool:
    await connection.execute("BEGIN")
    await connection.execute(_LOCK)
    missing = not await queries.schema_is_installed()
    if missing:
        await queries.install()
    await connection.execute("COMMIT")
    return missing
