"""Putting the local Stripe together."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from typing import Final

import structlog
from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from gateway.domain.clock import Clock
from gateway.sandbox.clock import SandboxClock
from gateway.sandbox.control.door import ControlDoor
from gateway.sandbox.engine import endpoints
from gateway.sandbox.engine.agenda import Agenda
from gateway.sandbox.engine.book import Book, Surroundings
from gateway.sandbox.engine.world import World
from gateway.sandbox.hosted_express import HostedExpress
from gateway.sandbox.hosted_setup import HostedSetup
from gateway.sandbox.hosted_world import HostedPages
from gateway.sandbox.ids import Ids
from gateway.sandbox.memory.file import StateFile
from gateway.sandbox.memory.memory import Memory
from gateway.sandbox.pages import add_express_routes, add_page_routes, add_setup_routes
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

    All state belongs to this application alone, and is in memory unless the settings name a file for it. A seeded
    `randomness` makes its ids repeatable.
    """
    world = World(_surroundings(settings, clock, randomness or random.SystemRandom()))
    sender = Sender(world)
    listeners = Listeners(world)
    world.around.publish = _to_each(sender.publish, listeners.publish)
    world.around.publish_thin = sender.publish_thin
    faults, keys = Faults(), IdempotencyKeys()
    requests = RequestLog(kept_max=settings.request_log_max)
    door = Door(world, Routes((*ALL_OPERATIONS, listeners.operation())), faults=faults, keys=keys, log=requests)
    memory = _memory(world, keys=keys, sender=sender)
    control = ControlDoor(
        world, sender=sender, faults=faults, keys=keys, log=requests, seed=_beginning(memory), keep=_keeping(memory)
    )
    app = web.Application(client_max_size=BODY_BYTES_MAX + 1, middlewares=[_noticing(world)])
    app[WORLD] = world
    app[SENDER] = sender
    for generation in ("v1", "v2"):
        app.router.add_route("*", f"/{generation}/{{rest:.*}}", door.handle)
    control.add_routes(app)
    listeners.add_routes(app)
    add_page_routes(app, HostedPages(world))
    add_setup_routes(app, HostedSetup(world))
    add_express_routes(app, HostedExpress(world))
    app.on_shutdown.append(door.stop)
    if memory is not None:
        app.cleanup_ctx.append(memory.live)
    app.cleanup_ctx.append(_background)
    return app


def time_beside(app: web.Application) -> Clock:
    """The time of a local Stripe, for whoever lives in it too."""
    return app[WORLD].around.clock.beside()


def _memory(world: World, *, keys: IdempotencyKeys, sender: Sender) -> Memory | None:
    settings = world.around.settings
    if settings.state_file is None:
        return None
    file = StateFile(settings.state_file)
    return Memory(file, world=world, keys=keys, sender=sender, poll_seconds=settings.state_poll_seconds)


def _keeping(memory: Memory | None) -> Callable[[], None]:
    """Write the state at once, where it is kept at all."""
    return memory.save if memory is not None else lambda: None


def _beginning(memory: Memory | None) -> Callable[[World], None]:
    """What a reset ends with: as at the start, in the file too."""

    def begin(world: World) -> None:
        seed(world)
        if memory is not None:
            memory.save()

    return begin


def _noticing(world: World) -> Middleware:
    """Whatever was asked for may have changed something, on the pages and at the control door too."""

    @web.middleware
    async def notice(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            return await handler(request)
        finally:
            if request.method != "GET":
                world.changes += 1

    return notice


def _surroundings(settings: SandboxSettings, clock: Clock, randomness: random.Random) -> Surroundings:
    return Surroundings(
        settings=settings,
        clock=SandboxClock(clock),
        ids=Ids(randomness),
        agenda=Agenda(),
        publish=_publish_nowhere,
        in_other_mode=_nowhere,
        book_of=_no_book,
        elsewhere=_nothing,
        publish_thin=_publish_nowhere,
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


def _no_book(account: str | None, livemode: bool) -> Book:
    raise AssertionError("until a world is there")


def _nothing(book: Book, kind: str, id: str) -> Json | None:
    """Until a world is there."""
    return None


def seed(world: World) -> None:
    """What is there from the start: the settings' endpoints, which follow them from one start to the next."""
    settings = world.around.settings
    connect_secret = settings.webhook_connect_secret or settings.webhook_secret
    world.seeded_endpoint = _seeded(world, world.seeded_endpoint, secret=settings.webhook_secret, connect=False)
    world.seeded_connect_endpoint = _seeded(world, world.seeded_connect_endpoint, secret=connect_secret, connect=True)


def _seeded(world: World, known: str | None, *, secret: str, connect: bool) -> str | None:
    """The endpoint of the settings, made, changed or removed as they say; its id."""
    url, platform = world.around.settings.webhook_url, world.platform
    former = platform.find("webhook_endpoint", known)
    if url is None:
        if former is not None:
            endpoints.remove_endpoint(platform, former)
        return None
    if former is None:
        params: Json = {"url": url, "enabled_events": ["*"], "connect": connect}
        former = endpoints.new_endpoint(platform, params, secret=secret)
    former["url"] = url
    platform.behind.endpoint_secrets[former["id"]] = [secret]
    return former["id"]


async def _background(app: web.Application) -> AsyncIterator[None]:
    seed(app[WORLD])
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
