"""Every call is told to whoever watches: its name, how it ended, and how long it took with its retries."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from gateway.domain.errors import ProviderError
from gateway.stripe_service import StripeService, open_stripe
from tests.stripe.conftest import TEST_KEY
from tests.stripe.scripted import Answer, ScriptedStripe, refuses, says, says_nothing
from tests.stripe.stripe_objects import customer

Seen = list[tuple[str, str, float]]


@pytest.fixture
def seen() -> Seen:
    return []


@pytest.fixture
async def watched(script: ScriptedStripe, seen: Seen) -> AsyncIterator[StripeService]:
    def observe(*, call: str, outcome: str, seconds: float) -> None:
        seen.append((call, outcome, seconds))

    async def no_pause(seconds: float) -> None:
        """Nobody waits."""

    async with open_stripe(api_key=TEST_KEY, api_base=script.base, sleep=no_pause, observe=observe) as service:
        yield service


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        (says(customer()), "ok"),
        (refuses(404, code="resource_missing"), "missing"),
        (refuses(400), "rejected"),
        (refuses(401), "misconfigured"),
        (refuses(429), "unavailable"),
        (says({"id": "cus_1"}), "unavailable"),
    ],
)
async def test_a_call_is_told_by_its_name_and_outcome(
    watched: StripeService, script: ScriptedStripe, seen: Seen, answer: Answer, outcome: str
) -> None:
    script.will(answer)

    try:
        await watched.retrieve_customer("cus_1")
    except ProviderError:
        assert outcome in {"rejected", "misconfigured", "unavailable"}

    ((call, told, seconds),) = seen
    assert (call, told) == ("customers.retrieve", outcome)
    assert 0 < seconds < 60


async def test_retries_are_part_of_one_call(watched: StripeService, script: ScriptedStripe, seen: Seen) -> None:
    script.will(refuses(500, kind="api_error"), refuses(500, kind="api_error"), says(customer()))

    await watched.create_customer(customer_id="ada", idempotency_key="customer:1")

    assert len(script.asked) == 3
    assert [(call, outcome) for call, outcome, _ in seen] == [("customers.create", "ok")]


async def test_a_call_that_is_given_up_is_told_too(watched: StripeService, script: ScriptedStripe, seen: Seen) -> None:
    script.will(says_nothing)

    call = asyncio.create_task(watched.retrieve_customer("cus_1"))
    while not script.asked:
        await asyncio.sleep(0.001)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call

    assert [(name, outcome) for name, outcome, _ in seen] == [("customers.retrieve", "cancelled")]


async def test_one_more_may_listen_to_some_calls(watched: StripeService, script: ScriptedStripe, seen: Seen) -> None:
    heard: list[str] = []

    def listen(*, call: str, outcome: str, seconds: float) -> None:
        heard.append(outcome)

    script.will(says(customer()), refuses(400))

    await watched.observed(listen).retrieve_customer("cus_1")
    with pytest.raises(ProviderError):
        await watched.retrieve_customer("cus_1")

    assert heard == ["ok"]
    assert [outcome for _, outcome, _ in seen] == ["ok", "rejected"]
