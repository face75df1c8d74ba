"""The local Stripe with a clean state, for each test."""

from collections.abc import AsyncIterator

import pytest
import stripe

from tests.sandbox.local_stripe import LocalStripe, local_stripe


@pytest.fixture(autouse=True)
def no_telemetry() -> None:
    """The SDK would write a file into the home directory."""
    stripe.enable_telemetry = False


@pytest.fixture
async def local() -> AsyncIterator[LocalStripe]:
    async with local_stripe() as running:
        yield running
