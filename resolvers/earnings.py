"""`earnings`: what a creator earned, where that is now, and why."""

from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import Annotated

import strawberry

from gateway.services.snapshot import DayRow, EarningPageNeed, EarningRow, Snapshot
from resolvers.connections import PAGE_ROWS_DEFAULT, PageInfo, earning_page_need, encode_earning_cursor, page_info
from resolvers.context import Info
from resolvers.enums import publish_enum
from resolvers.money import Money, money_of_micros
from resolvers.need import DAYS_DEFAULT, days_need


class EarningKind(StrEnum):
    TOOL_CALL = "TOOL_CALL"
    REFUND = "REFUND"
    DISPUTE = "DISPUTE"
    PAYOUT = "PAYOUT"
    PAYOUT_RETURNED = "PAYOUT_RETURNED"
    ADJUSTMENT = "ADJUSTMENT"


publish_enum(
    EarningKind,
    description="Why earnings changed.",
    values={
        EarningKind.TOOL_CALL: "A tool was called and paid for.",
        EarningKind.REFUND: "A sale was taken back.",
        EarningKind.DISPUTE: "A sale, or a part of one, was lost in a dispute about the money behind it, or won back.",
        EarningKind.PAYOUT: "Money was reserved for a payout, or had left with one after all.",
        EarningKind.PAYOUT_RETURNED: "Money of a payout came back.",
        EarningKind.ADJUSTMENT: "A correction made by hand.",
    },
)


@strawberry.type(description="What was sold on one UTC day, as far as it stands: what is taken back leaves its day.")
class EarningsDay:
    date: str = strawberry.field(description="The day, '2026-11-02'.")
    gross: Money = strawberry.field(description="What consumers paid.")
    fee: Money = strawberry.field(description="The platform's part.")
    net: Money = strawberry.field(description="The creator's part.")
    calls: int = strawberry.field(description="How many calls that were.")


@strawberry.type(
    description="One line of a creator's statement; never altered, a reversed sale is followed by a REFUND."
)
class EarningEntry:
    id: strawberry.ID = strawberry.field(description="Stays the same for this line.")
    kind: EarningKind = strawberry.field(description="Why earnings changed.")
    gross: Money = strawberry.field(description="Signed, as are fee and net: what is taken back is negative.")
    fee: Money = strawberry.field(description="The platform's part.")
    net: Money = strawberry.field(description="What it did to the creator's earnings.")
    tool_id: strawberry.ID | None = strawberry.field(description="The tool that was called; null when it was none.")
    available_at: datetime | None = strawberry.field(
        description="When a sale's hold is over; null for what is no sale, and for a sale that will not be paid out: "
        "reversed, lost in a dispute, or of the creator's own call."
    )
    created_at: datetime = strawberry.field(description="When it was recorded.")


@strawberry.type(description="A line in its list.")
class EarningEntryEdge:
    cursor: str = strawberry.field(description="Names this row; pass it as `after`.")
    node: EarningEntry = strawberry.field(description="The line.")


@strawberry.type(description="A page of a creator's statement, newest first.")
class EarningEntryConnection:
    edges: list[EarningEntryEdge] = strawberry.field(description="The rows of this page.")
    page_info: PageInfo = strawberry.field(description="Where this page stands.")


_First = Annotated[int, strawberry.argument(description="Rows of the page, 1 to 100.")]
_After = Annotated[str | None, strawberry.argument(description="The endCursor of the page before.")]
_Days = Annotated[int, strawberry.argument(description="How many days, today included: 1 to 366.")]


@strawberry.type(description="What a creator earned. available + pending + held + inTransit + paidOut = lifetime.")
class Earnings:
    available: Money = strawberry.field(
        description="Can be paid out now. Negative when a sale was taken back after it was paid out."
    )
    pending: Money = strawberry.field(
        description="Held until the clearing period ends and the deposit behind it has cleared."
    )
    held: Money = strawberry.field(
        description="Frozen by open disputes; and what the creator's calls of its own tools came to, for good."
    )
    in_transit: Money = strawberry.field(description="On its way to the creator's bank.")
    next_release_at: datetime | None = strawberry.field(
        description="When the next of what is pending becomes available; null when nothing is."
    )
    snapshot: strawberry.Private[Snapshot]

    @strawberry.field(description="What has been paid out.")
    def paid_out(self) -> Money:
        paid_out = self.snapshot.earnings.paid_out_micros
        assert paid_out is not None, "loaded where it is asked for"
        return money_of_micros(paid_out)

    @strawberry.field(description="The nets of all sales that stand, and corrections made by hand.")
    def lifetime(self) -> Money:
        return money_of_micros(self.snapshot.earnings.lifetime_micros)

    @strawberry.field(description="One row a UTC day, oldest first, days without sales included; days is at most 366.")
    def daily(self, days: _Days = DAYS_DEFAULT) -> list[EarningsDay]:
        today, sold = self.snapshot.today, self.snapshot.days
        dates = [today - timedelta(days=back) for back in reversed(range(days_need(days)))]
        return [_day_type(day, sold.get(day, _NO_SALES)) for day in dates]

    @strawberry.field(description="The statement, newest first; keyset cursors; first is at most 100.")
    def entries(self, first: _First = PAGE_ROWS_DEFAULT, after: _After = None) -> EarningEntryConnection:
        return _connection(self.snapshot, earning_page_need(first, after))


_NO_SALES = DayRow()


def resolve_earnings(info: Info) -> Earnings | None:
    snapshot = info.context.snapshot
    totals = snapshot.earnings
    return Earnings(
        available=money_of_micros(totals.available_micros),
        pending=money_of_micros(totals.pending_micros),
        held=money_of_micros(totals.held_micros),
        in_transit=money_of_micros(totals.in_transit_micros),
        next_release_at=totals.next_release_at,
        snapshot=snapshot,
    )


def _day_type(day: date, row: DayRow) -> EarningsDay:
    return EarningsDay(
        date=day.isoformat(),
        gross=money_of_micros(row.gross_micros),
        fee=money_of_micros(row.fee_micros),
        net=money_of_micros(row.net_micros),
        calls=row.calls,
    )


def _connection(snapshot: Snapshot, need: EarningPageNeed) -> EarningEntryConnection:
    page = snapshot.earning_entries[need]
    edges = [EarningEntryEdge(cursor=encode_earning_cursor(row.id), node=_entry_type(row)) for row in page.rows]
    return EarningEntryConnection(
        edges=edges,
        page_info=page_info(
            [edge.cursor for edge in edges], has_older=page.has_older, has_newer=need.before_id is not None
        ),
    )


def _entry_type(row: EarningRow) -> EarningEntry:
    return EarningEntry(
        id=strawberry.ID(str(row.id)),
        kind=EarningKind(row.kind),
        gross=money_of_micros(row.gross_micros),
        fee=money_of_micros(row.fee_micros),
        net=money_of_micros(row.net_micros),
        tool_id=None if row.tool_id is None else strawberry.ID(row.tool_id),
        available_at=row.available_at,
        created_at=row.created_at,
    )
