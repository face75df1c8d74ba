"""What the tests of services share beside a database: whole platforms, and creators with accounts at a local Stripe."""

from collections.abc import AsyncIterator

import pytest

from gateway.db import Database
from gateway.domain.clock import ManualClock
from tests.support.gateway import START, Platform, open_platform
from tests.support.payouts import PayoutWorld, open_payout_world
from tests.support.weather import Poison


@pytest.fixture
def poison() -> Poison:
    """What of Stripe's is out of order; nothing, until a test says so."""
    return Poison()


@pytest.fixture
async def platform(database_url: str, poison: Poison) -> AsyncIterator[Platform]:
    """One gateway, on each engine; its clock is ours, and its background work is done by hand."""
    weather = [poison.as_weather()]
    async with open_platform(
        database_url, clock=ManualClock(START), with_worker=False, hasty=True, weather=weather
    ) as running:
        yield running


@pytest.fixture
async def paying(database: Database) -> AsyncIterator[PayoutWorld]:
    """Creators, their accounts at a local Stripe, and a clock that stands still."""
    async with open_payout_world(database) as world:
        yield world
