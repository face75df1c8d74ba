"""What PostgreSQL's SQLSTATEs and asyncpg's exceptions mean in the words of the data layer."""

import re
from typing import Final

import asyncpg  # pyright: ignore[reportMissingTypeStubs] - it has none

from gateway.db.errors import Conflict, Contention, ContentionReason, DatabaseError, DatabaseUnavailable, RuleViolation

_CONTENTION_STATES: Final = {
    "40001": ContentionReason.SERIALIZATION,
    "40P01": ContentionReason.DEADLOCK,
    "55P03": ContentionReason.LOCK_TIMEOUT,
}
_CONFLICT_STATES: Final = frozenset({"23505", "23P01"})
_RAISED_BY_TRIGGER: Final = "P0001"
_CONSTRAINT_CLASS: Final = "23"
# Connection, login, resources, operator's doing, the server's own trouble; a query the server cut off; a replica that
# took the primary's place.
_UNAVAILABLE_CLASSES: Final = ("08", "28", "3D", "53", "57", "58", "F0", "XX")
_UNAVAILABLE_STATES: Final = frozenset({"25006", "25P03"})
_KEY_COLUMNS: Final = re.compile(r"^Key \((?P<columns>.*?)\)=\(")


def answered_by_server(error: BaseException) -> bool:
    """Whether the server itself said it, so that the connection is in a known state."""
    return isinstance(error, asyncpg.PostgresError)


def translate_postgres(error: BaseException, *, closed: bool) -> DatabaseError | None:
    """Name the refusal, or return None for an error that is a mistake in the statement.

    `closed` says whether the connection it happened on is gone.
    """
    if isinstance(error, asyncpg.PostgresError):
        return _translate_state(error)
    if isinstance(error, TimeoutError):
        return DatabaseUnavailable("PostgreSQL did not answer in time.")
    lost = closed and isinstance(error, asyncpg.InterfaceError | asyncpg.InternalClientError)
    if lost or isinstance(error, OSError):
        return DatabaseUnavailable(f"The connection to PostgreSQL was lost: {error}")
    return None


def _translate_state(error: asyncpg.PostgresError) -> DatabaseError | None:
    state = _field(error, "sqlstate") or ""
    # A statement prepared before a migration changed its tables; the next try prepares it anew.
    outdated = isinstance(error, asyncpg.InvalidCachedStatementError | asyncpg.OutdatedSchemaCacheError)
    if outdated or state in _CONTENTION_STATES:
        reason = _CONTENTION_STATES.get(state, ContentionReason.OUTDATED)
        return Contention(f"PostgreSQL {state}: {error}", reason=reason)
    if state in _CONFLICT_STATES:
        match = _KEY_COLUMNS.search(_field(error, "detail") or "")
        columns = tuple(match["columns"].split(", ")) if match else ()
        return Conflict(table=_field(error, "table_name"), columns=columns, constraint=_field(error, "constraint_name"))
    if state == _RAISED_BY_TRIGGER or state.startswith(_CONSTRAINT_CLASS):
        return RuleViolation(str(error), constraint=_field(error, "constraint_name"))
    if state in _UNAVAILABLE_STATES or state.startswith(_UNAVAILABLE_CLASSES):
        return DatabaseUnavailable(f"PostgreSQL {state}: {error}")
    return None


def _field(error: asyncpg.PostgresError, name: str) -> str | None:
    """A field of the server's message; asyncpg sets them only where the server sent them."""
    value: object = getattr(error, name, None)
    return value if isinstance(value, str) else None
