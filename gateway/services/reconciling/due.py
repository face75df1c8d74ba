"""The chore: every day from the first one on is compared when it is over, in order, by whichever node is first."""

from datetime import date, datetime, timedelta
from typing import Final

import structlog

from gateway.db import Connection
from gateway.db.rows import moment, text
from gateway.domain.clock import CLOCKS_DIFFER_MAX
from gateway.domain.errors import ProviderRejected
from gateway.domain.reconciliation import day_bounds, last_day_over
from gateway.services.billing import Billing
from gateway.services.reconciling.comparing import MONEY_KINDS
from gateway.services.reconciling.remembering import count_open
from gateway.services.reconciling.run import reconcile_day
from gateway.services.reconciling.totals import compare_totals

log = structlog.stdlib.get_logger()

#: A day whose round failed, or whose node died over it, is tried again after this.
TRY_AGAIN_AFTER: Final = timedelta(hours=1)
#: With the newest day these many before it are read again, for what Stripe has listed late.
READ_AGAIN_DAYS: Final = 3

# The index of ledger_entry on money alone, and the ids of checkouts, which are in the order of time.
_FIRST_MONEY: Final = f"SELECT created_at FROM ledger_entry WHERE kind IN {MONEY_KINDS} ORDER BY created_at, id LIMIT 1"
_FIRST_CHECKOUT: Final = "SELECT created_at FROM checkout ORDER BY id LIMIT 1"


async def reconcile_when_due(billing: Billing) -> bool:
    """Compare the next day if it is over; True when another may be waiting. No day is ever left out.

    Days begin with the first money or the first purchase: before that there is nothing to compare.

    Raises:
        ProviderUnavailable: Stripe did not answer; the day is tried again.
    """
    newest = last_day_over(billing.clock.now())
    day = await _next_day(billing)
    claimed = day is not None and day <= newest and await _claim(billing, day)
    if claimed:
        assert day is not None, "only a day is claimed"
        await _compare(billing, day, is_newest=day == newest)
    await report_differences(billing)
    return claimed


async def report_differences(billing: Billing) -> bool:
    """Tell the watch how many differences nobody has resolved or accepted, and until when all days were compared.

    Without the second the first would say that all is well for as long as nothing is compared.
    """
    billing.watch.differences_open(by_kind=await count_open(billing))
    if (day := await _begun_day(billing)) is not None:
        billing.watch.reconciled_until(at=day_bounds(day)[0])
    return False


async def mark_reconciled(billing: Billing, day: date) -> None:
    """The day was compared; one that is not over, by a clock that may be ahead, is not done by that."""
    now = billing.clock.now()
    if day <= last_day_over(now):
        await billing.database.run(
            lambda connection: connection.execute(
                "UPDATE reconciliation_day SET reconciled_at = $2 WHERE day = $1", (day.isoformat(), now)
            )
        )


async def _compare(billing: Billing, day: date, *, is_newest: bool) -> None:
    """Days that are caught up leave to the newest one what is not of a day: late lines, accounts and the total."""
    first = await _first_day(billing) or day
    again = [one for back in range(READ_AGAIN_DAYS, 0, -1) if (one := day - timedelta(days=back)) >= first]
    await reconcile_day(billing, day, again=again if is_newest else (), with_accounts=is_newest)
    if is_newest:
        await _compare_totals(billing, day)
    await mark_reconciled(billing, day)
    await billing.database.run(
        lambda connection: connection.execute(
            "UPDATE reconciliation_progress SET next_day = $2, due_at = NULL WHERE next_day = $1",
            (day.isoformat(), (day + timedelta(days=1)).isoformat()),
        )
    )


async def _compare_totals(billing: Billing, day: date) -> None:
    """The days were compared one by one, and go on where the key may not read the balance itself."""
    try:
        await compare_totals(billing, day)
    except ProviderRejected as refusal:
        log.warning("reconcile.totals_not_compared", day=day.isoformat(), reason=str(refusal))


async def _next_day(billing: Billing) -> date | None:
    return await _begun_day(billing) or await _first_day(billing)


async def _begun_day(billing: Billing) -> date | None:
    """The next day, once the first was begun."""
    row = await billing.database.fetch_one("SELECT next_day FROM reconciliation_progress")
    return None if row is None else date.fromisoformat(text(row, "next_day"))


async def _first_day(billing: Billing) -> date | None:
    """The day of the first money here, or of the first purchase that may have brought some."""
    rows = [await billing.database.fetch_one(sql) for sql in (_FIRST_MONEY, _FIRST_CHECKOUT)]
    moments: list[datetime] = [moment(row, "created_at") for row in rows if row is not None]
    return min((one.date() for one in moments), default=None)


async def _claim(billing: Billing, day: date) -> bool:
    """Take the day for a while; True for one node. A claim that lasts too long was made by a broken clock."""
    now = billing.clock.now()
    broken = now + TRY_AGAIN_AFTER + CLOCKS_DIFFER_MAX

    async def work(connection: Connection) -> bool:
        await connection.execute(
            "INSERT INTO reconciliation_progress (id, next_day) VALUES (1, $1) ON CONFLICT (id) DO NOTHING",
            (day.isoformat(),),
        )
        claimed = await connection.execute(
            "UPDATE reconciliation_progress SET due_at = $3 "
            "WHERE next_day = $1 AND (due_at IS NULL OR due_at <= $2 OR due_at > $4)",
            (day.isoformat(), now, now + TRY_AGAIN_AFTER, broken),
        )
        return claimed == 1

    return await billing.database.run(work)
