"""A database URL is read exactly, or refused with the rule it breaks and without its password."""

from pathlib import Path

import pytest

from gateway.db import DatabaseUrlInvalid
from gateway.db.url import PostgresUrl, SqliteUrl, parse_database_url


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("sqlite://gateway.db", "gateway.db"),
        ("sqlite://var/gateway.db", "var/gateway.db"),
        ("sqlite:///srv/gateway.db", "/srv/gateway.db"),
        ("sqlite:///srv/a%20folder/gateway.db", "/srv/a folder/gateway.db"),
    ],
)
def test_sqlite_url_names_a_file(url: str, path: str) -> None:
    assert parse_database_url(url) == SqliteUrl(Path(path))


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "asyncpg"])
def test_postgres_url_keeps_what_the_driver_needs(scheme: str) -> None:
    address = parse_database_url(f"{scheme}://app:p%40ss@db.example:5433/billing?sslmode=require&connections=7")
    assert isinstance(address, PostgresUrl)
    assert address.dsn == "postgresql://app:p%40ss@db.example:5433/billing?sslmode=require"
    assert (address.pgbouncer, address.connections_max) == (False, 7)


def test_pgbouncer_is_said_in_the_url() -> None:
    address = parse_database_url("postgres://app@db.example/billing?pgbouncer=true")
    assert isinstance(address, PostgresUrl)
    assert address.pgbouncer


def test_password_is_in_no_text() -> None:
    address = parse_database_url("postgres://app:secret@db.example:5433/billing")
    assert str(address) == "postgres://db.example:5433/billing"
    assert "secret" not in repr(address)


@pytest.mark.parametrize(
    ("url", "rule"),
    [
        ("", "begins with sqlite:// or postgres://"),
        ("gateway.db", "begins with sqlite:// or postgres://"),
        ("mysql://app:secret@db/billing", "got 'mysql'"),
        ("SQLITE://gateway.db", "got 'SQLITE'"),
        ("sqlite://", "in memory is not supported"),
        ("sqlite://:memory:", "in memory is not supported"),
        ("sqlite:///srv/gateway.db?mode=ro", "takes no parameters; got 'mode'"),
        ("postgres://app:secret@db.example", "names one database"),
        ("postgres://app:secret@db.example/", "names one database"),
        ("postgres://app:secret@db.example/a/b", "names one database"),
        ("postgres://app:secret@db.example:port/billing", "host and port"),
        ("postgres://app:secret@db.example:70000/billing", "host and port"),
        ("postgres://app:secret@[::1/billing", "host and port"),
        ("postgres://app:secret@db.example/billing?pool=3", "unknown parameter 'pool'"),
        ("postgres://app:secret@db.example/billing?pgbouncer=yes", "is true or false; got 'yes'"),
        ("postgres://app:secret@db.example/billing?connections=0", "number from 1 to 1000; got '0'"),
        ("postgres://app:secret@db.example/billing?connections=1001", "got '1001'"),
        ("postgres://app:secret@db.example/billing?connections=ten", "got 'ten'"),
    ],
)
def test_bad_url_is_refused_with_its_rule(url: str, rule: str) -> None:
    with pytest.raises(DatabaseUrlInvalid) as refusal:
        parse_database_url(url)
    assert rule in str(refusal.value)
    assert "secret" not in str(refusal.value)
