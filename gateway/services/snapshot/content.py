"""One customer at one moment: plain, immutable values for the resolvers. Amounts are micro-dollars."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from types import MappingProxyType
from uuid import UUID

from gateway.domain.subscriptions import FREE_PLAN, HeldPlan
from gateway.services.payouts.reading import PayoutPage, PayoutView
from gateway.services.payouts.standing import CreatorStanding
from gateway.services.snapshot.needs import EarningPageNeed, PageNeed, PayoutPageNeed


@dataclass(frozen=True, slots=True)
class EntryRow:
    """One posting on the wallet. Amounts are signed; `seq` numbers the wallet's postings from 1."""

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
class EarningTotals:
    """Where a creator's earnings are. Available can be negative: a sale may be taken back after it was paid out."""

    available_micros: int = 0
    pending_micros: int = 0
    #: Frozen by disputes, and what the creator's calls of its own tools came to.
    held_micros: int = 0
    #: Reserved for a payout, or sent and not at the bank yet.
    in_transit_micros: int = 0
    next_release_at: datetime | None = None
    #: Arrived at the bank, by the payouts that did; None when it was not asked for.
    paid_out_micros: int | None = None

    @property
    def lifetime_micros(self) -> int:
        """What is in the creator's accounts, and what has left with a payout: sales that stand, and corrections.

        A sale that is taken back or lost leaves its account, so it does not count.
        """
        assert self.paid_out_micros is not None, "loaded where it is asked for"
        here = self.available_micros + self.pending_micros + self.held_micros + self.in_transit_micros
        return here + self.paid_out_micros


@dataclass(frozen=True, slots=True)
class DayRow:
    """What a creator sold on one UTC day, as far as it stands."""

    gross_micros: int = 0
    fee_micros: int = 0
    net_micros: int = 0
    calls: int = 0


@dataclass(frozen=True, slots=True)
class EarningRow:
    """One line of a creator's statement, signed as the creator feels it."""

    id: UUID
    kind: str
    gross_micros: int
    fee_micros: int
    net_micros: int
    tool_id: str | None
    available_at: datetime | None
    created_at: datetime


@dataclass(frozen=True, slots=True)
class EarningPage:
    """A page and whether older rows follow."""

    rows: tuple[EarningRow, ...]
    has_older: bool


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Only what the Need asked for is filled in."""

    customer_id: UUID
    #: The UTC day of the load: the last of `days`.
    today: date
    plan: HeldPlan = FREE_PLAN
    wallet_micros: int = 0
    #: What a deposit that was taken back left to be paid.
    owed_micros: int = 0
    entries: Mapping[PageNeed, EntryPage] = field(default_factory=lambda: MappingProxyType({}))
    earnings: EarningTotals = EarningTotals()
    #: Days without sales have no row.
    days: Mapping[date, DayRow] = field(default_factory=lambda: MappingProxyType({}))
    earning_entries: Mapping[EarningPageNeed, EarningPage] = field(default_factory=lambda: MappingProxyType({}))
    payouts: Mapping[PayoutPageNeed, PayoutPage] = field(default_factory=lambda: MappingProxyType({}))
    #: Of the payouts named, those that there are.
    named_payouts: Mapping[UUID, PayoutView] = field(default_factory=lambda: MappingProxyType({}))
    standing: CreatorStanding | None = None
