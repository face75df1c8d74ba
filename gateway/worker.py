"""Background work: applies stored Stripe events at our own pace, in this process or in one of its own."""

import asyncio
import random
from collections.abc import Callable
from typing import Protocol

import structlog

from gateway.db import DatabaseUnavailable, spawn
from gateway.domain.errors import BillingError
from gateway.services.billing import Billing
from gateway.services.events import apply_event
from gateway.services.inbox import ClaimedEvent, LeaseLost, claim_events, fail_event

log = structlog.stdlib.get_logger()

#: Events one process works on side by side.
EVENTS_AT_ONCE_MAX = 8
#: One event's time; well below the lease, so that a worker that is merely slow keeps what it holds.
EVENT_SECONDS_MAX = 150
#: How long the worker sleeps when nothing wakes it.
POLL_SECONDS = 1
#: How long it keeps away from a database that does not answer.
DATABASE_PAUSE_SECONDS = 2


class EventWatcher(Protocol):
    """Told what became of each event; metrics listen here."""

    def __call__(self, event_type: str, outcome: str) -> None: ...


def _nobody(event_type: str, outcome: str) -> None:
    """Watches nothing."""


class EventWorker:
    """Claims due events and applies them until it is told to stop; any number may run, anywhere."""

    def __init__(
        self, billing: Billing, *, watch: EventWatcher = _nobody, jitter: Callable[[], float] = random.random
    ) -> None:
        self._billing = billing
        self._watch = watch
        self._jitter = jitter
        self._awake = asyncio.Event()
        self._stopping = False

    def wake(self) -> None:
        """Something new is in the inbox."""
        self._awake.set()

    def stop(self) -> None:
        """Finish what is held, take nothing new."""
        self._stopping = True
        self._awake.set()

    async def run(self) -> None:
        """Work until stopped. A database that is away is waited for; nothing else ends this."""
        while not self._stopping:
            self._awake.clear()
            try:
                worked = await self.work_once()
            except DatabaseUnavailable as error:
                log.warning("worker.database_away", reason=str(error))
                await self._sleep(DATABASE_PAUSE_SECONDS)
                continue
            except Exception:
                log.exception("worker.failed")
                await self._sleep(DATABASE_PAUSE_SECONDS)
                continue
            if not worked:
                await self._sleep(POLL_SECONDS)

    async def work_once(self) -> int:
        """Claim what is due now, up to a handful, and see it through; returns how many there were."""
        events = await claim_events(self._billing.database, now=self._billing.clock.now(), limit=EVENTS_AT_ONCE_MAX)
        tasks = [spawn(self._see_through(event), name=f"event:{event.event_id}") for event in events]
        if tasks:
            await asyncio.wait(tasks)
        for task in tasks:
            task.result()
        return len(events)

    async def _see_through(self, event: ClaimedEvent) -> None:
        try:
            async with asyncio.timeout(EVENT_SECONDS_MAX):
                state = await apply_event(self._billing, event)
        except LeaseLost:
            log.info("event.lease_lost", event_id=event.event_id, type=event.type)
            self._watch(event.type, "lease_lost")
            return
        except (BillingError, DatabaseUnavailable, TimeoutError) as error:
            await self._put_back(event, f"{type(error).__name__}: {error}")
        except Exception as error:
            log.exception("event.crashed", event_id=event.event_id, type=event.type)
            await self._put_back(event, f"{type(error).__name__}: {error}")
        else:
            log.info("event.applied", event_id=event.event_id, type=event.type, state=state.value)
            self._watch(event.type, state.value)

    async def _put_back(self, event: ClaimedEvent, reason: str) -> None:
        """Its turn comes again; where even this cannot be stored, the end of the lease brings it back."""
        self._watch(event.type, "failed")
        try:
            await fail_event(
                self._billing.database,
                event,
                reason=reason,
                now=self._billing.clock.now(),
                jitter=self._jitter,
            )
        except DatabaseUnavailable as error:
            log.warning("event.left_to_its_lease", event_id=event.event_id, reason=str(error))

    async def _sleep(self, seconds: float) -> None:
        if self._stopping:
            return
        try:
            async with asyncio.timeout(seconds):
                await self._awake.wait()
        except TimeoutError:
            pass
