"""Many rows in one statement: one array a column on PostgreSQL, one JSON text on SQLite.

The text of such a statement, and with it the prepared plan, is the same for one row and for a thousand.
"""

from collections.abc import Sequence

import orjson

from gateway.db.dialect import Dialect, Parameters, sqlite_value


def row_parameters(dialect: Dialect, rows: Sequence[Sequence[object]]) -> Parameters:
    """The first parameters of a statement that takes a table of rows; there is at least one row."""
    if dialect == "sqlite":
        return (orjson.dumps([[sqlite_value(value) for value in row] for row in rows]).decode(),)
    return tuple(list(column) for column in zip(*rows, strict=True))


def list_parameter(dialect: Dialect, values: Sequence[object]) -> object:
    """The one parameter that hands over a list of values."""
    if dialect == "sqlite":
        return orjson.dumps([sqlite_value(value) for value in values]).decode()
    return list(values)
