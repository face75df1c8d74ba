"""Fixtures every test may use: a fresh, migrated database on each engine."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Iterator, MutableMapping
from pathlib import Path

import pytest
import structlog

from gateway.db import Database, migrate, open_database
from tests.support.postgres import TEMPLATE, PostgresMissing, PostgresServer

_RAN = "postgres_ran"
_MISSING = "postgres_missing"


def pytest_configure() -> None:
    """Log events go nowhere: writing them out took a tenth of the time. Tests about logs say what they want of them."""
    structlog.configure(processors=[_drop], logger_factory=structlog.ReturnLoggerFactory())


def _drop(_logger: object, _method: str, _event: MutableMapping[str, object]) -> str:
    raise structlog.DropEvent


@pytest.fixture(params=["sqlite", "postgres"])
def engine(request: pytest.FixtureRequest) -> str:
    """Runs the test once on each engine."""
    return str(request.param)


@pytest.fixture(scope="session")
def postgres_session() -> Iterator[PostgresServer | PostgresMissing]:
    """The session's PostgreSQL, or why there is none; ask for `postgres_server` instead."""
    try:
        server = PostgresServer()
        server.initialise()
    except PostgresMissing as reason:
        yield reason
        return
    server.execute(f"CREATE DATABASE {TEMPLATE} TEMPLATE template0")
    asyncio.run(migrate(server.url(TEMPLATE)))
    yield server
    server.remove()


@pytest.fixture
def postgres_server(
    request: pytest.FixtureRequest, postgres_session: PostgresServer | PostgresMissing
) -> PostgresServer:
    """The session's PostgreSQL server; skips the test where none can be had."""
    if isinstance(postgres_session, PostgresMissing):
        request.node.user_properties.append((_MISSING, str(postgres_session)))
        pytest.skip(f"PostgreSQL: {postgres_session}")
    request.node.user_properties.append((_RAN, "1"))
    return postgres_session


@pytest.fixture
def postgres_url(postgres_server: PostgresServer) -> Iterator[str]:
    """The URL of a fresh, migrated PostgreSQL database."""
    name = postgres_server.create(template=TEMPLATE)
    yield postgres_server.url(name)
    postgres_server.drop(name)


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated SQLite file to copy."""
    path = tmp_path_factory.mktemp("template") / "gateway.db"
    asyncio.run(migrate(f"sqlite://{path}"))
    return path


@pytest.fixture
def sqlite_url(sqlite_template: Path, tmp_path: Path) -> str:
    """The URL of a fresh, migrated SQLite file."""
    path = tmp_path / "gateway.db"
    shutil.copyfile(sqlite_template, path)
    return f"sqlite://{path}"


@pytest.fixture
def database_url(request: pytest.FixtureRequest, engine: str) -> str:
    """The URL of a fresh, migrated database of the engine under test."""
    return str(request.getfixturevalue(f"{engine}_url"))


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """A fresh, migrated database, opened."""
    async with open_database(database_url) as opened:
        yield opened


@pytest.hookimpl(trylast=True)
def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say whether PostgreSQL was really tested: a run that skipped it must not look like one that did not."""
    calls = [report for kind in ("passed", "failed") for report in terminalreporter.getreports(kind)]
    ran = sum(report.when == "call" and (_RAN, "1") in report.user_properties for report in calls)
    skipped = [dict(report.user_properties).get(_MISSING) for report in terminalreporter.getreports("skipped")]
    reasons = sorted({str(reason) for reason in skipped if reason is not None})
    if reasons:
        terminalreporter.write_line(f"PostgreSQL: NOT RUN ({reasons[0]})")
    elif ran:
        terminalreporter.write_line(f"PostgreSQL: ran {ran} tests")
    else:
        terminalreporter.write_line("PostgreSQL: NOT RUN (no test asked for it)")
