"""A database with the small shop schema, on each engine."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from gateway.db import Database, migrate, open_database
from gateway.db.orm import register_models
from tests.db import shop
from tests.support.postgres import PostgresServer


@pytest.fixture
def empty_url(request: pytest.FixtureRequest, engine: str, tmp_path: Path) -> Iterator[str]:
    """The URL of a database with nothing in it, not even the record of migrations."""
    if engine == "sqlite":
        yield f"sqlite://{tmp_path / 'empty.db'}"
        return
    server: PostgresServer = request.getfixturevalue("postgres_server")
    name = server.create()
    yield server.url(name)
    server.drop(name)


@pytest.fixture
async def shop_url(empty_url: str) -> str:
    """The URL of a database with the shop's tables and one empty till."""
    register_models([shop])
    await migrate(empty_url, migrations=[shop.SHOP])
    return empty_url


@pytest.fixture
async def shop_database(shop_url: str) -> AsyncIterator[Database]:
    """The shop's database, opened; retries follow at once."""
    async with open_database(shop_url, jitter=lambda: 0.0) as opened:
        yield opened
