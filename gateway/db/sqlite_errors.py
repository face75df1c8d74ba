"""What SQLite's error codes mean in the words of the data layer."""

import re
import sqlite3
from typing import Final

from gateway.db.errors import Conflict, Contention, ContentionReason, DatabaseError, DatabaseUnavailable, RuleViolation
from gateway.db.sqlite_thread import ConnectionStopped

_PRIMARY_CODE_MASK: Final = 0xFF
_UNIQUE_CODES: Final = frozenset(
    {sqlite3.SQLITE_CONSTRAINT_UNIQUE, sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY, sqlite3.SQLITE_CONSTRAINT_ROWID}
)
_BUSY_CODES: Final = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})
# The file, the disk or the machine is at fault, not the statement.
_UNAVAILABLE_CODES: Final = frozenset(
    {
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_CORRUPT,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_INTERRUPT,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_NOMEM,
        sqlite3.SQLITE_NOTADB,
        sqlite3.SQLITE_PERM,
        sqlite3.SQLITE_PROTOCOL,
        sqlite3.SQLITE_READONLY,
    }
)
_UNIQUE_COLUMNS: Final = re.compile(r"UNIQUE constraint failed: (?P<columns>[^:]+)$")


def translate_sqlite(error: sqlite3.Error) -> DatabaseError | None:
    """Name the refusal, or return None for an error that is a mistake in the statement."""
    if isinstance(error, ConnectionStopped):
        return DatabaseUnavailable("The database is closed.")
    code: int = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_OK)  # errors of the sqlite3 module itself have none
    primary = code & _PRIMARY_CODE_MASK
    if primary in _BUSY_CODES:
        return Contention(f"SQLite: {error}.", reason=ContentionReason.BUSY)
    if code in _UNIQUE_CODES:
        return _conflict(str(error))
    if primary == sqlite3.SQLITE_CONSTRAINT:
        return RuleViolation(str(error))
    if primary in _UNAVAILABLE_CODES:
        return DatabaseUnavailable(f"SQLite: {error}.")
    return None


def _conflict(message: str) -> Conflict:
    match = _UNIQUE_COLUMNS.search(message)
    names = match["columns"].split(", ") if match else []
    if not all("." in name for name in names):
        return Conflict(table=None, columns=(), constraint=", ".join(names))
    table = names[0].split(".", 1)[0] if names else None
    return Conflict(table=table, columns=tuple(name.split(".", 1)[1] for name in names))
