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
from gateway.domain.reconciliation import TOTAL, Difference, judge_total
from gateway.services.billing import Billing
from gateway.services.books.checkpoints import derived_balance
from gateway.services.reconciling.comparing import explained_micros, subjects_of_entries, subjects_of_lines
from gateway.services.reconciling.mirror import pull_day, pull_news
from gateway.services.reconciling.remembering import remember, unresolved_subjects
from gateway.services.reconciling.run import Run

log = structlog.stdlib.get_logger()

#: How often each side is read because money moved in between.
READINGS_MAX: Final = 10
ONE_DAY: Final = timedelta(days=1)


async def compare_totals(billing: Billing, day: date) -> None:
    """Compare the totals as they are now, after the newest day; off twice in a row is the difference `balance:usd`.

    The days that are not over are read too, for Stripe's balance has them in it. What is different already, or only
    timing yet, is taken off, also what has come to be so while Stripe was asked.

    Raises:
        ProviderUnavailable, ProviderRejected: Stripe gave no answer to go by.
    """
    await _read_since(billing, day)
    there = await _there(billing, day)
    here = None if there is None else await _here(billing, day, there.news)
    if there is None or here is None:
        log.warning("reconcile.totals_not_compared", day=day.isoformat())
        return
    found = judge_total(
        theirs_micros=there.held_micros, ours_micros=here.held_micros, explained_micros=here.explained_micros
    )
    off = 0 if found is None else found.theirs_micros - found.ours_micros
    stays_off = await _keep_off(billing, off) != 0 and off != 0
    await _tell(billing, day, found if stays_off else None)
    log.info("reconcile.totals", off_micros=off)


@dataclass(frozen=True, slots=True)
class _There:
    """What Stripe holds, and what those lines are about that it made while it was asked: they were not compared."""

    held_micros: int
    news: list[str]


@dataclass(frozen=True, slots=True)
class _Here:
    """What the ledger says that Stripe holds, and how much more Stripe holds by what is different or only timing."""

    held_micros: int
    explained_micros: int


async def _there(billing: Billing, day: date) -> _There | None:
    """All that Stripe holds, when every line that made it so is mirrored; None when money moved all the while."""
    news: list[str] = []
    for _ in range(READINGS_MAX):
        held = cents_to_micros(await billing.stripe.balance_cents())
        newer = await pull_news(billing, day + ONE_DAY)
        if not newer:
            return _There(held, news)
        news += subjects_of_lines(newer)
    return None


async def _here(billing: Billing, day: date, news: list[str]) -> _Here | None:
    """The ledger's side as of one moment; None when money moved all the while."""
    for _ in range(READINGS_MAX):
        held = -await derived_balance(billing.database, STRIPE)
        explained = await _explained(billing, day, news)
        if held == -await derived_balance(billing.database, STRIPE):
            return _Here(held, explained)
    return None


async def _explained(billing: Billing, day: date, news: list[str]) -> int:
    """By how much Stripe holds more, each subject counted once."""
    counted = set(news)
    explained = await explained_micros(billing, list(counted))
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
