"""How hard Stripe is asked while it does not answer: one question now and then, instead of all that wait."""

from datetime import datetime, timedelta

#: So many questions in a row without an answer are an outage.
SILENCES_MAX = 8
#: During an outage one event is tried this often, to see whether it is over.
PROBE_SECONDS = 2


class Patience:
    """Counts unanswered questions. One answer ends the outage, and everything that waits goes on at full speed."""

    def __init__(self) -> None:
        self._silences = 0
        self._probed_at: datetime | None = None

    @property
    def outage(self) -> bool:
        return self._silences >= SILENCES_MAX

    def answered(self) -> None:
        self._silences = 0

    def unanswered(self) -> None:
        self._silences += 1

    def places(self, free: int, *, running: int, now: datetime) -> int:
        """How many of the free places may be filled now."""
        if not self.outage:
            return free
        since = None if self._probed_at is None else now - self._probed_at
        too_soon = since is not None and timedelta(0) <= since < timedelta(seconds=PROBE_SECONDS)
        if running or too_soon:
            return 0
        return min(free, 1)

    def probed(self, *, now: datetime) -> None:
        """Something was tried just now."""
        self._probed_at = now
