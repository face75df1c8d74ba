"""The database stops, crashes and freezes under load: whoever asks is told so, and afterwards all is true by itself."""

import asyncio
import signal
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from gateway.app import Gateway
from gateway.db import DatabaseLimits, migrate, open_database
from gateway.domain.clock import SystemClock
from tests.faults.conftest import Tell
from tests.faults.storm import Storm, Weight, run_storm
from tests.faults.test_storm import COMMANDS, SEED
from tests.support.gateway import Platform, eventually, open_platform
from tests.support.person import Reply
from tests.support.postgres import PostgresServer
from tests.support.tcp_proxy import TcpProxy, tcp_proxy

pytestmark = pytest.mark.usefixtures("quiet")

NO_HANG_SECONDS = 60
AWAY_SECONDS = 0.5
GUSTS = Weight(deliveries=250, strikes=3, seconds_max=240, wait_for_leases=False)
GALES = Weight(deliveries=3_000, strikes=12, seconds_max=1_200, wait_for_leases=False)
IMPATIENT = DatabaseLimits(
    connect_seconds_max=2.0,
    acquire_seconds_max=3.0,
    command_seconds_max=2.0,
    settle_seconds_max=1.0,
    statement_seconds_max=1.5,
)


@pytest.fixture
def own_server(postgres_server: PostgresServer) -> Iterator[PostgresServer]:
    """A server that may be stopped without harm to other tests."""
    server = PostgresServer()
    server.initialise()
    yield server
    server.remove()


@dataclass(frozen=True, slots=True)
class Outages:
    """Stops the server in order and crashes it, in turn; it is away for a moment, and the gateways stay."""

    server: PostgresServer

    async def __call__(self, storm: Storm, number: int) -> str:
        how = (signal.SIGINT, signal.SIGQUIT)[number % 2]
        await asyncio.to_thread(self.server.stop, how=how)
        await asyncio.sleep(AWAY_SECONDS)
        await asyncio.to_thread(self.server.start)
        return "stopped" if how is signal.SIGINT else "crashed"


async def blow_through_outages(server: PostgresServer, folder: Path, *, weight: Weight, tell: Tell) -> None:
    url = server.url(server.create())
    await migrate(url)
    storm, report = await run_storm(
        url, folder, COMMANDS["postgres"], weight=weight, seed=SEED, disaster=Outages(server)
    )
    tell(report)
    assert storm.strikes.total() == weight.strikes
    assert storm.statuses["503"] > 0
    assert [process.starts for process in storm.processes] == [1, 1, 1, 1]


async def test_outages_under_load_are_503_and_got_over_without_a_restart(
    own_server: PostgresServer, tmp_path: Path, tell: Tell
) -> None:
    await blow_through_outages(own_server, tmp_path, weight=GUSTS, tell=tell)


@pytest.mark.storm
async def test_many_outages_under_long_load_are_got_over_without_a_restart(
    own_server: PostgresServer, tmp_path: Path, tell: Tell
) -> None:
    await blow_through_outages(own_server, tmp_path, weight=GALES, tell=tell)


@pytest.fixture
async def proxy(postgres_server: PostgresServer) -> AsyncIterator[TcpProxy]:
    async with tcp_proxy(postgres_server.port) as opened:
        yield opened


@pytest.fixture
async def behind_proxy(postgres_url: str, postgres_server: PostgresServer, proxy: TcpProxy) -> AsyncIterator[Platform]:
    """A gateway whose every word with the database goes through the proxy, and that does not wait long for it."""
    url = postgres_url.replace(f":{postgres_server.port}/", f":{proxy.port}/")
    async with open_database(url, limits=IMPATIENT) as database:

        def dress(gateway: Gateway) -> Gateway:
            return replace(gateway, database=database, billing=replace(gateway.billing, database=database))

        async with open_platform(url, clock=SystemClock(), dress=dress) as running:
            yield running


async def status_of(platform: Platform, path: str) -> int:
    async with platform.http.get(f"{platform.nodes[0].url}{path}") as response:
        return response.status


async def many_wallets(platform: Platform) -> list[Reply]:
    """More requests at once than there are connections."""
    ann = platform.person("ann")
    return await asyncio.gather(*(ann.post("{ wallet { balance { amount } } }") for _ in range(25)))


async def all_served(platform: Platform) -> None:
    assert await status_of(platform, "/readyz") == 200
    assert {reply.status for reply in await many_wallets(platform)} == {200}


async def test_frozen_connections_hold_up_nobody_for_long_and_others_go_on(
    behind_proxy: Platform, proxy: TcpProxy
) -> None:
    ann = behind_proxy.person("ann")
    page = await ann.deposit_page("2500")
    await eventually(lambda: all_served(behind_proxy))

    async with asyncio.timeout(NO_HANG_SECONDS):
        proxy.freeze_present()
        caught, catalogue, alive = await asyncio.gather(
            many_wallets(behind_proxy), ann.post("{ plans { tier } }"), status_of(behind_proxy, "/healthz")
        )
        await behind_proxy.stripe.pay(page.url)

        async def credited() -> None:
            reply = await ann.post("{ wallet { balance { amountCents } } }")
            assert reply.body.get("data", {}).get("wallet", {}).get("balance") == {"amountCents": "2500"}

        await eventually(credited)
    assert {reply.status for reply in caught} <= {200, 503}
    assert 503 in {reply.status for reply in caught}
    assert (catalogue.status, alive) == (200, 200)
    proxy.heal()
    await behind_proxy.assert_true()


async def test_a_database_that_falls_silent_is_503_to_everybody_until_it_speaks_again(
    behind_proxy: Platform, proxy: TcpProxy
) -> None:
    ann = behind_proxy.person("ann")
    page = await ann.deposit_page("2500")

    async with asyncio.timeout(NO_HANG_SECONDS):
        proxy.freeze()
        await behind_proxy.stripe.pay(page.url)
        replies = await many_wallets(behind_proxy)
        alive, ready = await asyncio.gather(status_of(behind_proxy, "/healthz"), status_of(behind_proxy, "/readyz"))

        async def refused() -> None:
            attempts = (await behind_proxy.stripe.look("events/attempts"))["attempts"]
            assert 503 in [attempt["status"] for attempt in attempts]

        await eventually(refused)
        proxy.heal()

        await eventually(lambda: all_served(behind_proxy))
    assert {(reply.status, *reply.codes) for reply in replies} == {(503, "SERVICE_UNAVAILABLE")}
    assert (alive, ready) == (200, 503)
    await behind_proxy.stripe.control("events/resend", type="checkout.session.completed")
    await behind_proxy.assert_true()
    assert await ann.balance_cents() == "2500"
