"""How long the oldest event waits: asked of the inbox, told by the worker now and then."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import pytest

from gateway.app import Gateway, open_gateway
from gateway.db import Database
from gateway.domain.clock import ManualClock
from gateway.services.events.inbox import WAITING_LOOKED_AT_MAX, oldest_waiting
from gateway.settings import load_settings
from gateway.worker import WAITING_SECONDS_MIN, EventWorker
from tests.support.gateway import JWT_SECRET, eventually

NOW = datetime(2026, 11, 2, 9, 0, tzinfo=UTC)
FAR = NOW + timedelta(days=1)


async def add_event(database: Database, name: str, state: str, received_at: datetime, *, due_at: datetime) -> None:
    """An event in the inbox, as it is stored; one in work has a lease that lasts."""
    async with database.transaction() as connection:
        await connection.execute(
            "INSERT INTO stripe_event (id, type, livemode, payload, state, due_at, lease_until, occurred_at, "
            "received_at) VALUES ($1, 'invoice.paid', $2, '{}', $3, $4, $5, $6, $6)",
            (name, False, state, due_at, FAR if state == "doing" else None, received_at),
        )


async def test_nothing_waits_in_an_empty_inbox(database: Database) -> None:
    assert await oldest_waiting(database) is None


@pytest.mark.parametrize("state", ["done", "ignored", "dead"])
async def test_what_is_done_or_set_aside_does_not_wait(database: Database, state: str) -> None:
    await add_event(database, "evt_1", state, NOW, due_at=NOW)

    assert await oldest_waiting(database) is None


async def test_the_oldest_counts_by_its_arrival_and_not_by_its_next_try(database: Database) -> None:
    await add_event(database, "evt_new", "new", NOW - timedelta(seconds=5), due_at=NOW)
    await add_event(database, "evt_put_back", "new", NOW - timedelta(hours=2), due_at=NOW + timedelta(hours=1))
    await add_event(database, "evt_in_work", "doing", NOW - timedelta(minutes=3), due_at=NOW)
    await add_event(database, "evt_done", "done", NOW - timedelta(days=2), due_at=NOW)

    assert await oldest_waiting(database) == NOW - timedelta(hours=2)


async def test_however_long_the_queue_is_only_its_index_is_walked(database: Database) -> None:
    explain = "EXPLAIN QUERY PLAN" if database.dialect == "sqlite" else "EXPLAIN"
    async with database.transaction() as connection:
        if database.dialect == "postgres":
            await connection.execute("SET LOCAL enable_seqscan = off")  # a table of no rows is not worth an index
            await connection.execute("SET LOCAL enable_bitmapscan = off")
        plan = await connection.fetch(
            f"{explain} SELECT received_at FROM stripe_event WHERE state IN ('new', 'doing') "  # noqa: S608 - constants
            f"ORDER BY due_at LIMIT {WAITING_LOOKED_AT_MAX}"
        )

    text = " ".join(str(value) for row in plan for value in row.values())
    assert "stripe_event_due" in text
    assert "SORT" not in text.upper().replace("TEMP B-TREE", "SORT")


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOW)


@pytest.fixture
async def gateway(database_url: str, clock: ManualClock) -> AsyncIterator[Gateway]:
    """A gateway whose Stripe is never asked."""
    settings = load_settings(
        {
            "GATEWAY_DATABASE_URL": database_url,
            "GATEWAY_STRIPE_API_KEY": "sk_test_nobody",
            "GATEWAY_STRIPE_API_BASE": "http://127.0.0.1:1",
            "GATEWAY_STRIPE_WEBHOOK_SECRETS": "whsec_nobody",
            "GATEWAY_JWT_SECRET": JWT_SECRET,
        }
    )
    async with open_gateway(settings, clock=clock) as opened:
        yield opened


async def test_the_worker_tells_the_age_of_the_oldest_at_most_every_ten_seconds(
    gateway: Gateway, clock: ManualClock
) -> None:
    told: list[float] = []
    looked = asyncio.Event()

    def watch(*, seconds: float) -> None:
        told.append(seconds)
        looked.set()

    async def next_look() -> None:
        looked.clear()
        worker.wake()
        async with asyncio.timeout(20):
            await looked.wait()

    worker = EventWorker(gateway.billing, watch_waiting=watch)
    running = asyncio.create_task(worker.run())
    async with asyncio.timeout(20):
        await looked.wait()
    await add_event(gateway.database, "evt_in_work", "doing", NOW, due_at=NOW)
    clock.advance(timedelta(seconds=WAITING_SECONDS_MIN) - timedelta(microseconds=1))
    for _ in range(20):
        worker.wake()
        await asyncio.sleep(0.005)
    too_early = list(told)
    clock.advance(timedelta(microseconds=1))
    await next_look()
    worker.stop()
    await running

    assert too_early == [0]
    assert told == [0, 10]


@dataclass
class SetBack:
    """A clock that can be set to anything."""

    moment: datetime

    def now(self) -> datetime:
        return self.moment


async def test_a_clock_that_is_set_back_stops_no_look(gateway: Gateway) -> None:
    told: list[float] = []
    looked = asyncio.Event()

    def watch(*, seconds: float) -> None:
        told.append(seconds)
        looked.set()

    clock = SetBack(NOW)
    worker = EventWorker(replace(gateway.billing, clock=clock), watch_waiting=watch)
    running = asyncio.create_task(worker.run())
    for moment in (NOW, NOW - timedelta(hours=1)):
        clock.moment = moment
        async with asyncio.timeout(20):
            await looked.wait()
        looked.clear()
    worker.stop()
    await running

    assert told == [0, 0]


async def test_the_gateways_own_worker_sets_the_metric(gateway: Gateway, clock: ManualClock) -> None:
    await add_event(gateway.database, "evt_in_work", "doing", NOW - timedelta(seconds=90), due_at=NOW)
    worker = gateway.worker()
    running = asyncio.create_task(worker.run())

    async def told() -> None:
        value = gateway.metrics.registry.get_sample_value("gateway_stripe_events_oldest_seconds")
        assert value == 90

    await eventually(told)
    worker.stop()
    await running


async def test_a_gateway_counts_its_calls_to_stripe(gateway: Gateway) -> None:
    """Nobody listens at its Stripe's address, so each call ends without a clear answer."""
    with pytest.raises(Exception, match="no clear answer"):
        await gateway.billing.stripe.retrieve_customer("cus_1")

    labels = {"call": "customers.retrieve", "outcome": "unavailable"}
    assert gateway.metrics.registry.get_sample_value("gateway_stripe_call_seconds_count", labels) == 1
