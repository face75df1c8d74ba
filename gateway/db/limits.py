"""How long the data layer waits and how much it opens at once."""

from dataclasses import dataclass
from typing import Final

RETRIES_MAX: Final = 8
RETRY_DELAY_SECONDS_FIRST: Final = 0.005
RETRY_DELAY_SECONDS_MAX: Final = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseLimits:
    """Every wait is bounded: past it the caller gets `DatabaseUnavailable`, never silence.

    The server-side limits of PostgreSQL are shorter than `command_seconds_max`, so that it is the server that gives
    up first and the connection stays in use.
    """

    connect_seconds_max: float = 5.0
    acquire_seconds_max: float = 10.0
    command_seconds_max: float = 30.0
    statement_seconds_max: float = 25.0
    lock_seconds_max: float = 10.0
    idle_in_transaction_seconds_max: float = 60.0
    settle_seconds_max: float = 5.0
    busy_seconds_max: float = 30.0
    migration_seconds_max: float = 600.0
    connections_max: int = 10
    readers_max: int = 4


DEFAULT_LIMITS: Final = DatabaseLimits()
