"""Background work: applies stored Stripe events at our own pace, in this process or in one of its own."""

import asyncio
import random
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Protocol

import structlog

from gateway.db import DatabaseUnavailable, spawn
from gateway.domain.errors import BillingError, InProgress, ProviderMisconfigured, ProviderUnavailable
from gateway.domain.silence import SilenceWatch
from gateway.services.billing import Billing
from gateway.services.events.applying import apply_event
from gateway.services.events.inbox import (
    LEASE_SECONDS,
    PUT_OFF_SECONDS_MAX,
    RENEWED_SECONDS,
    ClaimedEvent,
    HeldEvent,
    LeaseLost,
    PutOffEvent,
    claim_events,
    fail_event,
    free_misplanned,
    give_back,
    held_events,
    oldest_waiting,
    put_off_events,
    renew_leases,
    take_back,
)
from gateway.services.events.patience import Patience
from models.stripe_event import EventState

log = structlog.stdlib.get_logger()

#: Events one process works on side by side.
EVENTS_AT_ONCE_MAX = 8
#: One event's time; the lease is renewed meanwhile, so that a worker that is merely slow keeps what it holds.
EVENT_SECONDS_MAX = 150
#: How often it is looked whether a worker has died over its events, at most.
SILENCE_SECONDS_MIN = 5
#: What is held when the time to stop is over goes back within this, else by the end of its lease.
GIVE_BACK_SECONDS_MAX = 5
#: How long the worker sleeps when nothing wakes it.
POLL_SECONDS = 1
#: How long it keeps away from a database that does not answer.
DATABASE_PAUSE_SECONDS = 2
#: How often it is looked how long the oldest event waits, at most.
WAITING_SECONDS_MIN = 10
#: Failures that say nothing about the event: Stripe or the database did not answer, our key is wrong, others are at it.
_UNCLEAR = (ProviderUnavailable, ProviderMisconfigured, DatabaseUnavailable, InProgress, TimeoutError)
#: How calls end that Stripe did not answer, and those that it did.
_SILENCES = frozenset({"unavailable", "misconfigured"})
_ANSWERS = frozenset({"ok", "rejected", "missing"})


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
        self._running: dict[asyncio.Task[None], ClaimedEvent] = {}
        self._patience = Patience()
        self._silence = SilenceWatch[HeldEvent](timedelta(seconds=LEASE_SECONDS))
        self._untouched = SilenceWatch[PutOffEvent](timedelta(seconds=PUT_OFF_SECONDS_MAX))
        self._stuck_looked_at: datetime | None = None

    def wake(self) -> None:
        """Something new is in the inbox, or a place came free."""
        self._awake.set()

    def stop(self) -> None:
        """Finish what is held, take nothing new."""
        self._stopping = True
        self._awake.set()

    async def run(self) -> None:
        """Work until stopped, then finish what is held. A database that is away is waited for.

        Cancelled, it gives back what it holds, so that others need not wait for the end of its leases.
        """
        renewing = spawn(self._keep_leases(), name="event-leases")
        try:
            while not self._stopping:
                self._awake.clear()
                await self._sleep(await self._take())
            if self._running:
                await asyncio.wait(self._running)
        finally:
            renewing.cancel()
            await self._give_back()

    async def work_once(self) -> int:
        """Claim what is due now, up to the free places, and see it through; returns how many events that were."""
        await self._take_back()
        await self._free_misplanned()
        events = await self._claim()
        tasks = [self._begin(event) for event in events]
        if tasks:
            await asyncio.wait(tasks)
        return len(events)

    async def _take(self) -> float:
        """Fill the free places; returns for how long there is nothing more to do unless something wakes us."""
        try:
            await self._free_what_is_stuck()
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

    async def _free_what_is_stuck(self) -> None:
        now, last = self._billing.clock.now(), self._stuck_looked_at
        if last is None or abs(now - last) >= timedelta(seconds=SILENCE_SECONDS_MIN):
            self._stuck_looked_at = now
            await self._take_back()
            await self._free_misplanned()

    async def _take_back(self) -> None:
        """Free what workers held that died; what this one holds is in good hands."""
        database, now = self._billing.database, self._billing.clock.now()
        ours = {event.event_id for event in self._running.values()}
        held = [event for event in await held_events(database) if event.event_id not in ours]
        silent = set(self._silence.silent(held, now=now))
        for event in (one for one in held if one in silent or one.is_long_over(now)):
            state = await take_back(database, event, now=now, jitter=self._jitter)
            if state is EventState.DEAD:
                self._watch(event.type, state)

    async def _free_misplanned(self) -> None:
        """Try what nobody has touched for longer than any pause lasts, whatever time a clock has put it off to."""
        database, now = self._billing.database, self._billing.clock.now()
        misplanned = self._untouched.silent(await put_off_events(database, now=now), now=now)
        if misplanned and (freed := await free_misplanned(database, misplanned, now=now)):
            log.warning("event.misplanned", events=freed, reason="a node's clock is ahead, or this one's is behind")

    async def _look_who_waits(self) -> None:
        now = self._billing.clock.now()
        last = self._waiting_looked_at
        if last is not None and abs(now - last) < timedelta(seconds=WAITING_SECONDS_MIN):
            return
        since = await oldest_waiting(self._billing.database)
        self._waiting_looked_at = now
        self._watch_waiting(seconds=0 if since is None else max((now - since).total_seconds(), 0))

    async def _claim(self) -> list[ClaimedEvent]:
        now = self._billing.clock.now()
        free = self._patience.places(EVENTS_AT_ONCE_MAX - len(self._running), now=now)
        if free <= 0:
            return []
        events = await claim_events(self._billing.database, now=now, limit=free)
        if events:
            self._patience.probed(now=now)
        return events

    def _begin(self, event: ClaimedEvent) -> asyncio.Task[None]:
        task = spawn(self._see_through(event), name=f"event:{event.event_id}")
        self._running[task] = event
        task.add_done_callback(self._end)
        return task

    def _end(self, task: asyncio.Task[None]) -> None:
        self._running.pop(task, None)
        self._awake.set()

    async def _keep_leases(self) -> None:
        """Give signs of life for as long as there is something held."""
        while True:
            await asyncio.sleep(RENEWED_SECONDS)
            try:
                if self._running:
                    events = tuple(self._running.values())
                    await renew_leases(self._billing.database, events, now=self._billing.clock.now())
            except DatabaseUnavailable as error:
                log.warning("worker.leases_not_renewed", reason=str(error))
            except Exception:
                log.exception("worker.leases_not_renewed")

    async def _give_back(self) -> None:
        held = dict(self._running)
        if not held:
            return
        for task in held:
            task.cancel()
        try:
            async with asyncio.timeout(GIVE_BACK_SECONDS_MAX):
                await asyncio.wait(held)
                given = await give_back(self._billing.database, tuple(held.values()))
        except (DatabaseUnavailable, TimeoutError) as error:
            log.warning("events.left_to_their_leases", events=len(held), reason=str(error))
        else:
            log.info("events.given_back", events=given)

    async def _see_through(self, event: ClaimedEvent) -> None:
        try:
            async with asyncio.timeout(EVENT_SECONDS_MAX):
                state = await apply_event(self._asking_for(event), event)
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

    def _asking_for(self, event: ClaimedEvent) -> Billing:
        """What the event is applied with: each call it makes tells whether Stripe answers. What else fails does not."""

        def note(*, call: str, outcome: str, seconds: float) -> None:
            if outcome in _SILENCES:
                self._patience.unanswered(event.event_id)
            elif outcome in _ANSWERS:
                self._patience.answered()

        return replace(self._billing, stripe=self._billing.stripe.observed(note))

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
