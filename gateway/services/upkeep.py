"""What is cleaned up by the calendar: jobs that are promised once a period and done by whichever node claims them."""

from collections.abc import Awaitable, Callable
from typing import Final

from gateway.services.billing import Billing
from gateway.services.events.retention import drop_payloads
from gateway.services.jobs.listing import tidy_jobs
from gateway.services.jobs.port import Done, Job, JobOutcome, Later

TIDY_JOBS: Final = "jobs.tidy"
DROP_PAYLOADS: Final = "events.drop_payloads"
#: Batches in one round of a job; when more is left, it comes again at once.
BATCHES_AT_ONCE_MAX: Final = 50


async def do_tidy_jobs(billing: Billing, job: Job) -> JobOutcome:
    """The handler of `jobs.tidy`: jobs done long ago lose their args."""
    return await _in_batches(billing, tidy_jobs)


async def do_drop_payloads(billing: Billing, job: Job) -> JobOutcome:
    """The handler of `events.drop_payloads`: of events done long ago only pointers are left."""
    return await _in_batches(billing, drop_payloads)


async def _in_batches(billing: Billing, batch: Callable[[Billing], Awaitable[bool]]) -> JobOutcome:
    """Each batch is a transaction of its own and can be repeated, so it does not matter where a worker dies."""
    for _ in range(BATCHES_AT_ONCE_MAX):
        if not await batch(billing):
            return Done()
    return Later(billing.clock.now(), "More is left to clean up.")
