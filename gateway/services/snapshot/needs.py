"""What a request may need of one customer. Needs add up: a batch loads the union of what its operations need."""

from dataclasses import dataclass
from uuid import UUID

#: Rows of one page of a connection.
PAGE_ROWS_MAX = 100
#: Different pages of one connection a request may ask for; the document's cost limit stops most of them earlier.
PAGES_MAX = 16
#: Payouts a request may name by their ids.
PAYOUT_IDS_MAX = 16
#: Days of a daily series.
DAYS_MAX = 366


@dataclass(frozen=True, slots=True)
class PageNeed:
    """A page of wallet entries, newest first: `first` rows older than posting number `before_seq`."""

    first: int
    before_seq: int | None = None


@dataclass(frozen=True, slots=True)
class EarningPageNeed:
    """A page of a creator's statement, newest first: `first` rows older than the one with the id `before_id`."""

    first: int
    before_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class PayoutPageNeed:
    """A page of a creator's payouts, newest first: `first` rows older than the one with the id `before_id`."""

    first: int
    before_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class Need:
    """The parts to load; pages, payouts and days are named, everything else is a yes or no."""

    plan: bool = False
    wallet: bool = False
    entries: frozenset[PageNeed] = frozenset()
    earnings: bool = False
    #: The sum over all payouts that arrived; only `lifetime` and `paidOut` are made of it.
    lifetime: bool = False
    #: How many of the latest UTC days, today included.
    days: int = 0
    earning_entries: frozenset[EarningPageNeed] = frozenset()
    payouts: frozenset[PayoutPageNeed] = frozenset()
    payout_ids: frozenset[UUID] = frozenset()
    #: How the creator can be paid, and what stands in the way.
    standing: bool = False

    def __or__(self, other: "Need") -> "Need":
        return Need(
            plan=self.plan or other.plan,
            wallet=self.wallet or other.wallet,
            entries=self.entries | other.entries,
            earnings=self.earnings or other.earnings,
            lifetime=self.lifetime or other.lifetime,
            days=max(self.days, other.days),
            earning_entries=self.earning_entries | other.earning_entries,
            payouts=self.payouts | other.payouts,
            payout_ids=self.payout_ids | other.payout_ids,
            standing=self.standing or other.standing,
        )

    def __bool__(self) -> bool:
        return self != _NOTHING


_NOTHING = Need()
