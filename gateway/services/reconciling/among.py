"""Conditions on lists, on both engines."""

from gateway.db import Dialect


def among(column: str, dialect: Dialect, *, place: int = 1) -> str:
    """A condition: the text in a column is one of a list."""
    if dialect == "sqlite":
        return f"{column} IN (SELECT value FROM json_each(${place}))"
    return f"{column} = ANY(${place}::text[])"
