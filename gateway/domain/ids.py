"""Ids made by the application: UUIDv7, so that rows sort by birth and any node can make them."""

import secrets
from datetime import UTC, datetime, timedelta
from uuid import UUID

_RANDOM_BITS = 74
_VERSION_7 = 0x7 << 76
_VARIANT = 0b10 << 62


def new_id(now: datetime) -> UUID:
    """A UUIDv7 (RFC 9562) of the given moment: 48 bits of milliseconds, then 74 random bits."""
    milliseconds = int(now.timestamp() * 1000)
    assert 0 <= milliseconds < 1 << 48, "a moment that UUIDv7 can hold"
    randomness = secrets.randbits(_RANDOM_BITS)
    high, low = randomness >> 62, randomness & ((1 << 62) - 1)
    return UUID(int=(milliseconds << 80) | _VERSION_7 | (high << 64) | _VARIANT | low)


def first_id(moment: datetime) -> UUID:
    """Not after any id made at that moment or later, by the clock that made it."""
    return UUID(int=max(0, int(moment.timestamp() * 1000)) << (_RANDOM_BITS + 6))


def time_of_id(made: UUID) -> datetime:
    """When an id was made, by the clock that made it."""
    return datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=made.int >> (_RANDOM_BITS + 6))
