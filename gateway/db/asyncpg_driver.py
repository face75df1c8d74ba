"""The border to asyncpg, which carries no types: what we use of it, typed, and how a connection is opened."""

from collections.abc import Iterable, Sequence
from typing import Final, Protocol, cast

import asyncpg  # pyright: ignore[reportMissingTypeStubs] - it has none

from gateway.db.dialect import Parameters
from gateway.db.errors import DatabaseUnavailable, DatabaseUrlInvalid
from gateway.db.limits import DatabaseLimits
from gateway.db.url import PostgresUrl

STATEMENTS_PREPARED_MAX: Final = 512


class Record(Protocol):
    """One row as asyncpg returns it; a mapping but for its iteration."""

    def items(self) -> Iterable[tuple[str, object]]: ...


class Driver(Protocol):
    """One connection of asyncpg."""

    async def execute(self, query: str, *args: object) -> str: ...

    async def executemany(self, command: str, args: Sequence[Parameters]) -> None: ...

    async def fetch(self, query: str, *args: object) -> list[Record]: ...

    async def fetchrow(self, query: str, *args: object) -> Record | None: ...

    def is_closed(self) -> bool: ...

    def is_in_transaction(self) -> bool: ...

    def terminate(self) -> None: ...

    async def close(self) -> None: ...


async def connect(address: PostgresUrl, limits: DatabaseLimits, *, settings: dict[str, str]) -> Driver:
    """Open one connection; raises DatabaseUnavailable, or DatabaseUrlInvalid for settings asyncpg cannot use."""
    try:
        return cast(
            "Driver",
            await asyncpg.connect(
                address.dsn,
                timeout=cast("int", limits.connect_seconds_max),  # annotated too narrowly there: fractions work
                command_timeout=limits.command_seconds_max,
                statement_cache_size=0 if address.pgbouncer else STATEMENTS_PREPARED_MAX,
                max_cached_statement_lifetime=0,
                server_settings=settings,
            ),
        )
    except asyncpg.ClientConfigurationError as error:
        raise DatabaseUrlInvalid(f"The settings for {address} cannot be used: {error}") from error
    except TimeoutError as error:
        raise DatabaseUnavailable(f"{address} did not answer within {limits.connect_seconds_max:g} s.") from error
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError) as error:
        raise DatabaseUnavailable(f"{address} cannot be reached: {error}") from error
