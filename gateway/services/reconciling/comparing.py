"""Both sides of a subject, read from the mirror and from the ledger."""

from collections.abc import AsyncIterator, Iterable, Sequence
from datetime import date, datetime
from typing import Final
from uuid import UUID

from gateway.db import Row
from gateway.db.batches import list_parameter
from gateway.db.rows import identifier, integer, moment, text, text_or_none
from gateway.domain.ledger import STRIPE
from gateway.domain.money import CURRENCY, cents_to_micros
from gateway.domain.reconciliation import (
    Difference,
    Part,
    Sides,
    day_bounds,
    id_of,
    judge,
    kind_of,
    subject_of_entry,
)
from gateway.services.billing import Billing
from gateway.services.reconciling.among import among
from models.checkout import CheckoutState

#: Subjects compared together; entries listed together.
SUBJECTS_AT_ONCE_MAX: Final = 500

# The very list of the partial indexes on ledger_entry.
MONEY_KINDS: Final = (
    "('deposit', 'refund', 'dispute', 'dispute_reversal', 'payout_confirmed', 'payout_returned', "
    "'stripe_fee', 'subscription', 'bank_transfer', 'adjustment')"
)
_MONEY_ENTRY: Final = f"e.kind IN {MONEY_KINDS}"
_ENTRIES: Final = (
    "SELECT e.id, e.idem, e.ref, e.kind, e.created_at, p.amount_micros FROM ledger_entry AS e "
    "JOIN posting AS p ON p.entry_id = e.id AND p.account_id = $1 WHERE"
)
_FIRST_ID: Final = UUID(int=0)


def subjects_of_lines(lines: Iterable[tuple[str, str]]) -> list[str]:
    """What lines with these ids and subjects are about, and their fees."""
    found = [name for line_id, subject in lines for name in (subject, f"fee:{line_id}")]
    return list(dict.fromkeys(found))


async def subjects_of_entries(billing: Billing, day: date) -> AsyncIterator[list[str]]:
    """What the entries on `stripe` of a day are about, some at a time."""
    since, before = day_bounds(day)
    after: tuple[datetime, UUID] = (since, _FIRST_ID)
    while True:
        rows = await billing.database.fetch(
            f"{_ENTRIES} {_MONEY_ENTRY} AND e.created_at >= $2 AND e.created_at < $3 "
            "AND (e.created_at, e.id) > ($4, $5) ORDER BY e.created_at, e.id LIMIT $6",
            (STRIPE.id, since, before, *after, SUBJECTS_AT_ONCE_MAX),
        )
        if not rows:
            return
        yield list(dict.fromkeys(_subject(row) for row in rows))
        after = (moment(rows[-1], "created_at"), identifier(rows[-1], "id"))


async def compare(billing: Billing, subjects: Sequence[str]) -> list[Difference]:
    """What is wrong with these subjects as the mirror and the ledger stand now."""
    found: list[Difference] = []
    for start in range(0, len(subjects), SUBJECTS_AT_ONCE_MAX):
        batch = subjects[start : start + SUBJECTS_AT_ONCE_MAX]
        theirs, ours = await _theirs(billing, batch), await _ours(billing, batch)
        under_way = await _under_way(billing, [one for one in theirs if one not in ours])
        now = billing.clock.now()
        for subject in batch:
            sides = Sides(
                subject, tuple(theirs.get(subject, ())), tuple(ours.get(subject, ())), is_under_way=subject in under_way
            )
            difference = judge(sides, now=now)
            if difference is not None:
                found.append(difference)
    return found


async def explained_micros(billing: Billing, subjects: Sequence[str]) -> int:
    """By how much Stripe's balance is above the ledger because of these subjects; other currencies are not in it."""
    theirs, ours = await _theirs(billing, subjects), await _ours(billing, subjects)
    dollars = sum(part.micros for parts in theirs.values() for part in parts if part.currency == CURRENCY)
    return dollars - sum(part.micros for parts in ours.values() for part in parts)


async def _under_way(billing: Billing, subjects: Sequence[str]) -> set[str]:
    """Which of these are deposits whose payment is being made."""
    sessions = [id_of(subject) for subject in subjects if kind_of(subject) == "dep"]
    if not sessions:
        return set()
    dialect = billing.database.dialect
    rows = await billing.database.fetch(
        f"SELECT session_id FROM checkout WHERE state = '{CheckoutState.PENDING}' AND {among('session_id', dialect)}",
        (list_parameter(dialect, sessions),),
    )
    return {f"dep:{text(row, 'session_id')}" for row in rows}


async def _theirs(billing: Billing, subjects: Sequence[str]) -> dict[str, list[Part]]:
    dialect = billing.database.dialect
    named = await billing.database.fetch(
        "SELECT subject, type, currency, amount_cents AS cents, created_at FROM balance_transaction "
        f"WHERE {among('subject', dialect)}",
        (list_parameter(dialect, list(subjects)),),
    )
    fees = [id_of(subject) for subject in subjects if kind_of(subject) == "fee"]
    taken = await billing.database.fetch(
        "SELECT 'fee:' || id AS subject, type, currency, -fee_cents AS cents, created_at FROM balance_transaction "
        f"WHERE fee_cents <> 0 AND currency = '{CURRENCY}' AND {among('id', dialect)}",
        (list_parameter(dialect, fees),),
    )
    parts: dict[str, list[Part]] = {}
    for row in (*named, *taken):
        micros = cents_to_micros(integer(row, "cents"))
        part = Part(micros, moment(row, "created_at"), _type(row), text(row, "currency"))
        parts.setdefault(text(row, "subject"), []).append(part)
    return parts


def _type(row: Row) -> str:
    currency = text(row, "currency")
    return text(row, "type") if currency == CURRENCY else f"{text(row, 'type')} in {currency}"


async def _ours(billing: Billing, subjects: Sequence[str]) -> dict[str, list[Part]]:
    """Entries are found by what they refer to, or by their name where that is all there is."""
    dialect, wanted = billing.database.dialect, set(subjects)
    by_name = [id_of(subject) for subject in subjects if kind_of(subject) == "entry"]
    by_ref = [id_of(subject) for subject in subjects if kind_of(subject) != "entry"]
    rows = [
        *await billing.database.fetch(
            f"{_ENTRIES} {_MONEY_ENTRY} AND {among('e.ref', dialect, place=2)}",
            (STRIPE.id, list_parameter(dialect, by_ref)),
        ),
        *await billing.database.fetch(
            f"{_ENTRIES} {among('e.idem', dialect, place=2)}", (STRIPE.id, list_parameter(dialect, by_name))
        ),
    ]
    parts: dict[str, list[Part]] = {}
    for row in rows:
        subject = _subject(row)
        if subject in wanted:
            part = Part(-integer(row, "amount_micros"), moment(row, "created_at"), text(row, "kind"))
            parts.setdefault(subject, []).append(part)
    return parts


def _subject(row: Row) -> str:
    return subject_of_entry(idem=text(row, "idem"), ref=text_or_none(row, "ref"))
