"""Running applications until a signal says stop, then letting them finish."""

import asyncio
import signal
from collections.abc import AsyncGenerator, Coroutine
from contextlib import asynccontextmanager

import structlog
import uvloop
from aiohttp import web

log = structlog.stdlib.get_logger()

#: Idle connections are kept this long: longer than a load balancer in front keeps them.
KEEPALIVE_SECONDS = 75
#: How long the rest of a body that was refused is read away, so that the client sees the answer and not a reset.
LINGERING_SECONDS = 2
_STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)


def run(work: Coroutine[object, object, int]) -> int:
    """Run to the end on the fast event loop."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(work)


def runner_of(app: web.Application, *, shutdown_seconds: float) -> web.AppRunner:
    """What serves an application: no body is inflated (compressed ones are refused), and nobody is waited for long."""
    return web.AppRunner(
        app,
        access_log=None,
        shutdown_timeout=shutdown_seconds,
        keepalive_timeout=KEEPALIVE_SECONDS,
        lingering_time=LINGERING_SECONDS,
        auto_decompress=False,
    )


@asynccontextmanager
async def listening(
    app: web.Application, *, host: str, port: int, shutdown_seconds: int, reuse_port: bool = False
) -> AsyncGenerator[None]:
    """Serve within the block; at its end take nothing new, let requests finish for a bounded time, clean up."""
    runner = runner_of(app, shutdown_seconds=shutdown_seconds)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port, reuse_port=reuse_port or None).start()
        log.info("server.listening", host=host, port=port)
        yield
    finally:
        await runner.cleanup()


async def until_stopped() -> None:
    """Wait for SIGTERM or SIGINT. A SIGTERM that follows changes nothing; a second Ctrl-C ends the process at once.

    A process may be told twice: a service manager tells the whole group, and a parent tells its children too.
    """
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in _STOP_SIGNALS:
        loop.add_signal_handler(number, stopped.set)
    try:
        await stopped.wait()
        log.info("server.stopping")
    finally:
        loop.remove_signal_handler(signal.SIGINT)
