"""The read path: what a request needs of one customer, fetched by one statement into one immutable snapshot."""

from gateway.services.snapshot.content import (
    DayRow,
    EarningPage,
    EarningRow,
    EarningTotals,
    EntryPage,
    EntryRow,
    Snapshot,
)
from gateway.services.snapshot.loading import load_snapshot
from gateway.services.snapshot.needs import (
    DAYS_MAX,
    PAGE_ROWS_MAX,
    PAGES_MAX,
    PAYOUT_IDS_MAX,
    EarningPageNeed,
    Need,
    PageNeed,
    PayoutPageNeed,
)

__all__ = [
    "DAYS_MAX",
    "PAGES_MAX",
    "PAGE_ROWS_MAX",
    "PAYOUT_IDS_MAX",
    "DayRow",
    "EarningPage",
    "EarningPageNeed",
    "EarningRow",
    "EarningTotals",
    "EntryPage",
    "EntryRow",
    "Need",
    "PageNeed",
    "PayoutPageNeed",
    "Snapshot",
    "load_snapshot",
]
