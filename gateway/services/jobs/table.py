"""The table `job` as a queue: claimed under a lease, fenced by a token, tried again, given up."""

import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, cast
from uuid import UUID

import orjson

from gateway.db import Connection, Database, Row
from gateway.db.rows import identifier, integer, moment, moment_or_none, text
from gateway.domain.clock import Clock, due_at_once
from gateway.domain.ids import new_id
from gateway.services.jobs import statements
from gateway.services.jobs.port import Job, LeaseLost, NewJob
from models.job import JobState

#: How long a claimed job belongs to a worker that gives no sign of life; then it is taken back.
LEASE_SECONDS: Final = 30.0
#: Certain failures after which a job waits for a person.
ATTEMPTS_MAX: Final = 10
#: Times in a row that a job may be taken back, because the worker died with the job, before a person must look.
RECLAIMS_MAX: Final = 8
#: How long a job is tried while nothing clear is heard.
UNCLEAR_DAYS_MAX: Final = 3
RETRY_SECONDS_FIRST: Final = 1
RETRY_SECONDS_MAX: Final = 3_600
UNCLEAR_SECONDS_MAX: Final = 60
KIND_CHARACTERS_MAX: Final = 100
KEY_CHARACTERS_MAX: Final = 255
ARGS_BYTES_MAX: Final = 2_000
REASON_CHARACTERS_MAX: Final = 500
#: Longer than any pause between two tries; what waits untouched for as long was put off by a clock that is ahead.
PUT_OFF_SECONDS_MAX: Final = 300
#: Among how many held jobs the silent ones are looked for, and among how many that were put off those too far.
HELD_LOOKED_AT_MAX: Final = 1_000
PUT_OFF_LOOKED_AT_MAX: Final = 1_000
#: Jobs of silent workers that one transaction takes back.
RECLAIMED_AT_ONCE_MAX: Final = 100

#: Told in the same transaction that a job is due at a time; an engine that delivers notes it there.
Deliver = Callable[[Connection, UUID, datetime], Awaitable[None]]


async def _nobody_delivers(connection: Connection, job_id: UUID, due_at: datetime) -> None:
    """The table itself is looked at."""


@dataclass(frozen=True, slots=True)
class HeldJob:
    """A job in some worker's hands. Its lease changes with every sign of life that the worker gives."""

    id: UUID
    kind: str
    key: str
    token: int
    reclaims: int
    lease_until: datetime


@dataclass(frozen=True, slots=True)
class PutOffJob:
    """A job that waits for its next try."""

    id: UUID
    token: int
    due_at: datetime


@dataclass(frozen=True, slots=True)
class Reclaimed:
    """A job whose worker fell silent, and what became of it."""

    kind: str
    key: str
    state: JobState
    reclaims: int


