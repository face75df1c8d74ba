"""The data layer: open a database, run work in a transaction, read beside it, migrate it."""

from gateway.db.connection import Connection
from gateway.db.database import Database, open_database
from gateway.db.dialect import Dialect, Parameters, Row
from gateway.db.errors import (
    Conflict,
    Contention,
    DatabaseError,
    DatabaseUnavailable,
    DatabaseUrlInvalid,
    MigrationRefused,
    OutcomeUnknown,
    RuleViolation,
    TransactionMisuse,
)
from gateway.db.limits import DatabaseLimits
from gateway.db.migrations import migrate, pending
from gateway.db.tasks import spawn

__all__ = [
    "Conflict",
    "Connection",
    "Contention",
    "Database",
    "DatabaseError",
    "DatabaseLimits",
    "DatabaseUnavailable",
    "DatabaseUrlInvalid",
    "Dialect",
    "MigrationRefused",
    "OutcomeUnknown",
    "Parameters",
    "Row",
    "RuleViolation",
    "TransactionMisuse",
    "migrate",
    "open_database",
    "pending",
    "spawn",
]
