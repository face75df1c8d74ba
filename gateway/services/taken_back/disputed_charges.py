"""What a dispute about a deposit does to the charges the deposit paid: their nets are frozen, then lost or freed."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from gateway.db import Connection
from gateway.db.batches import list_parameter
from gateway.domain.charges import ChargeState, earned_account
from gateway.domain.ledger import BAD_DEBT, EntryDraft, EntryKind, Line
from gateway.services.billing import Billing
from gateway.services.customers import lock_customer
from gateway.services.ledger import Reader, record_many
from gateway.services.ledger.rows import as_int, as_uuid
from gateway.services.marketplace.earning_events import add_earning_event, correct_day
from gateway.services.taken_back.provenance import entries_paid_by
from models.deposit_dispute import DisputeState
from models.tool_charge import ToolCharge

#: Charges moved in one transaction.
MOVED_AT_ONCE_MAX: Final = 200

_LOSABLE: Final = frozenset({ChargeState.PENDING, ChargeState.AVAILABLE, ChargeState.HELD, ChargeState.OWN})


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """One look at a dispute; its number makes the names of what it books new, as a dispute may turn more than once.

    `owed_micros` of a lost dispute is what was written off: nobody has paid for that much of what was called.
    """

    dispute_id: str
    number: int
    state: DisputeState
    owed_micros: int
    customer_id: UUID
    income_idem: str


@dataclass(frozen=True, slots=True)
class _Move:
    """Where the net of a charge goes, and because of which dispute."""

    charge: ToolCharge
    goal: ChargeState
    dispute_id: str


class _Outdated(Exception):
    """A newer round has begun; this one's moves are none of it."""


async def settle_creators(billing: Billing, round_: Round) -> bool:
    """Do what is left to do of a round; False when a newer one has taken over, which does all of it.

    Open: all the deposit paid is frozen. Lost: the newest of it that comes to no more than was written off is lost,
    and what the customer has paid for after all is freed. Won: everything is freed, also what was lost before.
    """
    try:
        if round_.state is not DisputeState.WON:
            paid = await _paid(billing.database, round_.customer_id, round_.income_idem, round_.dispute_id)
            ids = paid if round_.state is DisputeState.OPEN else paid[::-1]
            for start in range(0, len(ids), MOVED_AT_ONCE_MAX):
                await _Step(billing, round_).take(ids[start : start + MOVED_AT_ONCE_MAX])
        if round_.state is not DisputeState.OPEN:
            while await _Step(billing, round_).free():
                pass
    except _Outdated:
        return False
    return True


