"""The pgqueuer engine: does the jobs that pgqueuer delivers, and sees to those it could not."""

import asyncio
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

import structlog
from pgqueuer.core.qm import QueueManager
from pgqueuer.errors import RetryRequested
from pgqueuer.models import Job as Delivery
from pgqueuer.queries import Queries

from gateway.db import DatabaseUnavailable, spawn
from gateway.jobs_runner.census import Census, CountWatcher, nobody_counts
from gateway.jobs_runner.polling import DATABASE_PAUSE_SECONDS, JOBS_AT_ONCE_MAX, POLL_SECONDS
from gateway.services.billing import Billing
from gateway.services.jobs import Job
from gateway.services.jobs.doing import Doer, JobWatcher, nobody_watches
from gateway.services.jobs.handlers import HANDLERS, JobHandler
from gateway.services.jobs.pgqueuer_engine import ENTRYPOINT, Deliveries, PoolDriver
from gateway.services.jobs.table import JobTable

log = structlog.stdlib.get_logger()

#: How often it is looked for jobs that lost their delivery.
SWEEP_EVERY: Final = timedelta(seconds=30)
#: How often pgqueuer's log of our deliveries is emptied.
FORGET_EVERY: Final = timedelta(hours=1)


class DeliveredJobRunner:
    """Like JobRunner, with pgqueuer in the place of looking at the table. `table` sends its jobs to `deliveries`."""

    def __init__(
        self,
        billing: Billing,
        table: JobTable,
        deliveries: Deliveries,
        *,
        handlers: Mapping[str, JobHandler] = HANDLERS,
        watch: JobWatcher = nobody_watches,
        watch_counts: CountWatcher = nobody_counts,
        places: int = JOBS_AT_ONCE_MAX,
        poll_seconds: float = POLL_SECONDS,
    ) -> None:
        self._billing = billing
        self._table = table
        self._deliveries = deliveries
        self._doer = Doer(billing, table, handlers=handlers, watch=watch)
        self._census = Census(billing, watch_counts)
        self._places = places
        self._poll_seconds = poll_seconds
        self._stopping = asyncio.Event()
        self._manager: QueueManager | None = None
        self._running: set[asyncio.Task[object]] = set()
        self._swept_at: datetime | None = None
        self._forgot_at: datetime | None = None

    def stop(self) -> None:
        """Finish what is held, take nothing new."""
        self._stopping.set()
        if self._manager is not None:
            self._manager.shutdown.set()

    async def run(self) -> None:
        """Work until stopped. A database that is away is waited for. Cancelled, it gives back what it holds."""
        upkeep = spawn(self._keep_up(), name="jobs:upkeep")
        try:
            while not self._stopping.is_set():
                await self._take_deliveries()
        finally:
            upkeep.cancel()
            await asyncio.wait([upkeep])

    async def _take_deliveries(self) -> None:
        """Take deliveries until stopped, or until pgqueuer gives up because the database is away."""
        self._manager = manager = QueueManager(Queries(PoolDriver(self._billing.database)))
        manager.entrypoint(ENTRYPOINT, accepts_context=False)(self._receive)
        taking = spawn(self._run_manager(manager), name="jobs:pgqueuer")
        try:
            await asyncio.shield(taking)
        except asyncio.CancelledError:
            self.stop()
            for task in self._running:
                task.cancel()
            await asyncio.wait([taking])
            raise
        except DatabaseUnavailable as error:
            log.warning("jobs.database_away", reason=str(error))
            await self._pause(DATABASE_PAUSE_SECONDS)
        except Exception:
            log.exception("jobs.failed")
            await self._pause(DATABASE_PAUSE_SECONDS)

    async def _run_manager(self, manager: QueueManager) -> None:
        await manager.run(
            dequeue_timeout=timedelta(seconds=self._poll_seconds),
            batch_size=max(self._places // 2, 1),
            max_concurrent_tasks=max(self._places, 2),
            heartbeat_timeout=timedelta(seconds=self._table.lease_seconds),
            log_aggregation_interval=timedelta(0),
        )

    async def _receive(self, delivery: Delivery) -> None:
        """Do the job that a delivery names. One that cannot be claimed is done, or held, or delivered again in time."""
        task = asyncio.current_task()
        assert task is not None, "pgqueuer gives each delivery a task"
        self._running.add(task)
        try:
            job = await self._claim(delivery)
            if job is not None:
                await self._doer.do(job)
        except DatabaseUnavailable as away:
            raise RetryRequested(timedelta(seconds=DATABASE_PAUSE_SECONDS), reason=str(away)) from away
        finally:
            self._running.discard(task)

    async def _claim(self, delivery: Delivery) -> Job | None:
        if self._stopping.is_set():
            raise RetryRequested(timedelta(0), reason="This process stops.")
        assert delivery.payload is not None, "every delivery of ours names a job"
        job_id = UUID(bytes=delivery.payload)
        return await self._billing.database.run(lambda connection: self._table.claim_one(connection, job_id))

    async def _keep_up(self) -> None:
        while True:
            try:
                await self._look_after()
            except DatabaseUnavailable as error:
                log.warning("jobs.database_away", reason=str(error))
            except Exception:
                log.exception("jobs.failed")
            await asyncio.sleep(self._poll_seconds)

    async def _look_after(self) -> None:
        database, now = self._billing.database, self._billing.clock.now()
        await self._doer.free_what_is_stuck()
        if _is_time(now, self._swept_at, SWEEP_EVERY):
            self._swept_at = now
            if swept := await database.run(self._deliveries.sweep):
                log.warning("jobs.swept", jobs=swept)
        if _is_time(now, self._forgot_at, FORGET_EVERY):
            self._forgot_at = now
            await self._deliveries.forget_log(database)
        await self._census.take_when_due()

    async def _pause(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._stopping.wait()
        except TimeoutError:
            pass


def _is_time(now: datetime, last: datetime | None, every: timedelta) -> bool:
    return last is None or abs(now - last) >= every
