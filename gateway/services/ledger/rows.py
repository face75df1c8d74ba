"""The ledger's columns as Python values, whichever engine they come from."""

from datetime import datetime
from decimal import Decimal
from uuid import UUID


def as_uuid(value: object) -> UUID:
    """PostgreSQL has a type for it, SQLite holds its text."""
    return value if isinstance(value, UUID) else UUID(str(value))


def as_int(value: object) -> int:
    """A whole number; PostgreSQL sums them up into a Decimal."""
    assert isinstance(value, int | Decimal), f"a number, not {value!r}"
    return int(value)


def as_time(value: object) -> datetime:
    """An aware time; SQLite holds its text."""
    return value if isinstance(value, datetime) else datetime.fromisoformat(str(value))


def as_optional_text(value: object) -> str | None:
    return None if value is None else str(value)


def as_optional_uuid(value: object) -> UUID | None:
    return None if value is None else as_uuid(value)
