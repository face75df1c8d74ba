"""Opening a SQLite file so that what is committed stays, and saying plainly why it cannot be opened."""

import os
import sqlite3
import time
from pathlib import Path
from typing import Final

from gateway.db.errors import DatabaseUnavailable
from gateway.db.sqlite_errors import translate_sqlite

SQLITE_VERSION_MIN: Final = (3, 37, 0)  # STRICT tables
JOURNAL_BYTES_MAX: Final = 64 * 1024 * 1024
WAL_TRIES_MAX: Final = 300
WAL_TRY_SECONDS: Final = 0.1


def open_writer(path: Path, *, busy_seconds: float) -> sqlite3.Connection:
    """Open for reading and writing, creating the file; raises DatabaseUnavailable with the reason."""
    _check_version()
    _check_place(path)
    connection = _connect(path, mode="rwc", busy_seconds=busy_seconds)
    try:
        _turn_wal_on(connection, path)
        # FULL: a commit that was answered survives a power cut. NORMAL would be faster and may lose the last ones.
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")
        # Without it INSERT OR REPLACE deletes rows behind the back of the triggers that forbid deleting.
        connection.execute("PRAGMA recursive_triggers = ON")
        connection.execute(f"PRAGMA journal_size_limit = {JOURNAL_BYTES_MAX}")
        _try_to_write(connection)
    except BaseException as error:
        connection.close()
        if isinstance(error, sqlite3.Error):
            raise _cannot_open(path, error) from error
        raise
    return connection


def open_reader(path: Path, *, busy_seconds: float) -> sqlite3.Connection:
    """Open for reading only; the file must exist."""
    connection = _connect(path, mode="ro", busy_seconds=busy_seconds)
    try:
        connection.execute("PRAGMA query_only = ON")
    except sqlite3.Error as error:
        connection.close()
        raise _cannot_open(path, error) from error
    return connection


def _connect(path: Path, *, mode: str, busy_seconds: float) -> sqlite3.Connection:
    uri = f"{path.absolute().as_uri()}?mode={mode}"
    try:
        # Opened, used and closed on one thread; autocommit, so that BEGIN and COMMIT are ours.
        return sqlite3.connect(uri, uri=True, timeout=busy_seconds, isolation_level=None)
    except sqlite3.Error as error:
        raise _cannot_open(path, error) from error


def _turn_wal_on(connection: sqlite3.Connection, path: Path) -> None:
    for remaining in reversed(range(WAL_TRIES_MAX)):
        try:
            mode = connection.execute("PRAGMA journal_mode = WAL").fetchone()[0]
        except sqlite3.OperationalError as error:
            # Only here SQLite does not wait for others by itself: several processes may meet a fresh file at once.
            if remaining == 0 or error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
                raise
            time.sleep(WAL_TRY_SECONDS)
        else:
            if mode != "wal":
                raise DatabaseUnavailable(f"{path} cannot use write-ahead logging (got {mode!r}); use a local disk.")
            return


def _try_to_write(connection: sqlite3.Connection) -> None:
    """A file opened for writing may still be read-only; find out now, not at the first payment."""
    connection.execute("BEGIN IMMEDIATE")
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    connection.execute(f"PRAGMA user_version = {int(version)}")
    connection.execute("ROLLBACK")


def _check_version() -> None:
    if sqlite3.sqlite_version_info < SQLITE_VERSION_MIN:
        wanted = ".".join(map(str, SQLITE_VERSION_MIN))
        raise DatabaseUnavailable(f"SQLite {wanted} or newer is needed; this Python has {sqlite3.sqlite_version}.")


def _check_place(path: Path) -> None:
    folder = path.absolute().parent
    if not folder.is_dir():
        raise DatabaseUnavailable(f"The folder of the database file does not exist: {folder}")
    if path.is_dir():
        raise DatabaseUnavailable(f"The database file is a folder: {path}")
    if path.exists() and not os.access(path, os.R_OK | os.W_OK):
        raise DatabaseUnavailable(f"The database file cannot be read and written: {path}")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise DatabaseUnavailable(f"The folder of the database file cannot be written: {folder}")


def _cannot_open(path: Path, error: sqlite3.Error) -> DatabaseUnavailable:
    reason = translate_sqlite(error)
    return DatabaseUnavailable(f"{path} cannot be opened. {reason or error}")
