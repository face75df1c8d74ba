"""Moving the nets of disputed charges, many in one transaction: marks, ledger, days and events, a statement each."""

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from gateway.db import Connection, Dialect, Row
from gateway.db.batches import list_parameter, row_parameters
from gateway.domain.charges import ChargeState, earned_account
from gateway.domain.ids import new_id
from gateway.domain.ledger import EntryDraft, EntryKind, Line
from gateway.services.ledger import Reader, record_many
from gateway.services.ledger.rows import as_int, as_optional_text, as_time, as_uuid
from gateway.services.marketplace.earning_events import DisputeEvent, add_dispute_events, correct_days
from gateway.services.taken_back.provenance import Stretch

_CHARGE: Final = (
    "c.id, c.consumer_id, c.creator_id, c.tool_id, c.gross_micros, c.fee_micros, c.net_micros, c.state, "
    "c.available_at, c.dispute_id, c.created_at, p.seq"
)
_BOUGHT: Final = (
    f"SELECT {_CHARGE} FROM posting AS p JOIN tool_charge AS c ON c.id = p.entry_id "
    "WHERE p.account_id = $1 AND p.seq >= $2 AND p.seq <= $3 AND p.amount_micros < 0 AND c.net_micros > 0 "
    "ORDER BY p.seq"
)
_LOCKED: Final = (
    f"SELECT {_CHARGE} FROM tool_charge AS c JOIN posting AS p ON p.entry_id = c.id AND p.account_id = $1 "
    "WHERE c.id {listed} ORDER BY c.id FOR UPDATE OF c"
)
_MARK: Final[dict[Dialect, str]] = {
    "postgres": """
        UPDATE tool_charge SET state = m.state, dispute_id = m.dispute_id
        FROM unnest($1::uuid[], $2::text[], $3::text[]) AS m (id, state, dispute_id) WHERE tool_charge.id = m.id""",
    "sqlite": """
        UPDATE tool_charge SET state = m.state, dispute_id = m.dispute_id
        FROM (SELECT json_extract(value, '$[0]') AS id, json_extract(value, '$[1]') AS state,
            json_extract(value, '$[2]') AS dispute_id FROM json_each($1)) AS m WHERE tool_charge.id = m.id""",
}


@dataclass(frozen=True, slots=True)
class DisputedCharge:
    """A charge as it stands, and where it stands in its consumer's wallet."""

    id: UUID
    consumer_id: UUID
    creator_id: UUID
    tool_id: str
    gross_micros: int
    fee_micros: int
    net_micros: int
    state: ChargeState
    available_at: datetime
    dispute_id: str | None
    created_at: datetime
    seq: int


@dataclass(frozen=True, slots=True)
class Move:
    """Where the net of a charge goes, and which dispute has it then."""

    charge: DisputedCharge
    goal: ChargeState
    dispute_id: str | None

    @property
    def route(self) -> tuple[UUID, ChargeState, ChargeState]:
        """What goes from one account of a creator to another is one entry."""
        return self.charge.creator_id, self.charge.state, self.goal


async def bought_within(reader: Reader, wallet_id: UUID, window: Stretch) -> list[DisputedCharge]:
    """The charges in a part of a wallet's history that earned somebody something, oldest first."""
    return [_charge(row) for row in await reader.fetch(_BOUGHT, (wallet_id, window.first, window.last))]


async def lock_charges(connection: Connection, wallet_id: UUID, ids: Collection[UUID]) -> list[DisputedCharge]:
    """These charges of one consumer as they stand, locked in the order of their ids; oldest first."""
    match = "IN (SELECT value FROM json_each($2))" if connection.dialect == "sqlite" else "= ANY($2::uuid[])"
    rows = await connection.fetch(
        _LOCKED.format(listed=match), (wallet_id, list_parameter(connection.dialect, sorted(ids)))
    )
    return sorted((_charge(row) for row in rows), key=lambda charge: charge.seq)


