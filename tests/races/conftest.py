"""The platform for races: real time, and as many gateways as a test asks for."""

from collections.abc import AsyncIterator

import pytest

from gateway.domain.clock import SystemClock
from tests.support.gateway import Platform, open_platform


@pytest.fixture
async def platform(database_url: str) -> AsyncIterator[Platform]:
    """One gateway, on each engine."""
    async with open_platform(database_url, clock=SystemClock()) as running:
        yield running


@pytest.fixture
async def pair(postgres_url: str) -> AsyncIterator[Platform]:
    """Two gateways with a worker each on one PostgreSQL; Stripe delivers to the first."""
    async with open_platform(postgres_url, clock=SystemClock(), gateways=2) as running:
        yield running


@pytest.fixture
async def by_hand(postgres_url: str) -> AsyncIterator[Platform]:
    """One gateway on PostgreSQL whose inbox waits until the test works it off."""
    async with open_platform(postgres_url, clock=SystemClock(), with_worker=False) as running:
        yield running
