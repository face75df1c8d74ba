"""Work by the calendar: each period of a schedule is one job, promised once by whichever node comes first.

All in UTC, which has no summer time. After a downtime the period that has begun is done, once; those that were missed
altogether are not caught up one by one, for the one run does what they would have done.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from gateway.db import Connection
from gateway.services.billing import Billing
from gateway.services.jobs.port import NewJob
from gateway.services.upkeep import DROP_PAYLOADS, TIDY_JOBS


@dataclass(frozen=True, slots=True)
class Periodic:
    """A kind of job that is done once a period. Its handler finds the period's first moment in `args["period"]`.

    `period` says when the period that a moment lies in began.
    """

    kind: str
    period: Callable[[datetime], datetime]


def hourly(moment: datetime) -> datetime:
    """The start of the hour."""
    return moment.astimezone(UTC).replace(minute=0, second=0, microsecond=0)


def daily(moment: datetime) -> datetime:
    """00:00 of the day."""
    return hourly(moment).replace(hour=0)


def weekly(moment: datetime) -> datetime:
    """00:00 of the week's Monday."""
    day = daily(moment)
    return day - timedelta(days=day.weekday())


def monthly(moment: datetime) -> datetime:
    """00:00 of the month's first."""
    return daily(moment).replace(day=1)


#: What is done by the calendar; each kind needs its handler in HANDLERS.
PERIODICS: Final[Sequence[Periodic]] = (Periodic(TIDY_JOBS, daily), Periodic(DROP_PAYLOADS, hourly))


async def enqueue_periodic(billing: Billing, periodics: Sequence[Periodic] = PERIODICS) -> bool:
    """Promise the jobs of the periods that have begun; True when one of them was new."""
    now = billing.clock.now()
    jobs = [_job_of(periodic, now) for periodic in periodics]
    new = [job for job in jobs if not await _is_known(billing, job)]
    if not new:
        return False

    async def work(connection: Connection) -> bool:
        return any([await billing.jobs.enqueue(connection, job) for job in new])

    return await billing.database.run(work)


def _job_of(periodic: Periodic, now: datetime) -> NewJob:
    start = periodic.period(now).isoformat()
    return NewJob(kind=periodic.kind, key=start, run_at=now, args={"period": start})


async def _is_known(billing: Billing, job: NewJob) -> bool:
    """Nearly always: looked up first, so that nothing is written between two periods."""
    row = await billing.database.fetch_one(
        "SELECT 1 AS known FROM job WHERE kind = $1 AND key = $2", (job.kind, job.key)
    )
    return row is not None
