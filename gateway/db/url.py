"""Reading a database URL, and refusing one that would only fail later and less clearly."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeAlias
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit, urlunsplit

from gateway.db.errors import DatabaseUrlInvalid

CONNECTIONS_MAX: Final = 1000

_POSTGRES_SCHEMES: Final = frozenset({"asyncpg", "postgres", "postgresql"})
_TRUTHS: Final = {"true": True, "false": False}
# Handed on to the driver as they are; the certificate and socket settings of libpq.
_POSTGRES_PARAMETERS: Final = frozenset(
    {"application_name", "host", "port", "sslcert", "sslcrl", "sslkey", "sslmode", "sslrootcert", "user"}
)


@dataclass(frozen=True, slots=True)
class SqliteUrl:
    """A SQLite file: `sqlite://relative/file.db` or `sqlite:///absolute/file.db`."""

    path: Path

    def __str__(self) -> str:
        return f"sqlite://{self.path}"


@dataclass(frozen=True, slots=True)
class PostgresUrl:
    """A PostgreSQL database: `postgres://user:password@host:5432/name?pgbouncer=true&connections=10`.

    With `pgbouncer` no statement is prepared ahead and no server setting is sent at the start, because a pooler in
    transaction mode bears neither.
    """

    dsn: str = field(repr=False)  # holds the password
    place: str
    pgbouncer: bool = False
    connections_max: int | None = None

    def __str__(self) -> str:
        return self.place


DatabaseUrl: TypeAlias = SqliteUrl | PostgresUrl


def parse_database_url(url: str) -> DatabaseUrl:
    """Read a URL; raises DatabaseUrlInvalid with the rule it breaks, never with its password."""
    scheme, separator, rest = url.partition("://")
    if separator and scheme == "sqlite":
        return _parse_sqlite(rest)
    if separator and scheme in _POSTGRES_SCHEMES:
        return _parse_postgres(url)
    raise DatabaseUrlInvalid(
        f"A database URL begins with sqlite:// or postgres://; got {scheme!r}."
        if separator
        else "A database URL begins with sqlite:// or postgres://; got one without '://'."
    )


def _parse_sqlite(rest: str) -> SqliteUrl:
    place, _, query = rest.partition("?")
    if query:
        names = ", ".join(sorted(name for name, _ in parse_qsl(query, keep_blank_values=True)))
        raise DatabaseUrlInvalid(f"A SQLite URL takes no parameters; got {names or query!r}.")
    if not place or ":memory:" in place:
        raise DatabaseUrlInvalid(
            "SQLite in memory is not supported, because readers and other processes could not see it; name a file."
        )
    return SqliteUrl(Path(unquote(place)))


def _parse_postgres(url: str) -> PostgresUrl:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise DatabaseUrlInvalid("The host and port of the database URL cannot be read.") from error
    name = unquote(parts.path.removeprefix("/"))
    if not name or "/" in name:
        raise DatabaseUrlInvalid("A PostgreSQL URL names one database, as in postgres://user@host/name.")
    handed_on: list[tuple[str, str]] = []
    pgbouncer, connections_max = False, None
    for key, value in parse_qsl(parts.query, keep_blank_values=True):
        match key:
            case "pgbouncer":
                pgbouncer = _truth(key, value)
            case "connections":
                connections_max = _count(key, value)
            case _ if key in _POSTGRES_PARAMETERS:
                handed_on.append((key, value))
            case _:
                known = ", ".join(sorted({*_POSTGRES_PARAMETERS, "connections", "pgbouncer"}))
                raise DatabaseUrlInvalid(f"The database URL has an unknown parameter {key!r}; known are {known}.")
    host = parts.hostname or dict(handed_on).get("host", "localhost")
    return PostgresUrl(
        dsn=urlunsplit(("postgresql", parts.netloc, parts.path, urlencode(handed_on), "")),
        place=f"postgres://{host}{f':{port}' if port else ''}/{name}",
        pgbouncer=pgbouncer,
        connections_max=connections_max,
    )


def _truth(key: str, value: str) -> bool:
    if value not in _TRUTHS:
        raise DatabaseUrlInvalid(f"The parameter {key} of the database URL is true or false; got {value!r}.")
    return _TRUTHS[value]


def _count(key: str, value: str) -> int:
    if not (value.isascii() and value.isdigit() and 1 <= int(value) <= CONNECTIONS_MAX):
        raise DatabaseUrlInvalid(
            f"The parameter {key} of the database URL is a number from 1 to {CONNECTIONS_MAX}; got {value!r}."
        )
    return int(value)
