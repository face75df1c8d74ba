"""All that Stripe holds beside all that the ledger says it holds: what no single comparison can miss."""

from datetime import date, timedelta
from typing import Final

import structlog

from gateway.db import Connection
from gateway.db.rows import integer
from gateway.domain.ledger import STRIPE
from gateway.domain.money import cents_to_micros
from gateway.domain.reconciliation import TOTAL, Difference, day_bounds, judge_total
from gateway.services.billing import Billing
from gateway.services.books.checkpoints import derived_balance
from gateway.services.reconciling.comparing import explained_micros
from gateway.services.reconciling.mirror import all_mirrored, pull_day
from gateway.services.reconciling.remembering import remember, unresolved_subjects
from gateway.services.reconciling.run import Run

log = structlog.stdlib.get_logger()

#: How often the totals are read again because money moved between the two readings.
READINGS_MAX: Final = 3


async def compare_totals(billing: Billing, day: date) -> None:
    """Compare the totals as they are now, after the newest day; off twice in a row is the difference `balance:usd`.

    The days that are not over are read too, for Stripe's balance has them in it. What is different already, or only
    timing yet, is taken off.

    Raises:
        ProviderUnavailable, ProviderRejected: Stripe gave no answer to go by.
    """
    for _ in range(READINGS_MAX):
        await _read_since(billing, day)
        theirs = cents_to_micros(await billing.stripe.balance_cents())
        if await _is_all_read(billing, day):
            break
    else:
        log.warning("reconcile.totals_not_compared", day=day.isoformat())
        return
    ours = -await derived_balance(billing.database, STRIPE)
    explained = 0
    async for subjects in unresolved_subjects(billing):
        explained += await explained_micros(billing, subjects)
    found = judge_total(theirs_micros=theirs, ours_micros=ours, explained_micros=explained)
    off = 0 if found is None else found.theirs_micros - found.ours_micros
    stays_off = await _keep_off(billing, off) != 0 and off != 0
    await _tell(billing, day, found if stays_off else None)
    log.info("reconcile.totals", off_micros=off)


async def _read_since(billing: Billing, day: date) -> None:
    """Read and compare what is newer than a day."""
    today = billing.clock.now().date()
    while (day := day + timedelta(days=1)) <= today:
        await pull_day(billing, day)
        await Run(billing, day, with_healing=True).compare_day(day)


async def _is_all_read(billing: Billing, day: date) -> bool:
    """Whether nothing has come since; lines are listed newest first."""
    _, since = day_bounds(day)
    _, before = day_bounds(billing.clock.now().date() + timedelta(days=1))
    newest = await billing.stripe.balance_page(since=since, before=before, after_id=None)
    return await all_mirrored(billing, newest.lines)


async def _keep_off(billing: Billing, off: int) -> int:
    """Keep by how much the totals are off; returns by how much they were."""

    async def work(connection: Connection) -> int:
        row = await connection.fetch_one("SELECT balance_off_micros FROM reconciliation_progress")
        await connection.execute("UPDATE reconciliation_progress SET balance_off_micros = $1", (off,))
        return 0 if row is None else integer(row, "balance_off_micros")

    return await billing.database.run(work)


async def _tell(billing: Billing, day: date, found: Difference | None) -> None:
    loud = await remember(billing, day, looked_at=[TOTAL], found=[] if found is None else [found])
    for one in loud:
        log.error("reconcile.difference", kind=one.kind.value, subject=one.subject, message=one.sentence)
