"""What an operator sees of the jobs, and the upkeep of their rows."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

import orjson

from gateway.db import Connection, Database, Row
from gateway.db.rows import integer, moment, moment_or_none, text, text_or_none
from gateway.services.billing import Billing
from gateway.services.jobs import statements
from models.job import JobState

#: How long a job that is done keeps its args. Its row stays for ever, so that its key is never used twice.
ARGS_KEPT: Final = timedelta(days=90)
#: Rows that one transaction of the upkeep changes.
TIDIED_AT_ONCE_MAX: Final = 1_000
#: Of each state, those counted for the metrics.
COUNTED_MAX: Final = 10_000
LISTED_MAX: Final = 500

_COLUMNS: Final = (
    "id, kind, key, args, state, due_at, lease_until, attempts, reclaims, failing_since, reason, created_at, done_at"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class KindCount:
    """How one kind of job stands. `late` is by how much the oldest is overdue."""

    waiting: int = 0
    doing: int = 0
    dead: int = 0
    late: timedelta = field(default=timedelta(0))


@dataclass(frozen=True, slots=True, kw_only=True)
class JobEntry:
    """A job as an operator sees it; one that was due at once is due since it was promised."""

    kind: str
    key: str
    args: Mapping[str, str]
    state: JobState
    due_at: datetime
    lease_until: datetime | None
    attempts: int
    reclaims: int
    failing_since: datetime | None
    reason: str | None
    created_at: datetime
    done_at: datetime | None


async def count_jobs(database: Database, *, now: datetime) -> dict[str, KindCount]:
    """The jobs that are not done, by kind; of each state the first 10,000."""
    counts: dict[str, dict[JobState, int]] = defaultdict(dict)
    late: dict[str, timedelta] = {}
    for row in await database.fetch(statements.CENSUS, (COUNTED_MAX,)):
        kind, state = text(row, "kind"), JobState(text(row, "state"))
        counts[kind][state] = integer(row, "jobs")
        if state is JobState.WAITING:
            late[kind] = max(now - moment(row, "due_at"), timedelta(0))
    return {
        kind: KindCount(
            waiting=states.get(JobState.WAITING, 0),
            doing=states.get(JobState.DOING, 0),
            dead=states.get(JobState.DEAD, 0),
            late=late.get(kind, timedelta(0)),
        )
        for kind, states in counts.items()
    }


async def list_jobs(
    database: Database, *, state: JobState | None = None, kind: str | None = None, limit: int = LISTED_MAX
) -> list[JobEntry]:
    """Jobs, those due first on top; of every state but done unless one is named."""
    rows = await database.fetch(
        f"SELECT {_COLUMNS} FROM job WHERE ($1::text IS NULL AND state <> 'done' OR state = $1::text) "
        "AND ($2::text IS NULL OR kind = $2::text) ORDER BY due_at, id LIMIT $3",
        (None if state is None else state.value, kind, limit),
    )
    return [_entry(row) for row in rows]


async def find_job(database: Database, *, kind: str, key: str) -> JobEntry | None:
    """The job of this name."""
    row = await database.fetch_one(f"SELECT {_COLUMNS} FROM job WHERE kind = $1 AND key = $2", (kind, key))
    return None if row is None else _entry(row)


async def tidy_jobs(billing: Billing) -> bool:
    """Drop the args of jobs done long ago; True when there may be more."""
    before = billing.clock.now() - ARGS_KEPT

    async def work(connection: Connection) -> int:
        return await connection.execute(statements.FORGET_ARGS, (before, TIDIED_AT_ONCE_MAX))

    return await billing.database.run(work) == TIDIED_AT_ONCE_MAX


def _entry(row: Row) -> JobEntry:
    return JobEntry(
        kind=text(row, "kind"),
        key=text(row, "key"),
        args=orjson.loads(text(row, "args")),
        state=JobState(text(row, "state")),
        due_at=max(moment(row, "due_at"), moment(row, "created_at")),
        lease_until=moment_or_none(row, "lease_until"),
        attempts=integer(row, "attempts"),
        reclaims=integer(row, "reclaims"),
        failing_since=moment_or_none(row, "failing_since"),
        reason=text_or_none(row, "reason"),
        created_at=moment(row, "created_at"),
        done_at=moment_or_none(row, "done_at"),
    )
