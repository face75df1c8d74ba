"""The SQL of charging, on both engines, each statement for any number of calls at once."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from gateway.db import Connection, Dialect, Row
from gateway.db.batches import list_parameter, row_parameters
from gateway.db.rows import identifier, integer, moment
from gateway.domain.charges import Call, ChargeState, Listing
from gateway.domain.tools import Split


@dataclass(frozen=True, slots=True)
class ChargeRow:
    """A charge as it stands."""

    entry_id: UUID
    tool_id: str
    split: Split
    wallet_after_micros: int


@dataclass(frozen=True, slots=True)
class NewCharge:
    """A charge whose entry was recorded a moment ago."""

    entry_id: UUID
    call: Call
    creator_id: UUID
    split: Split
    fee_bps: int
    wallet_after_micros: int
    state: ChargeState
    held_until: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ChargeStatements:
    """The texts of one engine, and what runs them."""

    dialect: Dialect
    listings: str
    clearing: str
    debts: str
    charges: str
    insert: str
    days: str

    async def find_listings(self, connection: Connection, tool_ids: Collection[str]) -> dict[str, Listing]:
        """The active tools among these ids."""
        rows = await connection.fetch(self.listings, (list_parameter(self.dialect, list(tool_ids)),))
        return {
            str(row["id"]): Listing(str(row["id"]), identifier(row, "creator_id"), integer(row, "price_micros"))
            for row in rows
        }

    async def find_clearing(self, connection: Connection, customer_ids: Collection[UUID]) -> dict[UUID, datetime]:
        """Until when money of these customers is still on its way into Stripe's hands."""
        rows = await connection.fetch(self.clearing, (list_parameter(self.dialect, list(customer_ids)),))
        return {identifier(row, "id"): moment(row, "funds_clear_at") for row in rows}

    async def find_debts(self, connection: Connection, customer_ids: Collection[UUID]) -> dict[UUID, int]:
        """What those of these customers who owe something owe, in micro-dollars."""
        rows = await connection.fetch(self.debts, (list_parameter(self.dialect, list(customer_ids)),))
        return {identifier(row, "owner_id"): -integer(row, "balance_micros") for row in rows}

    async def find_charges(self, connection: Connection, calls: Sequence[Call]) -> dict[tuple[UUID, str], ChargeRow]:
        """The charges under the names of these calls."""
        names = sorted({(call.consumer_id, call.call_id) for call in calls})
        rows = await connection.fetch(self.charges, row_parameters(self.dialect, names))
        return {(identifier(row, "consumer_id"), str(row["call_id"])): _charge_row(row) for row in rows}

    async def insert_charges(
        self,
        connection: Connection,
        charges: Sequence[NewCharge],
        *,
        clears_at: Mapping[UUID, datetime],
        now: datetime,
    ) -> None:
        """Store the charges; what was paid with uncleared money is available no earlier than it clears."""
        rows = [
            (
                charge.entry_id,
                charge.call.consumer_id,
                charge.call.call_id,
                charge.call.tool_id,
                charge.creator_id,
                charge.split.gross_micros,
                charge.split.fee_micros,
                charge.split.net_micros,
                charge.fee_bps,
                charge.wallet_after_micros,
                charge.state.value,
                max(charge.held_until, clears_at.get(charge.call.consumer_id, charge.held_until)),
            )
            for charge in charges
        ]
        await connection.execute(self.insert, (*row_parameters(self.dialect, rows), now))

    async def add_to_days(self, connection: Connection, charges: Sequence[NewCharge], *, now: datetime) -> None:
        """Add the charges to what each creator sold on this UTC day, creators in one order."""
        totals: dict[UUID, list[int]] = defaultdict(lambda: [0, 0, 0, 0])
        for charge in charges:
            total = totals[charge.creator_id]
            parts = (charge.split.gross_micros, charge.split.fee_micros, charge.split.net_micros, 1)
            for number, part in enumerate(parts):
                total[number] += part
        rows = [(creator_id, now.date().isoformat(), *totals[creator_id]) for creator_id in sorted(totals)]
        await connection.execute(self.days, row_parameters(self.dialect, rows))


