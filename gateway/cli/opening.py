"""A gateway without its doors, for commands that look at what is stored and put it right."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from gateway.app import Gateway, open_gateway
from gateway.cli.development import clock_of
from gateway.cli.output import Refusal
from gateway.db import pending
from gateway.logs import LogLevel, configure_logs
from gateway.settings import Settings


def quiet_logs(settings: Settings) -> None:
    """Errors only, unless another level than the usual one is set: the answer itself says what did not go well."""
    level = settings.log_level
    configure_logs(log_format=settings.log_format, level=LogLevel.ERROR if level is LogLevel.INFO else level)


@asynccontextmanager
async def opened(settings: Settings) -> AsyncGenerator[Gateway]:
    """The gateway's parts on a database of this release.

    Raises:
        Refusal: the database lacks a migration.
        DatabaseError: there is no database to work on.
    """
    if names := await pending(settings.database_url.get_secret_value()):
        raise Refusal(f"The database lacks {', '.join(names)}; run `gateway migrate`.")
    async with open_gateway(settings, clock=await clock_of(settings)) as gateway:
        yield gateway