async def post_moves(connection: Connection, moves: Sequence[Move], *, ref: str, now: datetime) -> None:
    """Move nets of charges that the caller holds, because of the dispute `ref`.

    The charges are marked before the creators' accounts are locked, as whoever releases does, and what follows is a
    statement each: charging the same creators waits no longer than for a release. There is one entry a creator and
    way, and its name is new each time; the charges' state, which is part of the same transaction, makes it happen once.
    """
    if not moves:
        return
    marks = [(move.charge.id, move.goal.value, move.dispute_id) for move in moves]
    await connection.execute(_MARK[connection.dialect], row_parameters(connection.dialect, marks))
    nets: dict[tuple[UUID, ChargeState, ChargeState], int] = defaultdict(int)
    for move in moves:
        nets[move.route] += move.charge.net_micros
    routes = [(who, source, goal) for who, source, goal in sorted(nets) if _changes_account(who, source, goal)]
    entries: dict[tuple[UUID, ChargeState, ChargeState], UUID] = {}
    drafts = [_draft(*route, net_micros=nets[route], ref=ref, now=now) for route in routes]
    for route, outcome in zip(routes, await record_many(connection, drafts, now=now), strict=True):
        if isinstance(outcome, Exception):
            raise outcome
        entries[route] = outcome.entry_id
    await _tell_creators(connection, moves, entries, now)


async def _tell_creators(
    connection: Connection,
    moves: Sequence[Move],
    entries: dict[tuple[UUID, ChargeState, ChargeState], UUID],
    now: datetime,
) -> None:
    """What is lost, or no longer lost, shows in the creators' days and statements; what is frozen does not."""
    days: dict[tuple[UUID, str], list[int]] = defaultdict(lambda: [0, 0, 0, 0])
    events: list[DisputeEvent] = []
    for move in moves:
        charge = move.charge
        if ChargeState.LOST not in {charge.state, move.goal}:
            continue
        sign = -1 if move.goal is ChargeState.LOST else 1
        day = days[charge.creator_id, charge.created_at.date().isoformat()]
        for place, part in enumerate((charge.gross_micros, charge.fee_micros, charge.net_micros, 1)):
            day[place] += sign * part
        events.append(DisputeEvent(charge.creator_id, charge.tool_id, entries[move.route], sign * charge.net_micros))
    if events:
        await correct_days(connection, days)
        await add_dispute_events(connection, events, now=now)


def _changes_account(creator_id: UUID, source: ChargeState, goal: ChargeState) -> bool:
    """Not when one dispute hands a frozen charge to another: the money is there already."""
    return earned_account(creator_id, source) != earned_account(creator_id, goal)


def _draft(
    creator_id: UUID, source: ChargeState, goal: ChargeState, *, net_micros: int, ref: str, now: datetime
) -> EntryDraft:
    against = goal is ChargeState.LOST or (source is not ChargeState.LOST and goal is ChargeState.HELD)
    return EntryDraft(
        idem=f"fz:{creator_id}:{new_id(now)}",
        kind=EntryKind.DISPUTE if against else EntryKind.DISPUTE_REVERSAL,
        lines=(
            Line(earned_account(creator_id, source), -net_micros),
            Line(earned_account(creator_id, goal), net_micros),
        ),
        ref=ref,
        description="Earnings frozen by a dispute" if goal is ChargeState.HELD else "Dispute decided",
    )


def _charge(row: Row) -> DisputedCharge:
    return DisputedCharge(
        id=as_uuid(row["id"]),
        consumer_id=as_uuid(row["consumer_id"]),
        creator_id=as_uuid(row["creator_id"]),
        tool_id=str(row["tool_id"]),
        gross_micros=as_int(row["gross_micros"]),
        fee_micros=as_int(row["fee_micros"]),
        net_micros=as_int(row["net_micros"]),
        state=ChargeState(str(row["state"])),
        available_at=as_time(row["available_at"]),
        dispute_id=as_optional_text(row["dispute_id"]),
        created_at=as_time(row["created_at"]),
        seq=as_int(row["seq"]),
    )