_ADD = (
    "ON CONFLICT (creator_id, day) DO UPDATE SET gross_micros = earnings_day.gross_micros + excluded.gross_micros, "
    "fee_micros = earnings_day.fee_micros + excluded.fee_micros, "
    "net_micros = earnings_day.net_micros + excluded.net_micros, calls = earnings_day.calls + excluded.calls"
)
_CHARGE = "c.id, c.consumer_id, c.call_id, c.tool_id, c.gross_micros, c.fee_micros, c.net_micros, c.wallet_after_micros"

_POSTGRES: Final = ChargeStatements(
    dialect="postgres",
    listings="SELECT id, creator_id, price_micros FROM tool WHERE active AND id = ANY($1::text[])",
    clearing="SELECT id, funds_clear_at FROM customer WHERE id = ANY($1::uuid[]) AND funds_clear_at IS NOT NULL",
    debts="""
        SELECT owner_id, balance_micros FROM ledger_account
        WHERE owner_id = ANY($1::uuid[]) AND kind = 'receivable' AND balance_micros < 0""",
    charges=f"""
        SELECT {_CHARGE} FROM tool_charge AS c
        JOIN unnest($1::uuid[], $2::text[]) AS asked (consumer_id, call_id)
            ON c.consumer_id = asked.consumer_id AND c.call_id = asked.call_id""",
    insert="""
        INSERT INTO tool_charge (id, consumer_id, call_id, tool_id, creator_id, gross_micros, fee_micros, net_micros,
            fee_bps, wallet_after_micros, state, available_at, created_at)
        SELECT c.*, $13::timestamptz FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::uuid[],
            $6::bigint[], $7::bigint[], $8::bigint[], $9::int[], $10::bigint[], $11::text[], $12::timestamptz[])
            AS c""",
    days=f"""
        INSERT INTO earnings_day (creator_id, day, gross_micros, fee_micros, net_micros, calls)
        SELECT d.* FROM unnest($1::uuid[], $2::text[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[]) AS d
        {_ADD}""",
)


def _extracted(count: int) -> str:
    return ", ".join(f"json_extract(value, '$[{number}]')" for number in range(count))


_SQLITE: Final = ChargeStatements(
    dialect="sqlite",
    listings="SELECT id, creator_id, price_micros FROM tool WHERE active AND id IN (SELECT value FROM json_each($1))",
    clearing="""
        SELECT id, funds_clear_at FROM customer
        WHERE id IN (SELECT value FROM json_each($1)) AND funds_clear_at IS NOT NULL""",
    debts="""
        SELECT owner_id, balance_micros FROM ledger_account
        WHERE owner_id IN (SELECT value FROM json_each($1)) AND kind = 'receivable' AND balance_micros < 0""",
    charges=f"""
        SELECT {_CHARGE} FROM json_each($1) AS asked
        JOIN tool_charge AS c ON c.consumer_id = json_extract(asked.value, '$[0]')
            AND c.call_id = json_extract(asked.value, '$[1]')""",
    insert=f"""
        INSERT INTO tool_charge (id, consumer_id, call_id, tool_id, creator_id, gross_micros, fee_micros, net_micros,
            fee_bps, wallet_after_micros, state, available_at, created_at)
        SELECT {_extracted(12)}, $2 FROM json_each($1)""",
    days=f"""
        INSERT INTO earnings_day (creator_id, day, gross_micros, fee_micros, net_micros, calls)
        SELECT {_extracted(6)} FROM json_each($1) WHERE true
        {_ADD}""",
)


def charge_statements(dialect: Dialect) -> ChargeStatements:
    return _SQLITE if dialect == "sqlite" else _POSTGRES


def _charge_row(row: Row) -> ChargeRow:
    return ChargeRow(
        entry_id=identifier(row, "id"),
        tool_id=str(row["tool_id"]),
        split=Split(integer(row, "gross_micros"), integer(row, "fee_micros"), integer(row, "net_micros")),
        wallet_after_micros=integer(row, "wallet_after_micros"),
    )
