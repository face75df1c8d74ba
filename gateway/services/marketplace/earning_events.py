"""What happens to a creator's earnings beside sales, for its statement and its days."""

from datetime import datetime
from uuid import UUID

from gateway.db import Connection
from gateway.domain.ids import new_id
from models.tool_charge import ToolCharge


async def add_earning_event(
    connection: Connection,
    charge: ToolCharge,
    *,
    kind: str,
    entry_id: UUID,
    net_micros: int,
    fee_micros: int,
    now: datetime,
) -> None:
    """A line of the creator's statement about a sale, signed as the creator feels it."""
    amounts = (net_micros + fee_micros, fee_micros, net_micros)
    await _add(connection, charge.creator_id, kind, amounts, tool_id=charge.tool_id, entry_id=entry_id, now=now)


async def add_payout_event(
    connection: Connection, creator_id: UUID, *, kind: str, entry_id: UUID, net_micros: int, now: datetime
) -> None:
    """A line about money that left to the creator (PAYOUT, negative) or came back (PAYOUT_RETURNED, positive)."""
    amounts = (net_micros, 0, net_micros)
    await _add(connection, creator_id, kind, amounts, tool_id=None, entry_id=entry_id, now=now)


async def _add(
    connection: Connection,
    creator_id: UUID,
    kind: str,
    amounts: tuple[int, int, int],
    *,
    tool_id: str | None,
    entry_id: UUID,
    now: datetime,
) -> None:
    await connection.execute(
        "INSERT INTO earning_event (id, creator_id, kind, gross_micros, fee_micros, net_micros, tool_id, entry_id, "
        "created_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        (new_id(now), creator_id, kind, *amounts, tool_id, entry_id, now),
    )


async def correct_day(connection: Connection, charge: ToolCharge, *, calls: int) -> None:
    """Take a charge out of (-1) or back into (+1) the day it was sold on: a day shows what finally stands."""
    await connection.execute(
        "UPDATE earnings_day SET gross_micros = gross_micros + $3, fee_micros = fee_micros + $4, "
        "net_micros = net_micros + $5, calls = calls + $6 WHERE creator_id = $1 AND day = $2",
        (
            charge.creator_id,
            charge.created_at.date().isoformat(),
            calls * charge.gross_micros,
            calls * charge.fee_micros,
            calls * charge.net_micros,
            calls,
        ),
    )
