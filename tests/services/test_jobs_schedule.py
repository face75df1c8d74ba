"""Work by the calendar is promised once a period, whoever comes first and however late."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pytest

from gateway.db import Database, open_database
from gateway.domain.clock import ManualClock
from gateway.services.jobs.listing import list_jobs
from gateway.services.jobs.schedule import PERIODICS, Periodic, daily, enqueue_periodic, hourly, monthly, weekly
from gateway.services.jobs.table import JobTable
from tests.services.market_world import open_market

MONDAY = datetime(2026, 11, 2, tzinfo=UTC)
WEEKLY = Periodic("test.weekly", weekly)


@pytest.mark.parametrize(
    ("period", "moment", "start"),
    [
        (hourly, "2026-11-02T09:59:59.999999+00:00", "2026-11-02T09:00:00+00:00"),
        (daily, "2026-03-29T23:59:59+00:00", "2026-03-29T00:00:00+00:00"),
        (weekly, "2026-11-02T00:00:00+00:00", "2026-11-02T00:00:00+00:00"),
        (weekly, "2026-11-01T23:59:59.999999+00:00", "2026-10-26T00:00:00+00:00"),
        (weekly, "2027-01-01T12:00:00+00:00", "2026-12-28T00:00:00+00:00"),
        (monthly, "2028-02-29T12:00:00+00:00", "2028-02-01T00:00:00+00:00"),
        (monthly, "2026-12-31T23:59:59+00:00", "2026-12-01T00:00:00+00:00"),
    ],
)
def test_periods_begin_in_utc(period: Callable[[datetime], datetime], moment: str, start: str) -> None:
    assert period(datetime.fromisoformat(moment)) == datetime.fromisoformat(start)


def test_a_moment_of_another_zone_lies_in_the_period_of_utc() -> None:
    in_the_east = datetime(2026, 11, 2, 3, 0, tzinfo=timezone(timedelta(hours=9)))

    assert weekly(in_the_east) == datetime(2026, 10, 26, tzinfo=UTC)


async def test_twenty_nodes_promise_a_period_once(database: Database, database_url: str) -> None:
    clock = ManualClock(MONDAY)
    async with open_database(database_url) as second:
        nodes = [replace(open_market(one, clock=clock).billing) for one in (database, second)] * 10
        answers = await asyncio.gather(*(enqueue_periodic(node, [WEEKLY]) for node in nodes))

    assert answers.count(True) == 1
    (job,) = await list_jobs(database)
    assert (job.kind, job.key, dict(job.args)) == (
        "test.weekly",
        "2026-11-02T00:00:00+00:00",
        {"period": "2026-11-02T00:00:00+00:00"},
    )


async def test_after_a_long_downtime_one_run_makes_up_for_all(database: Database) -> None:
    clock = ManualClock(MONDAY + timedelta(hours=1))
    billing = open_market(database, clock=clock).billing
    await enqueue_periodic(billing, [WEEKLY])

    clock.advance(timedelta(weeks=50, days=3))
    came_back = await enqueue_periodic(billing, [WEEKLY])
    once_more = await enqueue_periodic(billing, [WEEKLY])

    assert (came_back, once_more) == (True, False)
    assert [job.key[:10] for job in await list_jobs(database)] == ["2026-11-02", "2027-10-18"]


async def test_a_period_that_was_done_is_not_promised_again(database: Database) -> None:
    clock = ManualClock(MONDAY)
    table = JobTable(clock)
    billing = replace(open_market(database, clock=clock).billing, jobs=table)
    await enqueue_periodic(billing, [WEEKLY])
    (job,) = await database.run(lambda connection: table.claim(connection, limit=1))
    await database.run(lambda connection: table.finish(connection, job))

    clock.advance(timedelta(days=6, hours=23))

    assert not await enqueue_periodic(billing, [WEEKLY])


def test_each_kind_of_the_calendar_stands_there_once() -> None:
    kinds = [periodic.kind for periodic in PERIODICS]

    assert len(set(kinds)) == len(kinds)
