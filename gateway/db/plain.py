"""One PostgreSQL connection outside the pool and outside any transaction, for SQL that others bring."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import replace

from gateway.db.asyncpg_driver import Driver, connect
from gateway.db.asyncpg_errors import translate_postgres
from gateway.db.errors import DatabaseUrlInvalid
from gateway.db.limits import DEFAULT_LIMITS, DatabaseLimits
from gateway.db.url import PostgresUrl, parse_database_url


@asynccontextmanager
async def plain_connection(url: str, *, limits: DatabaseLimits = DEFAULT_LIMITS) -> AsyncGenerator[Driver]:
    """A connection for the length of the block; what is open at its end is undone.

    Raises DatabaseUrlInvalid for another database than PostgreSQL, and DatabaseUnavailable.
    """
    address = parse_database_url(url)
    if not isinstance(address, PostgresUrl):
        raise DatabaseUrlInvalid(f"A PostgreSQL database is needed here; got {address}.")
    patient = replace(limits, command_seconds_max=limits.migration_seconds_max)
    connection = await connect(replace(address, pgbouncer=True), patient, settings={})
    try:
        yield connection
    except Exception as error:
        raise (translate_postgres(error, closed=connection.is_closed()) or error) from error
    finally:
        connection.terminate()