class JobTable:
    """The truth about every job, whichever engine delivers them. Any number of workers may use it, anywhere."""

    def __init__(
        self,
        clock: Clock,
        *,
        deliver: Deliver = _nobody_delivers,
        jitter: Callable[[], float] = random.random,
        lease_seconds: float = LEASE_SECONDS,
    ) -> None:
        self._clock = clock
        self._deliver = deliver
        self._jitter = jitter
        self.lease_seconds = lease_seconds

    async def enqueue(self, connection: Connection, job: NewJob) -> bool:
        """Promise the job; see JobQueue."""
        args = _checked_args(job)
        now = self._clock.now()
        job_id = new_id(now)
        due_at = due_at_once(job.run_at) if job.run_at <= now else job.run_at
        added = await connection.execute(statements.ENQUEUE, (job_id, job.kind, job.key, args, due_at, now))
        if added:
            await self._deliver(connection, job_id, job.run_at)
        return added == 1

    async def wake(self, connection: Connection, kind: str, key: str) -> bool:
        """Have the job run now; see JobQueue."""
        row = await connection.fetch_one(statements.WAKE, (kind, key, self._clock.now()))
        if row is not None:
            await self._deliver_waiting(connection, identifier(row, "id"), row)
        return row is not None

    async def finish(self, connection: Connection, job: Job) -> None:
        """Close the job with its effect; see JobQueue."""
        await self._change(connection, statements.FINISH, job, self._clock.now())

    async def claim(self, connection: Connection, *, limit: int) -> list[Job]:
        """Take jobs that are due, those first that have waited longest."""
        now = self._clock.now()
        rows = await connection.fetch(statements.CLAIM, (now, now + self._lease, limit))
        return [_job(row) for row in rows]

    async def claim_one(self, connection: Connection, job_id: UUID) -> Job | None:
        """Take this job if it is due and nobody has it; one that is not due yet is delivered again when it is."""
        now = self._clock.now()
        row = await connection.fetch_one(statements.CLAIM_ONE, (now, now + self._lease, job_id))
        if row is not None:
            return _job(row)
        waiting = await connection.fetch_one(statements.WAITS_UNTIL, (job_id,))
        if waiting is not None:
            await self._deliver(connection, job_id, moment(waiting, "due_at"))
        return None

    async def anything_due(self, database: Database) -> bool:
        """Whether there may be something to claim; read without any lock."""
        return await database.fetch_one(statements.ANY_DUE, (self._clock.now(),)) is not None

    async def held(self, database: Database) -> list[HeldJob]:
        """What workers hold now; whether they live is for a SilenceWatch to say."""
        rows = await database.fetch(statements.LEASED, (HELD_LOOKED_AT_MAX,))
        return [_held(row) for row in rows]

    async def renew(self, connection: Connection, job: Job) -> bool:
        """Hold the job for another lease; False when it is lost or closed."""
        until = self._clock.now() + self._lease
        return await connection.execute(statements.RENEW, (job.id, job.token, until)) == 1

    async def put_off(self, connection: Connection, job: Job, *, until: datetime, reason: str) -> None:
        """The job waits for something; nothing failed. Raises LeaseLost."""
        await self._put_back(connection, job, state=JobState.WAITING, due_at=until, reason=reason)

    async def fail(self, connection: Connection, job: Job, *, reason: str, unclear: bool) -> JobState:
        """Put a job that failed back for later, or aside for a person; returns which. Raises LeaseLost.

        What is `unclear` is tried again after as long as it has failed already, a minute at most, for days; what
        fails for certain a few times.
        """
        now = self._clock.now()
        since = job.failing_since or now
        attempts = job.attempts if unclear else job.attempts + 1
        dead = now - since >= timedelta(days=UNCLEAR_DAYS_MAX) if unclear else attempts >= ATTEMPTS_MAX
        seconds = unclear_seconds(now - since) if unclear else retry_seconds(attempts)
        return await self._put_back(
            connection,
            job,
            state=JobState.DEAD if dead else JobState.WAITING,
            due_at=now + timedelta(seconds=seconds * (1 + self._jitter()) / 2),
            reason=reason,
            attempts=attempts,
            failing_since=since,
        )

    async def give_back(self, connection: Connection, job: Job) -> None:
        """The worker stops; another may have the job at once. Raises LeaseLost."""
        await self._change(connection, statements.GIVE_BACK, job)

    async def reclaim(self, connection: Connection, silent: Sequence[HeldJob]) -> list[Reclaimed]:
        """Take back jobs whose workers fell silent, but for those that gave a sign of life since they were read.

        From the second time on they wait a random moment before they are due, so that a job that kills its worker
        soon dies alone, and not with those that happened to be beside it.
        """
        taken = [await self._reclaim_one(connection, job) for job in silent[:RECLAIMED_AT_ONCE_MAX]]
        return [one for one in taken if one is not None]

    async def retries(self, database: Database) -> list[PutOffJob]:
        """Jobs that failed and whose next try has not come by this clock, the latest first."""
        rows = await database.fetch(statements.PUT_OFF, (self._clock.now(), PUT_OFF_LOOKED_AT_MAX))
        return [PutOffJob(identifier(row, "id"), integer(row, "token"), moment(row, "due_at")) for row in rows]

    async def free_misplanned(self, connection: Connection, jobs: Sequence[PutOffJob]) -> int:
        """Make due what waits as it was seen; returns how many jobs that were."""
        freed = 0
        for job in jobs:
            row = await connection.fetch_one(statements.FREE, (job.id, job.token, job.due_at, self._clock.now()))
            if row is not None:
                freed += 1
                await self._deliver_waiting(connection, job.id, row)
        return freed

    async def state_of(self, database: Database, job: Job) -> JobState | None:
        """What the job is in now; None when another worker has taken it over since."""
        row = await database.fetch_one(statements.STATE_OF, (job.id, job.token))
        return None if row is None else JobState(text(row, "state"))

    @property
    def _lease(self) -> timedelta:
        return timedelta(seconds=self.lease_seconds)

    async def _put_back(
        self,
        connection: Connection,
        job: Job,
        *,
        state: JobState,
        due_at: datetime,
        reason: str,
        attempts: int = 0,
        failing_since: datetime | None = None,
    ) -> JobState:
        reason = reason[:REASON_CHARACTERS_MAX].replace("\x00", "\N{REPLACEMENT CHARACTER}")
        rest = (self._clock.now(), due_at, state.value, attempts, failing_since, reason)
        return await self._change(connection, statements.PUT_BACK, job, *rest)

    async def _change(self, connection: Connection, statement: str, job: Job, *rest: object) -> JobState:
        """Change a job that is held; `rest` are the parameters after its id and its token."""
        row = await connection.fetch_one(statement, (job.id, job.token, *rest))
        if row is None:
            raise LeaseLost(f"{job.kind} {job.key}")
        await self._deliver_waiting(connection, job.id, row)
        return JobState(text(row, "state"))

    async def _deliver_waiting(self, connection: Connection, job_id: UUID, row: Row) -> None:
        if row["state"] == JobState.WAITING:
            await self._deliver(connection, job_id, moment(row, "due_at"))

    async def _reclaim_one(self, connection: Connection, job: HeldJob) -> Reclaimed | None:
        reclaims = job.reclaims + 1
        state = JobState.DEAD if reclaims > RECLAIMS_MAX else JobState.WAITING
        pause_seconds = 0 if reclaims == 1 else min(2**reclaims, UNCLEAR_SECONDS_MAX) * self._jitter()
        due_at = self._clock.now() + timedelta(seconds=pause_seconds)
        reason = f"The worker that did it fell silent, {reclaims} {'time' if reclaims == 1 else 'times'} in a row."
        row = await connection.fetch_one(
            statements.RECLAIM, (job.id, job.token, job.lease_until, state.value, due_at, reclaims, reason)
        )
        if row is None:
            return None
        await self._deliver_waiting(connection, job.id, row)
        return Reclaimed(job.kind, job.key, JobState(text(row, "state")), reclaims)


