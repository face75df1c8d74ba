"""The two engines of the jobs, each with the queue that use cases write to and the runner that empties it."""

from dataclasses import dataclass
from typing import Protocol

from gateway.domain.clock import Clock
from gateway.jobs_runner.census import CountWatcher
from gateway.jobs_runner.polling import JobRunner
from gateway.services.billing import Billing
from gateway.services.jobs.doing import JobWatcher
from gateway.services.jobs.table import JobTable


class Runner(Protocol):
    """Does jobs until it is told to stop; cancelled, it gives back what it holds."""

    async def run(self) -> None: ...

    def stop(self) -> None: ...


class NewRunner(Protocol):
    """Makes a runner for this process."""

    def __call__(
        self, billing: Billing, table: JobTable, *, watch: JobWatcher, watch_counts: CountWatcher
    ) -> Runner: ...


@dataclass(frozen=True, slots=True)
class JobEngine:
    """`table` goes into Billing; `new_runner` makes what works it off."""

    table: JobTable
    new_runner: NewRunner


def embedded(clock: Clock) -> JobEngine:
    """The table alone, on either database."""
    return JobEngine(JobTable(clock), JobRunner)


def pgqueuer(clock: Clock) -> JobEngine:
    """The table with pgqueuer to deliver; its package is an extra, so it is imported only here."""
    from gateway.jobs_runner.delivered import DeliveredJobRunner  # noqa: PLC0415 - the extra may be missing
    from gateway.services.jobs.pgqueuer_engine import Deliveries  # noqa: PLC0415 - the same

    deliveries = Deliveries(clock)
    table = JobTable(clock, deliver=deliveries.send)

    def new_runner(
        billing: Billing, table: JobTable, *, watch: JobWatcher, watch_counts: CountWatcher
    ) -> DeliveredJobRunner:
        return DeliveredJobRunner(billing, table, deliveries, watch=watch, watch_counts=watch_counts)

    return JobEngine(table, new_runner)
