"""Platforms for faults: a gateway that does not wait long, a clock of ours, and an inbox worked off by hand."""

from collections.abc import AsyncIterator

import pytest

from gateway.domain.clock import ManualClock, SystemClock
from tests.support.gateway import START, Platform, open_platform


@pytest.fixture
async def platform(sqlite_url: str) -> AsyncIterator[Platform]:
    """What Stripe does wrong looks the same on each engine, so this one is on SQLite."""
    async with open_platform(sqlite_url, clock=ManualClock(START), with_worker=False, hasty=True) as running:
        yield running


@pytest.fixture
async def each(database_url: str) -> AsyncIterator[Platform]:
    """The same on each engine, for what the inbox does."""
    async with open_platform(database_url, clock=ManualClock(START), with_worker=False, hasty=True) as running:
        yield running


@pytest.fixture
async def by_itself(database_url: str) -> AsyncIterator[Platform]:
    """With its own worker, in real time, on each engine."""
    async with open_platform(database_url, clock=SystemClock(), hasty=True) as running:
        yield running