def retry_seconds(attempts: int) -> int:
    """1 s, 2 s, 4 s … up to an hour."""
    return min(RETRY_SECONDS_FIRST * 2 ** max(attempts - 1, 0), RETRY_SECONDS_MAX)


def unclear_seconds(failing: timedelta) -> float:
    """As long as it has failed already, which doubles it each time, and a minute at most."""
    return min(max(failing.total_seconds(), RETRY_SECONDS_FIRST), UNCLEAR_SECONDS_MAX)


def _checked_args(job: NewJob) -> str:
    if not 0 < len(job.kind) <= KIND_CHARACTERS_MAX:
        raise ValueError(f"A job's kind has 1 to {KIND_CHARACTERS_MAX} characters; got {job.kind!r}.")
    if not 0 < len(job.key) <= KEY_CHARACTERS_MAX:
        raise ValueError(f"A job's key has 1 to {KEY_CHARACTERS_MAX} characters; got {job.key!r}.")
    args = orjson.dumps(dict(job.args))
    if len(args) > ARGS_BYTES_MAX:
        raise ValueError(f"A job's args have at most {ARGS_BYTES_MAX} bytes, for they are ids; got {len(args)}.")
    return args.decode()


def _job(row: Row) -> Job:
    return Job(
        id=identifier(row, "id"),
        kind=text(row, "kind"),
        key=text(row, "key"),
        args=cast("Mapping[str, str]", orjson.loads(text(row, "args"))),
        attempts=integer(row, "attempts"),
        token=integer(row, "token"),
        failing_since=moment_or_none(row, "failing_since"),
    )


def _held(row: Row) -> HeldJob:
    return HeldJob(
        id=identifier(row, "id"),
        kind=text(row, "kind"),
        key=text(row, "key"),
        token=integer(row, "token"),
        reclaims=integer(row, "reclaims"),
        lease_until=moment(row, "lease_until"),
    )
