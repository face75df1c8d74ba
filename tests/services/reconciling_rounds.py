"""What the tests of reconciliation share: a watch, days that were compared, and many lines."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Final

from gateway.db.rows import text
from tests.services.market_world import Unwatched
from tests.support.reconciling import MoneyWorld

LINES: Final = "/v1/balance_transactions"
ONE_DAY: Final = timedelta(days=1)


@dataclass
class Watch(Unwatched):
    """Remembers what it was told last."""

    open: dict[str, int] = field(default_factory=dict[str, int])
    until: datetime | None = None

    def differences_open(self, *, by_kind: Mapping[str, int]) -> None:
        self.open = {kind: count for kind, count in by_kind.items() if count}

    def reconciled_until(self, *, at: datetime) -> None:
        self.until = at


async def plant_fees(world: MoneyWorld, number: int) -> None:
    for _ in range(number):
        await world.control("balance/plant", amount=-1, type="stripe_fee")


async def days_done(world: MoneyWorld) -> list[date]:
    """The days that were compared after they were over."""
    rows = await world.platform.database.fetch(
        "SELECT day FROM reconciliation_day WHERE reconciled_at IS NOT NULL ORDER BY day"
    )
    return [date.fromisoformat(text(row, "day")) for row in rows]
