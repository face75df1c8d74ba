"""What a dispute about a deposit does to the charges the deposit paid: their nets are frozen, then lost or freed."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final, TypeAlias
from uuid import UUID

from gateway.db import Connection
from gateway.db.rows import identifier, integer
from gateway.domain.charges import ChargeState
from gateway.domain.errors import InProgress
from gateway.domain.ledger import wallet
from gateway.services.billing import Billing
from gateway.services.customers import lock_customer
from gateway.services.ledger import Reader
from gateway.services.taken_back.charge_moves import (
    DisputedCharge,
    Move,
    bought_within,
    freezable_within,
    lock_charges,
    post_moves,
)
from gateway.services.taken_back.dispute_rounds import Round
from gateway.services.taken_back.provenance import Stretch, covers
from gateway.services.taken_back.tracing import paid_by
from models.deposit_dispute import DepositDispute, DisputeState

#: Charges moved in one transaction, in which charging the same creators has to wait.
MOVED_AT_ONCE_MAX: Final = 500
#: How often other disputes of the customer may turn while one step is taken.
TURNS_MAX: Final = 5

_FREEZABLE: Final = frozenset({ChargeState.PENDING, ChargeState.AVAILABLE})
_HELD: Final = "SELECT id FROM tool_charge WHERE dispute_id = $1 AND state = 'held'"
#: What a dispute still has of charges, by whether it is won.
_TO_FREE: Final = {
    False: f"{_HELD} LIMIT $2",
    True: f"{_HELD} UNION SELECT charge_id FROM charge_loss WHERE dispute_id = $1 AND gross_micros > 0 LIMIT $2",
}
_Decision: TypeAlias = Callable[[Sequence[DisputedCharge]], list[Move]]


@dataclass(frozen=True, slots=True)
class _Claim:
    """What another open dispute of the same customer holds on to."""

    dispute_id: str
    version: int
    stretches: Sequence[Stretch]


class _Outdated(Exception):
    """A newer round has begun; this one's moves are none of it."""


class _OthersTurned(Exception):
    """Another dispute of the customer turned; what it claims must be read again."""


async def settle_creators(billing: Billing, round_: Round) -> bool:
    """Do what is left to do of a round; False when a newer one has taken over, which does all of it.

    Open: all the deposit paid is frozen. Lost: the newest of it that comes to what was written off is lost, the oldest
    call of that in part, and what the customer has paid for after all is freed. Won: everything is freed, also what
    was lost before.

    The histories are read outside of transactions, because they do not change any more, and a bounded part at a time.
    What is moved already is not moved again, so whoever comes after a crash goes on where it happened.
    """
    settling = _Settling(billing, round_)
    try:
        if round_.state is DisputeState.OPEN:
            await settling.freeze()
        if round_.state is DisputeState.LOST:
            await settling.lose()
        if round_.state is not DisputeState.OPEN:
            await settling.free()
    except _Outdated:
        return False
    return True


