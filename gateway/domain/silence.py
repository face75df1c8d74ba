"""What nobody touches any more, told without comparing the clocks of two machines."""

from collections.abc import Hashable, Iterable
from datetime import datetime, timedelta
from typing import Generic, TypeVar

#: A row as it was read; it differs from what was read before as soon as anybody has touched it.
Seen = TypeVar("Seen", bound=Hashable)


class SilenceWatch(Generic[Seen]):
    """Remembers since when each of some rows has stood still.

    A lease in a row is written by its holder's clock, so it is not read as a time of ours: as long as it changes the
    holder lives. One that stands still for the length of a lease, by our own clock, has lost its holder. In the same
    way, what waits untouched for longer than any pause lasts was put off by a clock that is ahead.
    """

    def __init__(self, patience: timedelta) -> None:
        self._patience = patience
        self._first_seen_at: dict[Seen, datetime] = {}

    def silent(self, seen: Iterable[Seen], *, now: datetime) -> list[Seen]:
        """Those of the rows seen now that have stood still for too long. A row that is not among them is forgotten."""
        # A clock that was set back has seen nothing before now.
        self._first_seen_at = {one: min(self._first_seen_at.get(one, now), now) for one in seen}
        return [one for one, since in self._first_seen_at.items() if now - since >= self._patience]
