"""Background work: applies stored Stripe events at our own pace, in this process or in one of its own."""

import asyncio
import random
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Protocol

import structlog

from gateway.db import DatabaseUnavailable, spawn
from gateway.domain.errors import BillingError, ProviderUnavailable
from gateway.services.billing import Billing
from gateway.services.events import apply_event
from gateway.services.inbox import ClaimedEvent, LeaseLost, claim_events, fail_event, oldest_waiting
from models.stripe_event import EventState

log = structlog.stdlib.get_logger()

#: Events one process works on side by side.
EVENTS_AT_ONCE_MAX = 8
#: One event's time; well below the lease, so that a worker that is merely slow keeps what it holds.
EVENT_SECONDS_MAX = 150
#: How long the worker sleeps when nothing wakes it.
POLL_SECONDS = 1
#: How long it keeps away from a database that does not answer.
DATABASE_PAUSE_SECONDS = 2
#: How often it is looked how long the oldest event waits, at most.
WAITING_SECONDS_MIN = 10
#: Failures that say nothing about the event: Stripe or the database did not answer.
_UNCLEAR = (ProviderUnavailable, DatabaseUnavailable, TimeoutError)


class EventWatcher(Protocol):
    """Told what became of each event; metrics listen here. `state` NEW means: put back for another try."""

    def __call__(self, event_type: str, state: EventState) -> None: ...


class WaitingWatcher(Protocol):
    """Told now and then how old the oldest event is that still waits; 0 when none does."""

    def __call__(self, *, seconds: float) -> None: ...


def _nobody(event_type: str, state: EventState) -> None:
    """Watches nothing."""


def _nobody_waits(*, seconds: float) -> None:
    """Watches nothing either."""


class EventWorker:
    """Claims due events and applies them until it is told to stop; any number may run, anywhere.

    A slow event holds one of the places, never the others: a place that comes free is filled at once.
    """

    def __init__(
        self,
        billing: Billing,
        *,
        watch: EventWatcher = _nobody,
        watch_waiting: WaitingWatcher = _nobody_waits,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._billing = billing
        self._watch = watch
        self._watch_waiting = watch_waiting
        self._waiting_looked_at: datetime | None = None
        self._jitter = jitter
        self._awake = asyncio.Event()
        self._stopping = False
        self._running: set[asyncio.Task[None]] = set()

    def wake(self) -> None:
        """Something new is in the inbox, or a place came free."""
        self._awake.set()

    def stop(self) -> None:
        """Finish what is held, take nothing new."""
        self._stopping = True
        self._awake.set()

    async def run(self) -> None:
        """Work until stopped, then finish what is held. A database that is away is waited for."""
        try:
            while not self._stopping:
                self._awake.clear()
                await self._sleep(await self._take())
            if self._running:
                await asyncio.wait(self._running)
        finally:
            for task in self._running:
                task.cancel()

    async def work_once(self) -> int:
        """Claim what is due now, up to the free places, and see it through; returns how many events that were."""
        events = await self._claim()
        tasks = [self._begin(event) for event in events]
        if tasks:
            await asyncio.wait(tasks)
        return len(events)

    async def _take(self) -> float:
        """Fill the free places; returns for how long there is nothing more to do unless something wakes us."""
        try:
            for event in await self._claim():
                self._begin(event)
            await self._look_who_waits()
        except DatabaseUnavailable as error:
            log.warning("worker.database_away", reason=str(error))
            return DATABASE_PAUSE_SECONDS
        except Exception:
            log.exception("worker.failed")
            return DATABASE_PAUSE_SECONDS
        return POLL_SECONDS

    async def _look_who_waits(self) -> None:
        now = self._billing.clock.now()
        last = self._waiting_looked_at
        if last is not None and now - last < timedelta(seconds=WAITING_SECONDS_MIN):
            return
        since = await oldest_waiting(self._billing.database)
        self._waiting_looked_at = now
        self._watch_waiting(seconds=0 if since is None else max((now - since).total_seconds(), 0))

    async def _claim(self) -> list[ClaimedEvent]:
        free = EVENTS_AT_ONCE_MAX - len(self._running)
        if free <= 0:
            return []
        return await claim_events(self._billing.database, now=self._billing.clock.now(), limit=free)

    def _begin(self, event: ClaimedEvent) -> asyncio.Task[None]:
        task = spawn(self._see_through(event), name=f"event:{event.event_id}")
        self._running.add(task)
        task.add_done_callback(self._end)
        return task

    def _end(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        self._awake.set()

    async def _see_through(self, event: ClaimedEvent) -> None:
        try:
            async with asyncio.timeout(EVENT_SECONDS_MAX):
                state = await apply_event(self._billing, event)
        except LeaseLost:
            log.info("event.lease_lost", event_id=event.event_id, type=event.type)
        except (BillingError, DatabaseUnavailable, TimeoutError) as error:
            await self._put_back(event, error)
        except Exception as error:
            log.exception("event.crashed", event_id=event.event_id, type=event.type)
            await self._put_back(event, error)
        else:
            log.info("event.applied", event_id=event.event_id, type=event.type, state=state.value)
            self._watch(event.type, state)

    async def _put_back(self, event: ClaimedEvent, error: Exception) -> None:
        """Its turn comes again; where even this cannot be stored, the end of the lease brings it back."""
        try:
            state = await fail_event(
                self._billing.database,
                event,
                reason=f"{type(error).__name__}: {error}",
                unclear=isinstance(error, _UNCLEAR),
                now=self._billing.clock.now(),
                jitter=self._jitter,
            )
        except DatabaseUnavailable as away:
            log.warning("event.left_to_its_lease", event_id=event.event_id, reason=str(away))
        else:
            self._watch(event.type, state)

    async def _sleep(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._awake.wait()
        except TimeoutError:
            pass
