"""Delivering events: in parallel, signed, tried again on failure, and held, shuffled or doubled on demand."""

import asyncio
import random
from collections.abc import Coroutine
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

import aiohttp
import orjson
import structlog

from gateway.sandbox.engine import endpoints, thin_events
from gateway.sandbox.engine.book import Book
from gateway.sandbox.engine.world import Scope, World
from gateway.sandbox.refusals import Json
from gateway.sandbox.webhooks.signing import signature_header

log = structlog.get_logger()

KEPT_ATTEMPTS_MAX: Final = 5000


@dataclass(frozen=True, slots=True)
class Attempt:
    """One delivery as it went; `status` is None when nobody answered."""

    event: str
    type: str
    endpoint: str
    number: int
    status: int | None


@dataclass(frozen=True, slots=True)
class Delivery:
    """An event on its way to one endpoint."""

    book: Book
    event: Json
    endpoint: Json


@dataclass(slots=True)
class Held:
    """Deliveries kept back until they are released, in whatever order."""

    active: bool = False
    waiting: list[Delivery] = field(default_factory=list[Delivery])


class Sender:
    """Owns the outgoing connection and a task for each delivery; `stop` ends them all."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._settings = world.around.settings
        self._session: aiohttp.ClientSession | None = None
        self._slots = asyncio.Semaphore(self._settings.webhook_parallel_max)
        self._tasks: dict[asyncio.Task[None], list[Delivery]] = {}
        self._queued: list[Delivery] = []
        """What waits for the next `start`."""
        self._posting: set[asyncio.Task[None] | None] = set()
        self._quiet = asyncio.Event()
        self._quiet.set()
        self._held = Held()
        self.attempts: list[Attempt] = []

    def start(self) -> None:
        timeout = aiohttp.ClientTimeout(total=self._settings.webhook_timeout_seconds)
        self._session = aiohttp.ClientSession(timeout=timeout, cookie_jar=aiohttp.DummyCookieJar())
        queued, self._queued = self._queued, []
        self._dispatch(queued)

    async def stop(self) -> None:
        """Let deliveries under way finish for a moment, queue those that wait for another try, close."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._quiet.wait(), self._settings.stop_grace_seconds)
        self._queued, self._held = self.undelivered(), Held()
        await self._drop_tasks()
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def _drop_tasks(self) -> None:
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def reset(self) -> None:
        """Forget everything on its way."""
        await self._drop_tasks()
        self._held = Held()
        self._queued.clear()
        self.attempts.clear()

    def undelivered(self) -> list[Delivery]:
        """Whatever no endpoint has taken yet: under way, waiting for another try, held or queued."""
        under_way = [delivery for deliveries in self._tasks.values() for delivery in deliveries]
        return [*under_way, *self._held.waiting, *self._queued]

    def queue(self, deliveries: list[Delivery]) -> None:
        """Send these from the next `start` on, beginning with their first try."""
        self._queued.extend(deliveries)

    async def wait_idle(self, *, timeout_seconds: float) -> bool:
        """Wait until nothing is on its way or waits for another try; whether that came about in time."""
        deadline = asyncio.get_running_loop().time() + timeout_seconds
        while self._tasks and (left := deadline - asyncio.get_running_loop().time()) > 0:
            await asyncio.wait(self._tasks, timeout=left)
        return not self._tasks

    def publish(self, book: Book, event: Json) -> None:
        """Send a new event to every endpoint that hears of it."""
        deliveries = self._deliveries(book, event)
        event["pending_webhooks"] = len(deliveries)
        self._dispatch(deliveries)

    def publish_thin(self, book: Book, event: Json) -> None:
        """Send a new thin event to every endpoint that wants such."""
        self._dispatch(self._deliveries(book, event))

    def resend(self, book: Book, event: Json, *, copies: int = 1) -> int:
        """Send an old event again, `copies` times side by side; returns how many deliveries that makes."""
        deliveries = self._deliveries(book, event) * copies
        self._dispatch(deliveries)
        return len(deliveries)

    def _deliveries(self, book: Book, event: Json) -> list[Delivery]:
        platform = self._world.book(Scope(account=None, livemode=book.livemode))
        return [
            Delivery(platform, event, endpoint)
            for endpoint in platform.table("webhook_endpoint").values()
            if endpoints.hears(platform, endpoint, event)
        ]

    def _dispatch(self, deliveries: list[Delivery]) -> None:
        if self._held.active:
            self._held.waiting.extend(deliveries)
            return
        for delivery in deliveries:
            self._spawn(self._deliver(delivery), [delivery])

    def hold(self) -> None:
        """Keep back every delivery from now on."""
        self._held.active = True

    def release(self, *, seed: int | None, copies: int = 1) -> int:
        """Send what was held, one after the other: in order, or shuffled by `seed`; each `copies` times."""
        waiting, self._held = self._held.waiting * copies, Held()
        count = len(waiting)
        if seed is not None:
            random.Random(seed).shuffle(waiting)  # noqa: S311 - the order of a test, not a secret
        if waiting:
            self._spawn(self._deliver_in_turn(waiting), waiting)
        return count

    def held_types(self) -> tuple[str, ...]:
        return tuple(delivery.event["type"] for delivery in self._held.waiting)

    def _spawn(self, work: Coroutine[None, None, None], deliveries: list[Delivery]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks[task] = deliveries
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        del self._tasks[task]
        self._world.changes += 1

    async def _deliver_in_turn(self, deliveries: list[Delivery]) -> None:
        """The order is that of the first tries; what fails is tried again on its own."""
        while deliveries:
            delivery = deliveries[0]
            if not await self._try(delivery, number=1):
                self._spawn(self._deliver(delivery, first=2), [delivery])
            del deliveries[0]

    async def _deliver(self, delivery: Delivery, *, first: int = 1) -> None:
        """Try until it is taken or the schedule ends."""
        waits = (0.0, *self._settings.webhook_retry_seconds)
        for number in range(first, len(waits) + 1):
            await asyncio.sleep(waits[number - 1])
            if self._is_gone(delivery) or await self._try(delivery, number=number):
                return
        log.warning("sandbox.webhook_given_up", type=delivery.event["type"], event=delivery.event["id"])

    def _is_gone(self, delivery: Delivery) -> bool:
        """A deleted or disabled endpoint gets no further tries."""
        present = delivery.book.find("webhook_endpoint", delivery.endpoint["id"])
        return present is None or present["status"] != "enabled"

    async def _try(self, delivery: Delivery, *, number: int) -> bool:
        """One try. Only an answer of 200 to 299 counts as taken; redirects are not followed."""
        async with self._slots:
            own = asyncio.current_task()
            self._posting.add(own)
            self._quiet.clear()
            try:
                status = await self._post(delivery)
            finally:
                self._posting.discard(own)
                if not self._posting:
                    self._quiet.set()
        event = delivery.event
        self._remember(Attempt(event["id"], event["type"], delivery.endpoint["id"], number, status))
        taken = status is not None and 200 <= status < 300  # noqa: PLR2004 - the family of successes
        if taken and event.get("pending_webhooks", 0) > 0:
            event["pending_webhooks"] -= 1
        log.debug("sandbox.webhook_sent", type=event["type"], number=number, status=status)
        return taken

    def _remember(self, attempt: Attempt) -> None:
        self.attempts.append(attempt)
        del self.attempts[:-KEPT_ATTEMPTS_MAX]

    def _payload(self, delivery: Delivery) -> Json:
        if delivery.event["object"] == thin_events.OBJECT:
            return thin_events.notification(delivery.event)
        return {**delivery.event, "api_version": delivery.endpoint["api_version"] or self._settings.api_version}

    async def _post(self, delivery: Delivery) -> int | None:
        endpoint = delivery.endpoint
        secrets = delivery.book.behind.endpoint_secrets.get(endpoint["id"])
        if self._session is None or secrets is None:
            return None
        body = orjson.dumps(self._payload(delivery), option=orjson.OPT_INDENT_2)
        # Signed in real time: a receiver compares the age of a signature with its own clock.
        at = self._world.around.clock.real_now()
        headers = {
            "Content-Type": "application/json; charset=utf-8",
            "Stripe-Signature": signature_header(body, secrets, at=at),
            "User-Agent": "Stripe/1.0 (local)",
        }
        try:
            async with self._session.post(
                endpoint["url"], data=body, headers=headers, allow_redirects=False
            ) as response:
                return response.status
        except (aiohttp.ClientError, TimeoutError):
            return None
