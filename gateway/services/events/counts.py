"""How many events wait or were given up, by type: what the alarms look at."""

from typing import Final

from gateway.db.rows import integer, moment_or_none
from gateway.services.billing import Billing, EventCount

#: Of so many waiting events, those due first, and of so many dead ones, the oldest are counted; beyond that the
#: numbers say "at least", which alarms all the same.
COUNTED_MAX: Final = 10_000

#: Each part walks the beginning of a partial index that holds nothing else, however large the inbox is.
_COUNTS: Final = """
    SELECT type, sum(waiting) AS waiting, sum(dead) AS dead, min(waiting_since) AS oldest_at FROM (
        SELECT type, 1 AS waiting, 0 AS dead, received_at AS waiting_since FROM (
            SELECT type, received_at FROM stripe_event WHERE state IN ('new', 'doing') ORDER BY due_at LIMIT $1
        ) AS open_ones
        UNION ALL
        SELECT type, 0, 1, NULL FROM (
            SELECT type FROM stripe_event WHERE state = 'dead' ORDER BY received_at LIMIT $1
        ) AS dead_ones
    ) AS counted GROUP BY type"""


async def report_events(billing: Billing) -> bool:
    """Tell the watch what the inbox holds, so that every node shows the same."""
    rows = await billing.database.fetch(_COUNTS, (COUNTED_MAX,))
    counts = [
        EventCount(
            type=str(row["type"]),
            waiting=integer(row, "waiting"),
            dead=integer(row, "dead"),
            oldest_at=moment_or_none(row, "oldest_at"),
        )
        for row in rows
    ]
    billing.watch.events_counted(counts, now=billing.clock.now())
    return False
