"""Differences are kept until they are gone, so that each is looked at again with every day that is reconciled."""

from collections.abc import AsyncIterator, Iterable, Sequence
from datetime import date
from typing import Final

from gateway.db import Connection
from gateway.db.batches import list_parameter
from gateway.db.rows import integer, text
from gateway.domain.reconciliation import TOTAL, Difference, DifferenceKind
from gateway.services.billing import Billing
from gateway.services.reconciling.among import among
from gateway.services.reconciling.comparing import SUBJECTS_AT_ONCE_MAX

#: Differences of earlier days that are looked at again with a day: those that were not for longest.
EARLIER_MAX: Final = 2_000

_KEEP: Final = """
    INSERT INTO reconciliation_difference (subject, kind, day, sentence, action, ours_micros, theirs_micros,
        first_seen_at, last_seen_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $8)
    ON CONFLICT (subject) DO UPDATE SET kind = excluded.kind, sentence = excluded.sentence, action = excluded.action,
        ours_micros = excluded.ours_micros, theirs_micros = excluded.theirs_micros,
        first_seen_at = CASE WHEN reconciliation_difference.resolved_at IS NULL
            THEN reconciliation_difference.first_seen_at ELSE excluded.first_seen_at END,
        day = CASE WHEN reconciliation_difference.resolved_at IS NULL
            THEN reconciliation_difference.day ELSE excluded.day END,
        last_seen_at = excluded.last_seen_at, resolved_at = NULL, accepted_at = NULL"""
_OPEN: Final = "resolved_at IS NULL AND accepted_at IS NULL"


async def open_subjects(billing: Billing) -> list[str]:
    """What was different when it was last looked at."""
    rows = await billing.database.fetch(
        f"SELECT subject FROM reconciliation_difference WHERE {_OPEN} AND subject <> $2 "
        "ORDER BY last_seen_at, subject LIMIT $1",
        (EARLIER_MAX, TOTAL),
    )
    return [text(row, "subject") for row in rows]


async def unresolved_subjects(billing: Billing) -> AsyncIterator[list[str]]:
    """All that is different at this moment, accepted or not, some at a time; the total itself is not among them."""
    after = ""
    while True:
        rows = await billing.database.fetch(
            "SELECT subject FROM reconciliation_difference WHERE resolved_at IS NULL AND subject <> $2 "
            "AND subject > $1 ORDER BY subject LIMIT $3",
            (after, TOTAL, SUBJECTS_AT_ONCE_MAX),
        )
        if not rows:
            return
        yield [text(row, "subject") for row in rows]
        after = text(rows[-1], "subject")


async def open_total(billing: Billing) -> list[Difference]:
    """The difference of the totals, where it is open: it is of no day, and told with every one."""
    rows = await billing.database.fetch(
        "SELECT kind, subject, sentence, action, ours_micros, theirs_micros FROM reconciliation_difference "
        f"WHERE subject = $1 AND {_OPEN}",
        (TOTAL,),
    )
    return [
        Difference(
            kind=DifferenceKind(text(row, "kind")),
            subject=text(row, "subject"),
            sentence=text(row, "sentence"),
            action=text(row, "action"),
            ours_micros=integer(row, "ours_micros"),
            theirs_micros=integer(row, "theirs_micros"),
        )
        for row in rows
    ]


async def accept(billing: Billing, subject: str) -> bool:
    """Note that somebody has looked at an open difference and that it may stay; False when there is none.

    What is only timing yet cannot be accepted: it would be quiet when it turns out to be missing.
    """
    changed = await billing.database.run(
        lambda connection: connection.execute(
            f"UPDATE reconciliation_difference SET accepted_at = $2 WHERE subject = $1 AND kind <> $3 AND {_OPEN}",
            (subject, billing.clock.now(), DifferenceKind.TIMING.value),
        )
    )
    return changed == 1


async def remember(
    billing: Billing, day: date, *, looked_at: Iterable[str], found: Sequence[Difference]
) -> list[Difference]:
    """Keep what was found; what was looked at and is no different any more is resolved.

    Returns what was found less what was accepted just as it is; what has changed since must be looked at anew.
    """
    quiet = await _accepted(billing, found)
    loud = [one for one in found if one.subject not in quiet]
    resolved = sorted(set(looked_at) - {one.subject for one in found})

    async def work(connection: Connection) -> None:
        now = billing.clock.now()
        for subject in resolved:
            await connection.execute(
                "UPDATE reconciliation_difference SET resolved_at = $2 WHERE subject = $1 AND resolved_at IS NULL",
                (subject, now),
            )
        for one in sorted(loud, key=lambda difference: difference.subject):
            await connection.execute(_KEEP, (*_told(one, day), now))

    if resolved or loud:
        await billing.database.run(work)
    return loud


async def _accepted(billing: Billing, found: Sequence[Difference]) -> set[str]:
    """Which of these were accepted as they are; that one could not be checked takes nothing back."""
    by_subject = {one.subject: one for one in found}
    dialect = billing.database.dialect
    rows = await billing.database.fetch(
        "SELECT subject, kind, sentence FROM reconciliation_difference "
        f"WHERE accepted_at IS NOT NULL AND resolved_at IS NULL AND {among('subject', dialect)}",
        (list_parameter(dialect, list(by_subject)),),
    )
    return {
        subject
        for row in rows
        if (one := by_subject[subject := text(row, "subject")]).kind is DifferenceKind.UNCHECKED
        or (one.kind.value, one.sentence) == (row["kind"], row["sentence"])
    }


def _told(one: Difference, day: date) -> tuple[object, ...]:
    return (one.subject, one.kind.value, day.isoformat(), one.sentence, one.action, one.ours_micros, one.theirs_micros)


async def count_open(billing: Billing) -> dict[str, int]:
    """How many differences are open, by kind; every kind is there."""
    rows = await billing.database.fetch(
        f"SELECT kind, count(*) AS differences FROM reconciliation_difference WHERE {_OPEN} GROUP BY kind"
    )
    counted = {text(row, "kind"): integer(row, "differences") for row in rows}
    return {kind.value: counted.get(kind.value, 0) for kind in DifferenceKind}
