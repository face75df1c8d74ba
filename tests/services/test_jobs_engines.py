"""What every engine promises: the same handlers, the same outcomes, on every database it runs on."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import timedelta

import pytest

from gateway.db import Connection, spawn
from gateway.domain.errors import ProviderUnavailable
from gateway.services.billing import Billing
from gateway.services.jobs import Done, Job, JobOutcome, Later, NewJob
from gateway.services.jobs.table import ATTEMPTS_MAX
from models.job import JobState
from tests.services.jobs_world import (
    ENGINES,
    KIND,
    Engine,
    JobWorld,
    engine_url,
    have_effect,
    open_jobs,
    prepare,
    write_effect,
)
from tests.support.gateway import eventually

#: Trips to the database in which somebody else could have made one.
LOOKS = 50


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


async def test_a_promised_job_has_its_effect_once(world: JobWorld) -> None:
    assert await world.promise("a", "b", "a") == 2

    async with world.running():
        await world.becomes("a", JobState.DONE)
        await world.becomes("b", JobState.DONE)

    assert await world.promise("a") == 0
    assert await world.effects() == {"a": 1, "b": 1}


async def test_a_job_promised_in_a_transaction_that_is_undone_is_none(world: JobWorld) -> None:
    async def work(connection: Connection) -> None:
        await world.table.enqueue(connection, NewJob(kind=KIND, key="undone", run_at=world.clock.now()))
        raise LookupError("undo")

    with pytest.raises(LookupError):
        await world.database.run(work)
    await world.promise("kept")
    async with world.running():
        await world.becomes("kept", JobState.DONE)

    assert await world.effects() == {"kept": 1}


async def test_a_job_waits_for_its_time(world: JobWorld) -> None:
    due = world.clock.now() + timedelta(seconds=0.6)
    begun: list[bool] = []

    async def handle(billing: Billing, job: Job) -> JobOutcome:
        begun.append(billing.clock.now() >= due)
        return Done()

    await world.database.run(lambda connection: world.table.enqueue(connection, NewJob(kind=KIND, key="a", run_at=due)))
    async with world.running(handle):
        await world.becomes("a", JobState.DONE)

    assert begun == [True]


async def test_waiting_is_not_failing(world: JobWorld) -> None:
    rounds = Counter[str]()

    async def handle(billing: Billing, job: Job) -> JobOutcome:
        rounds[job.key] += 1
        if rounds[job.key] <= 12:
            return Later(billing.clock.now() + timedelta(milliseconds=5), "the bank sleeps")
        assert job.attempts == 0
        return await have_effect(billing, job)

    await world.promise("a")
    async with world.running(handle):
        await world.becomes("a", JobState.DONE)

    assert (await world.effects(), rounds["a"]) == ({"a": 1}, 13)


async def test_what_fails_for_certain_is_dead_after_ten_tries_and_holds_up_nobody(world: JobWorld) -> None:
    tries = Counter[str]()

    async def handle(billing: Billing, job: Job) -> JobOutcome:
        tries[job.key] += 1
        if job.key == "bad":
            raise ArithmeticError("one cent too many")
        return await have_effect(billing, job)

    await world.promise("bad", "good")
    async with world.running(handle):
        await world.becomes("good", JobState.DONE)
        for count in range(1, ATTEMPTS_MAX):
            await _has_failed(world, "bad", count)
            world.clock.advance(hours=2)
        dead = await world.becomes("bad", JobState.DEAD)

    assert (tries["bad"], dead.attempts) == (ATTEMPTS_MAX, ATTEMPTS_MAX)
    assert dead.reason == "ArithmeticError: one cent too many"
    assert await world.effects() == {"good": 1}


async def test_silence_of_stripe_is_waited_out_for_days(world: JobWorld) -> None:
    answers = False

    async def handle(billing: Billing, job: Job) -> JobOutcome:
        if not answers:
            raise ProviderUnavailable("Stripe did not answer.")
        return await have_effect(billing, job)

    await world.promise("a")
    async with world.running(handle):
        for hours in range(0, 60, 3):
            await _is_tried_again(world, "a", after_hours=hours)
        answers = True
        world.clock.advance(hours=3)
        await world.becomes("a", JobState.DONE)

    assert await world.effects() == {"a": 1}


async def test_a_dead_job_that_is_woken_runs_again_with_a_clean_slate(world: JobWorld) -> None:
    mended = False

    async def handle(billing: Billing, job: Job) -> JobOutcome:
        if not mended:
            raise ArithmeticError("still wrong")
        assert (job.attempts, job.failing_since) == (0, None)
        return await have_effect(billing, job)

    await world.promise("a")
    await world.database.run(lambda connection: connection.execute("UPDATE job SET attempts = $1", (ATTEMPTS_MAX - 1,)))
    async with world.running(handle):
        await world.becomes("a", JobState.DEAD)
        mended = True
        assert await world.wake("a")
        await world.becomes("a", JobState.DONE)

    assert await world.effects() == {"a": 1}


async def test_a_job_that_waits_a_year_runs_as_soon_as_it_is_woken(world: JobWorld) -> None:
    rounds = 0

    async def handle(billing: Billing, job: Job) -> JobOutcome:
        nonlocal rounds
        rounds += 1
        return Later(billing.clock.now() + timedelta(days=365), "an event") if rounds == 1 else Done()

    await world.promise("a")
    async with world.running(handle):

        async def waits() -> None:
            assert (await world.job("a")).reason == "an event"

        await eventually(waits)
        assert await world.wake("a")
        await world.becomes("a", JobState.DONE)

    assert rounds == 2
    assert not await world.wake("nobody")


@pytest.mark.parametrize("how", ["done", "later", "with its effect"])
async def test_a_wake_up_while_a_job_is_being_done_is_not_lost(world: JobWorld, how: str) -> None:
    begun, go_on = asyncio.Event(), asyncio.Event()
    rounds = 0

    async def handle(billing: Billing, job: Job) -> JobOutcome:
        nonlocal rounds
        rounds += 1
        begun.set()
        await go_on.wait()
        if how == "with its effect":
            return await have_effect(billing, job)
        wait = how == "later" and rounds == 1
        return Later(billing.clock.now() + timedelta(days=365), "an event") if wait else Done()

    await world.promise("a")
    async with world.running(handle):
        await begun.wait()
        for _ in range(3):
            await world.wake("a")
        go_on.set()

        async def ran_twice() -> None:
            assert (rounds, (await world.job("a")).state) == (2, JobState.DONE)

        await eventually(ran_twice)

    assert rounds == 2


async def test_a_worker_that_lost_its_lease_changes_nothing(world: JobWorld) -> None:
    begun, stale, over = asyncio.Event(), asyncio.Event(), asyncio.Event()
    rounds = 0

    async def write(billing: Billing, job: Job) -> JobOutcome:
        await billing.database.run(lambda connection: write_effect(billing, connection, job))
        return Done()

    async def handle(billing: Billing, job: Job) -> JobOutcome:
        nonlocal rounds
        rounds += 1
        if rounds > 1:
            return await write(billing, job)
        begun.set()
        try:
            await stale.wait()
            return await write(billing, job)
        finally:
            over.set()

    await world.promise("a")
    async with world.running(handle):
        await begun.wait()
        # It is taken for dead, as after a long sleep of its machine.
        held = await world.table.held(world.database)
        await world.database.run(lambda connection: world.table.reclaim(connection, held))
        await world.becomes("a", JobState.DONE)
        stale.set()
        await over.wait()

    assert (rounds, await world.effects()) == (2, {"a": 1})


async def test_a_job_longer_than_its_lease_keeps_it(world: JobWorld) -> None:
    rounds = 0

    async def handle(billing: Billing, job: Job) -> JobOutcome:
        nonlocal rounds
        rounds += 1
        await asyncio.sleep(2.5 * world.table.lease_seconds)
        return await have_effect(billing, job)

    await world.promise("a")
    async with world.running(handle), world.running(handle):
        await world.becomes("a", JobState.DONE)

    assert (rounds, await world.effects()) == (1, {"a": 1})


async def test_a_stop_waits_for_what_runs_and_takes_nothing_new(world: JobWorld) -> None:
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def handle(billing: Billing, job: Job) -> JobOutcome:
        begun.set()
        await go_on.wait()
        return await have_effect(billing, job)

    await world.promise("a")
    async with world.running(handle) as runner:
        await begun.wait()
        runner.stop()
        await world.promise("b")
        for _ in range(LOOKS):  # one who still took jobs would have this one by now: it asks the same database
            assert (await world.job("b")).state is JobState.WAITING
        go_on.set()

    assert await world.effects() == {"a": 1}
    assert (await world.job("b")).state is JobState.WAITING


async def test_a_runner_that_is_cut_off_gives_back_what_it_holds(world: JobWorld) -> None:
    begun = asyncio.Event()

    async def hang(billing: Billing, job: Job) -> JobOutcome:
        begun.set()
        await asyncio.Event().wait()
        return Done()

    await world.promise("a")
    task = spawn(world.runner(hang).run(), name="runner")
    await begun.wait()
    task.cancel()
    await asyncio.wait([task])
    given_back = await world.job("a")
    async with world.running():
        await world.becomes("a", JobState.DONE)

    assert task.cancelled()
    assert (given_back.state, given_back.attempts, given_back.reclaims) == (JobState.WAITING, 0, 0)
    assert await world.effects() == {"a": 1}


async def test_many_nodes_share_the_work_and_do_each_job_once(world: JobWorld) -> None:
    keys = [f"job-{number}" for number in range(60)]

    async with AsyncExitStack() as nodes:
        for _ in range(4):
            await nodes.enter_async_context(world.running(places=4))
        await world.promise(*keys)

        async def all_done() -> None:
            assert len(await world.effects()) == len(keys)

        await eventually(all_done)

    assert await world.effects() == dict.fromkeys(keys, 1)


async def _has_failed(world: JobWorld, key: str, times: int) -> None:
    async def it_has() -> None:
        job = await world.job(key)
        assert (job.attempts, job.state) == (times, JobState.WAITING)

    await eventually(it_has)


async def _is_tried_again(world: JobWorld, key: str, *, after_hours: int) -> None:
    """Put the clock forward and wait for another unclear failure."""
    before = (await world.job(key)).due_at
    world.clock.advance(hours=3 if after_hours else 0)

    async def it_is() -> None:
        job = await world.job(key)
        assert job.reason is not None
        assert job.due_at > before
        assert (job.state, job.attempts) == (JobState.WAITING, 0)
        assert job.due_at - world.clock.now() <= timedelta(seconds=60)

    await eventually(it_is)
