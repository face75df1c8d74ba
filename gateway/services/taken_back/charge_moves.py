"""Moving the nets of disputed charges, many in one transaction: marks, ledger, days and events, a statement each."""

from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, TypeAlias
from uuid import UUID

from gateway.db import Connection, Dialect, Row
from gateway.db.batches import list_parameter, row_parameters
from gateway.db.rows import identifier, integer, moment, text_or_none
from gateway.domain.charges import ChargeState, earned_account, net_of_loss
from gateway.domain.ids import new_id
from gateway.domain.ledger import EntryDraft, EntryKind, Line
from gateway.services.ledger import Reader, record_many
from gateway.services.marketplace.earning_events import DisputeEvent, add_dispute_events, correct_days
from gateway.services.taken_back.provenance import Stretch

_CHARGE: Final = (
    "c.id, c.consumer_id, c.creator_id, c.tool_id, c.gross_micros, c.fee_micros, c.net_micros, c.state, "
    "c.available_at, c.dispute_id, c.created_at, c.lost_micros, c.lost_net_micros, p.seq, coalesce((SELECT "
    "l.gross_micros FROM charge_loss AS l WHERE l.charge_id = c.id AND l.dispute_id = $2), 0) AS lost_here_micros"
)
_BOUGHT: Final = (
    f"SELECT {_CHARGE} FROM posting AS p JOIN tool_charge AS c ON c.id = p.entry_id "
    "WHERE p.account_id = $1 AND p.seq >= $3 AND p.seq <= $4 AND p.amount_micros < 0 AND c.net_micros > 0 "
    "ORDER BY p.seq"
)
_FREEZABLE: Final = (
    "SELECT c.id FROM posting AS p JOIN tool_charge AS c ON c.id = p.entry_id "
    "WHERE p.account_id = $1 AND p.seq >= $2 AND p.seq <= $3 AND p.amount_micros < 0 AND c.net_micros > 0 "
    "AND c.state IN ('pending', 'available') ORDER BY p.seq"
)
_LOCKED: Final = (
    f"SELECT {_CHARGE} FROM tool_charge AS c JOIN posting AS p ON p.entry_id = c.id AND p.account_id = $1 "
    "WHERE c.id {listed} ORDER BY c.id FOR UPDATE OF c"
)
_MARK: Final[dict[Dialect, str]] = {
    "postgres": """
        UPDATE tool_charge SET state = m.state, dispute_id = m.dispute_id, lost_micros = m.lost_micros,
            lost_net_micros = m.lost_net_micros
        FROM unnest($1::uuid[], $2::text[], $3::text[], $4::bigint[], $5::bigint[])
            AS m (id, state, dispute_id, lost_micros, lost_net_micros) WHERE tool_charge.id = m.id""",
    "sqlite": """
        UPDATE tool_charge SET state = m.state, dispute_id = m.dispute_id, lost_micros = m.lost_micros,
            lost_net_micros = m.lost_net_micros
        FROM (SELECT json_extract(value, '$[0]') AS id, json_extract(value, '$[1]') AS state,
            json_extract(value, '$[2]') AS dispute_id, json_extract(value, '$[3]') AS lost_micros,
            json_extract(value, '$[4]') AS lost_net_micros FROM json_each($1)) AS m WHERE tool_charge.id = m.id""",
}
_LOST_NOW: Final = "ON CONFLICT (charge_id, dispute_id) DO UPDATE SET gross_micros = excluded.gross_micros"
_NOTE_LOSSES: Final[dict[Dialect, str]] = {
    "postgres": f"""
        INSERT INTO charge_loss (charge_id, dispute_id, gross_micros)
        SELECT l.* FROM unnest($1::uuid[], $2::text[], $3::bigint[]) AS l {_LOST_NOW}""",
    "sqlite": f"""
        INSERT INTO charge_loss (charge_id, dispute_id, gross_micros)
        SELECT json_extract(value, '$[0]'), json_extract(value, '$[1]'), json_extract(value, '$[2]')
        FROM json_each($1) WHERE true {_LOST_NOW}""",
}
#: What goes from one account of a creator to another is one entry; LOST stands for the platform's loss.
_Route: TypeAlias = tuple[UUID, ChargeState, ChargeState]


@dataclass(frozen=True, slots=True)
class DisputedCharge:
    """A charge as it stands, and where it stands in its consumer's wallet.

    `lost_micros` of the gross is lost, `lost_here_micros` of that because of the dispute that is being settled.
    """

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
    lost_micros: int
    lost_net_micros: int
    lost_here_micros: int
    seq: int

    @property
    def losable_micros(self) -> int:
        """What of the gross the dispute that is being settled can lose, or has lost."""
        if self.state is ChargeState.REVERSED:
            return 0
        return self.gross_micros - self.lost_micros + self.lost_here_micros


