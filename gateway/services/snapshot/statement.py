"""The one statement of a load: put together from its parts for each shape of need, and kept."""

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from gateway.db import Dialect
from gateway.services.payouts.standing import STANDING_COLUMNS, STANDING_JOINS

STATEMENTS_CACHED_MAX: Final = 256

_NAME: Final = re.compile(r"@(\w+)")


@dataclass(frozen=True, slots=True)
class Shape:
    """All that the statement's text depends on; of a page, whether it has a cursor; of payouts named, how many."""

    plan: bool
    wallet: bool
    pages: tuple[bool, ...]
    earnings: bool
    lifetime: bool
    days: bool
    earning_pages: tuple[bool, ...]
    payout_pages: tuple[bool, ...]
    payout_ids: int
    standing: bool


@dataclass(frozen=True, slots=True)
class Statement:
    """A text and the names of its parameters, in order."""

    sql: str
    names: tuple[str, ...]


PLAN_COLUMNS: Final = (
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

#: Both engines build a list as JSON: an array of rows, each an array of columns.
_LIST: Final = {
    "postgres": "(SELECT json_agg(json_build_array({columns}) ORDER BY {order}) FROM ({rows}) AS listed)",
    "sqlite": "(SELECT json_group_array(json_array({columns})) FROM ({rows}) AS listed)",
}

_ENTRY_COLUMNS: Final = "entry_id, seq, kind, amount_micros, balance_after_micros, description, created_at"
_ENTRIES: Final = (
    "SELECT p.entry_id, p.seq, e.kind, p.amount_micros, p.balance_after_micros, e.description, e.created_at "
    "FROM posting AS p JOIN ledger_entry AS e ON e.id = p.entry_id "
    "WHERE p.account_id = @wallet{older} ORDER BY p.seq DESC LIMIT @first{n}"
)

_BALANCES: Final = {
    "available_micros": "earn_available",
    "pending_micros": "earn_pending",
    "held_micros": "earn_held",
    "reserved_micros": "transit",
}
#: What Stripe has and the bank has not. The condition is that of the index payout_at_stripe, word for word, because
#: neither engine sees that another one would do; what is only reserved is in the ledger's transit and counts there.
SENT: Final = (
    "(SELECT CAST(coalesce(sum(amount_cents - returned_cents), 0) AS bigint) FROM payout "
    "WHERE creator_id = @customer AND returned_cents < amount_cents "
    "AND (state = 'in_transit' OR (state = 'failed' AND transfer_id IS NOT NULL))) AS sent_cents"
)
_BALANCE: Final = (
    "coalesce((SELECT balance_micros FROM ledger_account WHERE owner_id = @customer AND kind = '{kind}'), 0) AS {name}"
)
_NEXT_RELEASE: Final = (
    "(SELECT available_at FROM tool_charge WHERE creator_id = @customer AND state = 'pending' "
    "ORDER BY available_at LIMIT 1) AS next_release_at"
)
#: A row a payout of one creator, found by an index: some hundreds after ten years of weekly ones.
_PAID_OUT: Final = (
    "(SELECT CAST(coalesce(sum(amount_cents - returned_cents), 0) AS bigint) FROM payout "
    "WHERE creator_id = @customer AND state = 'paid') AS paid_out_cents"
)
_DAY_COLUMNS: Final = "day, gross_micros, fee_micros, net_micros, calls"
_DAYS: Final = f"SELECT {_DAY_COLUMNS} FROM earnings_day WHERE creator_id = @customer AND day >= @since ORDER BY day"

_EARNING_COLUMNS: Final = "id, kind, gross_micros, fee_micros, net_micros, tool_id, available_at, created_at"
#: Sales and what happened to them later, each walked by its own index. What will never be payable has no date.
_EARNING_ENTRIES: Final = (
    "SELECT * FROM (SELECT id, 'TOOL_CALL' AS kind, gross_micros, fee_micros, net_micros, tool_id, "
    "CASE WHEN state IN ('own', 'reversed', 'lost') THEN NULL ELSE available_at END AS available_at, created_at "
    "FROM tool_charge WHERE creator_id = @customer{older} ORDER BY id DESC LIMIT @earned_first{n}) AS sales "
    "UNION ALL "
    "SELECT * FROM (SELECT id, kind, gross_micros, fee_micros, net_micros, tool_id, "
    "CAST(NULL AS timestamptz) AS available_at, created_at "
    "FROM earning_event WHERE creator_id = @customer{older} ORDER BY id DESC LIMIT @earned_first{n}) AS events "
    "ORDER BY id DESC LIMIT @earned_first{n}"
)

_PAYOUT_COLUMNS: Final = "id, amount_cents, state, manual, requested_at, arrival_at, failure_message, returned_cents"
_PAYOUTS: Final = (
    f"SELECT {_PAYOUT_COLUMNS} FROM payout WHERE creator_id = @customer{{older}} "
    "ORDER BY id DESC LIMIT @paid_first{n}"
)

_NAMED_PAYOUTS: Final = f"SELECT {_PAYOUT_COLUMNS} FROM payout WHERE creator_id = @customer AND id IN ({{ids}})"


@lru_cache(maxsize=STATEMENTS_CACHED_MAX)
def statement_for(dialect: Dialect, shape: Shape) -> Statement:
    """The statement that loads this shape of need; it always has one row."""
    columns: list[str] = []
    source = "(SELECT 1 AS one) AS nobody"
    if shape.plan:
        columns += [f"plan.{name}" for name in PLAN_COLUMNS]
        source += " LEFT JOIN plan ON plan.customer_id = @customer"
    if shape.wallet:
        columns.append("coalesce(wallet.balance_micros, 0) AS wallet_micros")
        columns.append("coalesce(owing.balance_micros, 0) AS receivable_micros")
        source += " LEFT JOIN ledger_account AS wallet ON wallet.id = @wallet"
        source += " LEFT JOIN ledger_account AS owing ON owing.id = @receivable"
    for n, has_cursor in enumerate(shape.pages):
        rows = _ENTRIES.format(older=f" AND p.seq < @before{n}" if has_cursor else "", n=n)
        columns.append(_list(dialect, rows, columns=_ENTRY_COLUMNS, order="seq DESC", name=f"page{n}"))
    columns += _earnings_columns(dialect, shape)
    columns += _payout_columns(dialect, shape)
    if shape.standing:
        columns.append(STANDING_COLUMNS.format(creator="@customer", available="@available"))
        source += STANDING_JOINS.format(creator="@customer", available="@available")
    return _numbered(f"SELECT {', '.join(columns)} FROM {source}")


def _earnings_columns(dialect: Dialect, shape: Shape) -> list[str]:
    columns: list[str] = []
    if shape.earnings:
        columns += [_BALANCE.format(kind=kind, name=name) for name, kind in _BALANCES.items()]
        columns += [SENT, _NEXT_RELEASE]
    if shape.lifetime:
        columns.append(_PAID_OUT)
    if shape.days:
        columns.append(_list(dialect, _DAYS, columns=_DAY_COLUMNS, order="day", name="days"))
    for n, has_cursor in enumerate(shape.earning_pages):
        rows = _EARNING_ENTRIES.format(older=f" AND id < @earned_before{n}" if has_cursor else "", n=n)
        columns.append(_list(dialect, rows, columns=_EARNING_COLUMNS, order="id DESC", name=f"earned{n}"))
    return columns


def _payout_columns(dialect: Dialect, shape: Shape) -> list[str]:
    columns: list[str] = []
    for n, has_cursor in enumerate(shape.payout_pages):
        rows = _PAYOUTS.format(older=f" AND id < @paid_before{n}" if has_cursor else "", n=n)
        columns.append(_list(dialect, rows, columns=_PAYOUT_COLUMNS, order="id DESC", name=f"paid{n}"))
    if shape.payout_ids:
        rows = _NAMED_PAYOUTS.format(ids=", ".join(f"@payout{n}" for n in range(shape.payout_ids)))
        columns.append(_list(dialect, rows, columns=_PAYOUT_COLUMNS, order="id DESC", name="named_payouts"))
    return columns


def _list(dialect: Dialect, rows: str, *, columns: str, order: str, name: str) -> str:
    return _LIST[dialect].format(columns=columns, rows=rows, order=order) + f" AS {name}"


def _numbered(text: str) -> Statement:
    """The text with numbers for names; a name that stands twice is one parameter."""
    names: list[str] = []

    def number(match: re.Match[str]) -> str:
        if match[1] not in names:
            names.append(match[1])
        return f"${names.index(match[1]) + 1}"

    return Statement(sql=_NAME.sub(number, text), names=tuple(names))
