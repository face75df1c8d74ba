"""A database that goes away and comes back: nobody is told a lie, and nothing is lost."""

from collections.abc import AsyncIterator

import pytest

from gateway.domain.clock import SystemClock
from tests.support.gateway import Platform, eventually, open_platform
from tests.support.person import VERIFY_DEPOSIT
from tests.support.postgres import PostgresServer


def shut(server: PostgresServer, name: str) -> None:
    server.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
    server.execute(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'")  # noqa: S608 - a name of ours


def reopen(server: PostgresServer, name: str) -> None:
    server.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")


@pytest.fixture
async def on_postgres(postgres_url: str) -> AsyncIterator[Platform]:
    async with open_platform(postgres_url, clock=SystemClock()) as running:
        yield running


async def test_while_the_database_is_away_the_answer_is_503_and_afterwards_all_is_true(
    on_postgres: Platform, postgres_server: PostgresServer, postgres_url: str
) -> None:
    name = postgres_url.rpartition("/")[2]
    ann = on_postgres.person()
    page = await ann.deposit_page("2500")
    await on_postgres.stripe.control("events/hold")
    await on_postgres.stripe.pay(page.url)

    shut(postgres_server, name)
    read = await ann.post("{ wallet { balance { amount } } }")
    verified = await ann.post(VERIFY_DEPOSIT, input={"sessionId": page.session_id})
    catalogue = await ann.post("{ plans { tier } }")
    await on_postgres.stripe.control("events/release")
    reopen(postgres_server, name)

    for reply in (read, verified):
        assert (reply.status, reply.codes) == (503, ["SERVICE_UNAVAILABLE"])
        assert reply.headers["Retry-After"] == "1"
    assert catalogue.status == 200

    async def credited() -> None:
        assert await ann.balance_cents() == "2500"

    await eventually(credited)
    await on_postgres.assert_true()
