"""Workers of jobs whose clocks are hours off: nothing is taken from the living, and what the dead held comes back."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from gateway.db import Connection, Database
from gateway.domain.clock import ManualClock
from gateway.services.billing import Billing
from gateway.services.jobs import Job, JobOutcome, NewJob
from gateway.services.jobs.doing import LOOKS_PER_LEASE, RENEWALS_PER_LEASE, Doer
from gateway.services.jobs.listing import JobEntry, find_job
from gateway.services.jobs.table import (
    ATTEMPTS_MAX,
    LEASE_SECONDS,
    PUT_OFF_SECONDS_MAX,
    RECLAIMS_MAX,
    UNCLEAR_SECONDS_MAX,
    JobTable,
    retry_seconds,
)
from models.job import JobState
from tests.services.jobs_world import (
    ENGINES,
    Engine,
    JobWorld,
    MovingClock,
    engine_url,
    have_effect,
    open_jobs,
    prepare,
)
from tests.services.jobs_world import LEASE_SECONDS as LEASE_IN_TESTS_SECONDS
from tests.services.market_world import open_market

START = datetime(2026, 11, 2, 9, 0, tzinfo=UTC)
KIND = "test"
#: By how much the other worker's clock is ahead; the last is further off than clocks may be.
HOURS_AHEAD = (2, -2, 30)


class Node:
    """A worker with its own clock and its own memory."""

    def __init__(self, database: Database, *, hours_ahead: float = 0) -> None:
        self.clock = ManualClock(START + timedelta(hours=hours_ahead))
        self.table = JobTable(self.clock, jitter=lambda: 0.0)
        self.database = database
        self.doer = Doer(replace(open_market(database, clock=self.clock).billing, jobs=self.table), self.table)

    async def promise(self, key: str) -> None:
        job = NewJob(kind=KIND, key=key, run_at=self.clock.now())
        await self.database.run(lambda connection: self.table.enqueue(connection, job))

    async def claim(self) -> Job:
        (job,) = await self.database.run(lambda connection: self.table.claim(connection, limit=1))
        return job

    async def renew(self, job: Job) -> bool:
        return await self.database.run(lambda connection: self.table.renew(connection, job))

    async def finish(self, job: Job) -> None:
        await self.database.run(lambda connection: self.table.finish(connection, job))

    async def entry(self, key: str) -> JobEntry:
        entry = await find_job(self.database, kind=KIND, key=key)
        assert entry is not None
        return entry


def pass_time(*nodes: Node, seconds: float) -> None:
    for node in nodes:
        node.clock.advance(timedelta(seconds=seconds))


@pytest.mark.parametrize("hours_ahead", HOURS_AHEAD)
async def test_nothing_is_taken_from_a_worker_that_gives_signs_of_life(database: Database, hours_ahead: int) -> None:
    living, other = Node(database), Node(database, hours_ahead=hours_ahead)
    await living.promise("a")
    job = await living.claim()

    for _ in range(10 * RENEWALS_PER_LEASE):
        assert await other.doer.take_back() == []
        pass_time(living, other, seconds=LEASE_SECONDS / RENEWALS_PER_LEASE)
        assert await living.renew(job)
    await living.finish(job)

    entry = await other.entry("a")
    assert (entry.state, entry.reclaims) == (JobState.DONE, 0)


@pytest.mark.parametrize("hours_ahead", HOURS_AHEAD)
async def test_what_a_dead_worker_held_comes_back_after_one_lease(database: Database, hours_ahead: int) -> None:
    dead, other = Node(database, hours_ahead=hours_ahead), Node(database)
    await other.promise("a")
    lost = await dead.claim()

    assert await other.doer.take_back() == []
    pass_time(dead, other, seconds=LEASE_SECONDS - 1)
    assert await other.doer.take_back() == []
    pass_time(dead, other, seconds=1)
    (taken,) = await other.doer.take_back()

    assert (taken.key, taken.state, taken.reclaims) == (lost.key, JobState.WAITING, 1)
    assert not await dead.renew(lost)
    assert (await other.claim()).key == lost.key


async def test_a_worker_looks_often_enough_and_not_more_often(database: Database) -> None:
    dead, other = Node(database), Node(database)
    await dead.promise("a")
    await dead.claim()

    await other.doer.free_what_is_stuck()
    pass_time(other, seconds=LEASE_SECONDS - 1)
    await other.doer.free_what_is_stuck()
    pass_time(other, seconds=1)
    await other.doer.free_what_is_stuck()
    assert (await other.entry("a")).state is JobState.DOING
    pass_time(other, seconds=LEASE_SECONDS / LOOKS_PER_LEASE - 1)
    await other.doer.free_what_is_stuck()

    assert (await other.entry("a")).state is JobState.WAITING


async def test_workers_with_clocks_far_apart_never_call_each_other_dead(database: Database) -> None:
    """Each in turn holds the job while the other looks, more often than a job may lose its worker."""
    nodes = [Node(database, hours_ahead=2), Node(database, hours_ahead=-2)]
    await nodes[1].promise("a")
    for turn in range(2 * RECLAIMS_MAX):
        holder, other = nodes[turn % 2], nodes[1 - turn % 2]
        job = await holder.claim()
        for _ in range(2 * RENEWALS_PER_LEASE):
            assert await other.doer.take_back() == []
            pass_time(*nodes, seconds=LEASE_SECONDS / RENEWALS_PER_LEASE)
            assert await holder.renew(job)

        async def give_over(connection: Connection, holder: Node = holder, job: Job = job) -> None:
            await holder.table.put_off(connection, job, until=START - timedelta(hours=3), reason="the other's turn")

        await database.run(give_over)

    entry = await nodes[0].entry("a")
    assert (entry.state, entry.reclaims, entry.attempts) == (JobState.WAITING, 0, 0)


@pytest.mark.parametrize("unclear", [True, False])
@pytest.mark.parametrize("hours_ahead", [2, 24 * 400])
async def test_what_a_clock_that_is_ahead_put_off_is_tried_within_minutes(
    database: Database, hours_ahead: int, unclear: bool
) -> None:
    gone, other = Node(database, hours_ahead=hours_ahead), Node(database)
    await other.promise("a")
    job = await gone.claim()
    await database.run(lambda connection: gone.table.fail(connection, job, reason="no", unclear=unclear))

    await other.doer.free_misplanned()
    pass_time(other, seconds=PUT_OFF_SECONDS_MAX - 1)
    await other.doer.free_misplanned()
    assert not await other.table.anything_due(database)
    pass_time(other, seconds=1)
    await other.doer.free_misplanned()

    assert (await other.claim()).key == "a"
    assert max(retry_seconds(ATTEMPTS_MAX - 1), UNCLEAR_SECONDS_MAX) < PUT_OFF_SECONDS_MAX


async def test_what_waits_for_its_time_is_left_alone_however_long_that_is(database: Database) -> None:
    node = Node(database)
    until = START + timedelta(days=90)
    await node.promise("a")
    job = await node.claim()
    await database.run(lambda connection: node.table.put_off(connection, job, until=until, reason="an event"))

    for _ in range(3):
        await node.doer.free_misplanned()
        pass_time(node, seconds=PUT_OFF_SECONDS_MAX)

    assert (await node.entry("a")).due_at == until


async def test_what_a_node_gives_back_is_due_by_every_clock(database: Database) -> None:
    stopping, other = Node(database, hours_ahead=2), Node(database)
    await other.promise("a")
    job = await stopping.claim()

    await database.run(lambda connection: stopping.table.give_back(connection, job))

    assert (await other.claim()).key == "a"


@pytest.fixture(params=ENGINES)
def place(request: pytest.FixtureRequest) -> tuple[str, Engine]:
    """A database and the engine to run on it."""
    return engine_url(request, request.param)


@asynccontextmanager
async def two_nodes(place: tuple[str, Engine], *, hours_ahead: int) -> AsyncGenerator[tuple[JobWorld, JobWorld]]:
    """One whose clock is right, and one whose clock is ahead."""
    wrong = MovingClock()
    wrong.advance(hours=hours_ahead)
    await prepare(*place)
    async with AsyncExitStack() as stack:
        yield (
            await stack.enter_async_context(open_jobs(*place)),
            await stack.enter_async_context(open_jobs(*place, clock=wrong)),
        )


@pytest.mark.parametrize("hours_ahead", [2, -2])
async def test_long_work_stays_where_it_is_under_each_engine(place: tuple[str, Engine], hours_ahead: int) -> None:
    begun = asyncio.Event()
    rounds: list[datetime] = []

    async def handle(billing: Billing, job: Job) -> JobOutcome:
        rounds.append(billing.clock.now())
        begun.set()
        await asyncio.sleep(2.5 * LEASE_IN_TESTS_SECONDS)
        return await have_effect(billing, job)

    async with two_nodes(place, hours_ahead=hours_ahead) as nodes:
        for number, (holder, other) in enumerate((nodes, nodes[::-1])):
            begun.clear()
            await nodes[0].promise(f"job-{number}")
            async with holder.running(handle):
                await begun.wait()
                async with other.running(handle):
                    done = await other.becomes(f"job-{number}", JobState.DONE)
            assert done.reclaims == 0
        effects = await nodes[0].effects()

    assert (len(rounds), effects) == (2, {"job-0": 1, "job-1": 1})


@pytest.mark.parametrize("hours_ahead", [2, -2])
async def test_what_a_dead_worker_held_is_done_under_each_engine(place: tuple[str, Engine], hours_ahead: int) -> None:
    async with two_nodes(place, hours_ahead=hours_ahead) as nodes:
        for number, (dead, other) in enumerate((nodes, nodes[::-1])):
            await nodes[0].promise(f"job-{number}")
            await dead.database.run(lambda connection, dead=dead: dead.table.claim(connection, limit=1))
            async with other.running():
                await other.becomes(f"job-{number}", JobState.DONE)

        assert await nodes[0].effects() == {"job-0": 1, "job-1": 1}
