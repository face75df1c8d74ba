"""What happens to a creator's earnings beside sales, for its statement and its days."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from gateway.db import Connection, Dialect
from gateway.db.batches import row_parameters
from gateway.domain.ids import new_id
from gateway.services.marketplace.statements import charge_statements
from models.tool_charge import ToolCharge

_COLUMNS: Final = "id, creator_id, kind, gross_micros, fee_micros, net_micros, tool_id, entry_id"
_INSERT_MANY: Final[dict[Dialect, str]] = {
    "postgres": f"INSERT INTO earning_event ({_COLUMNS}, created_at) SELECT e.*, $9::timestamptz FROM unnest("
    "$1::uuid[], $2::uuid[], $3::text[], $4::bigint[], $5::bigint[], $6::bigint[], $7::text[], $8::uuid[]) AS e",
    "sqlite": f"INSERT INTO earning_event ({_COLUMNS}, created_at) SELECT "
    + ", ".join(f"json_extract(value, '$[{number}]')" for number in range(8))
    + ", $2 FROM json_each($1)",
}


@dataclass(frozen=True, slots=True)
class DisputeEvent:
    """A sale lost in a dispute (minus), or not lost after all (plus), signed as the creator feels it."""

    creator_id: UUID
    tool_id: str
    entry_id: UUID
    net_micros: int


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


async def add_dispute_events(connection: Connection, events: Sequence[DisputeEvent], *, now: datetime) -> None:
    """Lines of creators' statements about their sales, in one statement."""
    rows = [
        (new_id(now), one.creator_id, "DISPUTE", one.net_micros, 0, one.net_micros, one.tool_id, one.entry_id)
        for one in events
    ]
    await connection.execute(_INSERT_MANY[connection.dialect], (*row_parameters(connection.dialect, rows), now))


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


async def correct_days(connection: Connection, changes: Mapping[tuple[UUID, str], Sequence[int]]) -> None:
    """Add gross, fee, net and calls to what creators sold on days, in the one order in which all write days."""
    dialect = connection.dialect
    rows = [(*place, *changes[place]) for place in sorted(changes)]
    await connection.execute(charge_statements(dialect).days, row_parameters(dialect, rows))
