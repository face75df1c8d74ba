"""Payouts as an operator sees them: which there are, which do not get on, and all that is known of one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from gateway.db import Database, Row
from gateway.db.rows import identifier, integer, moment, moment_or_none, text, text_or_none, truth
from gateway.domain.payouts import PayoutState, WaitsFor, end_idem, late_idem, reserve_idem, reversal_idem
from gateway.services.customers import customer_id_of
from gateway.services.payouts.unfinished import OVERDUE

LISTED_MAX: Final = 500
#: What takes longer than this from the request to the transfer, and from there to the bank, is worth a look.
UNDER_WAY_LONG: Final = timedelta(days=1)
AT_BANK_LONG: Final = timedelta(days=10)

_COLUMNS: Final = (
    "p.id, c.subject, p.amount_cents, p.returned_cents, p.state, p.manual, p.period, p.waits_for, p.due_at, "
    "p.attempts, p.destination, p.transfer_id, p.bank_payout_id, p.arrival_at, p.failure_code, p.failure_message, "
    "p.requested_at, p.transferred_at, p.ended_at"
)
_LIST: Final = f"""
    SELECT {_COLUMNS} FROM payout AS p JOIN customer AS c ON c.id = p.creator_id
    WHERE ($1::text IS NULL OR p.state = $1::text) AND ($2::uuid IS NULL OR p.creator_id = $2::uuid)
    ORDER BY p.id DESC LIMIT $3"""
#: The job is lost or keeps failing; a person is waited for; it takes too long; or the bank sent it back.
_STUCK: Final = f"""
    SELECT {_COLUMNS} FROM payout AS p JOIN customer AS c ON c.id = p.creator_id
    WHERE ($1::text IS NULL OR p.state = $1::text) AND ($2::uuid IS NULL OR p.creator_id = $2::uuid)
    AND (p.due_at <= $4 OR p.waits_for = 'operator'
        OR (p.due_at IS NOT NULL AND p.requested_at <= $5)
        OR (p.state = 'in_transit' AND p.transferred_at <= $6)
        OR (p.state = 'failed' AND p.transfer_id IS NOT NULL AND p.returned_cents < p.amount_cents)
        OR EXISTS (SELECT 1 FROM payout_attempt AS a WHERE a.payout_id = p.id AND a.state = 'unknown'
            AND a.refusal_code = 'idempotency_error'))
    ORDER BY p.id LIMIT $3"""
_ONE: Final = f"SELECT {_COLUMNS} FROM payout AS p JOIN customer AS c ON c.id = p.creator_id WHERE p.id = $1"
_ENTRY: Final = "SELECT id, kind, idem, description, created_at FROM ledger_entry WHERE idem = $1"


@dataclass(frozen=True, slots=True, kw_only=True)
class PayoutEntry:
    """One payout with all that its row says. `creator` is the subject of its token."""

    id: UUID
    creator: str
    amount_cents: int
    returned_cents: int
    state: PayoutState
    manual: bool
    period: str | None
    waits_for: WaitsFor | None
    due_at: datetime | None
    attempts: int
    destination: str
    transfer_id: str | None
    bank_payout_id: str | None
    arrival_at: datetime | None
    failure_code: str | None
    failure_message: str | None
    requested_at: datetime
    transferred_at: datetime | None
    ended_at: datetime | None


@dataclass(frozen=True, slots=True)
class PayoutHistory:
    """What belongs to a payout, each a row as it stands: oldest first."""

    attempts: Sequence[Mapping[str, object]]
    reversals: Sequence[Mapping[str, object]]
    bank_payouts: Sequence[Mapping[str, object]]
    ledger: Sequence[Mapping[str, object]]


async def list_payouts(
    database: Database,
    *,
    now: datetime,
    state: PayoutState | None = None,
    creator: str | None = None,
    stuck: bool = False,
    limit: int = LISTED_MAX,
) -> list[PayoutEntry]:
    """Payouts, newest first; with `stuck` those that do not get on by themselves, the oldest first."""
    values: list[object] = [
        None if state is None else state.value,
        None if creator is None else customer_id_of(creator),
        limit,
    ]
    if stuck:
        values += [now - OVERDUE, now - UNDER_WAY_LONG, now - AT_BANK_LONG]
    return [_entry(row) for row in await database.fetch(_STUCK if stuck else _LIST, values)]


async def find_entry(database: Database, payout_id: UUID) -> PayoutEntry | None:
    row = await database.fetch_one(_ONE, (payout_id,))
    return None if row is None else _entry(row)


async def history_of(database: Database, entry: PayoutEntry) -> PayoutHistory:
    """Its attempts, what came back of its transfer, what carries it to the bank, and its lines in the books."""
    attempts = await database.fetch(
        "SELECT number, state, sends, stripe_key, first_sent_at, last_sent_at, refusal_code, refusal_message, "
        "transfer_id, ended_at FROM payout_attempt WHERE payout_id = $1 ORDER BY number",
        (entry.id,),
    )
    reversals = await database.fetch(
        "SELECT id, amount_cents, created_at FROM transfer_reversal WHERE payout_id = $1 ORDER BY created_at, id",
        (entry.id,),
    )
    bank_payouts = await database.fetch(
        "SELECT id, status, amount_minor, currency, arrival_at, failure_code, failure_message, synced_at "
        "FROM bank_payout WHERE id = $1",
        (entry.bank_payout_id,),
    )
    names = [reserve_idem(entry.id), end_idem(entry.id), late_idem(entry.id)]
    names += [reversal_idem(entry.id, text(row, "id")) for row in reversals]
    found = [await database.fetch_one(_ENTRY, (name,)) for name in names]
    ledger = [row for row in found if row is not None]
    return PayoutHistory(attempts=attempts, reversals=reversals, bank_payouts=bank_payouts, ledger=ledger)


def _entry(row: Row) -> PayoutEntry:
    waits_for = text_or_none(row, "waits_for")
    return PayoutEntry(
        id=identifier(row, "id"),
        creator=text(row, "subject"),
        amount_cents=integer(row, "amount_cents"),
        returned_cents=integer(row, "returned_cents"),
        state=PayoutState(text(row, "state")),
        manual=truth(row, "manual"),
        period=text_or_none(row, "period"),
        waits_for=None if waits_for is None else WaitsFor(waits_for),
        due_at=moment_or_none(row, "due_at"),
        attempts=integer(row, "attempts"),
        destination=text(row, "destination"),
        transfer_id=text_or_none(row, "transfer_id"),
        bank_payout_id=text_or_none(row, "bank_payout_id"),
        arrival_at=moment_or_none(row, "arrival_at"),
        failure_code=text_or_none(row, "failure_code"),
        failure_message=text_or_none(row, "failure_message"),
        requested_at=moment(row, "requested_at"),
        transferred_at=moment_or_none(row, "transferred_at"),
        ended_at=moment_or_none(row, "ended_at"),
    )
