"""All that Stripe holds beside all that the ledger says it holds: what no single comparison can miss."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
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
from gateway.services.reconciling.comparing import explained_micros, subjects_of_entries
from gateway.services.reconciling.mirror import all_mirrored, pull_day
from gateway.services.reconciling.remembering import remember, unresolved_subjects
from gateway.services.reconciling.run import Run

log = structlog.stdlib.get_logger()

#: How often the totals are read again because money moved between the two readings.
READINGS_MAX: Final = 3
ONE_DAY: Final = timedelta(days=1)


async def compare_totals(billing: Billing, day: date) -> None:
    """Compare the totals as they are now, after the newest day; off twice in a row is the difference `balance:usd`.

    The days that are not over are read too, for Stripe's balance has them in it. What is different already, or only
    timing yet, is taken off, also what has come to be so while Stripe was asked.

    Raises:
        ProviderUnavailable, ProviderRejected: Stripe gave no answer to go by.
    """
    theirs = await _there(billing, day)
    here = None if theirs is None else await _here(billing, day)
    if theirs is None or here is None:
        log.warning("reconcile.totals_not_compared", day=day.isoformat())
        return
    found = judge_total(theirs_micros=theirs, ours_micros=here.held_micros, explained_micros=here.explained_micros)
    off = 0 if found is None else found.theirs_micros - found.ours_micros
    stays_off = await _keep_off(billing, off) != 0 and off != 0
    await _tell(billing, day, found if stays_off else None)
    log.info("reconcile.totals", off_micros=off)


@dataclass(frozen=True, slots=True)
class _Here:
    """What the ledger says that Stripe holds, and how much more Stripe holds by what is different or only timing."""

    held_micros: int
    explained_micros: int


async def _there(billing: Billing, day: date) -> int | None:
    """All that Stripe holds, when every line that made it so is mirrored; None when money moved all the while."""
    for _ in range(READINGS_MAX):
        await _read_since(billing, day)
        held = cents_to_micros(await billing.stripe.balance_cents())
        if await _is_all_read(billing, day):
            return held
    return None


async def _here(billing: Billing, day: date) -> _Here | None:
    """The ledger's side as of one moment; None when money moved all the while."""
    for _ in range(READINGS_MAX):
        held = -await derived_balance(billing.database, STRIPE)
        explained = await _explained(billing, day)
        if held == -await derived_balance(billing.database, STRIPE):
            return _Here(held, explained)
    return None


async def _explained(billing: Billing, day: date) -> int:
    """By how much Stripe holds more, each subject counted once."""
    counted: set[str] = set()
    explained = 0
    async for subjects in _doubtful(billing, day):
        explained += await explained_micros(billing, [one for one in subjects if one not in counted])
        counted.update(subjects)
    return explained


async def _doubtful(billing: Billing, day: date) -> AsyncIterator[list[str]]:
    """What was found different, and all that was booked since the day: Stripe may not have listed that yet."""
    async for subjects in unresolved_subjects(billing):
        yield subjects
    while (day := day + ONE_DAY) <= billing.clock.now().date():
        async for subjects in subjects_of_entries(billing, day):
            yield subjects


async def _read_since(billing: Billing, day: date) -> None:
    """Read and compare what is newer than a day."""
    today = billing.clock.now().date()
    while (day := day + ONE_DAY) <= today:
        await pull_day(billing, day)
        await Run(billing, day, with_healing=True).compare_day(day)


async def _is_all_read(billing: Billing, day: date) -> bool:
    """Whether nothing has come since; lines are listed newest first."""
    _, since = day_bounds(day)
    _, before = day_bounds(billing.clock.now().date() + ONE_DAY)
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
