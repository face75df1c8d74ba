"""The row of a load, as values."""

import json
from collections.abc import Mapping
from datetime import date, datetime
from types import MappingProxyType
from typing import cast
from uuid import UUID

from gateway.db import Row
from gateway.domain.money import cents_to_micros
from gateway.domain.payouts import PayoutState
from gateway.domain.plans import BillingInterval, PlanStatus, Tier
from gateway.domain.subscriptions import FREE_PLAN, HeldPlan
from gateway.services.payouts.reading import PayoutPage, PayoutView, arrival_of
from gateway.services.snapshot.content import DayRow, EarningPage, EarningRow, EarningTotals, EntryPage, EntryRow


def read_plan(row: Row) -> HeldPlan:
    """The stored plan; FREE when there is none."""
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


def read_wallet(row: Row) -> int:
    """The balance in micro-dollars."""
    return _whole(row["wallet_micros"])


def read_owed(row: Row) -> int:
    """What the customer owes, in micro-dollars; the account says it as a negative balance."""
    return -_whole(row["receivable_micros"])


def read_entries(column: object, first: int) -> EntryPage:
    """A page of wallet entries; one row more than asked for says that older ones follow."""
    rows = _rows(column)
    return EntryPage(rows=tuple(_entry(row) for row in rows[:first]), has_older=len(rows) > first)


def read_totals(row: Row, *, with_lifetime: bool) -> EarningTotals:
    """Where the earnings are."""
    return EarningTotals(
        available_micros=_whole(row["available_micros"]),
        pending_micros=_whole(row["pending_micros"]),
        held_micros=_whole(row["held_micros"]),
        in_transit_micros=_whole(row["reserved_micros"]) + cents_to_micros(_whole(row["sent_cents"])),
        next_release_at=_moment(row["next_release_at"]),
        paid_out_micros=cents_to_micros(_whole(row["paid_out_cents"])) if with_lifetime else None,
    )


def read_days(column: object) -> Mapping[date, DayRow]:
    """The days with sales."""
    days = {
        date.fromisoformat(_text(day)): DayRow(*(_whole(amount) for amount in amounts))
        for day, *amounts in _rows(column)
    }
    return MappingProxyType(days)


def read_earnings(column: object, first: int) -> EarningPage:
    """A page of a creator's statement; one row more than asked for says that older ones follow."""
    rows = _rows(column)
    return EarningPage(rows=tuple(_earning(row) for row in rows[:first]), has_older=len(rows) > first)


def read_payouts(column: object, first: int) -> PayoutPage:
    """A page of a creator's payouts; one row more than asked for says that older ones follow."""
    rows = _rows(column)
    return PayoutPage(payouts=tuple(_payout(row) for row in rows[:first]), has_older=len(rows) > first)


def read_named_payouts(column: object) -> Mapping[UUID, PayoutView]:
    """The payouts that were named and are there, by their ids."""
    payouts = map(_payout, _rows(column))
    return MappingProxyType({payout.id: payout for payout in payouts})


def _rows(column: object) -> list[list[object]]:
    """A list that the database built as JSON; PostgreSQL has NULL for an empty one."""
    return cast("list[list[object]]", json.loads(_text(column)) if column is not None else [])


def _entry(columns: list[object]) -> EntryRow:
    entry_id, seq, kind, amount, balance, description, created_at = columns
    return EntryRow(
        entry_id=_text(entry_id),
        seq=_whole(seq),
        kind=_text(kind),
        amount_micros=_whole(amount),
        balance_after_micros=_whole(balance),
        description=_text(description),
        created_at=_known_moment(created_at),
    )


def _earning(columns: list[object]) -> EarningRow:
    id_, kind, gross, fee, net, tool_id, available_at, created_at = columns
    return EarningRow(
        id=UUID(_text(id_)),
        kind=_text(kind),
        gross_micros=_whole(gross),
        fee_micros=_whole(fee),
        net_micros=_whole(net),
        tool_id=None if tool_id is None else _text(tool_id),
        available_at=_moment(available_at),
        created_at=_known_moment(created_at),
    )


def _payout(columns: list[object]) -> PayoutView:
    id_, amount, state, manual, requested_at, arrival_at, failure_message, returned = columns
    reached = PayoutState(_text(state))
    return PayoutView(
        id=UUID(_text(id_)),
        amount_cents=_whole(amount),
        state=reached,
        manual=bool(_whole(manual)),
        requested_at=_known_moment(requested_at),
        arrival_at=arrival_of(reached, _moment(arrival_at)),
        failure_message=None if failure_message is None else _text(failure_message),
        returned_cents=_whole(returned),
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


def _known_moment(value: object) -> datetime:
    moment = _moment(value)
    assert moment is not None, "a row has its time"
    return moment
