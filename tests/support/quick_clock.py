"""A clock for several processes that all see time pass faster than it does."""

from datetime import UTC, datetime, timedelta


class QuickClock:
    """From `origin` on, `rate` seconds pass in one; processes with the same origin and rate tell the same time."""

    def __init__(self, origin: datetime, *, rate: int) -> None:
        self._origin = origin
        self._rate = rate

    def now(self) -> datetime:
        passed: timedelta = datetime.now(UTC) - self._origin
        return self._origin + passed * self._rate
