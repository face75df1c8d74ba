"""Entries the ledger's tests record: one function an event of docs/ledger.md."""

from datetime import UTC, datetime
from uuid import UUID

from gateway.db import Database
from gateway.domain.ledger import (
    FEES,
    STRIPE,
    Account,
    AccountKind,
    EntryDraft,
    EntryKind,
    Line,
    Recorded,
    deposit_draft,
    wallet,
)
from gateway.services.ledger import record

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
ANN = UUID("01900000-0000-7000-8000-00000000000a")
BOB = UUID("01900000-0000-7000-8000-00000000000b")
PAYOUT = UUID("01900000-0000-7000-8000-0000000000f0")
FEE_BPS = 2000

ANN_WALLET = wallet(ANN)
ANN_RECEIVABLE = Account(AccountKind.RECEIVABLE, ANN)
BOB_PENDING = Account(AccountKind.EARN_PENDING, BOB)
BOB_AVAILABLE = Account(AccountKind.EARN_AVAILABLE, BOB)
IN_TRANSIT = Account(AccountKind.TRANSIT, PAYOUT)


def deposit(amount_micros: int, *, session_id: str = "cs_1", customer_id: UUID = ANN) -> EntryDraft:
    return deposit_draft(customer_id=customer_id, session_id=session_id, amount_micros=amount_micros)


def entry(
    idem: str, *lines: tuple[Account, int], kind: EntryKind = EntryKind.ADJUSTMENT, reverses: UUID | None = None
) -> EntryDraft:
    made = tuple(Line(account, amount_micros) for account, amount_micros in lines if amount_micros)
    return EntryDraft(idem=idem, kind=kind, lines=made, reverses=reverses, description=kind.value)


def tool_call(gross_micros: int, *, call_id: str = "1") -> EntryDraft:
    fee = gross_micros * FEE_BPS // 10_000
    return entry(
        f"call:{ANN}:{call_id}",
        (ANN_WALLET, -gross_micros),
        (BOB_PENDING, gross_micros - fee),
        (FEES, fee),
        kind=EntryKind.TOOL_CALL,
    )


def release(amount_micros: int, *, batch: str = "1") -> EntryDraft:
    return entry(
        f"rel:{BOB}:{batch}", (BOB_PENDING, -amount_micros), (BOB_AVAILABLE, amount_micros), kind=EntryKind.RELEASE
    )


def payout(amount_micros: int) -> EntryDraft:
    return entry(f"po:{PAYOUT}", (BOB_AVAILABLE, -amount_micros), (IN_TRANSIT, amount_micros), kind=EntryKind.PAYOUT)


def payout_end(amount_micros: int, *, paid: bool, idem: str = f"po:{PAYOUT}:end") -> EntryDraft:
    if paid:
        return entry(idem, (IN_TRANSIT, -amount_micros), (STRIPE, amount_micros), kind=EntryKind.PAYOUT_CONFIRMED)
    return entry(idem, (IN_TRANSIT, -amount_micros), (BOB_AVAILABLE, amount_micros), kind=EntryKind.PAYOUT_RETURNED)


async def recorded(database: Database, draft: EntryDraft) -> Recorded:
    """Record one entry in a transaction of its own."""
    return await database.run(lambda connection: record(connection, draft, now=NOW))
