"""The read path: what a request needs of one customer, fetched by one statement into one immutable snapshot."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from types import MappingProxyType
from typing import cast
from uuid import UUID

from gateway.db import Database, Dialect, Row
from gateway.domain.ledger import wallet
from gateway.domain.plans import BillingInterval, PlanStatus, Tier
from gateway.domain.subscriptions import FREE_PLAN, HeldPlan
from gateway.services.customers import customer_id_of

#: Rows of one page of a connection.
PAGE_ROWS_MAX = 100
#: Different pages of entries one request may ask for; the document's cost limit stops most of them earlier.
PAGES_MAX = 16
STATEMENTS_CACHED_MAX = 256


@dataclass(frozen=True, slots=True)
class PageNeed:
    """A page of wallet entries, newest first: `first` rows older than posting number `before_seq`."""

    first: int
    before_seq: int | None = None


@dataclass(frozen=True, slots=True)
class Need:
    """What must be loaded. Needs add up: a batch loads the union of what its operations need."""

    plan: bool = False
    wallet: bool = False
    entries: frozenset[PageNeed] = frozenset()

    def __or__(self, other: "Need") -> "Need":
        return Need(
            plan=self.plan or other.plan,
            wallet=self.wallet or other.wallet,
            entries=self.entries | other.entries,
        )

    def __bool__(self) -> bool:
        return self.plan or self.wallet or bool(self.entries)


@dataclass(frozen=True, slots=True)
class EntryRow:
    """One posting on the wallet. Amounts are signed micro-dollars; `seq` numbers the wallet's postings from 1."""

    entry_id: str
    seq: int
    kind: str
    amount_micros: int
    balance_after_micros: int
    description: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class EntryPage:
    """A page and whether older rows follow."""

    rows: tuple[EntryRow, ...]
    has_older: bool


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One customer at one moment. Only what the Need asked for is filled in."""

    customer_id: UUID
    plan: HeldPlan = FREE_PLAN
    wallet_micros: int = 0
    entries: Mapping[PageNeed, EntryPage] = field(default_factory=lambda: MappingProxyType({}))


async def load_snapshot(database: Database, *, subject: str, need: Need) -> Snapshot:
    """Everything the need names, of this customer and no other, in one round trip.

    A customer who has never bought anything has no rows, holds FREE and an empty wallet.

    Raises:
        DatabaseUnavailable: the database did not answer.
    """
    customer_id = customer_id_of(subject)
    if not need:
        return Snapshot(customer_id)
    pages = sorted(need.entries, key=lambda page: (page.first, page.before_seq or 0))
    assert len(pages) <= PAGES_MAX, "the edge refuses more pages than this"
    sql = _statement(database.dialect, plan=need.plan, wallet=need.wallet, pages=_shape(pages))
    row = await database.fetch_one(sql, _parameters(customer_id, need, pages))
    assert row is not None, "the statement always has one row"
    return Snapshot(
        customer_id=customer_id,
        plan=_plan(row) if need.plan else FREE_PLAN,
        wallet_micros=_whole(row["wallet_micros"]) if need.wallet else 0,
        entries=MappingProxyType({page: _page(row[f"page{n}"], page.first) for n, page in enumerate(pages)}),
    )


_PLAN_COLUMNS = (
    "tier",
    "interval",
    "status",
    "price_cents",
    "subscription_id",
    "current_period_end",
    "cancels_at",
    "past_due_since",
    "grace_ends_at",
)

#: Both engines build the page as JSON: an array of rows, each an array of columns in the order of EntryRow.
_PAGE = {
    "postgres": "(SELECT json_agg(json_build_array({columns}) ORDER BY seq DESC) FROM ({rows}) AS page)",
    "sqlite": "(SELECT json_group_array(json_array({columns})) FROM ({rows}) AS page)",
}
_PAGE_COLUMNS = "entry_id, seq, kind, amount_micros, balance_after_micros, description, created_at"
_PAGE_ROWS = (
    "SELECT p.entry_id, p.seq, e.kind, p.amount_micros, p.balance_after_micros, e.description, e.created_at "
    "FROM posting AS p JOIN ledger_entry AS e ON e.id = p.entry_id "
    "WHERE p.account_id = {account}{older} ORDER BY p.seq DESC LIMIT {limit}"
)


def _shape(pages: list[PageNeed]) -> tuple[bool, ...]:
    """Which pages have a cursor: all that the statement's text depends on."""
    return tuple(page.before_seq is not None for page in pages)


