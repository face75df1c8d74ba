"""Migrating a PostgreSQL database, on a connection of its own."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from gateway.db.asyncpg_driver import Driver, connect
from gateway.db.asyncpg_errors import answered_by_server, translate_postgres
from gateway.db.errors import Conflict, DatabaseUnavailable, MigrationRefused
from gateway.db.limits import DatabaseLimits
from gateway.db.migration_plan import not_applied
from gateway.db.url import PostgresUrl
from models.migrations import Migration

CREATE_TRIES_MAX: Final = 20
DDL_LOCK_SECONDS_MAX: Final = 30

_CREATE_RECORD: Final = """CREATE TABLE IF NOT EXISTS schema_migration (
    name text NOT NULL PRIMARY KEY,
    digest text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
)"""
# Conflicts with itself, so that one migrates at a time, and not with reading, so that /readyz goes on answering.
# A lock on a table rather than an advisory one: it ends with the transaction behind any pooler, and distributed
# databases that speak PostgreSQL's protocol have it too.
_LOCK_RECORD: Final = "LOCK TABLE schema_migration IN SHARE ROW EXCLUSIVE MODE"
_HAS_RECORD: Final = "SELECT to_regclass('schema_migration') IS NOT NULL AS found"
_READ_RECORD: Final = "SELECT name, digest FROM schema_migration"
_WRITE_RECORD: Final = "INSERT INTO schema_migration (name, digest) VALUES ($1, $2)"


async def migrate_postgres(address: PostgresUrl, known: Sequence[Migration], limits: DatabaseLimits) -> tuple[str, ...]:
    """Apply what is left, one transaction each; whoever comes second waits for the lock."""
    connection = await _connect(address, limits)
    try:
        if not not_applied(known, await _read_alone(connection), "postgres"):
            return ()
        await _create_record(connection)
        done: list[str] = []
        while (name := await _apply_next(connection, known, limits)) is not None:
            done.append(name)
        return tuple(done)
    except Exception as error:
        raise (translate_postgres(error, closed=connection.is_closed()) or error) from error
    finally:
        connection.terminate()  # an open transaction is undone by it; nothing else is lost


async def applied_on_postgres(address: PostgresUrl, limits: DatabaseLimits) -> dict[str, str]:
    """The digests by name of what is applied."""
    connection = await _connect(address, limits)
    try:
        return await _read_alone(connection)
    except Exception as error:
        raise (translate_postgres(error, closed=connection.is_closed()) or error) from error
    finally:
        connection.terminate()


async def _connect(address: PostgresUrl, limits: DatabaseLimits) -> Driver:
    # Nothing is prepared ahead, since what is prepared would be of the schema before.
    patient = replace(limits, command_seconds_max=limits.migration_seconds_max)
    return await connect(replace(address, pgbouncer=True), patient, settings={})


async def _read_alone(connection: Driver) -> dict[str, str]:
    await connection.execute("BEGIN READ ONLY")
    applied = await _read_applied(connection)
    await connection.execute("COMMIT")
    return applied


async def _read_applied(connection: Driver) -> dict[str, str]:
    exists = await connection.fetchrow(_HAS_RECORD)
    if exists is None or not dict(exists.items())["found"]:
        return {}
    rows = [dict(record.items()) for record in await connection.fetch(_READ_RECORD)]
    return {str(row["name"]): str(row["digest"]) for row in rows}


async def _create_record(connection: Driver) -> None:
    """CREATE TABLE IF NOT EXISTS fails when two come at once; then the other one has made it."""
    for _ in range(CREATE_TRIES_MAX):
        try:
            await connection.execute(_CREATE_RECORD)
        except Exception as error:
            if answered_by_server(error) and isinstance(translate_postgres(error, closed=False), Conflict):
                continue
            raise
        return
    raise DatabaseUnavailable("The table schema_migration could not be made, because others kept making it.")


async def _apply_next(connection: Driver, known: Sequence[Migration], limits: DatabaseLimits) -> str | None:
    await connection.execute("BEGIN")
    await connection.execute("SET LOCAL statement_timeout = 0")
    await connection.execute(f"SET LOCAL lock_timeout = '{limits.migration_seconds_max:.0f}s'")
    await connection.execute(_LOCK_RECORD)
    left = not_applied(known, await _read_applied(connection), "postgres")
    if not left:
        await connection.execute("ROLLBACK")
        return None
    migration = left[0]
    # A lock on a busy table is not waited for longer than callers can bear: all of them queue behind it.
    await connection.execute(f"SET LOCAL lock_timeout = '{DDL_LOCK_SECONDS_MAX}s'")
    for statement in migration.postgres:
        await _run_statement(connection, migration, statement)
    await connection.fetch(_WRITE_RECORD, migration.name, migration.digest("postgres"))
    await connection.execute("COMMIT")
    return migration.name


async def _run_statement(connection: Driver, migration: Migration, statement: str) -> None:
    try:
        await connection.execute(statement)
    except Exception as error:
        if answered_by_server(error):
            raise MigrationRefused(f"{migration.name} failed and was undone: {error}, in: {statement}") from error
        raise
