"""Doing one claimed job: under a lease that is renewed, to an outcome that is written down."""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager, suppress
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final, Protocol

import structlog

from gateway.db import Connection, DatabaseUnavailable, spawn
from gateway.domain.errors import BillingError
from gateway.domain.silence import SilenceWatch
from gateway.services.billing import Billing
from gateway.services.jobs.handlers import HANDLERS, JobHandler
from gateway.services.jobs.port import Done, Job, LeaseLost
from gateway.services.jobs.table import PUT_OFF_SECONDS_MAX, HeldJob, JobTable, PutOffJob, Reclaimed
from models.job import JobState

log = structlog.stdlib.get_logger()

#: One job's time. What needs longer comes back with Later.
JOB_SECONDS_MAX: Final = 300
#: The lease is renewed so many times before it would end.
RENEWALS_PER_LEASE: Final = 3
#: How often it is looked whether a worker has died over its jobs, at most.
LOOKS_PER_LEASE: Final = 6
#: A kind that this release does not know is left to nodes that do; it is looked at again after this.
UNKNOWN_SECONDS: Final = 60
#: Failures that say nothing about the job: nobody answered, or it is not the moment.
_UNCLEAR: Final = (BillingError, DatabaseUnavailable, TimeoutError)


class JobEnd(StrEnum):
    """How one round of a job ended."""

    DONE = "done"
    LATER = "later"
    FAILED = "failed"
    DEAD = "dead"
    LOST = "lost"
    RETURNED = "returned"


class JobWatcher(Protocol):
    """Told how each round of a job ended; metrics listen here."""

    def __call__(self, *, kind: str, end: JobEnd) -> None: ...


def nobody_watches(*, kind: str, end: JobEnd) -> None:
    """Watches nothing."""


