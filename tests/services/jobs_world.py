"""Jobs on a real database under each engine, a clock that goes on by itself and can be moved, and effects to count."""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final, Literal

import pytest

from gateway.db import Connection, Database, open_database, spawn
from gateway.domain.clock import Clock, SystemClock
from gateway.jobs_runner import JobRunner
from gateway.jobs_runner.delivered import DeliveredJobRunner
from gateway.services.billing import Billing
from gateway.services.jobs import Done, Job, JobOutcome, NewJob
from gateway.services.jobs.handlers import JobHandler
from gateway.services.jobs.listing import JobEntry, find_job
from gateway.services.jobs.pgqueuer_engine import Deliveries, install
from gateway.services.jobs.table import JobTable
from models.job import JobState
from tests.services.market_world import open_market

Engine = Literal["embedded", "pgqueuer"]
Runner = JobRunner | DeliveredJobRunner

#: Each engine on each database it runs on.
ENGINES: Final = ("embedded-sqlite", "embedded-postgres", "pgqueuer-postgres")
LEASE_SECONDS: Final = 1.0
POLL_SECONDS: Final = 0.05
KIND: Final = "test.effect"


class MovingClock:
    """The machine's clock, which can be put forward."""

    def __init__(self) -> None:
        self._ahead = timedelta(0)

    def now(self) -> datetime:
        return SystemClock().now() + self._ahead

    def advance(self, **by: float) -> None:
        self._ahead += timedelta(**by)


@dataclass(frozen=True, slots=True)
class JobWorld:
    """One node's view: `billing.jobs` is `table`, and its runners do what is promised there."""

    engine: Engine
    url: str
    billing: Billing
    table: JobTable
    clock: MovingClock
    deliveries: Deliveries | None

    @property
    def database(self) -> Database:
        return self.billing.database

    async def promise(self, *keys: str, kind: str = KIND, args: Mapping[str, str] | None = None) -> int:
        """Promise a job for each key, due now; returns how many were new."""
        now = self.clock.now()

        async def work(connection: Connection) -> int:
            jobs = [NewJob(kind=kind, key=key, run_at=now, args=args or {}) for key in keys]
            return sum([await self.table.enqueue(connection, job) for job in jobs])

        return await self.database.run(work)

    async def wake(self, key: str, *, kind: str = KIND) -> bool:
        return await self.database.run(lambda connection: self.table.wake(connection, kind, key))

    async def job(self, key: str, *, kind: str = KIND) -> JobEntry:
        found = await find_job(self.database, kind=kind, key=key)
        assert found is not None, f"there is a job {key}"
        return found

    async def becomes(self, key: str, state: JobState, *, kind: str = KIND) -> JobEntry:
        """Wait until the job is in this state."""
        from tests.support.gateway import eventually  # the whole platform, which processes that only do jobs can spare

        async def is_so() -> None:
            assert (await self.job(key, kind=kind)).state is state

        await eventually(is_so)
        return await self.job(key, kind=kind)

    async def effects(self) -> dict[str, int]:
        """How often each key had its effect."""
        rows = await self.database.fetch("SELECT key, count(*) AS times FROM effect GROUP BY key")
        return {str(row["key"]): int(str(row["times"])) for row in rows}

    def runner(
        self,
        handler: JobHandler | None = None,
        *,
        places: int = 8,
        handlers: Mapping[str, JobHandler] | None = None,
    ) -> Runner:
        handlers = handlers or {KIND: handler or have_effect}
        if self.deliveries is None:
            return JobRunner(self.billing, self.table, handlers=handlers, places=places, poll_seconds=POLL_SECONDS)
        return DeliveredJobRunner(
            self.billing, self.table, self.deliveries, handlers=handlers, places=places, poll_seconds=POLL_SECONDS
        )

    @asynccontextmanager
    async def running(
        self,
        handler: JobHandler | None = None,
        *,
        places: int = 8,
        handlers: Mapping[str, JobHandler] | None = None,
    ) -> AsyncGenerator[Runner]:
        """A runner that works within the block and is stopped in order at its end."""
        runner = self.runner(handler, places=places, handlers=handlers)
        task = spawn(runner.run(), name="runner")
        try:
            yield runner
        finally:
            runner.stop()
            done, _ = await asyncio.wait([task], timeout=10)
            assert done, "a runner that is told to stop stops"
            await task


async def have_effect(billing: Billing, job: Job) -> JobOutcome:
    """An effect that nothing but the fence keeps from happening twice."""
    await billing.database.run(lambda connection: write_effect(billing, connection, job))
    return Done()


async def write_effect(billing: Billing, connection: Connection, job: Job) -> None:
    await connection.execute("INSERT INTO effect (key) VALUES ($1)", (job.key,))
    await billing.jobs.finish(connection, job)


@asynccontextmanager
async def open_jobs(
    url: str, engine: Engine, *, clock: MovingClock | None = None, lease_seconds: float = LEASE_SECONDS
) -> AsyncGenerator[JobWorld]:
    """One node on a prepared database."""
    clock = clock or MovingClock()
    deliveries = Deliveries(clock) if engine == "pgqueuer" else None
    table = _table(clock, deliveries, lease_seconds)
    async with open_database(url) as database:
        billing = replace(open_market(database, clock=clock).billing, jobs=table)
        yield JobWorld(engine, url, billing, table, clock, deliveries)


def _table(clock: Clock, deliveries: Deliveries | None, lease_seconds: float) -> JobTable:
    if deliveries is None:
        return JobTable(clock, jitter=lambda: 0.0, lease_seconds=lease_seconds)
    return JobTable(clock, deliver=deliveries.send, jitter=lambda: 0.0, lease_seconds=lease_seconds)


async def prepare(url: str, engine: Engine) -> None:
    """The table of effects, and pgqueuer's own."""
    if engine == "pgqueuer":
        await install(url)
    async with open_database(url) as database:
        await database.run(lambda connection: connection.execute("CREATE TABLE effect (key text NOT NULL)"))


def engine_url(request: pytest.FixtureRequest, name: str) -> tuple[str, Engine]:
    """A fresh, migrated database for one of ENGINES."""
    engine, _, kind = name.partition("-")
    assert engine in {"embedded", "pgqueuer"}
    return str(request.getfixturevalue(f"{kind}_url")), "pgqueuer" if engine == "pgqueuer" else "embedded"
