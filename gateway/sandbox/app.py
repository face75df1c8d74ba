"""Putting the local Stripe together."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from typing import Final

import structlog
from aiohttp import web

from gateway.domain.clock import Clock
from gateway.sandbox.clock import SandboxClock
from gateway.sandbox.control.door import ControlDoor
from gateway.sandbox.engine import endpoints
from gateway.sandbox.engine.agenda import Agenda
from gateway.sandbox.engine.book import Book, Surroundings
from gateway.sandbox.engine.world import World
from gateway.sandbox.hosted_world import HostedPages
from gateway.sandbox.ids import Ids
from gateway.sandbox.pages import add_page_routes
from gateway.sandbox.refusals import Json
from gateway.sandbox.resources.every import ALL_OPERATIONS
from gateway.sandbox.settings import SandboxSettings
from gateway.sandbox.webhooks.listeners import Listeners
from gateway.sandbox.webhooks.sender import Sender
from gateway.sandbox.wire.door import BODY_BYTES_MAX, Door
from gateway.sandbox.wire.faults import Faults
from gateway.sandbox.wire.idempotency import IdempotencyKeys
from gateway.sandbox.wire.request_log import RequestLog
from gateway.sandbox.wire.routing import Routes

log = structlog.get_logger()

WORLD: Final = web.AppKey("world", World)
SENDER: Final = web.AppKey("sender", Sender)


async def build_sandbox(
    settings: SandboxSettings, *, clock: Clock, randomness: random.Random | None = None
) -> web.Application:
    """The local Stripe as an application: the API, the hosted pages and the control door.

    All state is in memory and belongs to this application alone. A seeded `randomness` makes its ids repeatable.
    """
    world = World(_surroundings(settings, clock, randomness or random.SystemRandom()))
    sender = Sender(world)
    listeners = Listeners(world)
    world.around.publish = _to_each(sender.publish, listeners.publish)
    seed(world)
    faults, keys = Faults(), IdempotencyKeys()
    requests = RequestLog(kept_max=settings.request_log_max)
    door = Door(world, Routes((*ALL_OPERATIONS, listeners.operation())), faults=faults, keys=keys, log=requests)
    control = ControlDoor(world, sender=sender, faults=faults, keys=keys, log=requests, seed=seed)
    app = web.Application(client_max_size=BODY_BYTES_MAX + 1)
    app[WORLD] = world
    app[SENDER] = sender
    app.router.add_route("*", "/v1/{rest:.*}", door.handle)
    control.add_routes(app)
    listeners.add_routes(app)
    add_page_routes(app, HostedPages(world))
    app.on_shutdown.append(door.stop)
    app.cleanup_ctx.append(_background)
    return app


def _surroundings(settings: SandboxSettings, clock: Clock, randomness: random.Random) -> Surroundings:
    return Surroundings(
        settings=settings,
        clock=SandboxClock(clock),
        ids=Ids(randomness),
        agenda=Agenda(),
        publish=_publish_nowhere,
        in_other_mode=_nowhere,
        base_url=settings.public_base_url or "http://127.0.0.1:12111",
    )


def _to_each(*hearers: Callable[[Book, Json], None]) -> Callable[[Book, Json], None]:
    def publish(book: Book, event: Json) -> None:
        for hear in hearers:
            hear(book, event)

    return publish


def _publish_nowhere(book: Book, event: Json) -> None:
    """Until a sender is there."""


def _nowhere(book: Book, kind: str, id: str) -> bool:
    """Until a world is there."""
    return False


def seed(world: World) -> None:
    """What is there from the start: the endpoint of the settings."""
    settings = world.around.settings
    if settings.webhook_url is not None:
        params: Json = {"url": settings.webhook_url, "enabled_events": ["*"]}
        endpoints.new_endpoint(world.platform, params, secret=settings.webhook_secret)


async def _background(app: web.Application) -> AsyncIterator[None]:
    app[SENDER].start()
    ticking = asyncio.create_task(_tick(app[WORLD]))
    yield
    ticking.cancel()
    with suppress(asyncio.CancelledError):
        await ticking
    await app[SENDER].stop()


async def _tick(world: World) -> None:
    """Let real time bring about what falls due."""
    while True:
        await asyncio.sleep(world.around.settings.due_poll_seconds)
        try:
            ran = world.run_due()
        except Exception:
            log.exception("sandbox.bug", doing="what fell due")
            continue
        if ran:
            log.info("sandbox.fell_due", count=ran)
