"""The SQL of the table `job`, once for both databases; every change of a job that is held is fenced by its token."""

from typing import Final

_COLUMNS: Final = "id, kind, key, args, attempts, token, failing_since"
_HELD: Final = "WHERE id = $1 AND token = $2 AND state = 'doing'"

ENQUEUE: Final = (
    "INSERT INTO job (id, kind, key, args, due_at, created_at) VALUES ($1, $2, $3, $4, $5, $6) "
    "ON CONFLICT (kind, key) DO NOTHING"
)
#: One that is due already keeps its place; one that is being done only learns of it.
WAKE: Final = (
    "UPDATE job SET woken = (state = 'doing'), attempts = 0, failing_since = NULL, done_at = NULL, "
    "reclaims = CASE WHEN state = 'doing' THEN reclaims ELSE 0 END, "
    "due_at = CASE WHEN state = 'doing' OR (state = 'waiting' AND due_at < $3::timestamptz) THEN due_at "
    "ELSE $3::timestamptz END, "
    "state = CASE WHEN state = 'doing' THEN 'doing' ELSE 'waiting' END "
    "WHERE kind = $1 AND key = $2 RETURNING id, state, due_at"
)
ANY_DUE: Final = "SELECT 1 AS found FROM job WHERE state = 'waiting' AND due_at <= $1 LIMIT 1"
CLAIM: Final = (
    "WITH due AS MATERIALIZED (SELECT id FROM job WHERE state = 'waiting' AND due_at <= $1 "
    "ORDER BY due_at LIMIT $3 FOR UPDATE SKIP LOCKED) "
    "UPDATE job SET state = 'doing', lease_until = $2, token = token + 1, woken = FALSE "
    f"WHERE id IN (SELECT id FROM due) RETURNING {_COLUMNS}"
)
CLAIM_ONE: Final = (
    "UPDATE job SET state = 'doing', lease_until = $2, token = token + 1, woken = FALSE "
    f"WHERE id = $3 AND state = 'waiting' AND due_at <= $1 RETURNING {_COLUMNS}"
)
#: One that is waiting for its time; for an engine that came too early.
WAITS_UNTIL: Final = "SELECT due_at FROM job WHERE id = $1 AND state = 'waiting'"
#: What was due at once counts from when it was promised, like in the census below.
OVERDUE: Final = (
    "SELECT id, token FROM job WHERE state = 'waiting' AND due_at < $1 AND created_at < $1 ORDER BY due_at LIMIT $2"
)
RENEW: Final = f"UPDATE job SET lease_until = $3 {_HELD}"
#: A wake-up that came meanwhile has it done once more.
FINISH: Final = (
    "UPDATE job SET state = CASE WHEN woken THEN 'waiting' ELSE 'done' END, lease_until = NULL, "
    "due_at = CASE WHEN woken THEN $3::timestamptz ELSE due_at END, "
    "done_at = CASE WHEN woken THEN NULL ELSE $3::timestamptz END, "
    f"woken = FALSE, attempts = 0, reclaims = 0, failing_since = NULL, reason = NULL {_HELD} RETURNING state, due_at"
)
#: A wake-up that came meanwhile has it done at once, with what failed before it forgotten.
PUT_BACK: Final = (
    "UPDATE job SET state = CASE WHEN woken THEN 'waiting' ELSE $5::text END, lease_until = NULL, "
    "due_at = CASE WHEN woken THEN $3::timestamptz ELSE $4::timestamptz END, woken = FALSE, reclaims = 0, "
    "attempts = CASE WHEN woken THEN 0 ELSE $6::integer END, "
    "failing_since = CASE WHEN woken THEN NULL ELSE $7::timestamptz END, "
    f"reason = $8 {_HELD} RETURNING state, due_at"
)
#: The worker was told to stop: nothing has happened, and the job is due since it was.
GIVE_BACK: Final = (
    f"UPDATE job SET state = 'waiting', lease_until = NULL, woken = FALSE {_HELD} RETURNING state, due_at"
)
#: In workers' hands, those first that were renewed longest ago.
LEASED: Final = (
    "SELECT id, kind, key, token, reclaims, lease_until FROM job WHERE state = 'doing' "
    "ORDER BY lease_until, id LIMIT $1"
)
#: Only as it was when it was found silent. A wake-up that came meanwhile has it done once more, whatever it died of.
RECLAIM: Final = (
    "UPDATE job SET state = CASE WHEN woken THEN 'waiting' ELSE $4::text END, due_at = $5, reclaims = $6, "
    "reason = $7, token = token + 1, lease_until = NULL, woken = FALSE "
    "WHERE id = $1 AND token = $2 AND lease_until = $3 AND state = 'doing' RETURNING state, due_at"
)
#: Failed and put off, or taken from a dead worker; what a handler put off may rightly wait for months.
PUT_OFF: Final = (
    "SELECT id, token, due_at FROM job WHERE state = 'waiting' AND due_at > $1 "
    "AND (failing_since IS NOT NULL OR reclaims > 0) ORDER BY due_at DESC LIMIT $2"
)
FREE: Final = (
    "UPDATE job SET due_at = $4 WHERE id = $1 AND token = $2 AND due_at = $3 AND state = 'waiting' "
    "RETURNING state, due_at"
)
STATE_OF: Final = "SELECT state FROM job WHERE id = $1 AND token = $2"
FORGET_ARGS: Final = (
    "UPDATE job SET args = '{}' WHERE id IN (SELECT id FROM job WHERE state = 'done' AND args <> '{}' "
    "AND done_at < $1 ORDER BY done_at LIMIT $2 FOR UPDATE SKIP LOCKED)"
)
#: Bounded, however many wait: those due first are counted.
CENSUS: Final = (
    "SELECT kind, state, count(*) AS jobs, "
    "min(CASE WHEN due_at < created_at THEN created_at ELSE due_at END) AS due_at "
    "FROM (SELECT * FROM (SELECT kind, state, due_at, created_at FROM job WHERE state = 'waiting' "
    "ORDER BY due_at LIMIT $1) AS waiting "
    "UNION ALL SELECT * FROM (SELECT kind, state, due_at, created_at FROM job WHERE state = 'doing' LIMIT $1) AS doing "
    "UNION ALL SELECT * FROM (SELECT kind, state, due_at, created_at FROM job WHERE state = 'dead' LIMIT $1) AS dead"
    ") AS counted GROUP BY kind, state"
)
