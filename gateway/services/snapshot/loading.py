"""Loading: from a need to a snapshot in one round trip."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from types import MappingProxyType
from uuid import UUID

from gateway.db import Database
from gateway.domain.charges import available, receivable
from gateway.domain.ledger import wallet
from gateway.domain.subscriptions import FREE_PLAN
from gateway.services.customers import customer_id_of
from gateway.services.payouts.standing import read_standing
from gateway.services.snapshot.content import EarningTotals, Snapshot
from gateway.services.snapshot.needs import (
    DAYS_MAX,
    PAGES_MAX,
    PAYOUT_IDS_MAX,
    EarningPageNeed,
    Need,
    PageNeed,
    PayoutPageNeed,
)
from gateway.services.snapshot.reading import (
    read_days,
    read_earnings,
    read_entries,
    read_named_payouts,
    read_owed,
    read_payouts,
    read_plan,
    read_totals,
    read_wallet,
)
from gateway.services.snapshot.statement import Shape, statement_for

_LOWEST = UUID(int=0)


@dataclass(frozen=True, slots=True)
class _Pages:
    """The pages of each list in an order of ours, so that the same need has the same statement."""

    entries: Sequence[PageNeed]
    earnings: Sequence[EarningPageNeed]
    payouts: Sequence[PayoutPageNeed]
    payout_ids: Sequence[UUID]


async def load_snapshot(
    database: Database, *, subject: str, need: Need, today: date, payout_minimum_cents: int
) -> Snapshot:
    """Everything the need names, of this customer and no other, in one round trip. `today` is the present UTC day.

    A customer who has never bought or sold anything has no rows, holds FREE and has nothing anywhere.

    Raises:
        DatabaseUnavailable: the database did not answer.
    """
    customer_id = customer_id_of(subject)
    if not need:
        return Snapshot(customer_id, today)
    _check(need)
    asked = _Pages(
        entries=sorted(need.entries, key=lambda page: (page.first, page.before_seq or 0)),
        earnings=sorted(need.earning_entries, key=lambda page: (page.first, page.before_id or _LOWEST)),
        payouts=sorted(need.payouts, key=lambda page: (page.first, page.before_id or _LOWEST)),
        payout_ids=sorted(need.payout_ids),
    )
    statement = statement_for(database.dialect, _shape(need, asked))
    values = _values(customer_id, need, asked, today)
    row = await database.fetch_one(statement.sql, [values[name] for name in statement.names])
    assert row is not None, "the statement always has one row"
    return Snapshot(
        customer_id=customer_id,
        today=today,
        plan=read_plan(row) if need.plan else FREE_PLAN,
        wallet_micros=read_wallet(row) if need.wallet else 0,
        owed_micros=read_owed(row) if need.wallet else 0,
        entries=MappingProxyType(
            {page: read_entries(row[f"page{n}"], page.first) for n, page in enumerate(asked.entries)}
        ),
        earnings=read_totals(row, with_lifetime=need.lifetime) if need.earnings else EarningTotals(),
        days=read_days(row["days"] if need.days else None),
        earning_entries=MappingProxyType(
            {page: read_earnings(row[f"earned{n}"], page.first) for n, page in enumerate(asked.earnings)}
        ),
        payouts=MappingProxyType(
            {page: read_payouts(row[f"paid{n}"], page.first) for n, page in enumerate(asked.payouts)}
        ),
        named_payouts=read_named_payouts(row["named_payouts"] if need.payout_ids else None),
        standing=read_standing(row, minimum_cents=payout_minimum_cents) if need.standing else None,
    )


def _check(need: Need) -> None:
    for pages in (need.entries, need.earning_entries, need.payouts):
        assert len(pages) <= PAGES_MAX, "the edge refuses more pages than this"
    assert len(need.payout_ids) <= PAYOUT_IDS_MAX, "the edge refuses more payouts than this"
    assert 0 <= need.days <= DAYS_MAX, "the edge refuses more days than this"
    assert need.earnings or not need.lifetime, "it is one of the totals"


def _shape(need: Need, asked: _Pages) -> Shape:
    return Shape(
        plan=need.plan,
        wallet=need.wallet,
        pages=tuple(page.before_seq is not None for page in asked.entries),
        earnings=need.earnings,
        lifetime=need.lifetime,
        days=need.days > 0,
        earning_pages=tuple(page.before_id is not None for page in asked.earnings),
        payout_pages=tuple(page.before_id is not None for page in asked.payouts),
        payout_ids=len(asked.payout_ids),
        standing=need.standing,
    )


def _values(customer_id: UUID, need: Need, asked: _Pages, today: date) -> dict[str, object]:
    """The parameters by name. A page takes one row more than asked for."""
    values: dict[str, object] = {"customer": customer_id}
    if need.wallet or asked.entries:
        values["wallet"] = wallet(customer_id).id
        values["receivable"] = receivable(customer_id).id
    if need.days:
        values["since"] = (today - timedelta(days=need.days - 1)).isoformat()
    if need.standing:
        values["available"] = available(customer_id).id
    for n, page in enumerate(asked.entries):
        values |= {f"first{n}": page.first + 1, f"before{n}": page.before_seq}
    for n, page in enumerate(asked.earnings):
        values |= {f"earned_first{n}": page.first + 1, f"earned_before{n}": page.before_id}
    for n, page in enumerate(asked.payouts):
        values |= {f"paid_first{n}": page.first + 1, f"paid_before{n}": page.before_id}
    values |= {f"payout{n}": payout_id for n, payout_id in enumerate(asked.payout_ids)}
    return values
