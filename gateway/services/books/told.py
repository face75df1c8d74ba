"""The audit of what creators are told: each event is about an entry that is of its kind and the creator's."""

from collections.abc import Iterator
from typing import Final

from gateway.db import Row
from gateway.db.rows import integer
from gateway.domain.ledger import EntryKind
from gateway.services.books.walk import Check
from gateway.services.ledger import Fault

_EVENTS: Final = """
    SELECT v.id, v.kind, v.gross_micros, v.fee_micros, v.net_micros, e.idem, e.kind AS entry_kind,
        CASE WHEN e.kind = 'reversal' AND v.net_micros = 0 THEN 1 ELSE (
            SELECT count(*) FROM posting AS p JOIN ledger_account AS a ON a.id = p.account_id
            WHERE p.entry_id = v.entry_id AND a.owner_id = v.creator_id
            AND a.kind IN ('earn_pending', 'earn_available', 'earn_held')) END AS lines
    FROM (SELECT * FROM earning_event WHERE id > $1 ORDER BY id LIMIT $2) AS v
    LEFT JOIN ledger_entry AS e ON e.id = v.entry_id
    ORDER BY v.id"""

#: Which entries an event of a kind can be about.
_ABOUT: Final[dict[str, frozenset[str]]] = {
    "REFUND": frozenset({EntryKind.REVERSAL}),
    "DISPUTE": frozenset({EntryKind.DISPUTE, EntryKind.DISPUTE_REVERSAL}),
    "PAYOUT": frozenset({EntryKind.PAYOUT, EntryKind.PAYOUT_CONFIRMED}),
    "PAYOUT_RETURNED": frozenset({EntryKind.PAYOUT_RETURNED}),
    "ADJUSTMENT": frozenset({EntryKind.ADJUSTMENT}),
}


def _judge_event(row: Row) -> Iterator[Fault]:
    event_id, kind = str(row["id"]), str(row["kind"])
    gross, fee, net = (integer(row, f"{name}_micros") for name in ("gross", "fee", "net"))
    if str(row["entry_kind"]) not in _ABOUT[kind] or not row["lines"]:
        yield Fault(
            "event-entry", event_id, f"The {kind} is about {row['idem']}, which is no such entry of the creator."
        )
    if fee + net != gross:
        yield Fault("event-split", event_id, f"The fee {fee} and the net {net} are not the gross {gross}.")


TOLD: Final = Check(
    name="told",
    rule="What a creator is told beside its sales is in the ledger",
    sql=_EVENTS,
    judge=_judge_event,
)
