"""The audit of what keeps an earning from being paid: a dispute, a reversal, its hold, the clearing of a deposit."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from datetime import timedelta
from typing import Final
from uuid import UUID

import orjson

from gateway.db import Dialect, Row
from gateway.db.batches import list_parameter
from gateway.db.rows import identifier, identifier_or_none, moment, moment_or_none, text_or_none
from gateway.domain.charges import ChargeState
from gateway.services.books.walk import BEFORE_FIRST, ROWS_AT_ONCE_MAX
from gateway.services.ledger import FAULTS_MAX, Fault, Reader, Step
from models.deposit_dispute import DisputeState

#: The longest hold that can be set, a year (docs/settings.md).
HOLD_MAX: Final = timedelta(hours=8760)

# A deposit of which Stripe has said when it clears, and that was in the wallet when the call was paid. Those from
# before each had a time of its own were given their customer's, so one that clears after a month says nothing.
_EARLY: Final = """
    SELECT max(o.clears_at) FROM checkout AS o
    JOIN ledger_account AS w ON w.owner_id = c.consumer_id AND w.kind = 'wallet'
    JOIN posting AS spent ON spent.entry_id = c.id AND spent.account_id = w.id
    JOIN ledger_entry AS e ON e.idem = 'dep:' || o.session_id
    JOIN posting AS got ON got.entry_id = e.id AND got.account_id = w.id
    WHERE o.customer_id = c.consumer_id AND o.mode = 'deposit' AND o.state = 'settled'
        AND o.clearing_look_at IS NULL AND o.clears_at > c.available_at AND {within_a_month}
        AND got.seq < spent.seq"""
# While a dispute's turn is carried out its charges are moved a batch after the other, and its event is not done.
_HOLDS: Final = """
    SELECT c.id, c.consumer_id, c.state, c.dispute_id, c.reversal_reason, c.reversed_by, c.available_at, c.created_at,
        d.state AS dispute_state, k.customer_id AS disputed_customer_id, u.funds_clear_at,
        CASE WHEN c.dispute_id IS NULL THEN 0 ELSE (SELECT count(*) FROM stripe_event AS s
            WHERE s.object_id = c.dispute_id AND s.state IN ('new', 'doing')) END AS events_to_come,
        (SELECT count(*) FROM charge_loss AS l JOIN deposit_dispute AS t ON t.id = l.dispute_id
            JOIN checkout AS o ON o.id = t.checkout_id WHERE l.charge_id = c.id AND l.gross_micros > 0
            AND (t.state <> 'lost' OR o.customer_id <> c.consumer_id)
            AND NOT EXISTS (SELECT 1 FROM stripe_event AS s
                WHERE s.object_id = t.id AND s.state IN ('new', 'doing'))) AS wrong_losses,
        CASE WHEN c.state = 'pending' THEN ({early}) END AS clears_at
    FROM {charges} AS c
    LEFT JOIN deposit_dispute AS d ON d.id = c.dispute_id
    LEFT JOIN checkout AS k ON k.id = d.checkout_id
    LEFT JOIN customer AS u ON u.id = c.consumer_id
    ORDER BY c.id"""
_BATCH: Final = "(SELECT * FROM tool_charge WHERE id > $1 ORDER BY id LIMIT $2)"
_LISTED: Final[dict[Dialect, str]] = {
    "postgres": "(SELECT * FROM tool_charge WHERE id = ANY($1::uuid[]))",
    "sqlite": "(SELECT * FROM tool_charge WHERE id IN (SELECT value FROM json_each($1)))",
}
_WITHIN_A_MONTH: Final[dict[Dialect, str]] = {
    "postgres": "o.clears_at <= o.settled_at + interval '30 days'",
    "sqlite": "julianday(o.clears_at) - julianday(o.settled_at) <= 30",
}
#: The dispute that holds a charge in each state; a reversed one keeps what it had. What is lost has rows of its own.
_HAS: Final[Mapping[str, DisputeState | None]] = {
    ChargeState.PENDING: None,
    ChargeState.AVAILABLE: None,
    ChargeState.OWN: None,
    ChargeState.HELD: DisputeState.OPEN,
    ChargeState.LOST: None,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldsWalk:
    """All charges in the order of their ids; those whose dispute is of another state are looked at once more.

    A dispute that is settled by hand has no event that says so, and moves its charges meanwhile.
    """

    dialect: Dialect
    name: str = "holds"
    rule: str = "What keeps an earning from being paid is there: its dispute, its reversal, the clearing of its deposit"
    at_once: int = ROWS_AT_ONCE_MAX

    async def step(self, reader: Reader, place: str | None) -> Step:
        so_far = _Place() if place is None else _Place(**orjson.loads(place))
        rows = await reader.fetch(self._sql(_BATCH), (UUID(so_far.after), self.at_once))
        if not rows:
            return await self._look_again(reader, so_far.doubted)
        doubted = [str(identifier(row, "id")) for row in rows if any(_judge_dispute(row))]
        now = _Place(str(identifier(rows[-1], "id")), [*so_far.doubted, *doubted][:FAULTS_MAX])
        faults = tuple(fault for row in rows for fault in (*_judge_reversal(row), *_judge_hold(row)))
        return Step(faults, orjson.dumps(asdict(now)).decode())

    async def _look_again(self, reader: Reader, doubted: list[str]) -> Step:
        if not doubted:
            return Step((), None)
        ids = list_parameter(self.dialect, [UUID(one) for one in doubted])
        rows = await reader.fetch(self._sql(_LISTED[self.dialect]), (ids,))
        return Step(tuple(fault for row in rows for fault in _judge_dispute(row)), None)

    def _sql(self, charges: str) -> str:
        early = _EARLY.format(within_a_month=_WITHIN_A_MONTH[self.dialect])
        return _HOLDS.format(early=early, charges=charges)


@dataclass(frozen=True, slots=True)
class _Place:
    after: str = str(BEFORE_FIRST)
    doubted: list[str] = field(default_factory=list[str])


def _judge_dispute(row: Row) -> Iterator[Fault]:
    charge_id, state, dispute_id = str(row["id"]), str(row["state"]), text_or_none(row, "dispute_id")
    if row["wrong_losses"]:
        yield Fault("charge-dispute", charge_id, "A part of it is lost by a dispute that is not lost, or not about it.")
    if state == ChargeState.REVERSED or row["events_to_come"]:
        return
    wanted = _HAS[state]
    if wanted is None and dispute_id is not None:
        yield Fault("charge-dispute", charge_id, f"The charge is {state} and has the dispute {dispute_id}.")
    if wanted is not None and row["dispute_state"] != wanted:
        what = row["dispute_state"] or "unknown"
        yield Fault("charge-dispute", charge_id, f"The charge is {state} by the dispute {dispute_id}, which is {what}.")
    customer_id = identifier_or_none(row, "disputed_customer_id")
    if wanted is not None and customer_id is not None and customer_id != identifier(row, "consumer_id"):
        yield Fault(
            "charge-dispute", charge_id, f"The dispute {dispute_id} is about {customer_id}, who did not pay for it."
        )


def _judge_reversal(row: Row) -> Iterator[Fault]:
    said = {row["reversal_reason"] is not None, row["reversed_by"] is not None}
    if said != {row["state"] == ChargeState.REVERSED}:
        yield Fault(
            "charge-reversed-by",
            str(row["id"]),
            f"The charge is {row['state']}; by whom it was reversed and why is {row['reversed_by']}, "
            f"{row['reversal_reason']}.",
        )


def _judge_hold(row: Row) -> Iterator[Fault]:
    """Of a charge that is pending, which waits for its hold, and for deposits to clear."""
    if row["state"] != ChargeState.PENDING:
        return
    charge_id, made, at = str(row["id"]), moment(row, "created_at"), moment(row, "available_at")
    cleared = moment_or_none(row, "funds_clear_at")
    if at < made:
        yield Fault("charge-available", charge_id, f"The charge of {made} is available at {at}.")
    elif row["clears_at"] is not None:
        yield Fault(
            "charge-available", charge_id, f"A deposit it may be paid with clears at {row['clears_at']}, it at {at}."
        )
    if at > max(made + HOLD_MAX, cleared or made):
        yield Fault("charge-available", charge_id, f"The charge of {made} is held until {at}, longer than any hold.")
