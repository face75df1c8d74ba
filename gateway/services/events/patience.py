"""How hard Stripe is asked while it does not answer: one question now and then, instead of all that wait."""

from datetime import datetime, timedelta
from typing import Final

#: Events in a row whose questions Stripe did not answer; so many are an outage.
SILENCES_MAX: Final = 8
#: During an outage one event is tried this often, to see whether it is over.
PROBE_SECONDS: Final = 2


class Patience:
    """Counts events that met silence. One answer ends the outage, and everything that waits goes on at full speed.

    One event may meet it any number of times: something is wrong with what it is about, and not with Stripe.
    """

    def __init__(self) -> None:
        self._silent: set[str] = set()
        self._probed_at: datetime | None = None

    @property
    def outage(self) -> bool:
        return len(self._silent) >= SILENCES_MAX

    def answered(self) -> None:
        """Stripe answered a question, whatever it said."""
        self._silent.clear()

    def unanswered(self, event_id: str) -> None:
        """A question that this event led to got no answer, or none but that our key is not taken."""
        if not self.outage:
            self._silent.add(event_id)

    def places(self, free: int, *, now: datetime) -> int:
        """How many of the free places may be filled now. A probe that hangs keeps no other from being sent."""
        if not self.outage:
            return free
        since = None if self._probed_at is None else now - self._probed_at
        too_soon = since is not None and timedelta(0) <= since < timedelta(seconds=PROBE_SECONDS)
        return 0 if too_soon else min(free, 1)

    def probed(self, *, now: datetime) -> None:
        """Something was tried just now."""
        self._probed_at = now
