"""A local Stripe of its own that nobody kills: `python -m tests.faults.payout_storm_stripe`.

It writes its address in a line, and goes on until it is told to stop. Its accounts have no webhooks: what the gateway
does not ask for, it does not learn.
"""

import asyncio
import logging
import socket
import sys

import structlog
from aiohttp import web

from gateway.cli.serving import run, until_stopped
from gateway.domain.clock import SystemClock
from gateway.sandbox.app import build_sandbox
from gateway.sandbox.settings import SandboxSettings

#: Longer than the gateway waits for an answer.
HANG_SECONDS = 5.0
WAITING_CALLS_MAX = 512


async def serve() -> int:
    settings = SandboxSettings(fault_hang_seconds=HANG_SECONDS, stop_grace_seconds=0.1, request_log_max=100_000)
    runner = web.AppRunner(await build_sandbox(settings, clock=SystemClock()), access_log=None, shutdown_timeout=0.2)
    door = socket.socket()
    door.bind(("127.0.0.1", 0))
    await runner.setup()
    try:
        await web.SockSite(runner, door, backlog=WAITING_CALLS_MAX).start()
        sys.stdout.write(f"http://127.0.0.1:{door.getsockname()[1]}\n")
        sys.stdout.flush()
        await until_stopped()
    finally:
        await asyncio.shield(runner.cleanup())
    return 0


if __name__ == "__main__":
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    logging.disable(logging.CRITICAL)
    sys.exit(run(serve()))