class _Settling:
    """The moves of one round, a transaction for each batch."""

    def __init__(self, billing: Billing, round_: Round) -> None:
        self._database = billing.database
        self._round = round_
        self._now = billing.clock.now()
        self._wallet_id = wallet(round_.customer_id).id
        self._claims: Sequence[_Claim] | None = None

    async def freeze(self) -> None:
        for window in await self._windows():
            if ids := await freezable_within(self._database, self._wallet_id, window):
                await self._step(ids, self._freezing, frees=False)

    async def lose(self) -> None:
        """Lose the newest of the charges, free the others, and make sure that no more is lost.

        Two workers may do this at once while what another dispute had lost comes free.
        """
        for _ in range(TURNS_MAX):
            await self._lose_newest()
            if await self._lost_micros() <= self._round.owed_micros:
                return
        raise InProgress("Other disputes of this customer are being settled at this moment.")

    async def free(self) -> None:
        """Free what this dispute still holds, and what it lost if it is won."""
        is_won = self._round.state is DisputeState.WON

        def freeing(charges: Sequence[DisputedCharge]) -> list[Move]:
            moves = [self._settled(charge, 0 if is_won else charge.lost_here_micros) for charge in charges]
            return [move for move in moves if move.changes_anything]

        while rows := await self._database.fetch(_TO_FREE[is_won], (self._round.dispute_id, MOVED_AT_ONCE_MAX)):
            await self._step([identifier(row, "id") for row in rows], freeing, frees=True)

    async def _lose_newest(self) -> None:
        rest = self._round.owed_micros
        for window in reversed(await self._windows()):
            charges = await self._bought_within(window)
            if self._losing(charges, rest):
                charges = await self._step([c.id for c in charges], partial(self._losing, rest=rest), frees=True)
            rest -= min(rest, sum(charge.losable_micros for charge in charges))

    def _freezing(self, charges: Sequence[DisputedCharge]) -> list[Move]:
        return [
            Move(charge, ChargeState.HELD, self._round.dispute_id, charge.lost_here_micros)
            for charge in charges
            if charge.state in _FREEZABLE
        ]

    def _losing(self, charges: Sequence[DisputedCharge], rest: int) -> list[Move]:
        """When so much of the loss is left: newest first, each whole, until what is left covers one in part only."""
        moves: list[Move] = []
        for charge in reversed(charges):
            part = min(rest, charge.losable_micros)
            rest -= part
            moves.append(self._settled(charge, part))
        return [move for move in moves if move.changes_anything]

    def _settled(self, charge: DisputedCharge, lost_here_micros: int) -> Move:
        """How a charge stands once this dispute is decided and has lost so much of it."""
        if charge.state is ChargeState.REVERSED:
            return Move(charge, charge.state, charge.dispute_id, lost_here_micros)
        if lost_here_micros == charge.losable_micros:
            return Move(charge, ChargeState.LOST, None, lost_here_micros)
        if charge.state is ChargeState.LOST or (charge.state is ChargeState.HELD and self._is_ours(charge)):
            return self._freed(charge, lost_here_micros)
        return Move(charge, charge.state, charge.dispute_id, lost_here_micros)

    def _freed(self, charge: DisputedCharge, lost_here_micros: int) -> Move:
        """Back to where it would be; another dispute goes on holding it, and a hold that is not over goes on."""
        if charge.consumer_id == charge.creator_id:
            return Move(charge, ChargeState.OWN, None, lost_here_micros)
        for claim in reversed(self._claims or ()):
            if covers(claim.stretches, charge.seq):
                return Move(charge, ChargeState.HELD, claim.dispute_id, lost_here_micros)
        over = charge.available_at <= self._now
        return Move(charge, ChargeState.AVAILABLE if over else ChargeState.PENDING, None, lost_here_micros)

    def _is_ours(self, charge: DisputedCharge) -> bool:
        return charge.dispute_id == self._round.dispute_id

    async def _bought_within(self, window: Stretch) -> list[DisputedCharge]:
        return await bought_within(self._database, self._wallet_id, window, dispute_id=self._round.dispute_id)

    async def _windows(self) -> list[Stretch]:
        """What the deposit paid, oldest first, in parts that one transaction can move."""
        paid = await paid_by(
            self._database,
            customer_id=self._round.customer_id,
            deposit_id=self._round.deposit_id,
            wallet_seq=self._round.wallet_seq,
            receivable_seq=self._round.receivable_seq,
        )
        return [window for stretch in paid for window in stretch.windows(MOVED_AT_ONCE_MAX)]

    async def _step(self, ids: Sequence[UUID], decide: _Decision, *, frees: bool) -> list[DisputedCharge]:
        """Move in one transaction what is decided about these charges as they stand then; returns how they stood.

        Who `frees` must know what others claim, and that nobody's claim has changed since that was read.
        """

        async def work(connection: Connection) -> list[DisputedCharge]:
            await self._begin(connection)
            if frees and await self._others(connection) != self._known():
                raise _OthersTurned
            charges = await lock_charges(connection, self._wallet_id, ids, dispute_id=self._round.dispute_id)
            await post_moves(connection, decide(charges), ref=self._round.dispute_id, now=self._now)
            return charges

        for _ in range(TURNS_MAX):
            if frees and self._claims is None:
                self._claims = await self._read_claims()
            try:
                return await self._database.run(work)
            except _OthersTurned:
                self._claims = None
        raise InProgress("Other disputes of this customer are being settled at this moment.")

    async def _begin(self, connection: Connection) -> None:
        """Hold the customer, so that no dispute of its deposits turns meanwhile, and see that no newer round began."""
        await lock_customer(connection, self._round.customer_id)
        row = await connection.fetch_one("SELECT version FROM deposit_dispute WHERE id = $1", (self._round.dispute_id,))
        assert row is not None, "a dispute is never forgotten"
        if integer(row, "version") != self._round.number:
            raise _Outdated

    async def _lost_micros(self) -> int:
        row = await self._database.fetch_one(
            "SELECT coalesce(sum(gross_micros), 0) AS gross_micros FROM charge_loss "
            "WHERE dispute_id = $1 AND gross_micros > 0",
            (self._round.dispute_id,),
        )
        assert row is not None, "a sum is always one row"
        return integer(row, "gross_micros")

    async def _others(self, reader: Reader) -> list[tuple[str, int]]:
        """The other open disputes of this customer, oldest first, and which turn of theirs it is."""
        rows = await reader.fetch(
            "SELECT d.id, d.version FROM deposit_dispute AS d JOIN checkout AS c ON c.id = d.checkout_id "
            "WHERE c.customer_id = $1 AND d.state = 'open' AND d.id <> $2 ORDER BY d.created_at, d.id",
            (self._round.customer_id, self._round.dispute_id),
        )
        return [(str(row["id"]), integer(row, "version")) for row in rows]

    def _known(self) -> list[tuple[str, int]]:
        return [(claim.dispute_id, claim.version) for claim in self._claims or ()]

    async def _read_claims(self) -> list[_Claim]:
        """What each of the other open disputes holds on to; once a round, unless one of them turns."""
        claims: list[_Claim] = []
        for dispute_id, _ in await self._others(self._database):
            row = await DepositDispute.get(id=dispute_id, using_db=self._database.orm)
            paid = await paid_by(
                self._database,
                customer_id=self._round.customer_id,
                deposit_id=row.checkout_id,
                wallet_seq=row.wallet_seq,
                receivable_seq=row.receivable_seq,
            )
            claims.append(_Claim(dispute_id, row.version, paid))
        return claims
