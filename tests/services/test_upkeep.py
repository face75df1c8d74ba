"""What is cleaned up by the calendar is done once a period, on every engine, however many nodes there are."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import timedelta
from functools import partial

import pytest

from gateway.db import Connection
from gateway.domain.ids import new_id
from gateway.services import upkeep
from gateway.services.events.retention import drop_payloads
from gateway.services.jobs.handlers import HANDLERS
from gateway.services.jobs.listing import ARGS_KEPT
from gateway.services.jobs.schedule import PERIODICS, daily, enqueue_periodic, hourly
from models.job import JobState
from tests.services.jobs_world import ENGINES, Engine, JobWorld, engine_url, open_jobs, prepare


@pytest.fixture(params=ENGINES)
def place(request: pytest.FixtureRequest) -> tuple[str, Engine]:
    """A database and the engine to run on it."""
    return engine_url(request, request.param)


@pytest.fixture
async def world(place: tuple[str, Engine]) -> AsyncIterator[JobWorld]:
    """A node under each engine."""
    await prepare(*place)
    async with open_jobs(*place) as opened:
        yield opened


async def leave_behind(world: JobWorld, *, events: int) -> None:
    """A job done long ago, and events that have served."""
    now = world.clock.now()
    long_ago = now - max(ARGS_KEPT, timedelta(days=world.billing.rules.event_payload_days)) - timedelta(days=1)

    async def work(connection: Connection) -> None:
        await connection.execute(
            "INSERT INTO job (id, kind, key, args, state, due_at, created_at, done_at) "
            "VALUES ($1, 'test.old', 'old', '{\"id\":\"1\"}', 'done', $2, $2, $2)",
            (new_id(now), long_ago),
        )
        for number in range(events):
            await connection.execute(
                "INSERT INTO stripe_event (id, type, livemode, occurred_at, payload, state, received_at, due_at, "
                "done_at) VALUES ($1, 'invoice.paid', $2, $3, $4, 'done', $3, $3, $3)",
                (f"evt_{number}", False, long_ago, json.dumps({"id": f"evt_{number}", "secret": "kept"})),
            )

    await world.database.run(work)


async def kept(world: JobWorld) -> tuple[str, int]:
    """The args of the old job, and how many payloads are whole."""
    (old,) = await world.database.fetch("SELECT args FROM job WHERE kind = 'test.old'")
    whole = await world.database.fetch("SELECT id FROM stripe_event WHERE payload_dropped_at IS NULL")
    return str(old["args"]), len(whole)


async def test_old_payloads_and_args_are_dropped_once_a_period(world: JobWorld) -> None:
    await leave_behind(world, events=3)
    now = world.clock.now()

    new = await asyncio.gather(*(enqueue_periodic(world.billing) for _ in range(4)))
    async with world.running(handlers=HANDLERS):
        for periodic in PERIODICS:
            await world.becomes(periodic.period(now).isoformat(), JobState.DONE, kind=periodic.kind)

    assert new.count(True) == 1
    assert await kept(world) == ("{}", 0)
    rows = await world.database.fetch("SELECT kind, key FROM job WHERE kind <> 'test.old' ORDER BY kind")
    assert [(row["kind"], row["key"]) for row in rows] == [
        ("events.drop_payloads", hourly(now).isoformat()),
        ("jobs.tidy", daily(now).isoformat()),
    ]
    assert not await enqueue_periodic(world.billing)


async def test_more_than_one_round_cleans_up_comes_again_at_once(
    world: JobWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upkeep, "BATCHES_AT_ONCE_MAX", 1)
    monkeypatch.setattr(upkeep, "drop_payloads", partial(drop_payloads, at_once=1))
    await leave_behind(world, events=4)
    await enqueue_periodic(world.billing)

    async with world.running(handlers=HANDLERS):
        key = hourly(world.clock.now()).isoformat()
        job = await world.becomes(key, JobState.DONE, kind=upkeep.DROP_PAYLOADS)

    assert job.attempts == 0
    assert (await kept(world))[1] == 0


def test_every_periodic_job_has_its_handler() -> None:
    assert {periodic.kind for periodic in PERIODICS} <= set(HANDLERS)
