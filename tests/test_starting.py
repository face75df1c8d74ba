"""The gateway as an operator starts it: what stops a start, what does not, and what each process tells."""

import json
import os
import signal
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Final

import aiohttp
import pytest

from gateway.db import migrate, open_database
from gateway.domain.clock import ManualClock, SystemClock
from gateway.server.auth import make_token
from tests.support.gateway import (
    JWT_SECRET,
    START,
    browser,
    eventually,
    free_socket,
    gateway_environ,
    gateway_settings,
    open_local_stripe,
    open_platform,
    set_up,
    url_of,
)
from tests.support.person import Person
from tests.support.processes import GatewayProcess
from tests.support.stripe_door import StripeDoor
from tests.support.weather import Poison

HOUR: Final = timedelta(hours=1)
DEAD: Final = 'gateway_stripe_events_given_up{type="payout.failed"} 1.0'


@pytest.fixture
def poison() -> Poison:
    """What of Stripe's is out of order; nothing, until a test says so."""
    return Poison()


@pytest.fixture
async def stripe(poison: Poison) -> AsyncIterator[StripeDoor]:
    async with open_local_stripe(free_socket(), SystemClock(), weather=[poison.as_weather()]) as door:
        yield door


@pytest.fixture
async def environ(sqlite_url: str, stripe: StripeDoor) -> dict[str, str]:
    """The settings of a gateway whose database is migrated and whose Stripe is set up."""
    await migrate(sqlite_url)
    settings = gateway_settings(sqlite_url, stripe_url=stripe.url)
    secret = await set_up(settings, webhook_url="http://127.0.0.1:9/webhook", clock=SystemClock())
    return gateway_environ(sqlite_url, stripe_url=stripe.url, webhook_secret=secret)


@asynccontextmanager
async def started(environ: dict[str, str], folder: Path, *arguments: str) -> AsyncGenerator[GatewayProcess]:
    process = GatewayProcess(arguments=arguments, environ=environ, folder=folder, name=arguments[0])
    try:
        await process.start()
        await process.ready()
        yield process
    finally:
        await process.end()


async def add_dead_event(url: str) -> None:
    async with open_database(url) as database, database.transaction() as connection:
        await connection.execute(
            "INSERT INTO stripe_event (id, type, livemode, payload, state, due_at, occurred_at, received_at) "
            "VALUES ('evt_1', 'payout.failed', $1, '{}', 'dead', $2, $2, $2)",
            (False, START),
        )


async def pids_of(parent: GatewayProcess, event: str, *, count: int) -> list[int]:
    """Of the processes about which a parent has said something, once it has said it so often."""
    found: list[int] = []

    async def told() -> None:
        found[:] = [int(json.loads(line)["pid"]) for line in parent.said.splitlines() if f'"{event}"' in line]
        assert len(found) == count

    await eventually(told)
    return found


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def text_of(http: aiohttp.ClientSession, url: str) -> str:
    try:
        async with http.get(url) as answer:
            return await answer.text()
    except aiohttp.ClientError as error:
        raise AssertionError(url) from error


async def test_a_price_that_was_archived_stops_no_start_and_no_other_plan(
    environ: dict[str, str], stripe: StripeDoor, tmp_path: Path
) -> None:
    (price,) = (await stripe.api("GET", "/v1/prices?lookup_keys[]=pro_monthly"))["data"]
    await stripe.api("POST", f"/v1/prices/{price['id']}", active="false")

    async with started(environ, tmp_path, "serve", "--no-events") as process, browser() as http:
        token = make_token(secret=JWT_SECRET, subject="ann", now=SystemClock().now(), lifetime=HOUR)
        ann = Person(subject="ann", url=process.url, http=http, token=lambda: token)
        refused = await ann.checkout("PRO")
        sold = await ann.checkout_page("BUSINESS")

        assert refused["code"] == "PROVIDER_REJECTED"
        assert sold.session_id
        assert "prices.not_ready" in process.said
        assert "The price pro_monthly is not active." in process.said


@pytest.mark.parametrize("status", [401, 500])
async def test_a_stripe_that_does_not_take_the_key_or_does_not_answer_stops_no_start(
    environ: dict[str, str], poison: Poison, tmp_path: Path, status: int
) -> None:
    poison.status = status
    poison.everything()

    async with started(environ, tmp_path, "serve", "--no-events") as process:
        assert "start.unchecked" in process.said


async def test_a_worker_tells_how_it_is_and_what_was_given_up(environ: dict[str, str], tmp_path: Path) -> None:
    await add_dead_event(environ["GATEWAY_DATABASE_URL"])
    door = free_socket()
    port, url = str(door.getsockname()[1]), url_of(door)
    door.close()

    async with started(environ, tmp_path, "worker", "--metrics-port", port) as process, browser() as http:

        async def told() -> None:
            assert DEAD in (await text_of(http, f"{url}/metrics")).splitlines()

        await eventually(told)
        assert await text_of(http, f"{url}/healthz") == "ok\n"
        assert '"ready":true' in await text_of(http, f"{url}/readyz")
        async with http.post(f"{url}/graphql") as answer:
            assert answer.status == 404
        assert process.status is None


async def test_a_gateway_that_leaves_the_work_to_others_tells_what_was_given_up(sqlite_url: str) -> None:
    await migrate(sqlite_url)
    await add_dead_event(sqlite_url)
    async with open_platform(sqlite_url, clock=ManualClock(START), with_worker=False, with_reports=True) as platform:

        async def told() -> None:
            lines = (await text_of(platform.http, f"{platform.nodes[0].url}/metrics")).splitlines()
            assert DEAD in lines
            assert any(line.startswith("gateway_jobs_dead{") for line in lines)
            assert any(line.startswith("gateway_reconciliation_differences{") for line in lines)

        await eventually(told)
        assert await platform.events_in("dead") == 1


async def test_many_servers_are_not_started_on_a_database_that_lacks_migrations(
    environ: dict[str, str], tmp_path: Path
) -> None:
    unmigrated = {**environ, "GATEWAY_DATABASE_URL": f"sqlite:///{tmp_path}/empty.db"}
    process = GatewayProcess(arguments=("serve", "--workers", "2"), environ=unmigrated, folder=tmp_path, name="many")
    await process.start()
    try:
        assert await process.wait() == 1
        assert "run `gateway migrate`" in process.said
        assert "process.died" not in process.said
    finally:
        await process.end()


async def test_one_of_many_servers_that_dies_is_replaced_and_all_end_with_their_parent(
    environ: dict[str, str], tmp_path: Path
) -> None:
    async with started(environ, tmp_path, "serve", "--workers", "2", "--no-events") as parent:
        first, second = await pids_of(parent, "process.started", count=2)
        os.kill(first, signal.SIGKILL)
        *_, third = await pids_of(parent, "process.started", count=3)
        assert await pids_of(parent, "process.died", count=1) == [first]
        assert is_alive(second)
        assert is_alive(third)

    assert parent.status == 0
    assert not is_alive(second)
    assert not is_alive(third)
