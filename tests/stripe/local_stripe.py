"""The local Stripe under test conditions: on a free port, with a clock that stands still."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from random import Random
from typing import Any, cast

import aiohttp
import pytest
from aiohttp.test_utils import TestServer

from gateway.domain.clock import ManualClock
from gateway.sandbox.app import build_sandbox
from gateway.sandbox.settings import SandboxSettings
from gateway.stripe_service import StripeService, open_stripe
from tests.stripe.contract import contract_of_environment

JsonObject = dict[str, Any]
TEST_KEY = "sk_test_4eC39HqLyjWDarjtT1zdp7dc"
START = datetime(2026, 11, 1, 12, 0, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class LocalStripe:
    """Its address, its clock, and the way to its control door."""

    base: str
    clock: ManualClock
    browser: aiohttp.ClientSession

    async def control(self, door: str, /, **body: object) -> JsonObject:
        async with self.browser.post(f"{self.base}/_sandbox/{door}", json=body) as response:
            answer = cast("JsonObject", await response.json())
            assert response.status == 200, answer
            return answer

    async def requests(self) -> list[JsonObject]:
        """What the API was asked, oldest first."""
        async with self.browser.get(f"{self.base}/_sandbox/requests") as response:
            return cast("list[JsonObject]", (await response.json())["requests"])

    async def writes(self) -> list[str]:
        """The paths that were written to."""
        return [str(request["path"]) for request in await self.requests() if request["method"] == "POST"]


@asynccontextmanager
async def local_stripe() -> AsyncGenerator[LocalStripe]:
    clock = ManualClock(START)
    app = await build_sandbox(SandboxSettings(fault_hang_seconds=5.0), clock=clock, randomness=Random(7))
    server = TestServer(app, host="127.0.0.1")
    await server.start_server(shutdown_timeout=0.01)
    try:
        async with aiohttp.ClientSession() as browser:
            local = LocalStripe(base=str(server.make_url("")).rstrip("/"), clock=clock, browser=browser)
            yield local
            contract = contract_of_environment()
            if contract is not None:
                for request in await local.requests():
                    values = cast("JsonObject", request["params"])
                    contract.check_values(method=str(request["method"]), path=str(request["path"]), values=values)
    finally:
        await server.close()


async def no_pause(seconds: float) -> None:
    """Tests do not wait between tries."""


@pytest.fixture
async def local() -> AsyncIterator[LocalStripe]:
    async with local_stripe() as local:
        yield local


@pytest.fixture
async def local_service(local: LocalStripe) -> AsyncIterator[StripeService]:
    async with open_local(local, timeout_seconds=10.0) as service:
        yield service


@pytest.fixture
async def hasty_local_service(local: LocalStripe) -> AsyncIterator[StripeService]:
    """For answers that are lost on the way: it does not wait for them long."""
    async with open_local(local, timeout_seconds=0.5) as service:
        yield service


def open_local(local: LocalStripe, *, timeout_seconds: float) -> AbstractAsyncContextManager[StripeService]:
    return open_stripe(api_key=TEST_KEY, api_base=local.base, timeout_seconds=timeout_seconds, sleep=no_pause)


#: The work is done at Stripe, and the answer is lost on the way.
LOST_ANSWERS = ("timeout_after", "drop_after", "cut_body", "slow_body", "status_500_after", "not_json")
