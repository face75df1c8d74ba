"""Platforms for the GraphQL door. What it refuses does not depend on the engine, so most tests take SQLite."""

from collections.abc import AsyncIterator

import pytest

from gateway.domain.clock import ManualClock
from tests.support.counting import counted
from tests.support.gateway import START, Platform, open_platform


@pytest.fixture
async def platform(sqlite_url: str) -> AsyncIterator[Platform]:
    async with open_platform(sqlite_url, clock=ManualClock(START)) as running:
        yield running


@pytest.fixture
async def each(database_url: str) -> AsyncIterator[Platform]:
    """The platform on each engine, with a database that counts and an inbox that nobody empties meanwhile."""
    async with open_platform(database_url, clock=ManualClock(START), with_worker=False, dress=counted) as running:
        yield running