class _Step:
    """One transaction of a round."""

    def __init__(self, billing: Billing, round_: Round) -> None:
        self._database = billing.database
        self._round = round_
        self._now = billing.clock.now()

    async def take(self, ids: Sequence[UUID]) -> None:
        """Freeze these charges, or lose as many of them, in this order, as the loss comes to."""

        async def work(connection: Connection) -> None:
            await self._begin(connection)
            charges = await _lock_charges(connection, ids)
            ordered = [charges[entry_id] for entry_id in ids if entry_id in charges]
            if self._round.state is DisputeState.OPEN:
                await self._post(
                    connection,
                    [
                        self._move(charge, ChargeState.HELD)
                        for charge in ordered
                        if charge.state in {ChargeState.PENDING, ChargeState.AVAILABLE}
                    ],
                )
                return
            rest = self._round.owed_micros - await self._lost(connection)
            moves: list[_Move] = []
            for charge in ordered:
                if charge.state in _LOSABLE and 0 < charge.net_micros <= charge.gross_micros <= rest:
                    rest -= charge.gross_micros
                    moves.append(self._move(charge, ChargeState.LOST))
            await self._post(connection, moves)

        await self._database.run(work)

    async def free(self) -> int:
        """Free a batch of what this dispute holds, and of what it lost if it is won; returns how many there were."""
        states = "'held', 'lost'" if self._round.state is DisputeState.WON else "'held'"

        async def work(connection: Connection) -> int:
            await self._begin(connection)
            rows = await connection.fetch(
                f"SELECT id FROM tool_charge WHERE dispute_id = $1 AND state IN ({states}) ORDER BY id LIMIT $2",
                (self._round.dispute_id, MOVED_AT_ONCE_MAX),
            )
            charges = await _lock_charges(connection, [as_uuid(row["id"]) for row in rows])
            claims = await self._claims(connection) if charges else {}
            await self._post(
                connection,
                [
                    self._freed(charge, claims)
                    for charge in charges.values()
                    if charge.state in {ChargeState.HELD, ChargeState.LOST}
                ],
            )
            return len(rows)

        return await self._database.run(work)

    async def _begin(self, connection: Connection) -> None:
        """Hold the customer, so that no dispute of its deposits turns meanwhile, and see that no newer round began."""
        await lock_customer(connection, self._round.customer_id)
        row = await connection.fetch_one("SELECT version FROM deposit_dispute WHERE id = $1", (self._round.dispute_id,))
        assert row is not None, "a dispute is never forgotten"
        if as_int(row["version"]) != self._round.number:
            raise _Outdated

    async def _lost(self, connection: Connection) -> int:
        row = await connection.fetch_one(
            "SELECT coalesce(sum(gross_micros), 0) AS gross_micros FROM tool_charge "
            "WHERE dispute_id = $1 AND state = 'lost'",
            (self._round.dispute_id,),
        )
        assert row is not None, "a sum is always one row"
        return as_int(row["gross_micros"])

    async def _claims(self, connection: Connection) -> dict[UUID, str]:
        """The charges that other open disputes of this customer would freeze."""
        rows = await connection.fetch(
            "SELECT d.id, c.session_id FROM deposit_dispute AS d JOIN checkout AS c ON c.id = d.checkout_id "
            "WHERE c.customer_id = $1 AND d.state = 'open' AND d.id <> $2 ORDER BY d.created_at, d.id",
            (self._round.customer_id, self._round.dispute_id),
        )
        return {
            entry_id: str(row["id"])
            for row in rows
            for entry_id in await _paid(connection, self._round.customer_id, f"dep:{row['session_id']}", str(row["id"]))
        }

    def _move(self, charge: ToolCharge, goal: ChargeState) -> _Move:
        return _Move(charge, goal, self._round.dispute_id)

    def _freed(self, charge: ToolCharge, claims: dict[UUID, str]) -> _Move:
        """Back to where it would be; another dispute goes on holding it, and a hold that is not over goes on."""
        if charge.consumer_id == charge.creator_id:
            return self._move(charge, ChargeState.OWN)
        if charge.id in claims:
            return _Move(charge, ChargeState.HELD, claims[charge.id])
        over = charge.available_at <= self._now
        return self._move(charge, ChargeState.AVAILABLE if over else ChargeState.PENDING)

    async def _post(self, connection: Connection, moves: Sequence[_Move]) -> None:
        # Days are written below, creators and days in one order, as whoever charges or reverses does.
        moves = sorted(
            (move for move in moves if move.charge.net_micros),
            key=lambda move: (move.charge.creator_id, move.charge.created_at, move.charge.id),
        )
        drafts = [draft for move in moves if (draft := self._draft(move)) is not None]
        outcomes = await record_many(connection, drafts, now=self._now)
        entries: dict[str, UUID] = {}
        for draft, outcome in zip(drafts, outcomes, strict=True):
            if isinstance(outcome, Exception):
                raise outcome
            entries[draft.idem] = outcome.entry_id
        for move in moves:
            await connection.execute(
                "UPDATE tool_charge SET state = $2, dispute_id = $3 WHERE id = $1",
                (move.charge.id, move.goal.value, move.dispute_id),
            )
            if ChargeState.LOST in {move.charge.state, move.goal}:
                await self._tell_creator(connection, move, entry_id=entries[self._idem(move)])

    async def _tell_creator(self, connection: Connection, move: _Move, *, entry_id: UUID) -> None:
        sign = -1 if move.goal is ChargeState.LOST else 1
        await correct_day(connection, move.charge, calls=sign)
        await add_earning_event(
            connection,
            move.charge,
            kind="DISPUTE",
            entry_id=entry_id,
            net_micros=sign * move.charge.net_micros,
            fee_micros=0,
            now=self._now,
        )

    def _idem(self, move: _Move) -> str:
        return f"fz:{move.charge.id}:{self._round.dispute_id}:{self._round.number}"

    def _draft(self, move: _Move) -> EntryDraft | None:
        """None when the money is there already: one dispute hands a frozen charge to another."""
        creator_id = move.charge.creator_id
        source = earned_account(creator_id, ChargeState(move.charge.state))
        goal = earned_account(creator_id, move.goal)
        if source == goal:
            return None
        against = move.goal is ChargeState.LOST or (source != BAD_DEBT and move.goal is ChargeState.HELD)
        return EntryDraft(
            idem=self._idem(move),
            kind=EntryKind.DISPUTE if against else EntryKind.DISPUTE_REVERSAL,
            lines=(Line(source, -move.charge.net_micros), Line(goal, move.charge.net_micros)),
            ref=self._round.dispute_id,
            description="Earning frozen by a dispute" if move.goal is ChargeState.HELD else "Dispute decided",
        )


async def _paid(reader: Reader, customer_id: UUID, income_idem: str, dispute_id: str) -> tuple[UUID, ...]:
    return await entries_paid_by(
        reader, customer_id=customer_id, income_idem=income_idem, until_idem=f"dp:{dispute_id}:"
    )


async def _lock_charges(connection: Connection, ids: Sequence[UUID]) -> dict[UUID, ToolCharge]:
    """Those of the ids that are charges, locked in the order of their ids."""
    match = "= ANY($1::uuid[])" if connection.dialect == "postgres" else "IN (SELECT value FROM json_each($1))"
    await connection.fetch(
        f"SELECT id FROM tool_charge WHERE id {match} ORDER BY id FOR UPDATE",
        (list_parameter(connection.dialect, sorted(ids)),),
    )
    charges = await ToolCharge.filter(id__in=list(ids)).using_db(connection.orm).order_by("id")
    return {charge.id: charge for charge in charges}