class Doer:
    """Does claimed jobs, one call each; both engines do them through here."""

    def __init__(
        self,
        billing: Billing,
        table: JobTable,
        *,
        handlers: Mapping[str, JobHandler] = HANDLERS,
        watch: JobWatcher = nobody_watches,
    ) -> None:
        self._billing = billing
        self._table = table
        self._handlers = handlers
        self._watch = watch
        self._lease_length = timedelta(seconds=table.lease_seconds)
        self._silence = SilenceWatch[HeldJob](self._lease_length)
        self._untouched = SilenceWatch[PutOffJob](timedelta(seconds=PUT_OFF_SECONDS_MAX))
        self._looked_at: datetime | None = None

    async def do(self, job: Job) -> None:
        """See one round of a job through, whatever its handler does. Cancelled, it gives the job back first."""
        try:
            end = await self._round(job)
        except asyncio.CancelledError:
            await self._give_back(job)
            raise
        except LeaseLost:
            log.info("job.lease_lost", kind=job.kind, key=job.key)
            end = JobEnd.LOST
        except DatabaseUnavailable as away:
            log.warning("job.left_to_its_lease", kind=job.kind, key=job.key, reason=str(away))
            end = JobEnd.LOST
        except Exception:
            log.exception("job.left_to_its_lease", kind=job.kind, key=job.key)
            end = JobEnd.LOST
        self._watch(kind=job.kind, end=end)

    async def free_what_is_stuck(self) -> None:
        """Free what workers held that died, or put off too far, unless that was looked for a moment ago."""
        now, last = self._billing.clock.now(), self._looked_at
        if last is None or abs(now - last) * LOOKS_PER_LEASE >= self._lease_length:
            self._looked_at = now
            await self.take_back()
            await self.free_misplanned()

    async def take_back(self) -> list[Reclaimed]:
        """Take back jobs whose workers have given no sign of life for a lease, as this process saw it."""
        held = await self._table.held(self._billing.database)
        silent = self._silence.silent(held, now=self._billing.clock.now())
        if not silent:
            return []
        taken = await self._billing.database.run(lambda connection: self._table.reclaim(connection, silent))
        for one in taken:
            dead = one.state is JobState.DEAD
            tell = log.error if dead else log.warning
            tell("job.dead" if dead else "job.reclaimed", kind=one.kind, key=one.key, reclaims=one.reclaims)
            if dead:
                self._watch(kind=one.kind, end=JobEnd.DEAD)
        return taken

    async def free_misplanned(self) -> None:
        """Try what nobody has touched for longer than any pause lasts, whatever time a clock has put it off to."""
        retries = await self._table.retries(self._billing.database)
        misplanned = self._untouched.silent(retries, now=self._billing.clock.now())
        if not misplanned:
            return
        if freed := await self._billing.database.run(lambda c: self._table.free_misplanned(c, misplanned)):
            log.warning("job.misplanned", jobs=freed, reason="a node's clock is ahead, or this one's is behind")

    async def _round(self, job: Job) -> JobEnd:
        handler = self._handlers.get(job.kind)
        if handler is None:
            log.warning("job.unknown", kind=job.kind, key=job.key)
            return await self._put_off(job, timedelta(seconds=UNKNOWN_SECONDS), "This release does not know the kind.")
        try:
            async with self._lease(job), asyncio.timeout(JOB_SECONDS_MAX):
                outcome = await handler(self._billing, job)
        except LeaseLost:
            raise
        except _UNCLEAR as error:
            return await self._fail(job, error, unclear=True)
        except Exception as error:
            log.exception("job.crashed", kind=job.kind, key=job.key)
            return await self._fail(job, error, unclear=False)
        if isinstance(outcome, Done):
            return await self._finish(job)
        return await self._put_off(job, outcome.run_at - self._billing.clock.now(), outcome.reason)

    @asynccontextmanager
    async def _lease(self, job: Job) -> AsyncGenerator[None]:
        """Renew the lease while the block runs; raises LeaseLost from inside it once the lease is lost or ran out."""
        limit = asyncio.timeout(self._table.lease_seconds)
        try:
            async with limit:
                keeping = spawn(self._keep(job, limit), name=f"lease:{job.kind}")
                try:
                    yield
                finally:
                    keeping.cancel()
        except TimeoutError as error:
            if limit.expired():
                raise LeaseLost(f"{job.kind} {job.key}") from error
            raise

    async def _keep(self, job: Job, limit: asyncio.Timeout) -> None:
        loop = asyncio.get_running_loop()
        pause_seconds = self._table.lease_seconds / RENEWALS_PER_LEASE
        while not limit.expired():
            await asyncio.sleep(pause_seconds)
            asked_at = loop.time()
            with suppress(DatabaseUnavailable):  # the next renewal may reach it, else the lease runs out
                until = await self._renew(job, asked_at)
                if not limit.expired():
                    limit.reschedule(until)

    async def _renew(self, job: Job, asked_at: float) -> float | None:
        """Until when, by the loop's clock, the handler may go on; None where it has closed the job with its effect."""
        if await self._billing.database.run(lambda connection: self._table.renew(connection, job)):
            return asked_at + self._table.lease_seconds
        lost = await self._table.state_of(self._billing.database, job) is None
        return asked_at if lost else None

    async def _finish(self, job: Job) -> JobEnd:
        """Close what its handler has not closed with the effect."""
        state = await self._table.state_of(self._billing.database, job)
        if state is None:
            raise LeaseLost(f"{job.kind} {job.key}")
        if state is JobState.DOING:
            await self._billing.database.run(lambda connection: self._table.finish(connection, job))
        log.info("job.done", kind=job.kind, key=job.key)
        return JobEnd.DONE

    async def _put_off(self, job: Job, wait: timedelta, reason: str) -> JobEnd:
        until = self._billing.clock.now() + wait

        async def work(connection: Connection) -> None:
            await self._table.put_off(connection, job, until=until, reason=reason)

        await self._billing.database.run(work)
        log.info("job.later", kind=job.kind, key=job.key, until=until.isoformat(), reason=reason)
        return JobEnd.LATER

    async def _fail(self, job: Job, error: Exception, *, unclear: bool) -> JobEnd:
        reason = f"{type(error).__name__}: {error}"

        async def work(connection: Connection) -> JobState:
            return await self._table.fail(connection, job, reason=reason, unclear=unclear)

        dead = await self._billing.database.run(work) is JobState.DEAD
        tell = log.error if dead else log.warning
        tell("job.dead" if dead else "job.failed", kind=job.kind, key=job.key, reason=reason)
        return JobEnd.DEAD if dead else JobEnd.FAILED

    async def _give_back(self, job: Job) -> None:
        """Stopped in the middle: another worker may begin at once. What cannot be given back is left to its lease."""
        with suppress(DatabaseUnavailable, LeaseLost):
            await self._billing.database.run(lambda connection: self._table.give_back(connection, job))
            log.info("job.given_back", kind=job.kind, key=job.key)
            self._watch(kind=job.kind, end=JobEnd.RETURNED)
