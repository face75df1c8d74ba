"""`gateway dev`: the gateway lives in the local Stripe's time, and what is signed outside in the machine's."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import aiohttp
import pytest

from gateway.app import Gateway, build_app
from gateway.cli.development import SANDBOX_STATE_FILE, clock_of, opened_beside_stripe, sandbox_settings
from gateway.cli.serving import listening
from gateway.domain.clock import SystemClock
from gateway.server.auth import make_token
from gateway.services.customers import add_customer
from gateway.settings import Settings, load_settings
from tests.support.development import development_settings
from tests.support.gateway import JWT_SECRET, Json, eventually
from tests.support.person import Person

SOON = timedelta(minutes=1)


@pytest.fixture
async def settings(sqlite_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """What `gateway dev` reads, in a folder and on ports of its own."""
    monkeypatch.chdir(tmp_path)
    return await development_settings(sqlite_url)


async def ask_stripe(settings: Settings, path: str, fields: Json | None = None) -> Json:
    address = f"http://127.0.0.1:{settings.sandbox_port}/_sandbox/{path}"
    async with aiohttp.ClientSession() as http:
        asked = http.get(address) if fields is None else http.post(address, json=fields)
        async with asked as response:
            assert response.status == 200, await response.text()
            answer: Json = await response.json()
            return answer


def ahead(gateway: Gateway) -> timedelta:
    """By how much the gateway's time is ahead of the machine's, in whole days."""
    return timedelta(days=round((gateway.clock.now() - SystemClock().now()) / timedelta(days=1)))


@asynccontextmanager
async def serving(settings: Settings, gateway: Gateway) -> AsyncGenerator[None]:
    async with listening(build_app(gateway), host="127.0.0.1", port=settings.port, shutdown_seconds=1):
        yield


async def test_the_gateway_lives_in_the_time_that_stripe_has_skipped(settings: Settings) -> None:
    async with opened_beside_stripe(settings) as gateway:
        assert ahead(gateway) == timedelta(0)
        await ask_stripe(settings, "clock/advance", {"days": 31})
        assert ahead(gateway) == timedelta(days=31)
        assert abs(gateway.wall_clock.now() - SystemClock().now()) < SOON


async def test_time_goes_on_where_it_was_after_a_restart(settings: Settings) -> None:
    async with opened_beside_stripe(settings):
        await ask_stripe(settings, "clock/advance", {"days": 31})
    async with opened_beside_stripe(settings) as gateway:
        assert ahead(gateway) == timedelta(days=31)


async def test_a_killed_server_has_not_forgotten_the_time_it_told(settings: Settings) -> None:
    """As after `kill -9`: what is in the file when the door answers is all that is left."""
    async with opened_beside_stripe(settings):
        await ask_stripe(settings, "clock/advance", {"days": 31})
        kept = SANDBOX_STATE_FILE.read_bytes()
    SANDBOX_STATE_FILE.write_bytes(kept)
    async with opened_beside_stripe(settings) as gateway:
        assert ahead(gateway) == timedelta(days=31)


async def test_a_reset_beside_a_database_does_not_turn_time_back(settings: Settings) -> None:
    async with opened_beside_stripe(settings) as gateway:
        await ask_stripe(settings, "clock/advance", {"days": 31})
        await ask_stripe(settings, "reset", {})
        assert ahead(gateway) == timedelta(days=31)


async def test_without_its_memory_stripe_catches_up_with_the_database(settings: Settings) -> None:
    async with opened_beside_stripe(settings) as gateway:
        await ask_stripe(settings, "clock/advance", {"days": 31})
        await gateway.database.run(lambda connection: add_customer(connection, "alice", gateway.clock.now()))
    SANDBOX_STATE_FILE.unlink()
    async with opened_beside_stripe(settings) as gateway:
        assert ahead(gateway) == timedelta(days=31)
        clock = await ask_stripe(settings, "clock")
        assert clock["now"] - clock["real_now"] == pytest.approx(31 * 86_400, abs=60)  # seconds, not money


async def test_a_printed_token_stays_good_and_deliveries_are_taken(settings: Settings) -> None:
    token = make_token(secret=JWT_SECRET, subject="alice", now=SystemClock().now(), lifetime=timedelta(hours=1))
    async with opened_beside_stripe(settings) as gateway, serving(settings, gateway), aiohttp.ClientSession() as http:
        url = f"http://127.0.0.1:{settings.port}"
        alice = Person(subject="alice", url=url, http=http, token=lambda: token)
        await ask_stripe(settings, "clock/advance", {"days": 31})

        assert await alice.tier() == "FREE"
        status = await _customer_made_and_changed(settings, http)
        assert status == 200
        await eventually(lambda: _all_taken(settings, types={"customer.created", "account.updated"}))


async def _customer_made_and_changed(settings: Settings, http: aiohttp.ClientSession) -> int:
    """Something for either endpoint to hear of."""
    key = {"Authorization": f"Bearer {settings.stripe_api_key.get_secret_value()}"}
    stripe = f"http://127.0.0.1:{settings.sandbox_port}"
    async with http.post(f"{stripe}/v1/customers", headers=key) as made:
        assert made.status == 200
    controller = {
        "controller[fees][payer]": "application",
        "controller[losses][payments]": "application",
        "controller[stripe_dashboard][type]": "express",
        "capabilities[transfers][requested]": "true",
    }
    async with http.post(f"{stripe}/v1/accounts", headers=key, data=controller) as made:
        account: Json = await made.json()
    async with http.post(f"{stripe}/_sandbox/accounts/stage", json={"account": account["id"], "stage": "active"}) as on:
        return on.status


async def _all_taken(settings: Settings, *, types: set[str]) -> None:
    attempts = (await ask_stripe(settings, "events/attempts"))["attempts"]
    assert {one["type"] for one in attempts} >= types
    assert {one["status"] for one in attempts} == {200}


async def test_the_endpoint_for_connected_accounts_has_a_secret_of_its_own(settings: Settings) -> None:
    stripe = sandbox_settings(settings)
    assert (stripe.webhook_secret, stripe.webhook_connect_secret) == ("whsec_sandbox", "whsec_sandbox_connect")
    alone = load_settings({"GATEWAY_JWT_SECRET": JWT_SECRET, "GATEWAY_STRIPE_WEBHOOK_SECRETS": "whsec_mine"})
    assert (sandbox_settings(alone).webhook_secret, sandbox_settings(alone).webhook_connect_secret) == (
        "whsec_mine",
        None,
    )


async def test_commands_beside_it_take_its_time(settings: Settings) -> None:
    async with opened_beside_stripe(settings) as gateway:
        await ask_stripe(settings, "clock/advance", {"days": 31})
        assert abs((await clock_of(settings)).now() - gateway.clock.now()) < SOON
    assert abs((await clock_of(settings)).now() - SystemClock().now()) < SOON
