"""What the tests of services share beside a database."""

from collections.abc import AsyncIterator

import pytest

from gateway.db import Database
from tests.support.payouts import PayoutWorld, open_payout_world


@pytest.fixture
async def paying(database: Database) -> AsyncIterator[PayoutWorld]:
    """Creators, their accounts at a local Stripe, and a clock that stands still."""
    async with open_payout_world(database) as world:
        yield world
