"""Alive, ready and busy: what an orchestrator and a scraper are told."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient
from prometheus_client import CollectorRegistry
from pytest_aiohttp.plugin import AiohttpClient

from gateway.metrics import Metrics
from gateway.server.health import Readiness, health_routes
from gateway.services.billing import EventCount

Client = TestClient[web.Request, web.Application]


class FakeDatabase:
    """Answers as told; counts how often it was asked."""

    def __init__(self) -> None:
        self.failure: Exception | None = None
        self.not_applied: tuple[str, ...] = ()
        self.answers = asyncio.Event()
        self.answers.set()
        self.asked = 0

    async def ping(self) -> None:
        self.asked += 1
        await self.answers.wait()
        if self.failure is not None:
            raise self.failure

    async def pending(self) -> Sequence[str]:
        return self.not_applied


async def client_of(
    aiohttp_client: AiohttpClient,
    database: FakeDatabase,
    *,
    registry: CollectorRegistry | None = None,
    timeout_seconds: float = 5.0,
) -> Client:
    app = web.Application()
    readiness = Readiness(ping=database.ping, pending=database.pending, timeout_seconds=timeout_seconds)
    app.add_routes(health_routes(readiness=readiness, registry=registry or CollectorRegistry()))
    return await aiohttp_client(app)


async def test_ready_when_the_database_answers_and_nothing_is_left_to_migrate(aiohttp_client: AiohttpClient) -> None:
    client = await client_of(aiohttp_client, FakeDatabase())

    answer = await client.get("/readyz")

    assert answer.status == 200
    assert answer.headers["Cache-Control"] == "no-store"
    assert await answer.json() == {
        "ready": True,
        "checks": {
            "database": {"ok": True, "detail": "answers"},
            "migrations": {"ok": True, "detail": "all applied"},
        },
    }


async def test_not_ready_while_a_migration_is_left(aiohttp_client: AiohttpClient) -> None:
    database = FakeDatabase()
    database.not_applied = ("0002_ledger", "0003_payouts")
    client = await client_of(aiohttp_client, database)

    answer = await client.get("/readyz")

    assert answer.status == 503
    assert (await answer.json())["checks"]["migrations"] == {
        "ok": False,
        "detail": "2 not applied, first 0002_ledger: run `gateway migrate`",
    }


async def test_a_lost_database_is_not_ready_but_alive_and_its_address_is_not_told(
    aiohttp_client: AiohttpClient,
) -> None:
    database = FakeDatabase()
    database.failure = ConnectionRefusedError("postgres://billing:hunter2@db.internal said no")
    client = await client_of(aiohttp_client, database)

    ready, alive = await client.get("/readyz"), await client.get("/healthz")

    assert (ready.status, alive.status) == (503, 200)
    assert (await ready.json())["checks"]["database"] == {"ok": False, "detail": "ConnectionRefusedError"}
    assert await alive.text() == "ok\n"


async def test_ready_again_once_the_database_is_back(aiohttp_client: AiohttpClient) -> None:
    database = FakeDatabase()
    database.failure = ConnectionRefusedError()
    client = await client_of(aiohttp_client, database)
    assert (await client.get("/readyz")).status == 503

    database.failure = None

    assert (await client.get("/readyz")).status == 200


async def test_a_database_that_is_silent_is_not_waited_for(aiohttp_client: AiohttpClient) -> None:
    database = FakeDatabase()
    database.answers.clear()
    client = await client_of(aiohttp_client, database, timeout_seconds=0.01)

    answer = await client.get("/readyz")

    assert answer.status == 503
    assert (await answer.json())["checks"]["database"] == {"ok": False, "detail": "no answer within 0.01 s"}


async def test_many_who_ask_at_once_share_one_look_at_the_database(aiohttp_client: AiohttpClient) -> None:
    database = FakeDatabase()
    database.answers.clear()
    readiness = Readiness(ping=database.ping, pending=database.pending)
    askers = [asyncio.create_task(readiness.checks()) for _ in range(50)]
    await asyncio.sleep(0)

    askers[0].cancel()
    database.answers.set()
    answers = await asyncio.gather(*askers, return_exceptions=True)

    assert database.asked == 1
    assert isinstance(answers[0], asyncio.CancelledError)
    assert all(isinstance(answer, dict) and answer["database"].ok for answer in answers[1:])


async def test_metrics_are_prometheus_text_with_every_name(aiohttp_client: AiohttpClient) -> None:
    registry = CollectorRegistry()
    metrics = Metrics(registry)
    client = await client_of(aiohttp_client, FakeDatabase(), registry=registry)

    metrics.request_answered(route="/graphql", status=200, seconds=0.004)
    metrics.operation_executed(kind="query", outcome="ok")
    metrics.event_received(event_type="checkout.session.completed")
    metrics.event_refused(code="bad_signature")
    metrics.event_applied(event_type="checkout.session.completed")
    metrics.event_died(event_type="invoice.paid")
    metrics.oldest_event_waits(seconds=12.5)
    metrics.stripe_called(call="checkout.sessions.create", outcome="ok", seconds=0.3)
    metrics.checkout_settled(mode="DEPOSIT")
    metrics.ledger_entry_recorded(kind="DEPOSIT")
    metrics.transaction_retried(reason="serialization")
    answer = await client.get("/metrics")

    assert answer.status == 200
    assert answer.headers["Content-Type"].startswith("text/plain; version=")
    lines = (await answer.text()).splitlines()
    for line in (
        'gateway_http_requests_total{route="/graphql",status="200"} 1.0',
        'gateway_http_request_seconds_bucket{le="0.005",route="/graphql"} 1.0',
        'gateway_graphql_operations_total{kind="query",outcome="ok"} 1.0',
        'gateway_stripe_events_received_total{type="checkout.session.completed"} 1.0',
        'gateway_stripe_events_refused_total{code="bad_signature"} 1.0',
        'gateway_stripe_events_applied_total{type="checkout.session.completed"} 1.0',
        'gateway_stripe_events_dead_total{type="invoice.paid"} 1.0',
        "gateway_stripe_events_oldest_seconds 12.5",
        'gateway_stripe_call_seconds_count{call="checkout.sessions.create",outcome="ok"} 1.0',
        'gateway_checkouts_settled_total{mode="DEPOSIT"} 1.0',
        'gateway_ledger_entries_total{kind="DEPOSIT"} 1.0',
        'gateway_database_retries_total{reason="serialization"} 1.0',
    ):
        assert line in lines


@pytest.mark.parametrize("event_type", ["invoice.paid", "payout.failed", "v2.core.account.closed", "other"])
def test_what_the_inbox_holds_is_told_of_every_type_and_falls_to_zero_again(event_type: str) -> None:
    now = datetime(2026, 11, 2, 9, 0, tzinfo=UTC)
    registry = CollectorRegistry()
    metrics = Metrics(registry)

    def told() -> list[float | None]:
        names = ("waiting", "given_up", "waiting_seconds")
        labels = {"type": event_type}
        return [registry.get_sample_value(f"gateway_stripe_events_{name}", labels) for name in names]

    metrics.events_counted([EventCount(event_type, waiting=3, dead=5, oldest_at=now - timedelta(minutes=9))], now=now)
    held = told()
    metrics.events_counted([], now=now)

    assert held == [3, 5, 540]
    assert told() == [0, 0, 0]


async def test_a_process_whose_worker_has_not_looked_does_not_claim_that_nothing_waits() -> None:
    registry = CollectorRegistry()
    metrics = Metrics(registry)

    unknown = registry.get_sample_value("gateway_stripe_events_oldest_seconds")
    metrics.oldest_event_waits(seconds=0)

    assert str(unknown) == "nan"
    assert registry.get_sample_value("gateway_stripe_events_oldest_seconds") == 0


async def test_two_gateways_in_one_process_count_apart() -> None:
    one, other = CollectorRegistry(), CollectorRegistry()

    Metrics(one).checkout_settled(mode="DEPOSIT")
    Metrics(other)

    assert one.get_sample_value("gateway_checkouts_settled_total", {"mode": "DEPOSIT"}) == 1
    assert other.get_sample_value("gateway_checkouts_settled_total", {"mode": "DEPOSIT"}) is None


async def test_openmetrics_is_spoken_to_who_asks_for_it(aiohttp_client: AiohttpClient) -> None:
    client = await client_of(aiohttp_client, FakeDatabase())

    answer = await client.get("/metrics", headers={"Accept": "application/openmetrics-text; version=1.0.0"})

    assert answer.headers["Content-Type"].startswith("application/openmetrics-text; version=1.0.0")
    assert (await answer.text()).endswith("# EOF\n")


async def test_only_reading_is_answered(aiohttp_client: AiohttpClient) -> None:
    client = await client_of(aiohttp_client, FakeDatabase())

    assert (await client.head("/healthz")).status == 200
    assert (await client.post("/readyz")).status == 405
