"""The gateway and the local Stripe in one process, and the time both live in."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

import aiohttp
from aiohttp import web

from gateway.app import Gateway, open_gateway
from gateway.cli.serving import listening
from gateway.db import Database
from gateway.db.rows import moment
from gateway.domain.clock import Clock, SystemClock
from gateway.sandbox.app import WORLD, build_sandbox, time_beside
from gateway.sandbox.settings import SandboxSettings
from gateway.server.webhook import WEBHOOK_PATH
from gateway.settings import Settings

SANDBOX_STATE_FILE: Final = Path("var/sandbox-state.json")
#: How long a command waits for the local Stripe to say what time it is; none runs when it does not answer.
ASK_TIME_SECONDS: Final = 2.0
#: Whatever a gateway does leaves its time in one of these.
_NEWEST: Final = (
    "SELECT max(created_at) AS newest FROM customer UNION ALL SELECT max(created_at) FROM ledger_entry "
    "UNION ALL SELECT max(received_at) FROM stripe_event UNION ALL SELECT max(asked_at) FROM checkout"
)


def sandbox_settings(settings: Settings) -> SandboxSettings:
    """The local Stripe as a gateway of these settings needs it; a second secret is that of its Connect endpoint."""
    platforms, *others = (secret.get_secret_value() for secret in settings.stripe_webhook_secrets)
    return SandboxSettings(
        public_base_url=f"http://{settings.host}:{settings.sandbox_port}",
        webhook_url=f"http://{settings.host}:{settings.port}{WEBHOOK_PATH}",
        webhook_secret=platforms,
        webhook_connect_secret=others[0] if others else None,
        state_file=SANDBOX_STATE_FILE,
    )


@asynccontextmanager
async def opened_beside_stripe(settings: Settings) -> AsyncGenerator[Gateway]:
    """A listening local Stripe and a gateway on a migrated database that lives in its time.

    Tokens and signatures are judged by the machine's clock: whatever time the local Stripe has skipped, a token that
    was printed stays good, and deliveries are signed in real time.
    """
    wall_clock = SystemClock()
    stripe = await build_sandbox(sandbox_settings(settings), clock=wall_clock)
    async with (
        listening(stripe, host=settings.host, port=settings.sandbox_port, shutdown_seconds=settings.shutdown_seconds),
        open_gateway(settings, clock=time_beside(stripe), wall_clock=wall_clock) as gateway,
    ):
        await _catch_up(stripe, gateway.database)
        yield gateway


async def _catch_up(stripe: web.Application, database: Database) -> None:
    """Never let time run backwards for the database, be the local Stripe's memory of what it skipped lost."""
    rows = await database.fetch(_NEWEST)
    newest = max((moment(row, "newest") for row in rows if row["newest"] is not None), default=None)
    behind = timedelta(0) if newest is None else newest - time_beside(stripe).now()
    if behind > timedelta(0):
        stripe[WORLD].advance(behind // timedelta(seconds=1) + 1)


class _Ahead:
    """A clock that is ahead of the machine's by what the local Stripe has skipped."""

    def __init__(self, by: timedelta) -> None:
        self._by = by

    def now(self) -> datetime:
        return SystemClock().now() + self._by


async def clock_of(settings: Settings) -> Clock:
    """The time a command works in: that of the local Stripe if one runs beside, else the machine's."""
    if settings.in_production or not settings.stripe_is_local:
        return SystemClock()
    timeout = aiohttp.ClientTimeout(total=ASK_TIME_SECONDS)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout) as http,
            http.get(f"{settings.stripe_api_base}/_sandbox/clock") as response,
        ):
            told: dict[str, int] = await response.json()
            return _Ahead(timedelta(seconds=told["now"] - told["real_now"]))
    except (aiohttp.ClientError, TimeoutError, KeyError, TypeError, ValueError):
        return SystemClock()
