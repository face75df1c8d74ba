"""Reading the ledger: what an account holds, and the pages of what happened to it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Protocol
from uuid import UUID

from gateway.db import Parameters, Row
from gateway.db.rows import identifier, integer, moment, text_or_none
from gateway.domain.ledger import Account

PAGE_POSTINGS_MAX: Final = 500
_SEQ_AFTER_LAST: Final = 2**63 - 1

_CACHED_BALANCE: Final = "SELECT balance_micros FROM ledger_account WHERE id = $1"
_DERIVED_BALANCE: Final = "SELECT coalesce(sum(amount_micros), 0) AS balance_micros FROM posting WHERE account_id = $1"

#: Walks the index (account_id, seq) backwards: no sort, and no page is shifted by what is recorded meanwhile.
PAGE_STATEMENT: Final = """
    SELECT p.seq, p.amount_micros, p.balance_after_micros, e.id AS entry_id, e.kind, e.ref, e.description, e.created_at
    FROM posting AS p JOIN ledger_entry AS e ON e.id = p.entry_id
    WHERE p.account_id = $1 AND p.seq < $2
    ORDER BY p.seq DESC LIMIT $3"""


class Reader(Protocol):
    """A `Database` (what is committed) or a `Connection` (what its transaction sees)."""

    async def fetch(self, sql: str, params: Parameters = ()) -> list[Row]: ...

    async def fetch_one(self, sql: str, params: Parameters = ()) -> Row | None: ...


@dataclass(frozen=True, slots=True)
class PostingRow:
    """One line of an account's statement. `seq` counts from 1 without gaps and is the page's cursor."""

    seq: int
    amount_micros: int
    balance_after_micros: int
    entry_id: UUID
    kind: str
    ref: str | None
    description: str
    created_at: datetime


async def balance(reader: Reader, account: Account) -> int:
    """What the account holds in micro-dollars; 0 before its first posting.

    One row for an account with an owner; a sum over the whole history for one of the platform's own, which is for
    reports and audits, never for a request.
    """
    row = await reader.fetch_one(_CACHED_BALANCE if account.cached else _DERIVED_BALANCE, (account.id,))
    return 0 if row is None else integer(row, "balance_micros")


async def postings_page(
    reader: Reader, account: Account, *, before_seq: int | None = None, limit: int
) -> Sequence[PostingRow]:
    """The newest postings of an account, or the newest before one already seen; its owner's accounts only."""
    if not account.cached:
        raise ValueError(f"The postings of {account.code} have no order of their own; page through its entries.")
    if not 0 < limit <= PAGE_POSTINGS_MAX:
        raise ValueError(f"A page has 1 to {PAGE_POSTINGS_MAX} postings; got {limit}.")
    before = _SEQ_AFTER_LAST if before_seq is None else before_seq
    return [_posting_row(row) for row in await reader.fetch(PAGE_STATEMENT, (account.id, before, limit))]


def _posting_row(row: Row) -> PostingRow:
    return PostingRow(
        seq=integer(row, "seq"),
        amount_micros=integer(row, "amount_micros"),
        balance_after_micros=integer(row, "balance_after_micros"),
        entry_id=identifier(row, "entry_id"),
        kind=str(row["kind"]),
        ref=text_or_none(row, "ref"),
        description=str(row["description"]),
        created_at=moment(row, "created_at"),
    )
