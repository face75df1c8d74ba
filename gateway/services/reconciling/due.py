"""The chore: every day that is over is reconciled once, by whichever node is first, and missed days are caught up."""

from datetime import date, timedelta
from typing import Final

from gateway.db import Connection
from gateway.db.rows import text
from gateway.services.billing import Billing
from gateway.services.reconciling.remembering import count_open
from gateway.services.reconciling.run import reconcile_day

#: A day is over for Stripe and for us when this has passed after midnight UTC.
DAY_SETTLES_AFTER: Final = timedelta(hours=1)
#: A day whose round failed, or whose node died over it, is tried again after this.
TRY_AGAIN_AFTER: Final = timedelta(hours=1)
#: How many days back a gateway that was down catches up.
CATCH_UP_DAYS_MAX: Final = 7


async def reconcile_when_due(billing: Billing) -> bool:
    """Reconcile the oldest day that is over and was not; True when another may be waiting."""
    day = await _next_day(billing)
    claimed = day is not None and await _claim(billing, day)
    if claimed:
        assert day is not None, "only a day is claimed"
        await reconcile_day(billing, day)
        await mark_reconciled(billing, day)
    billing.watch.differences_open(by_kind=await count_open(billing))
    return claimed


async def mark_reconciled(billing: Billing, day: date) -> None:
    """The day is done; a day that is not over yet never is."""
    now = billing.clock.now()
    if day < now.date():
        await billing.database.run(
            lambda connection: connection.execute(
                "UPDATE reconciliation_day SET reconciled_at = $2 WHERE day = $1", (day.isoformat(), now)
            )
        )


async def _next_day(billing: Billing) -> date | None:
    """The first day after one that was reconciled, within the days to catch up; yesterday where there is none."""
    yesterday = (billing.clock.now() - DAY_SETTLES_AFTER).date() - timedelta(days=1)
    first = yesterday - timedelta(days=CATCH_UP_DAYS_MAX)
    rows = await billing.database.fetch(
        "SELECT day FROM reconciliation_day WHERE day >= $1 AND reconciled_at IS NOT NULL", (first.isoformat(),)
    )
    done = {date.fromisoformat(text(row, "day")) for row in rows}
    if not done:
        return yesterday
    later = (min(done) + timedelta(days=days) for days in range(CATCH_UP_DAYS_MAX + 1))
    return next((day for day in later if day <= yesterday and day not in done), None)


async def _claim(billing: Billing, day: date) -> bool:
    """Take the day for a while; True for one node."""
    now = billing.clock.now()

    async def work(connection: Connection) -> bool:
        await connection.execute(
            "INSERT INTO reconciliation_day (day) VALUES ($1) ON CONFLICT (day) DO NOTHING", (day.isoformat(),)
        )
        claimed = await connection.execute(
            "UPDATE reconciliation_day SET due_at = $3 "
            "WHERE day = $1 AND reconciled_at IS NULL AND (due_at IS NULL OR due_at <= $2)",
            (day.isoformat(), now, now + TRY_AGAIN_AFTER),
        )
        return claimed == 1

    return await billing.database.run(work)
