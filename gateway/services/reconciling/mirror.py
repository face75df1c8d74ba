"""Our copy of the platform's balance lines: read a day at a time, page by page, by any number of nodes, resumably."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Final

import structlog

from gateway.db import Connection, Row
from gateway.db.batches import list_parameter
from gateway.db.rows import integer, moment, text, text_or_none, truth
from gateway.domain.errors import ProviderRejected, ProviderUnavailable
from gateway.domain.reconciliation import DAY_SETTLES_AFTER, day_bounds
from gateway.services.billing import Billing
from gateway.services.reconciling.among import among
from gateway.services.reconciling.owners import Owners
from gateway.stripe_service import StripeBalanceLine

log = structlog.stdlib.get_logger()

#: Pages of a hundred lines in one day.
DAY_PAGES_MAX: Final = 10_000
#: Mirrored lines handed out together.
LINES_AT_ONCE_MAX: Final = 500

_KEEP: Final = """
    INSERT INTO balance_transaction (id, type, source_id, transfer_id, subject, amount_cents, fee_cents, currency,
        created_at, available_at, pull)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
    ON CONFLICT (id) DO UPDATE SET type = excluded.type, source_id = excluded.source_id,
        transfer_id = excluded.transfer_id, subject = excluded.subject, amount_cents = excluded.amount_cents,
        fee_cents = excluded.fee_cents, currency = excluded.currency, available_at = excluded.available_at,
        pull = CASE WHEN excluded.pull = 0 THEN balance_transaction.pull ELSE excluded.pull END"""


@dataclass(frozen=True, slots=True)
class MirroredLine:
    """A balance line with the subject it is about."""

    line_id: str
    type: str
    subject: str
    amount_cents: int
    fee_cents: int
    currency: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class _Reading:
    pull: int
    pulling: bool
    cursor: str | None


async def pull_day(billing: Billing, day: date) -> None:
    """Make the mirror say of a day what Stripe says: every line is there, and none that Stripe has not.

    A reading that was cut off is gone on with, from its last page; one that began before the day was over begins anew,
    for what came since is above its place. Several nodes at the same day share one reading.

    Raises:
        ProviderUnavailable: Stripe did not answer; what was read so far is kept.
    """
    await _begin(billing, day)
    owners, (since, before) = Owners(billing), day_bounds(day)
    for _ in range(DAY_PAGES_MAX):
        reading = await _reading(billing, day)
        if not reading.pulling:
            return  # another node has finished it
        try:
            page = await billing.stripe.balance_page(since=since, before=before, after_id=reading.cursor)
        except ProviderRejected:
            if reading.cursor is None:
                raise
            await _start_over(billing, day, reading)
            continue
        named = await owners.subjects_of(page.lines, mirrored=await _mirrored_subjects(billing, page.lines))
        await _keep_page(billing, day, reading, named, last_id=page.last_id)
    raise ProviderUnavailable(f"The payment provider's balance of {day} is longer than {DAY_PAGES_MAX} pages.")


async def keep_lines(billing: Billing, lines: Sequence[tuple[StripeBalanceLine, str]], *, gone: Sequence[str]) -> None:
    """Mirror lines that were looked at one by one, and forget those that Stripe has no more."""

    async def work(connection: Connection) -> None:
        await _keep(connection, lines, pull=0)
        for line_id in gone:
            await connection.execute("DELETE FROM balance_transaction WHERE id = $1", (line_id,))

    if lines or gone:
        await billing.database.run(work)


async def pull_news(billing: Billing, since: date) -> list[tuple[str, str]]:
    """Mirror the lines that Stripe made since these days were read, and return their ids with what they are about.

    Newest first; all but them are there already.

    Raises:
        ProviderUnavailable, ProviderRejected: Stripe gave no answer to go by; what was read so far is kept.
    """
    start, end = day_bounds(since)[0], day_bounds(billing.clock.now().date())[1]
    owners, found, after_id = Owners(billing), list[tuple[str, str]](), None
    for _ in range(DAY_PAGES_MAX):
        page = await billing.stripe.balance_page(since=start, before=end, after_id=after_id)
        mirrored = await _mirrored_subjects(billing, page.lines)
        new = [line for line in page.lines if line.line_id not in mirrored]
        named = await owners.subjects_of(new, mirrored={})
        await keep_lines(billing, named, gone=())
        found += [(line.line_id, subject) for line, subject in named]
        if mirrored or page.last_id is None:
            return found
        after_id = page.last_id
    raise ProviderUnavailable(f"The payment provider's balance since {since} is longer than {DAY_PAGES_MAX} pages.")


async def _mirrored_subjects(billing: Billing, lines: Sequence[StripeBalanceLine]) -> dict[str, str]:
    dialect = billing.database.dialect
    rows = await billing.database.fetch(
        f"SELECT id, subject FROM balance_transaction WHERE {among('id', dialect)}",
        (list_parameter(dialect, [line.line_id for line in lines]),),
    )
    return {text(row, "id"): text(row, "subject") for row in rows}


async def lines_of_day(billing: Billing, day: date) -> AsyncIterator[list[MirroredLine]]:
    """The mirrored lines of a day, oldest first, some at a time."""
    since, before = day_bounds(day)
    after: tuple[datetime, str] = (since, "")
    while True:
        rows = await billing.database.fetch(
            "SELECT id, type, subject, amount_cents, fee_cents, currency, created_at FROM balance_transaction "
            "WHERE created_at >= $1 AND created_at < $2 AND (created_at, id) > ($3, $4) "
            "ORDER BY created_at, id LIMIT $5",
            (since, before, *after, LINES_AT_ONCE_MAX),
        )
        if not rows:
            return
        lines = [_mirrored(row) for row in rows]
        yield lines
        after = (lines[-1].created_at, lines[-1].line_id)


async def lines_about(billing: Billing, subject: str) -> list[MirroredLine]:
    """The mirrored lines of one subject that bear its name."""
    rows = await billing.database.fetch(
        "SELECT id, type, subject, amount_cents, fee_cents, currency, created_at FROM balance_transaction "
        "WHERE subject = $1 ORDER BY created_at, id",
        (subject,),
    )
    return [_mirrored(row) for row in rows]


async def transfer_of_reversal(billing: Billing, reversal_id: str) -> str | None:
    """The transfer that a mirrored reversal took back."""
    row = await billing.database.fetch_one(
        "SELECT transfer_id FROM balance_transaction WHERE subject = $1 AND transfer_id IS NOT NULL LIMIT 1",
        (f"trr:{reversal_id}",),
    )
    return None if row is None else text(row, "transfer_id")


async def _begin(billing: Billing, day: date) -> None:
    """Begin a reading of the day, or join one that was begun after the day was over and is not finished."""
    now, over_at = billing.clock.now(), day_bounds(day)[1] + DAY_SETTLES_AFTER

    async def work(connection: Connection) -> None:
        await connection.execute(
            "INSERT INTO reconciliation_day (day) VALUES ($1) ON CONFLICT (day) DO NOTHING", (day.isoformat(),)
        )
        await connection.execute(
            "UPDATE reconciliation_day SET pull = pull + 1, pulling = $2, cursor = NULL, pull_begun_at = $3 "
            "WHERE day = $1 AND (NOT pulling OR pull_begun_at IS NULL OR pull_begun_at < $4)",
            (day.isoformat(), True, now, over_at),
        )

    await billing.database.run(work)


async def _reading(billing: Billing, day: date) -> _Reading:
    row = await billing.database.fetch_one(_READING, (day.isoformat(),))
    assert row is not None, "a day that was begun stays"
    return _read(row)


_READING: Final = "SELECT pull, pulling, cursor FROM reconciliation_day WHERE day = $1"


def _read(row: Row) -> _Reading:
    return _Reading(integer(row, "pull"), truth(row, "pulling"), text_or_none(row, "cursor"))


async def _start_over(billing: Billing, day: date, reading: _Reading) -> None:
    """The line to go on after is gone; a reading of another number begins, which forgets what it does not see."""
    await billing.database.run(
        lambda connection: connection.execute(
            "UPDATE reconciliation_day SET pull = pull + 1, cursor = NULL, pull_begun_at = $4 "
            "WHERE day = $1 AND pull = $2 AND cursor = $3",
            (day.isoformat(), reading.pull, reading.cursor, billing.clock.now()),
        )
    )


async def _keep_page(
    billing: Billing,
    day: date,
    reading: _Reading,
    lines: Sequence[tuple[StripeBalanceLine, str]],
    *,
    last_id: str | None,
) -> None:
    """Keep a page and move on past it, unless another node did; with the last page, forget what Stripe has no more."""
    since, before = day_bounds(day)

    async def work(connection: Connection) -> int:
        moved = await connection.execute(
            "UPDATE reconciliation_day SET cursor = $4, pulling = $5 "
            "WHERE day = $1 AND pull = $2 AND pulling AND coalesce(cursor, '') = $3",
            (day.isoformat(), reading.pull, reading.cursor or "", last_id, last_id is not None),
        )
        if moved == 0:
            return 0
        await _keep(connection, lines, pull=reading.pull)
        if last_id is not None:
            return 0
        return await connection.execute(
            "DELETE FROM balance_transaction WHERE created_at >= $1 AND created_at < $2 AND pull <> $3",
            (since, before, reading.pull),
        )

    if gone := await billing.database.run(work):
        log.warning("reconcile.lines_gone", day=day.isoformat(), lines=gone)


async def _keep(connection: Connection, lines: Sequence[tuple[StripeBalanceLine, str]], *, pull: int) -> None:
    for line, subject in sorted(lines, key=lambda one: one[0].line_id):
        await connection.execute(
            _KEEP,
            (
                line.line_id,
                line.type,
                line.source_id,
                line.transfer_id,
                subject,
                line.amount_cents,
                line.fee_cents,
                line.currency,
                line.created_at,
                line.available_at,
                pull,
            ),
        )


def _mirrored(row: Row) -> MirroredLine:
    return MirroredLine(
        line_id=text(row, "id"),
        type=text(row, "type"),
        subject=text(row, "subject"),
        amount_cents=integer(row, "amount_cents"),
        fee_cents=integer(row, "fee_cents"),
        currency=text(row, "currency"),
        created_at=moment(row, "created_at"),
    )
