"""How the jobs stand, told now and then to whoever watches."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final, Protocol

from gateway.services.billing import Billing
from gateway.services.jobs.listing import KindCount, count_jobs

#: How often the jobs are counted, at most.
COUNT_SECONDS_MIN: Final = 15


class CountWatcher(Protocol):
    """Told now and then how each kind of job stands; metrics listen here."""

    def __call__(self, counts: Mapping[str, KindCount]) -> None: ...


def nobody_counts(counts: Mapping[str, KindCount]) -> None:
    """Watches nothing."""


class Census:
    """Counts the jobs now and then for whoever watches."""

    def __init__(self, billing: Billing, watch: CountWatcher) -> None:
        self._billing = billing
        self._watch = watch
        self._taken_at: datetime | None = None

    async def take_when_due(self) -> None:
        """Count unless that was done a moment ago."""
        now = self._billing.clock.now()
        if self._taken_at is not None and abs(now - self._taken_at) < timedelta(seconds=COUNT_SECONDS_MIN):
            return
        self._taken_at = now
        self._watch(await count_jobs(self._billing.database, now=now))
