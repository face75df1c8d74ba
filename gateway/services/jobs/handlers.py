"""Which function does which kind of job."""

from collections.abc import Awaitable, Callable, Mapping
from types import MappingProxyType
from typing import Final

from gateway.services.billing import Billing
from gateway.services.jobs.port import Job, JobOutcome
from gateway.services.payouts import PAYOUT_JOB, do_payout_job
from gateway.services.taken_back.disputes import DISPUTE_JOB, do_dispute_job
from gateway.services.upkeep import DROP_PAYLOADS, TIDY_JOBS, do_drop_payloads, do_tidy_jobs

JobHandler = Callable[[Billing, Job], Awaitable[JobOutcome]]

#: Every kind of job, by its name: `payout.send`, `dispute.finish`, and what is done by the calendar.
HANDLERS: Final[Mapping[str, JobHandler]] = MappingProxyType(
    {
        PAYOUT_JOB: do_payout_job,
        DISPUTE_JOB: do_dispute_job,
        TIDY_JOBS: do_tidy_jobs,
        DROP_PAYLOADS: do_drop_payloads,
    }
)
