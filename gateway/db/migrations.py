"""Applying the migrations: under a lock, each in one transaction with its own record, by any number of starts."""

from collections.abc import Sequence

from gateway.db.limits import DEFAULT_LIMITS, DatabaseLimits
from gateway.db.migrate_postgres import applied_on_postgres, migrate_postgres
from gateway.db.migrate_sqlite import applied_on_sqlite, migrate_sqlite
from gateway.db.migration_plan import known_migrations, not_applied
from gateway.db.url import SqliteUrl, parse_database_url
from models.migrations import Migration


async def migrate(
    url: str, *, migrations: Sequence[Migration] | None = None, limits: DatabaseLimits = DEFAULT_LIMITS
) -> tuple[str, ...]:
    """Bring the database to this release's schema; returns the names of what was applied here, often none.

    Safe to call at every start of every process: one applies, the others wait. A crash leaves a migration applied
    and recorded, or neither. Raises MigrationRefused when the database is not an older state of this release or a
    statement fails, and DatabaseUnavailable when it does not answer.
    """
    address = parse_database_url(url)
    known = known_migrations() if migrations is None else tuple(migrations)
    if isinstance(address, SqliteUrl):
        return await migrate_sqlite(address.path, known, limits)
    return await migrate_postgres(address, known, limits)


async def pending(
    url: str, *, migrations: Sequence[Migration] | None = None, limits: DatabaseLimits = DEFAULT_LIMITS
) -> tuple[str, ...]:
    """The names of the migrations still to be applied; changes nothing. Raises as `migrate` does."""
    address = parse_database_url(url)
    known = known_migrations() if migrations is None else tuple(migrations)
    if isinstance(address, SqliteUrl):
        left = not_applied(known, await applied_on_sqlite(address.path, limits), "sqlite")
    else:
        left = not_applied(known, await applied_on_postgres(address, limits), "postgres")
    return tuple(migration.name for migration in left)
