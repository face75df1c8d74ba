"""What decides whether a creator can be paid, read in one statement."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final, cast
from uuid import UUID

import orjson

from gateway.db import Row
from gateway.db.rows import identifier_or_none, integer, integer_or_none, moment_or_none, text_or_none, truth
from gateway.domain.charges import available
from gateway.domain.connecting import AccountStatus
from gateway.domain.payouts import PayoutStanding, WaitsFor
from gateway.domain.schedules import PayoutFrequency
from gateway.services.ledger import Reader

#: Alone in a statement, or beside what else a snapshot reads: {creator} and {available} stand for two parameters.
#: Whether disputes hold something is asked, not how much: they may hold millions of charges.
STANDING_COLUMNS: Final = """
    a.id AS account_id, a.stripe_account_id, a.status AS account_status, a.requirements, a.disabled_reason,
    s.frequency, s.next_run_at, coalesce(l.balance_micros, 0) AS standing_micros, p.amount_cents AS under_way_cents,
    p.waits_for AS under_way_waits_for,
    EXISTS (SELECT 1 FROM tool_charge AS c WHERE c.creator_id = {creator} AND c.state = 'held') AS disputed,
    (SELECT CASE WHEN b.status = 'failed' THEN coalesce(b.failure_message, b.failure_code, 'for no given reason')
        END FROM bank_payout AS b WHERE b.connected_account_id = a.id
        ORDER BY b.created_at DESC LIMIT 1) AS bank_failure"""
#: Of each at most one row.
STANDING_JOINS: Final = """
    LEFT JOIN connected_account AS a ON a.creator_id = {creator} AND a.closed_at IS NULL
    LEFT JOIN payout_settings AS s ON s.creator_id = {creator}
    LEFT JOIN ledger_account AS l ON l.id = {available}
    LEFT JOIN payout AS p ON p.creator_id = {creator} AND p.state IN ('requested', 'processing', 'unknown')"""
_STANDING: Final = f"SELECT {STANDING_COLUMNS} FROM (SELECT 1 AS one) AS one {STANDING_JOINS}".format(
    creator="$1", available="$2"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class CreatorStanding:
    """How a creator stands: what the rules look at, where money would go, and when it goes by itself."""

    standing: PayoutStanding
    account_id: UUID | None
    destination: str | None
    frequency: PayoutFrequency
    next_run_at: datetime | None


async def load_standing(reader: Reader, creator_id: UUID, *, minimum_cents: int) -> CreatorStanding:
    """How the creator stands now, for the reader's view of the database; somebody unknown stands at nothing."""
    row = await reader.fetch_one(_STANDING, (creator_id, available(creator_id).id))
    assert row is not None, "the statement always has one row"
    return read_standing(row, minimum_cents=minimum_cents)


def read_standing(row: Row, *, minimum_cents: int) -> CreatorStanding:
    """The standing in a row that has its columns."""
    status, frequency = text_or_none(row, "account_status"), text_or_none(row, "frequency")
    waits_for = text_or_none(row, "under_way_waits_for")
    return CreatorStanding(
        standing=PayoutStanding(
            status=None if status is None else AccountStatus(status),
            requirements=_requirements(row),
            disabled_reason=text_or_none(row, "disabled_reason"),
            bank_failure=text_or_none(row, "bank_failure"),
            available_micros=integer(row, "standing_micros"),
            disputed=truth(row, "disputed"),
            minimum_cents=minimum_cents,
            under_way_cents=integer_or_none(row, "under_way_cents"),
            under_way_waits_for=None if waits_for is None else WaitsFor(waits_for),
        ),
        account_id=identifier_or_none(row, "account_id"),
        destination=text_or_none(row, "stripe_account_id"),
        frequency=PayoutFrequency.MANUAL if frequency is None else PayoutFrequency(frequency),
        next_run_at=moment_or_none(row, "next_run_at"),
    )


def _requirements(row: Row) -> tuple[str, ...]:
    named = text_or_none(row, "requirements")
    if named is None:
        return ()
    listed: object = orjson.loads(named)
    assert isinstance(listed, list), "requirements are kept as a JSON list"
    return tuple(str(name) for name in cast("list[object]", listed))