@dataclass(frozen=True, slots=True)
class Move:
    """Where what is left of a charge's net goes, which dispute has it then, and what this dispute has lost of it."""

    charge: DisputedCharge
    goal: ChargeState
    dispute_id: str | None
    lost_here_micros: int

    @property
    def lost_micros(self) -> int:
        return self.charge.lost_micros - self.charge.lost_here_micros + self.lost_here_micros

    @property
    def lost_net_micros(self) -> int:
        return net_of_loss(
            lost_micros=self.lost_micros, gross_micros=self.charge.gross_micros, net_micros=self.charge.net_micros
        )

    @property
    def changes_anything(self) -> bool:
        charge = self.charge
        stands = (charge.state, charge.dispute_id, charge.lost_here_micros)
        return stands != (self.goal, self.dispute_id, self.lost_here_micros)

    @property
    def loss_route(self) -> _Route:
        """The way of what is lost, or no longer lost."""
        charge = self.charge
        if self.lost_micros > charge.lost_micros:
            return charge.creator_id, charge.state, ChargeState.LOST
        return charge.creator_id, ChargeState.LOST, self.goal

    def flows(self) -> Iterator[tuple[_Route, int]]:
        """Which amounts go which way: the part that is lost or found again, and the rest where it goes to."""
        charge = self.charge
        yield self.loss_route, abs(self.lost_net_micros - charge.lost_net_micros)
        rest_micros = charge.net_micros - max(self.lost_net_micros, charge.lost_net_micros)
        yield (charge.creator_id, charge.state, self.goal), rest_micros


async def bought_within(reader: Reader, wallet_id: UUID, window: Stretch, *, dispute_id: str) -> list[DisputedCharge]:
    """The charges in a part of a wallet's history that earned somebody something, oldest first."""
    rows = await reader.fetch(_BOUGHT, (wallet_id, dispute_id, window.first, window.last))
    return [_charge(row) for row in rows]


async def freezable_within(reader: Reader, wallet_id: UUID, window: Stretch) -> list[UUID]:
    """The charges in a part of a wallet's history whose nets nothing holds, oldest first.

    What is held is not read: where a deposit paid millions of calls, whoever comes again must get past it in time.
    """
    return [identifier(row, "id") for row in await reader.fetch(_FREEZABLE, (wallet_id, window.first, window.last))]


async def lock_charges(
    connection: Connection, wallet_id: UUID, ids: Collection[UUID], *, dispute_id: str
) -> list[DisputedCharge]:
    """These charges of one consumer as they stand, locked in the order of their ids; oldest first.

    The caller holds the customer, so what disputes lost of them stands still too.
    """
    match = "IN (SELECT value FROM json_each($3))" if connection.dialect == "sqlite" else "= ANY($3::uuid[])"
    rows = await connection.fetch(
        _LOCKED.format(listed=match), (wallet_id, dispute_id, list_parameter(connection.dialect, sorted(ids)))
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
    await _mark(connection, moves, dispute_id=ref)
    micros: dict[_Route, int] = defaultdict(int)
    for move in moves:
        for route, part in move.flows():
            micros[route] += part
    routes = [route for route in sorted(micros) if micros[route] and _changes_account(*route)]
    entries: dict[_Route, UUID] = {}
    drafts = [_draft(*route, net_micros=micros[route], ref=ref, now=now) for route in routes]
    for route, outcome in zip(routes, await record_many(connection, drafts, now=now), strict=True):
        if isinstance(outcome, Exception):
            raise outcome
        entries[route] = outcome.entry_id
    await _tell_creators(connection, moves, entries, now)


async def _mark(connection: Connection, moves: Sequence[Move], *, dispute_id: str) -> None:
    dialect = connection.dialect
    marks = [
        (move.charge.id, move.goal.value, move.dispute_id, move.lost_micros, move.lost_net_micros) for move in moves
    ]
    await connection.execute(_MARK[dialect], row_parameters(dialect, marks))
    losses = [
        (move.charge.id, dispute_id, move.lost_here_micros)
        for move in moves
        if move.lost_here_micros != move.charge.lost_here_micros
    ]
    if losses:
        await connection.execute(_NOTE_LOSSES[dialect], row_parameters(dialect, losses))


async def _tell_creators(
    connection: Connection, moves: Sequence[Move], entries: dict[_Route, UUID], now: datetime
) -> None:
    """What is lost, or no longer lost, shows in the creators' days and statements; what is frozen does not.

    A sale counts on its day as long as a part of it stands.
    """
    days: dict[tuple[UUID, str], list[int]] = defaultdict(lambda: [0, 0, 0, 0])
    events: list[DisputeEvent] = []
    for move in moves:
        charge = move.charge
        gross_micros = charge.lost_micros - move.lost_micros
        if not gross_micros:
            continue
        net_micros = charge.lost_net_micros - move.lost_net_micros
        calls = (charge.state is ChargeState.LOST) - (move.goal is ChargeState.LOST)
        day = days[charge.creator_id, charge.created_at.date().isoformat()]
        for place, part in enumerate((gross_micros, gross_micros - net_micros, net_micros, calls)):
            day[place] += part
        if net_micros:
            entry_id = entries[move.loss_route]
            events.append(DisputeEvent(charge.creator_id, charge.tool_id, entry_id, net_micros))
    if days:
        await correct_days(connection, days)
    if events:
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
        id=identifier(row, "id"),
        consumer_id=identifier(row, "consumer_id"),
        creator_id=identifier(row, "creator_id"),
        tool_id=str(row["tool_id"]),
        gross_micros=integer(row, "gross_micros"),
        fee_micros=integer(row, "fee_micros"),
        net_micros=integer(row, "net_micros"),
        state=ChargeState(str(row["state"])),
        available_at=moment(row, "available_at"),
        dispute_id=text_or_none(row, "dispute_id"),
        created_at=moment(row, "created_at"),
        lost_micros=integer(row, "lost_micros"),
        lost_net_micros=integer(row, "lost_net_micros"),
        lost_here_micros=integer(row, "lost_here_micros"),
        seq=integer(row, "seq"),
    )
