"""Work that is promised in the transaction of the rows it is about.

`token` grows with every claim: who holds an older one has lost the job. `woken` is a wake-up that came while the job
was being done, so it is done once more. `attempts` are failures for certain, `reclaims` are leases that ran out because
a worker went silent. `failing_since` is the first of the failures that stand between now and the last success.
"""

from models.migrations import Migration

_COLUMNS = """
    id {uuid} NOT NULL PRIMARY KEY,
    kind {text} NOT NULL,
    key {text} NOT NULL,
    args {text} NOT NULL,
    state {text} NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'doing', 'done', 'dead')),
    due_at {time} NOT NULL,
    lease_until {time},
    token {bigint} NOT NULL DEFAULT 0,
    woken {boolean} NOT NULL DEFAULT {false},
    attempts {int} NOT NULL DEFAULT 0,
    reclaims {int} NOT NULL DEFAULT 0,
    failing_since {time},
    reason {text},
    created_at {time} NOT NULL,
    done_at {time},
    UNIQUE (kind, key),
    CHECK ((state = 'doing') = (lease_until IS NOT NULL)),
    CHECK ((state = 'done') = (done_at IS NOT NULL))
"""

_INDEXES = (
    "CREATE INDEX job_due ON job (due_at) WHERE state = 'waiting'",
    "CREATE INDEX job_leased ON job (lease_until) WHERE state = 'doing'",
    "CREATE INDEX job_dead ON job (kind) WHERE state = 'dead'",
    # Those that still have what the chore drops.
    "CREATE INDEX job_done ON job (done_at) WHERE state = 'done' AND args <> '{}'",
)

_POSTGRES_TYPES = {
    "uuid": "uuid",
    "text": "text",
    "time": "timestamptz",
    "bigint": "bigint",
    "int": "integer",
    "boolean": "boolean",
    "false": "false",
}
_SQLITE_TYPES = {
    "uuid": "TEXT",
    "text": "TEXT",
    "time": "TEXT",
    "bigint": "INTEGER",
    "int": "INTEGER",
    "boolean": "INTEGER",
    "false": "0",
}

MIGRATION = Migration(
    name="0008_jobs",
    postgres=(f"CREATE TABLE job ({_COLUMNS.format(**_POSTGRES_TYPES)})", *_INDEXES),
    sqlite=(f"CREATE TABLE job ({_COLUMNS.format(**_SQLITE_TYPES)}) STRICT", *_INDEXES),
)