@lru_cache(maxsize=STATEMENTS_CACHED_MAX)
def _statement(dialect: Dialect, *, plan: bool, wallet: bool, pages: tuple[bool, ...]) -> str:
    """The statement for this shape of need; its parameters are those of `_parameters`, in that order."""
    numbers = iter(range(1, 3 + 2 * len(pages)))
    columns: list[str] = []
    source = "(SELECT 1 AS one) AS nobody"
    if plan:
        columns += [f"plan.{name}" for name in _PLAN_COLUMNS]
        source += f" LEFT JOIN plan ON plan.customer_id = ${next(numbers)}"
    account = f"${next(numbers)}" if wallet or pages else ""
    if wallet:
        columns.append("coalesce(wallet.balance_micros, 0) AS wallet_micros")
        source += f" LEFT JOIN ledger_account AS wallet ON wallet.id = {account}"
    for number, has_cursor in enumerate(pages):
        limit = f"${next(numbers)}"
        older = f" AND p.seq < ${next(numbers)}" if has_cursor else ""
        rows = _PAGE_ROWS.format(account=account, older=older, limit=limit)
        columns.append(_PAGE[dialect].format(columns=_PAGE_COLUMNS, rows=rows) + f" AS page{number}")
    return f"SELECT {', '.join(columns)} FROM {source}"  # noqa: S608 - made of constants and parameter numbers only


def _parameters(customer_id: UUID, need: Need, pages: list[PageNeed]) -> list[object]:
    parameters: list[object] = []
    if need.plan:
        parameters.append(customer_id)
    if need.wallet or pages:
        parameters.append(wallet(customer_id).id)
    for page in pages:
        parameters.append(page.first + 1)
        if page.before_seq is not None:
            parameters.append(page.before_seq)
    return parameters


def _plan(row: Row) -> HeldPlan:
    if row["tier"] is None:
        return FREE_PLAN
    return HeldPlan(
        tier=Tier(_text(row["tier"])),
        status=PlanStatus(_text(row["status"])),
        interval=None if row["interval"] is None else BillingInterval(_text(row["interval"])),
        price_cents=_whole(row["price_cents"]),
        subscription_id=None if row["subscription_id"] is None else _text(row["subscription_id"]),
        current_period_end=_moment(row["current_period_end"]),
        cancels_at=_moment(row["cancels_at"]),
        past_due_since=_moment(row["past_due_since"]),
        grace_ends_at=_moment(row["grace_ends_at"]),
    )


def _page(column: object, first: int) -> EntryPage:
    """The page in a JSON column; one row more than asked for says that older ones follow."""
    rows = cast("list[list[object]]", json.loads(_text(column)) if column is not None else [])
    return EntryPage(rows=tuple(_entry(row) for row in rows[:first]), has_older=len(rows) > first)


def _entry(columns: list[object]) -> EntryRow:
    entry_id, seq, kind, amount, balance, description, created_at = columns
    moment = _moment(created_at)
    assert moment is not None, "an entry has its time"
    return EntryRow(
        entry_id=_text(entry_id),
        seq=_whole(seq),
        kind=_text(kind),
        amount_micros=_whole(amount),
        balance_after_micros=_whole(balance),
        description=_text(description),
        created_at=moment,
    )


def _text(value: object) -> str:
    assert isinstance(value, str), "a text column"
    return value


def _whole(value: object) -> int:
    assert isinstance(value, int), "a whole number column"
    return value


def _moment(value: object) -> datetime | None:
    """PostgreSQL gives a time, SQLite and JSON its ISO text; both are UTC."""
    if value is None or isinstance(value, datetime):
        return value
    return datetime.fromisoformat(_text(value))
