"""What is pgqueuer's own: its tables, its deliveries, and that none of them is the truth about a job."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from gateway.db import DatabaseUrlInvalid, open_database
from gateway.services.jobs.pgqueuer_engine import install, is_installed
from models.job import JobState
from tests.services.jobs_world import JobWorld, open_jobs, prepare
from tests.support.gateway import eventually


@pytest.fixture
async def world(postgres_url: str) -> AsyncIterator[JobWorld]:
    """A node under pgqueuer."""
    await prepare(postgres_url, "pgqueuer")
    async with open_jobs(postgres_url, "pgqueuer") as opened:
        yield opened


async def test_its_tables_are_made_once_by_whoever_comes_first(postgres_url: str) -> None:
    async with open_database(postgres_url) as database:
        before = await is_installed(database)
        answers = await asyncio.gather(*(install(postgres_url) for _ in range(4)))

        assert (before, answers.count(True)) == (False, 1)
        assert await is_installed(database)


async def test_it_is_refused_on_sqlite(sqlite_url: str) -> None:
    with pytest.raises(DatabaseUrlInvalid, match="PostgreSQL"):
        await install(sqlite_url)


async def test_it_works_behind_a_pooler_without_prepared_statements(postgres_url: str) -> None:
    await prepare(postgres_url, "pgqueuer")
    async with open_jobs(f"{postgres_url}?pgbouncer=true", "pgqueuer") as world:
        await world.promise("a", "b")
        async with world.running():
            await world.becomes("a", JobState.DONE)
            await world.becomes("b", JobState.DONE)

        assert await world.effects() == {"a": 1, "b": 1}


async def test_jobs_whose_deliveries_are_gone_are_done_all_the_same(world: JobWorld) -> None:
    await world.promise("a")
    await world.database.run(lambda connection: connection.execute("DELETE FROM pgqueuer"))
    world.clock.advance(minutes=2)

    async with world.running():
        await world.becomes("a", JobState.DONE)

    assert await world.effects() == {"a": 1}


async def test_a_delivery_that_comes_often_does_the_job_once(world: JobWorld) -> None:
    await world.promise("a")
    deliveries = world.deliveries
    assert deliveries is not None
    now, job_id = world.clock.now(), (await world.database.fetch("SELECT id FROM job"))[0]["id"]
    for _ in range(10):
        await world.database.run(lambda connection: deliveries.send(connection, job_id, now))  # pyright: ignore[reportArgumentType] - a UUID column

    async with world.running():
        await world.becomes("a", JobState.DONE)

        async def all_are_taken() -> None:
            assert await world.database.fetch("SELECT id FROM pgqueuer") == []

        await eventually(all_are_taken)

    assert await world.effects() == {"a": 1}


async def test_one_engine_takes_over_what_the_other_left(world: JobWorld) -> None:
    async with open_jobs(world.url, "embedded", clock=world.clock) as embedded:
        await embedded.promise("promised under embedded")
        world.clock.advance(minutes=2)
        async with world.running():
            await world.becomes("promised under embedded", JobState.DONE)

        await world.promise("promised under pgqueuer")
        async with embedded.running():
            await world.becomes("promised under pgqueuer", JobState.DONE)

    assert await world.effects() == {"promised under embedded": 1, "promised under pgqueuer": 1}
