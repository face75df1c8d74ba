"""Platforms for services that heal by themselves: a clock of ours, and background work that is done by hand."""

from collections.abc import AsyncIterator

import pytest

from gateway.domain.clock import ManualClock
from tests.support.gateway import START, Platform, open_platform


@pytest.fixture
async def platform(database_url: str) -> AsyncIterator[Platform]:
    """One gateway, on each engine."""
    async with open_platform(database_url, clock=ManualClock(START), with_worker=False, hasty=True) as running:
        yield running
