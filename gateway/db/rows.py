"""Reading a row by type: one Python type for a column, whichever engine it came from.

SQLite holds times and UUIDs as text and truth as 0 and 1; PostgreSQL sums to Decimal. Each function names the column
when it holds something else, because that is a mistake in the statement.
"""

from datetime import UTC, datetime
from decimal import Decimal
from uuid import UUID

from gateway.db.dialect import Row


def integer(row: Row, column: str) -> int:
    """A whole number; never one with a fraction."""
    value = row[column]
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, Decimal) and value == value.to_integral_value():
        return int(value)
    raise _wrong(row, column, "a whole number")


def integer_or_none(row: Row, column: str) -> int | None:
    return None if row[column] is None else integer(row, column)


def text(row: Row, column: str) -> str:
    value = row[column]
    if isinstance(value, str):
        return value
    raise _wrong(row, column, "text")


def text_or_none(row: Row, column: str) -> str | None:
    return None if row[column] is None else text(row, column)


def truth(row: Row, column: str) -> bool:
    value = row[column]
    if isinstance(value, bool) or value in (0, 1):
        return bool(value)
    raise _wrong(row, column, "true or false")


def moment(row: Row, column: str) -> datetime:
    """An aware time in UTC."""
    value = row[column]
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError as error:
            raise _wrong(row, column, "a time") from error
    if isinstance(value, datetime) and value.tzinfo is not None:
        return value.astimezone(UTC)
    raise _wrong(row, column, "a time with a zone")


def moment_or_none(row: Row, column: str) -> datetime | None:
    return None if row[column] is None else moment(row, column)


def identifier(row: Row, column: str) -> UUID:
    value = row[column]
    if isinstance(value, UUID):
        # asyncpg's is a subclass of its own; the plain one compares and prints the same everywhere.
        return UUID(int=value.int)
    if isinstance(value, str):
        try:
            return UUID(value)
        except ValueError as error:
            raise _wrong(row, column, "a UUID") from error
    raise _wrong(row, column, "a UUID")


def identifier_or_none(row: Row, column: str) -> UUID | None:
    return None if row[column] is None else identifier(row, column)


def _wrong(row: Row, column: str, wanted: str) -> TypeError:
    return TypeError(f"The column {column} holds {wanted}; got a {type(row[column]).__name__}.")
