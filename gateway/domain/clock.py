"""Where the time comes from: handed in, so that tests can move it."""

from datetime import UTC, datetime, timedelta
from typing import Final, Protocol

#: Clocks of nodes differ by at most this; what is planned for later than that was planned by a broken clock.
CLOCKS_DIFFER_MAX: Final = timedelta(hours=2)


class Clock(Protocol):
    """Tells the time as an aware UTC datetime."""

    def now(self) -> datetime: ...


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        return datetime.now(UTC)


class ManualClock:
    """A clock that stands still until it is moved; it never goes back."""

    def __init__(self, start: datetime) -> None:
        assert start.tzinfo is not None, "a clock needs a time zone"
        self._now = start.astimezone(UTC)

    def now(self) -> datetime:
        return self._now

    def advance(self, step: timedelta) -> datetime:
        assert step >= timedelta(0), "time does not run backwards"
        self._now += step
        return self._now


def due_at_once(moment: datetime) -> datetime:
    """When something of this moment is due that need not wait: now, also by a clock that is as far behind as may be.

    So first come is first served, and no difference between two clocks delays anything.
    """
    return moment - CLOCKS_DIFFER_MAX


def unix(moment: datetime) -> int:
    """Whole seconds since 1970, as Stripe counts them."""
    return int(moment.timestamp())


def from_unix(seconds: int) -> datetime:
    """The aware UTC time of Stripe's whole seconds."""
    return datetime.fromtimestamp(seconds, UTC)
