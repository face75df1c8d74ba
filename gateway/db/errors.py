"""What the data layer says when it refuses: one small tree, the same on SQLite and PostgreSQL."""

from enum import StrEnum


class DatabaseError(Exception):
    """Root of everything the data layer raises on purpose.

    ::

        DatabaseError
        ├── DatabaseUrlInvalid      the address cannot be used (settings)
        ├── DatabaseUnavailable     no answer, no connection, no disk: the edges answer 503
        │   ├── OutcomeUnknown      COMMIT was sent and its answer was lost: ask again by idempotency key
        │   └── Contention          others were in the way until the retries were used up
        ├── Conflict                a unique key is taken
        ├── RuleViolation           a CHECK, NOT NULL, foreign key or trigger refused
        ├── MigrationRefused        the schema of the database is not one this release may touch
        └── TransactionMisuse       a mistake in our own code around a transaction

    A wrong statement (a syntax error, a missing table) is none of these: the driver's own error passes through.
    """


class DatabaseUrlInvalid(DatabaseError, ValueError):
    """The database URL has an unknown scheme or parameter, or points where no database can be."""


class DatabaseUnavailable(DatabaseError):
    """The database cannot be asked now; nothing of the attempt was stored unless `OutcomeUnknown` says so."""


class OutcomeUnknown(DatabaseUnavailable):
    """COMMIT was sent but no answer came back: the work is either stored whole or not at all."""


class ContentionReason(StrEnum):
    """How another transaction was in the way; a closed set, so that retries can be counted by it."""

    SERIALIZATION = "serialization"
    DEADLOCK = "deadlock"
    LOCK_TIMEOUT = "lock_timeout"
    #: SQLite's one writer is another process.
    BUSY = "busy"
    #: A statement prepared before a migration.
    OUTDATED = "outdated"
    #: Two wrote the same name at the same moment.
    RACE = "race"


class Contention(DatabaseUnavailable):
    """Another transaction was in the way; `reason` says how."""

    def __init__(self, message: str, *, reason: ContentionReason = ContentionReason.RACE) -> None:
        self.reason = reason
        super().__init__(message)


class Conflict(DatabaseError):
    """A row with the same unique key exists.

    `columns` are the columns of the key as the database names them. `constraint` is known on PostgreSQL only.
    """

    def __init__(self, *, table: str | None, columns: tuple[str, ...], constraint: str | None = None) -> None:
        self.table = table
        self.columns = columns
        self.constraint = constraint
        key = ", ".join(columns) or constraint or "a unique key"
        super().__init__(f"A row with this {key} already exists in {table or 'the table'}.")


class RuleViolation(DatabaseError):
    """A rule kept by the database itself refused the change; the text is the database's own."""

    def __init__(self, message: str, *, constraint: str | None = None) -> None:
        self.constraint = constraint
        super().__init__(message)


class MigrationRefused(DatabaseError):
    """The database was migrated by another release, or an applied migration was edited since."""


class TransactionMisuse(DatabaseError):
    """A transaction was used after its end, opened inside another, or committed after a swallowed refusal."""
