"""One SQL text for both engines: written for PostgreSQL with `$1` placeholders, rewritten for SQLite."""

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from functools import lru_cache
from typing import Final, Literal, TypeAlias
from uuid import UUID

Dialect: TypeAlias = Literal["sqlite", "postgres"]
Row: TypeAlias = Mapping[str, object]
Parameters: TypeAlias = Sequence[object]
SqliteValue: TypeAlias = int | float | str | bytes | None

STATEMENTS_CACHED_MAX: Final = 1024

_TOKENS: Final = re.compile(
    r"""
    '(?:[^']|'')*' | "(?:[^"]|"")*" | --[^\n]* | /\*.*?\*/        # texts, names and comments stay as they are
  | \$(?P<position>\d+)(?:::[a-z_]+(?:\[\])?)?                    # $1, or $1::type, which SQLite neither has nor needs
  | \bFOR\s+(?:NO\s+KEY\s+UPDATE|UPDATE|SHARE)\b(?P<lock>(?:\s+OF\s+[\w",.\s]+?(?=\s+NOWAIT|\s+SKIP|\)|$))?
    (?:\s+NOWAIT|\s+SKIP\s+LOCKED)?)
    """,
    re.VERBOSE | re.IGNORECASE | re.DOTALL,
)


@lru_cache(maxsize=STATEMENTS_CACHED_MAX)
def sqlite_statement(sql: str) -> tuple[str, tuple[int, ...]]:
    """Rewrite a statement for SQLite; returns it with the positions of the parameters in their order of use.

    Row locks are left out: a SQLite transaction of ours holds the only write lock of the file from its start.
    Plain `?` is used because numbered ones are taken for named ones by some releases of Python.
    """
    order: list[int] = []

    def rewrite(match: re.Match[str]) -> str:
        position = match["position"]
        if position is not None:
            order.append(int(position) - 1)
            return "?"
        return "" if match["lock"] is not None else match[0]

    return _TOKENS.sub(rewrite, sql), tuple(order)


def sqlite_parameters(params: Parameters, order: tuple[int, ...]) -> tuple[SqliteValue, ...]:
    """Put the parameters in the order of their use, as values SQLite can store.

    Raises ValueError when the count does not fit the statement, and for a time without a zone.
    """
    wanted = max(order) + 1 if order else 0
    if wanted != len(params):
        raise ValueError(f"The statement takes {wanted} parameters; got {len(params)}.")
    return tuple(sqlite_value(params[position]) for position in order)


def sqlite_value(value: object) -> SqliteValue:
    """Render a value the way SQLite columns of ours hold it; times as UTC text of one width, so that they sort."""
    match value:
        case None | int() | float() | str() | bytes():
            return value
        case datetime():
            if value.tzinfo is None:
                raise ValueError(f"A time needs a zone; got {value.isoformat()}.")
            return value.astimezone(UTC).isoformat(" ", timespec="microseconds")
        case date():
            return value.isoformat()
        case UUID():
            return str(value)
        case _:
            raise TypeError(f"A {type(value).__name__} cannot be stored; pass a number, text, bytes, time or UUID.")
