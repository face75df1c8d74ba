"""What use cases know of jobs: promising them, waking them, and closing them with their effect."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol, TypeAlias
from uuid import UUID

from gateway.db import Connection


class LeaseLost(Exception):
    """Another worker has taken the job over; what was about to be written must not be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewJob:
    """Work to be done from `run_at` on. `key` is what it is about, and unique for ever within its kind.

    `args` are dropped some months after the job is done; what may be woken later than that must live by its key.
    """

    kind: str
    key: str
    run_at: datetime
    args: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A job this worker may do until its lease ends; `token` proves it.

    `attempts` failed for certain before; `failing_since` is when the failures began that nothing has ended yet.
    """

    id: UUID
    kind: str
    key: str
    args: Mapping[str, str]
    attempts: int
    token: int
    failing_since: datetime | None = None


@dataclass(frozen=True, slots=True)
class Done:
    """Nothing is left to do."""


@dataclass(frozen=True, slots=True)
class Later:
    """Something is waited for; look again then, or when woken. `reason` is for whoever lists the jobs."""

    run_at: datetime
    reason: str


JobOutcome: TypeAlias = Done | Later


class JobQueue(Protocol):
    """Every method works in the caller's transaction and comes true with its commit."""

    async def enqueue(self, connection: Connection, job: NewJob) -> bool:
        """Promise the job; False, and nothing done, when its kind and key were promised before."""
        ...

    async def wake(self, connection: Connection, kind: str, key: str) -> bool:
        """Have the job run now: whether it waits, is dead or is done, and once more when it is running.

        Its failures are forgotten. False when there is no such job.
        """
        ...

    async def finish(self, connection: Connection, job: Job) -> None:
        """Close the job in the transaction of its effect; the last word of that transaction.

        Raises:
            LeaseLost: another worker holds it now; the effect must roll back with this.
        """
        ...
