"""A scripted Stripe, and the real service on the real SDK in front of it."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager

import pytest

from gateway.stripe_service import StripeService, open_stripe
from tests.stripe.local_stripe import hasty_local_service, local, local_service
from tests.stripe.scripted import ScriptedStripe, scripted_stripe

__all__ = ["hasty_local_service", "hasty_service", "local", "local_service", "pauses", "script", "service"]

TEST_KEY = "sk_test_4eC39HqLyjWDarjtT1zdp7dc"


@pytest.fixture
async def script() -> AsyncIterator[ScriptedStripe]:
    async with scripted_stripe() as script:
        yield script


@pytest.fixture
def pauses() -> list[float]:
    """The pauses between tries, which nobody waits for."""
    return []


@pytest.fixture
async def service(script: ScriptedStripe, pauses: list[float]) -> AsyncIterator[StripeService]:
    """A service patient enough for a busy machine."""
    async with open_scripted(script, pauses, timeout_seconds=10.0) as service:
        yield service


@pytest.fixture
async def hasty_service(script: ScriptedStripe, pauses: list[float]) -> AsyncIterator[StripeService]:
    """A service for answers that never come."""
    async with open_scripted(script, pauses, timeout_seconds=0.3) as service:
        yield service


def open_scripted(
    script: ScriptedStripe, pauses: list[float], *, timeout_seconds: float
) -> AbstractAsyncContextManager[StripeService]:
    async def pause(seconds: float) -> None:
        pauses.append(seconds)

    return open_stripe(api_key=TEST_KEY, api_base=script.base, timeout_seconds=timeout_seconds, sleep=pause)
