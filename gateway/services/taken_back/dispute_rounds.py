"""Rounds of disputes: what one turn asks of the creators, read off the dispute's row."""

from dataclasses import dataclass
from typing import Final
from uuid import UUID

from gateway.db.rows import identifier, integer
from gateway.services.ledger import Reader
from models.deposit_dispute import DisputeState

_ROUND: Final = (
    "SELECT id, version, state, owed_micros, checkout_id, wallet_seq, receivable_seq FROM deposit_dispute WHERE id = $1"
)
_LOST_OTHERWISE: Final = """
    SELECT d.id FROM deposit_dispute AS d JOIN checkout AS c ON c.id = d.checkout_id
    WHERE c.customer_id = $1 AND d.id <> $2 AND d.state = 'lost' AND d.owed_micros <> (
        SELECT coalesce(sum(l.gross_micros), 0) FROM charge_loss AS l
        WHERE l.dispute_id = d.id AND l.gross_micros > 0)
    ORDER BY d.created_at, d.id"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """One turn of a dispute, told from the ones before and after it by its number.

    `owed_micros` of a lost dispute is what was written off: nobody has paid for that much of what was called.
    """

    dispute_id: str
    number: int
    state: DisputeState
    owed_micros: int
    customer_id: UUID
    deposit_id: UUID
    wallet_seq: int
    receivable_seq: int


async def round_of(reader: Reader, dispute_id: str, *, customer_id: UUID) -> Round:
    """The round in which a dispute of this customer is."""
    row = await reader.fetch_one(_ROUND, (dispute_id,))
    assert row is not None, "a dispute is never forgotten"
    return Round(
        dispute_id=dispute_id,
        number=integer(row, "version"),
        state=DisputeState(str(row["state"])),
        owed_micros=integer(row, "owed_micros"),
        customer_id=customer_id,
        deposit_id=identifier(row, "checkout_id"),
        wallet_seq=integer(row, "wallet_seq"),
        receivable_seq=integer(row, "receivable_seq"),
    )


async def lost_otherwise(reader: Reader, round_: Round) -> list[str]:
    """The customer's other lost disputes that have lost more or less of calls than is written off, oldest first.

    More, where a debt of theirs is paid after all. Less, where others had lost all of the calls: what these free is
    theirs to lose.
    """
    rows = await reader.fetch(_LOST_OTHERWISE, (round_.customer_id, round_.dispute_id))
    return [str(row["id"]) for row in rows]
