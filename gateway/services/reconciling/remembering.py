"""Differences are kept until they are gone, so that each is looked at again with every day that is reconciled."""

from collections.abc import Sequence
from datetime import date
from typing import Final

from gateway.db import Connection
from gateway.db.rows import integer, text
from gateway.domain.reconciliation import Difference, DifferenceKind
from gateway.services.billing import Billing

#: Differences of earlier days that are looked at again with a day; the oldest first.
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
        f"SELECT subject FROM reconciliation_difference WHERE {_OPEN} ORDER BY first_seen_at, subject LIMIT $1",
        (EARLIER_MAX,),
    )
    return [text(row, "subject") for row in rows]


async def accept(billing: Billing, subject: str) -> bool:
    """Note that somebody has looked at an open difference and that it may stay; False when there is none."""
    changed = await billing.database.run(
        lambda connection: connection.execute(
            f"UPDATE reconciliation_difference SET accepted_at = $2 WHERE subject = $1 AND {_OPEN}",
            (subject, billing.clock.now()),
        )
    )
    return changed == 1


async def without_accepted(billing: Billing, found: Sequence[Difference]) -> list[Difference]:
    """Leave out what was accepted just as it is; what has changed since must be looked at anew."""
    rows = await billing.database.fetch(
        "SELECT subject, sentence FROM reconciliation_difference WHERE accepted_at IS NOT NULL"
    )
    accepted = {(text(row, "subject"), text(row, "sentence")) for row in rows}
    return [one for one in found if (one.subject, one.sentence) not in accepted]


async def remember(billing: Billing, day: date, *, looked_at: Sequence[str], found: Sequence[Difference]) -> None:
    """Keep what was found; what was looked at and is no different any more is resolved."""
    different = {difference.subject for difference in found}

    async def work(connection: Connection) -> None:
        now = billing.clock.now()
        for subject in sorted(set(looked_at) - different):
            await connection.execute(
                "UPDATE reconciliation_difference SET resolved_at = $2 WHERE subject = $1 AND resolved_at IS NULL",
                (subject, now),
            )
        for one in sorted(found, key=lambda difference: difference.subject):
            await connection.execute(
                _KEEP,
                (
                    one.subject,
                    one.kind.value,
                    day.isoformat(),
                    one.sentence,
                    one.action,
                    one.ours_micros,
                    one.theirs_micros,
                    now,
                ),
            )

    await billing.database.run(work)


async def count_open(billing: Billing) -> dict[str, int]:
    """How many differences are open, by kind; every kind is there."""
    rows = await billing.database.fetch(
        f"SELECT kind, count(*) AS differences FROM reconciliation_difference WHERE {_OPEN} GROUP BY kind"
    )
    counted = {text(row, "kind"): integer(row, "differences") for row in rows}
    return {kind.value: counted.get(kind.value, 0) for kind in DifferenceKind}
