"""The table of jobs by itself: claims, leases, fences, and what becomes of failures, with a clock that stands still."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

import pytest

from gateway.db import Connection, Database
from gateway.domain.clock import ManualClock
from gateway.services.jobs import Job, LeaseLost, NewJob
from gateway.services.jobs.listing import ARGS_KEPT, JobEntry, KindCount, count_jobs, find_job, list_jobs, tidy_jobs
from gateway.services.jobs.table import ATTEMPTS_MAX, RECLAIMS_MAX, UNCLEAR_DAYS_MAX, JobTable, Reclaimed
from models.job import JobState
from tests.services.market_world import open_market

START = datetime(2026, 11, 2, 9, 0, tzinfo=UTC)
KIND = "test"


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(START)


@pytest.fixture
def table(clock: ManualClock) -> JobTable:
    """Its random waits are as long as they can be."""
    return JobTable(clock, jitter=lambda: 1.0)


def _new(key: str, *, run_at: datetime = START, args: dict[str, str] | None = None, kind: str = KIND) -> NewJob:
    return NewJob(kind=kind, key=key, run_at=run_at, args=args or {})


async def _enqueue(database: Database, table: JobTable, *jobs: NewJob) -> list[bool]:
    async def work(connection: Connection) -> list[bool]:
        return [await table.enqueue(connection, job) for job in jobs]

    return await database.run(work)


async def _claim(database: Database, table: JobTable, *, limit: int = 10) -> list[Job]:
    return await database.run(lambda connection: table.claim(connection, limit=limit))


async def _claim_only(database: Database, table: JobTable) -> Job:
    (job,) = await _claim(database, table)
    return job


async def _entry(database: Database, key: str) -> JobEntry:
    entry = await find_job(database, kind=KIND, key=key)
    assert entry is not None
    return entry


async def _reclaim(database: Database, table: JobTable) -> list[Reclaimed]:
    """Take back whatever is held, as one does who has seen it stand still for a lease."""
    held = await table.held(database)
    return await database.run(lambda connection: table.reclaim(connection, held))


async def _fail(database: Database, table: JobTable, job: Job, *, unclear: bool = False) -> JobState:
    return await database.run(lambda connection: table.fail(connection, job, reason="no", unclear=unclear))


async def test_a_key_is_promised_once_in_each_kind_and_for_ever(database: Database, table: JobTable) -> None:
    assert await _enqueue(database, table, _new("a"), _new("a"), _new("a", kind="other")) == [True, False, True]
    for job in await _claim(database, table):
        await database.run(lambda connection, job=job: table.finish(connection, job))

    assert await _enqueue(database, table, _new("a", args={"new": "args"})) == [False]
    assert (await _entry(database, "a")).state is JobState.DONE


@pytest.mark.parametrize(
    "job",
    [
        _new(""),
        _new("k" * 256),
        _new("a", kind=""),
        _new("a", kind="k" * 101),
        _new("a", args={"id": "x" * 2_000}),
    ],
    ids=["no key", "long key", "no kind", "long kind", "long args"],
)
async def test_a_job_that_does_not_fit_is_refused(database: Database, table: JobTable, job: NewJob) -> None:
    with pytest.raises(ValueError, match="A job's"):
        await _enqueue(database, table, job)

    assert await list_jobs(database) == []


async def test_claims_take_what_is_due_and_those_first_that_waited_longest(
    database: Database, table: JobTable, clock: ManualClock
) -> None:
    await _enqueue(
        database,
        table,
        _new("now"),
        _new("later", run_at=START + timedelta(seconds=1)),
        _new("before", run_at=START - timedelta(hours=1), args={"id": "né ☃"}),
    )

    assert await table.anything_due(database)
    (first,) = await _claim(database, table, limit=1)
    (second,) = await _claim(database, table)
    assert not await table.anything_due(database)
    clock.advance(timedelta(seconds=1))
    (third,) = await _claim(database, table)

    assert [first.key, second.key, third.key] == ["before", "now", "later"]
    assert (first.args, first.attempts, first.token) == ({"id": "né ☃"}, 0, 1)


@pytest.mark.parametrize("hours", [2, -2])
async def test_a_job_that_need_not_wait_is_due_by_any_clock_and_is_not_called_late(
    database: Database, table: JobTable, clock: ManualClock, hours: int
) -> None:
    await _enqueue(database, table, _new("now"), _new("later", run_at=START + timedelta(hours=3)))
    other = JobTable(ManualClock(clock.now() + timedelta(hours=hours)))

    counts = await count_jobs(database, now=clock.now())
    assert counts[KIND].late == timedelta(0)
    assert (await _entry(database, "now")).due_at == START
    assert await other.anything_due(database)
    assert [job.key for job in await _claim(database, other)] == ["now"]


async def test_those_who_claim_at_once_never_get_the_same_job(database: Database, table: JobTable) -> None:
    keys = [f"job-{number:02}" for number in range(40)]
    await _enqueue(database, table, *(_new(key) for key in keys))

    claims = await asyncio.gather(*(_claim(database, table, limit=7) for _ in range(12)))
    rest = await _claim(database, table, limit=40)

    taken = [job.key for claim in (*claims, rest) for job in claim]
    assert sorted(taken) == keys


async def test_those_who_promise_the_same_at_once_make_one_job(database: Database, table: JobTable) -> None:
    answers = await asyncio.gather(*(_enqueue(database, table, _new("a")) for _ in range(20)))

    assert sum(answer == [True] for answer in answers) == 1
    assert len(await list_jobs(database)) == 1


async def test_a_stale_owner_changes_nothing_in_any_way(
    database: Database, table: JobTable, clock: ManualClock
) -> None:
    await _enqueue(database, table, _new("a"))
    stale = await _claim_only(database, table)
    await _reclaim(database, table)
    between = await _entry(database, "a")
    ways: list[Callable[[Connection], Awaitable[object]]] = [
        lambda connection: table.finish(connection, stale),
        lambda connection: table.put_off(connection, stale, until=START, reason="stale"),
        lambda connection: table.fail(connection, stale, reason="stale", unclear=False),
        lambda connection: table.give_back(connection, stale),
    ]

    for way in ways:
        with pytest.raises(LeaseLost):
            await database.run(way)
    assert not await database.run(lambda connection: table.renew(connection, stale))
    assert await _entry(database, "a") == between
    owner = await _claim_only(database, table)
    for way in ways:
        with pytest.raises(LeaseLost):
            await database.run(way)
    assert not await database.run(lambda connection: table.renew(connection, stale))

    assert await table.state_of(database, stale) is None
    assert await table.state_of(database, owner) is JobState.DOING
    await database.run(lambda connection: table.finish(connection, owner))
    with pytest.raises(LeaseLost):
        await database.run(lambda connection: table.finish(connection, owner))


async def test_a_job_is_taken_back_only_as_it_was_when_it_was_found_silent(
    database: Database, table: JobTable, clock: ManualClock
) -> None:
    await _enqueue(database, table, _new("a"))
    job = await _claim_only(database, table)
    held = await table.held(database)

    clock.advance(timedelta(seconds=1))
    assert await database.run(lambda connection: table.renew(connection, job))
    assert await database.run(lambda connection: table.reclaim(connection, held)) == []
    (taken,) = await _reclaim(database, table)

    assert (taken.key, taken.state, taken.reclaims) == ("a", JobState.WAITING, 1)
    assert await database.run(lambda connection: table.reclaim(connection, held)) == []
    assert (await _claim_only(database, table)).token == job.token + 2


async def test_a_job_that_was_woken_is_not_given_up_with_its_worker(database: Database, table: JobTable) -> None:
    await _enqueue(database, table, _new("a"))
    await database.run(lambda connection: connection.execute("UPDATE job SET reclaims = $1", (RECLAIMS_MAX,)))
    await _claim_only(database, table)
    await database.run(lambda connection: table.wake(connection, KIND, "a"))

    (taken,) = await _reclaim(database, table)

    assert (taken.state, taken.reclaims) == (JobState.WAITING, RECLAIMS_MAX + 1)


async def test_a_job_that_kills_its_workers_is_set_aside_with_the_reason(
    database: Database, table: JobTable, clock: ManualClock
) -> None:
    await _enqueue(database, table, _new("a"))
    deaths = 0
    while (await _entry(database, "a")).state is not JobState.DEAD:
        clock.advance(timedelta(minutes=2))
        await _claim_only(database, table)
        await _reclaim(database, table)
        deaths += 1
        assert deaths <= RECLAIMS_MAX + 1

    dead = await _entry(database, "a")
    assert (deaths, dead.attempts) == (RECLAIMS_MAX + 1, 0)
    assert dead.reason == "The worker that did it fell silent, 9 times in a row."
    assert await database.run(lambda connection: table.wake(connection, KIND, "a"))
    assert (await _entry(database, "a")).reclaims == 0


async def test_an_orderly_end_forgets_workers_that_died(
    database: Database, table: JobTable, clock: ManualClock
) -> None:
    await _enqueue(database, table, _new("a"))
    await _claim_only(database, table)
    await _reclaim(database, table)
    job = await _claim_only(database, table)
    assert (await _entry(database, "a")).reclaims == 1

    await database.run(lambda connection: table.put_off(connection, job, until=clock.now(), reason="later"))

    assert (await _entry(database, "a")).reclaims == 0


async def test_certain_failures_wait_twice_as_long_each_time_and_die_after_ten(
    database: Database, table: JobTable, clock: ManualClock
) -> None:
    await _enqueue(database, table, _new("a"))
    waits: list[float] = []
    for _ in range(ATTEMPTS_MAX - 1):
        assert await _fail(database, table, await _claim_only(database, table)) is JobState.WAITING
        wait = (await _entry(database, "a")).due_at - clock.now()
        waits.append(wait.total_seconds())
        nearly = START + timedelta(days=3) - timedelta(minutes=5)
        clock.advance(wait if len(waits) != 20 else nearly - clock.now())
    last = await _fail(database, table, await _claim_only(database, table))

    assert waits == [1, 2, 4, 8, 16, 32, 64, 128, 256]
    assert last is JobState.DEAD
    assert (await _entry(database, "a")).reason == "no"
    clock.advance(timedelta(days=30))
    assert await _claim(database, table) == []


async def test_unclear_failures_are_tried_each_minute_for_three_days_and_count_as_none(
    database: Database, table: JobTable, clock: ManualClock
) -> None:
    await _enqueue(database, table, _new("a"))
    waits: list[float] = []
    while await _fail(database, table, job := await _claim_only(database, table), unclear=True) is JobState.WAITING:
        assert job.attempts == 0
        wait = (await _entry(database, "a")).due_at - clock.now()
        waits.append(wait.total_seconds())
        clock.advance(wait)

    assert waits[:9] == [1, 1, 2, 4, 8, 16, 32, 60, 60]
    assert max(waits) == 60
    assert timedelta(days=3) <= clock.now() - START < timedelta(days=3, minutes=2)


async def test_waiting_in_between_begins_the_count_anew(database: Database, table: JobTable) -> None:
    await _enqueue(database, table, _new("a"))
    await _fail(database, table, await _claim_only(database, table))
    assert (await _entry(database, "a")).attempts == 1
    await database.run(lambda connection: table.wake(connection, KIND, "a"))
    job = await _claim_only(database, table)
    await _fail(database, table, job)
    await database.run(lambda connection: table.wake(connection, KIND, "a"))
    job = await _claim_only(database, table)
    await database.run(lambda connection: table.put_off(connection, job, until=START, reason="later"))

    entry = await _entry(database, "a")
    assert (entry.attempts, entry.failing_since, entry.reason) == (0, None, "later")


@pytest.mark.parametrize("unclear", [False, True])
async def test_a_job_woken_while_it_is_being_done_has_its_failures_forgotten(
    database: Database, table: JobTable, clock: ManualClock, unclear: bool
) -> None:
    long_ago = START - timedelta(days=UNCLEAR_DAYS_MAX)
    await _enqueue(database, table, _new("a"))
    await database.run(
        lambda connection: connection.execute(
            "UPDATE job SET attempts = $1, failing_since = $2", (ATTEMPTS_MAX - 1, long_ago)
        )
    )
    job = await _claim_only(database, table)
    await database.run(lambda connection: table.wake(connection, KIND, "a"))

    first = await _fail(database, table, job, unclear=unclear)
    between = await _entry(database, "a")
    second = await _fail(database, table, await _claim_only(database, table), unclear=unclear)

    assert (between.attempts, between.failing_since) == (0, None)
    assert (first, second) == (JobState.WAITING, JobState.WAITING)


async def test_waking_does_not_make_anybody_wait_longer(
    database: Database, table: JobTable, clock: ManualClock
) -> None:
    await _enqueue(database, table, _new("a"))
    clock.advance(timedelta(hours=1))

    for _ in range(2):
        assert await database.run(lambda connection: table.wake(connection, KIND, "a"))

    assert (await _entry(database, "a")).due_at == START
    assert not await database.run(lambda connection: table.wake(connection, KIND, "b"))
    assert not await database.run(lambda connection: table.wake(connection, "other", "a"))


async def test_a_finish_undone_with_its_effect_leaves_the_job_held(database: Database, table: JobTable) -> None:
    await _enqueue(database, table, _new("a"))
    job = await _claim_only(database, table)

    async def effect(connection: Connection) -> None:
        await table.finish(connection, job)
        raise LookupError("undo")

    with pytest.raises(LookupError):
        await database.run(effect)

    assert await table.state_of(database, job) is JobState.DOING


async def test_args_go_after_a_while_but_the_key_protects_for_ever(
    database: Database, table: JobTable, clock: ManualClock
) -> None:
    billing = open_market(database, clock=clock).billing
    older = START - timedelta(seconds=1)
    await _enqueue(database, table, _new("a", args={"id": "1"}, run_at=older), _new("b", args={"id": "2"}))
    (first,) = await _claim(database, table, limit=1)
    await database.run(lambda connection: table.finish(connection, first))

    await tidy_jobs(billing)
    kept = (await _entry(database, first.key)).args
    clock.advance(ARGS_KEPT + timedelta(seconds=1))
    more = await tidy_jobs(billing)

    assert (kept, more) == ({"id": "1"}, False)
    assert (await _entry(database, first.key)).args == {}
    assert [one.args for one in await list_jobs(database)] == [{"id": "2"}]
    assert await _enqueue(database, table, _new(first.key)) == [False]


async def test_jobs_are_counted_by_kind(database: Database, table: JobTable, clock: ManualClock) -> None:
    soon = START + timedelta(seconds=90)
    await _enqueue(database, table, _new("a"), _new("b"), _new("c", kind="other", run_at=soon), _new("d", kind="other"))
    jobs = await _claim(database, table)
    for job in jobs:
        if job.key == "d":
            await database.run(lambda connection, job=job: table.finish(connection, job))
        if job.key == "a":
            dying = Job(id=job.id, kind=job.kind, key=job.key, args={}, attempts=ATTEMPTS_MAX - 1, token=job.token)
            await _fail(database, table, dying)
    clock.advance(timedelta(seconds=100))

    counts = await count_jobs(database, now=clock.now())

    assert counts == {KIND: KindCount(doing=1, dead=1), "other": KindCount(waiting=1, late=timedelta(seconds=10))}
    assert [one.key for one in await list_jobs(database, state=JobState.DEAD)] == ["a"]
    assert [one.key for one in await list_jobs(database, kind="other")] == ["c"]
    assert [one.key for one in await list_jobs(database, state=JobState.DONE)] == ["d"]
