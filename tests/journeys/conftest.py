"""The platform for journeys: whole, with its worker, and with a clock that the test moves."""

from collections.abc import AsyncIterator

import pytest

from gateway.domain.clock import ManualClock
from tests.support.gateway import CLEARING_TOLD_AFTER_SECONDS, START, Platform, open_platform


@pytest.fixture
async def platform(database_url: str) -> AsyncIterator[Platform]:
    async with open_platform(
        database_url, clock=ManualClock(START), clearing_told_after_seconds=CLEARING_TOLD_AFTER_SECONDS
    ) as running:
        yield running
