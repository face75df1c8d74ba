"""The audit of entries: each has a shape there is, is about a row there is, and is told to the creators it concerns."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Final
from uuid import UUID

from gateway.db import Row
from gateway.db.rows import identifier, identifier_or_none, integer, text_or_none
from gateway.domain.charges import ChargeState
from gateway.domain.ledger import AccountKind, EntryKind
from gateway.services.books.shapes import CREATOR_KINDS, CUSTOMER_KINDS, EntryFacts, EntryLine, shape_of
from gateway.services.books.walk import BEFORE_FIRST, ROWS_AT_ONCE_MAX
from gateway.services.ledger import Fault, Reader, Step

_ENTRIES: Final = """
    SELECT e.id, e.idem, e.kind, e.ref, e.reverses, p.amount_micros, a.kind AS account_kind, a.owner_id,
        t.id AS charge_id, r.state AS reversed_state, c.id AS checkout_id, k.id AS cause_id,
        d.version AS dispute_version, f.customer_id AS dispute_customer_id,
        CASE WHEN e.kind = 'refund' AND a.owner_id IS NOT NULL THEN (
            SELECT max(o.refund_version) FROM checkout AS o WHERE o.customer_id = a.owner_id AND o.mode = 'deposit'
            AND (o.refund_charge_id = e.ref OR o.refund_charge_id IS NULL)) END AS refund_version
    FROM (SELECT id, idem, kind, ref, reverses FROM ledger_entry WHERE id > $1 ORDER BY id LIMIT $2) AS e
    LEFT JOIN posting AS p ON p.entry_id = e.id
    LEFT JOIN ledger_account AS a ON a.id = p.account_id
    LEFT JOIN tool_charge AS t ON t.id = e.id
    LEFT JOIN tool_charge AS r ON r.id = e.reverses
    LEFT JOIN checkout AS c ON c.session_id = e.ref AND c.mode = 'deposit' AND c.state = 'settled'
    LEFT JOIN ledger_entry AS k ON k.idem = e.ref AND e.kind = 'adjustment'
    LEFT JOIN deposit_dispute AS d ON d.id = e.ref AND e.kind IN ('dispute', 'dispute_reversal', 'bad_debt')
    LEFT JOIN checkout AS f ON f.id = d.checkout_id
    ORDER BY e.id"""

# An event is made with its entry, at one moment of one clock, and ids begin with it: so no index of its own is needed.
_EVENTS: Final = """
    SELECT v.entry_id, v.creator_id, count(*) AS events, sum(v.net_micros) AS net_micros
    FROM earning_event AS v WHERE v.id >= $1 AND v.id <= $2 GROUP BY v.entry_id, v.creator_id"""

#: Kinds of entries of which a creator is told where they change what it has earned, and those told charge by charge.
_TOLD: Final = frozenset(
    {
        EntryKind.REVERSAL,
        EntryKind.DISPUTE,
        EntryKind.DISPUTE_REVERSAL,
        EntryKind.PAYOUT,
        EntryKind.PAYOUT_CONFIRMED,
        EntryKind.PAYOUT_RETURNED,
    }
)
_TOLD_PER_CHARGE: Final = frozenset({EntryKind.DISPUTE, EntryKind.DISPUTE_REVERSAL})
_EARNED_KINDS: Final = CREATOR_KINDS - {AccountKind.TRANSIT}
#: The bits of an id after its time.
_AFTER_TIME_BITS: Final = 80

_Events = Mapping[UUID, Sequence[Row]]


@dataclass(frozen=True, slots=True, kw_only=True)
class EntriesWalk:
    """Entries with their postings and the rows they are about, in one statement; then the events of that time.

    Events of an entry are committed with it and never change, so those read a little later are the same.
    """

    name: str = "entries"
    rule: str = "Every entry is of a known shape, has the row it is about, and is told to the creators it concerns"
    at_once: int = ROWS_AT_ONCE_MAX

    async def step(self, reader: Reader, place: str | None) -> Step:
        after = BEFORE_FIRST if place is None else UUID(place)
        rows = await reader.fetch(_ENTRIES, (after, self.at_once))
        if not rows:
            return Step((), None)
        entries = [list(group) for _, group in groupby(rows, key=lambda row: row["id"])]
        told = [entry for entry in entries if entry[0]["kind"] in _TOLD]
        events: _Events = await _events_of(reader, told) if told else {}
        faults = tuple(fault for entry in entries for fault in _judge(entry, events))
        return Step(faults, str(identifier(rows[-1], "id")))


async def _events_of(reader: Reader, entries: Sequence[Sequence[Row]]) -> _Events:
    """What creators were told at the moments of these entries, by entry."""
    moments = [identifier(rows[0], "id").int >> _AFTER_TIME_BITS for rows in entries]
    first, after = min(moments) << _AFTER_TIME_BITS, (max(moments) + 1) << _AFTER_TIME_BITS
    events: dict[UUID, list[Row]] = {}
    for row in await reader.fetch(_EVENTS, (UUID(int=first), UUID(int=after - 1))):
        events.setdefault(identifier(row, "entry_id"), []).append(row)
    return events


def _judge(rows: Sequence[Row], events: _Events) -> Iterator[Fault]:
    entry = _facts(rows)
    found = shape_of(entry)
    if found is None:
        lines = ", ".join(f"{line.kind} {line.amount_micros:+d}" for line in entry.lines)
        yield Fault("entry-shape", entry.idem, f"No {entry.kind} of this name posts {lines or 'nothing'}.")
    turn = 0 if found is None else found[1]
    yield from _judge_subject(rows[0], entry, turn)
    yield from _judge_return(rows, entry, turn)
    if entry.kind in _TOLD:
        yield from _judge_events(entry, events.get(identifier(rows[0], "id"), ()))


def _judge_subject(row: Row, entry: EntryFacts, turn: int) -> Iterator[Fault]:
    """What an entry is about, in the rows that were written with it."""
    match entry.kind:
        case EntryKind.DEPOSIT if row["checkout_id"] is None:
            yield Fault("entry-deposit", entry.idem, "The entry credits a deposit of which no settled checkout knows.")
        case EntryKind.TOOL_CALL if row["charge_id"] is None:
            yield Fault("entry-charge", entry.idem, "The entry pays for a call of which no charge knows.")
        case EntryKind.REVERSAL if row["reversed_state"] != ChargeState.REVERSED:
            yield Fault("entry-reversal", entry.idem, "The entry takes back a charge that is not marked as reversed.")
        case EntryKind.ADJUSTMENT if entry.idem.startswith("cov:") and row["cause_id"] is None:
            yield Fault("entry-cause", entry.idem, "The entry covers a debt with money that never came in.")
        case EntryKind.DISPUTE | EntryKind.DISPUTE_REVERSAL | EntryKind.BAD_DEBT:
            if row["dispute_version"] is None or turn > integer(row, "dispute_version"):
                yield Fault("entry-dispute", entry.idem, f"The entry is of no turn of a known dispute {entry.ref}.")
        case _:
            pass


def _judge_return(rows: Sequence[Row], entry: EntryFacts, turn: int) -> Iterator[Fault]:
    """That what a refund or dispute moves is the money of a customer it is about."""
    customer_id = entry.owner_of(CUSTOMER_KINDS)
    if entry.kind == EntryKind.REFUND:
        known = [integer(row, "refund_version") for row in rows if row["refund_version"] is not None]
        if turn > max(known, default=0):
            yield Fault("entry-refund", entry.idem, f"The entry is of no refund of a deposit of {customer_id}.")
    dispute_customer_id = identifier_or_none(rows[0], "dispute_customer_id")
    if customer_id is not None and dispute_customer_id not in {None, customer_id}:
        yield Fault("entry-dispute", entry.idem, f"The dispute is about {dispute_customer_id}, not {customer_id}.")


def _judge_events(entry: EntryFacts, rows: Sequence[Row]) -> Iterator[Fault]:
    earned = sum(line.amount_micros for line in entry.lines if line.kind in _EARNED_KINDS)
    creator_id = entry.owner_of(CREATOR_KINDS)
    events, told = sum(integer(row, "events") for row in rows), sum(integer(row, "net_micros") for row in rows)
    others = {identifier(row, "creator_id") for row in rows} - {creator_id}
    due = 1 if earned != 0 or entry.kind == EntryKind.REVERSAL else 0
    is_counted = events >= due if entry.kind in _TOLD_PER_CHARGE else events == due
    if told != earned or (earned != 0 and others) or not is_counted:
        yield Fault(
            "entry-event",
            entry.idem,
            f"The entry changes what {creator_id} earned by {earned}; {events} events tell of {told}.",
        )


def _facts(rows: Sequence[Row]) -> EntryFacts:
    row = rows[0]
    return EntryFacts(
        idem=str(row["idem"]),
        kind=str(row["kind"]),
        ref=text_or_none(row, "ref"),
        reverses=identifier_or_none(row, "reverses"),
        lines=[
            EntryLine(str(one["account_kind"]), identifier_or_none(one, "owner_id"), integer(one, "amount_micros"))
            for one in rows
            if one["amount_micros"] is not None
        ],
    )
