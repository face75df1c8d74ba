"""Durable jobs: work that is promised in a transaction and done later, at least once, with its effect once.

**To promise** work, in the transaction of the rows it is about:

    await billing.jobs.enqueue(connection, NewJob(kind="payout.send", key=str(payout_id), args={}, run_at=now))

`(kind, key)` is unique for ever: a second `enqueue` does nothing and says False. The transaction rolls back: no job.

**To do** it, write a handler, `async (billing, job) -> Done() | Later(run_at, reason)`, and name it in
`gateway.services.jobs.handlers.HANDLERS`. It may run more than once, also beside a slow copy of itself, so it does its
effect in one transaction that ends with the job:

    async def effect(connection: Connection) -> None:
        ...
        await billing.jobs.finish(connection, job)  # LeaseLost: another worker has it, so all of this rolls back

- `Done()` closes a job that is not closed yet.
- `Later(run_at, reason)` waits. Waiting is not failing: nothing is counted.
- `BillingError`, `DatabaseUnavailable` and `TimeoutError` say nothing for certain: tried again after at most a minute,
  for days.
- Any other exception is a failure for certain: tried again after 1 s, 2 s, 4 s … up to an hour, and dead after ten.

**To wake** it, because something happened: `await billing.jobs.wake(connection, kind, key)`. One that waits is due at
once, one that is done or dead runs again, one that is being done runs once more after.

**By the calendar**: `gateway.services.jobs.schedule`.
"""

from gateway.services.jobs.port import Done, Job, JobOutcome, JobQueue, Later, LeaseLost, NewJob

__all__ = ["Done", "Job", "JobOutcome", "JobQueue", "Later", "LeaseLost", "NewJob"]
