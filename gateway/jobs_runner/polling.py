"""The embedded engine: looks at the table, fills its places with what is due, and looks again."""

import asyncio
from collections.abc import Mapping
from typing import Final

import structlog

from gateway.db import DatabaseUnavailable, spawn
from gateway.jobs_runner.census import Census, CountWatcher, nobody_counts
from gateway.services.billing import Billing
from gateway.services.jobs import Job
from gateway.services.jobs.doing import Doer, JobWatcher, nobody_watches
from gateway.services.jobs.handlers import HANDLERS, JobHandler
from gateway.services.jobs.table import JobTable

log = structlog.stdlib.get_logger()

#: Jobs one process does side by side.
JOBS_AT_ONCE_MAX: Final = 8
#: How long the runner sleeps when nothing wakes it.
POLL_SECONDS: Final = 1.0
#: How long it keeps away from a database that does not answer.
DATABASE_PAUSE_SECONDS: Final = 2.0


class JobRunner:
    """Claims due jobs and does them; any number of runners may run, anywhere.

    Told to stop it takes nothing new and waits for what runs. Cancelled it gives back what it holds, so that another
    begins at once.
    """

    def __init__(
        self,
        billing: Billing,
        table: JobTable,
        *,
        handlers: Mapping[str, JobHandler] = HANDLERS,
        watch: JobWatcher = nobody_watches,
        watch_counts: CountWatcher = nobody_counts,
        places: int = JOBS_AT_ONCE_MAX,
        poll_seconds: float = POLL_SECONDS,
    ) -> None:
        self._billing = billing
        self._table = table
        self._doer = Doer(billing, table, handlers=handlers, watch=watch)
        self._census = Census(billing, watch_counts)
        self._places = places
        self._poll_seconds = poll_seconds
        self._awake = asyncio.Event()
        self._stopping = False
        self._running: set[asyncio.Task[None]] = set()

    def stop(self) -> None:
        """Finish what is held, take nothing new."""
        self._stopping = True
        self._awake.set()

    async def run(self) -> None:
        """Work until stopped. A database that is away is waited for."""
        try:
            while not self._stopping:
                self._awake.clear()
                await self._sleep(await self._take())
            if self._running:
                await asyncio.wait(self._running)
        finally:
            await end_all(self._running)

    async def work_once(self) -> int:
        """Do what is due now, up to the free places; returns how many jobs that were."""
        await self._doer.take_back()
        jobs = await self._claim()
        tasks = [self._begin(job) for job in jobs]
        if tasks:
            await asyncio.wait(tasks)
        return len(jobs)

    async def _take(self) -> float:
        """Fill the free places; returns for how long there is nothing more to do unless something wakes us."""
        try:
            await self._doer.free_what_is_stuck()
            if len(self._running) < self._places and await self._table.anything_due(self._billing.database):
                for job in await self._claim():
                    self._begin(job)
            await self._census.take_when_due()
        except DatabaseUnavailable as error:
            log.warning("jobs.database_away", reason=str(error))
            return DATABASE_PAUSE_SECONDS
        except Exception:
            log.exception("jobs.failed")
            return DATABASE_PAUSE_SECONDS
        return self._poll_seconds

    async def _claim(self) -> list[Job]:
        free = self._places - len(self._running)
        return await self._billing.database.run(lambda connection: self._table.claim(connection, limit=free))

    def _begin(self, job: Job) -> asyncio.Task[None]:
        task = spawn(self._doer.do(job), name=f"job:{job.kind}")
        self._running.add(task)
        task.add_done_callback(self._end)
        return task

    def _end(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        self._awake.set()

    async def _sleep(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._awake.wait()
        except TimeoutError:
            pass


async def end_all(running: set[asyncio.Task[None]]) -> None:
    """Cut off what still runs, and wait until each has given its job back."""
    tasks = set(running)
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks)
