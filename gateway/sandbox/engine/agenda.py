"""What falls due on the sandbox's clock, in order."""

import heapq
import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import IntEnum


class Turn(IntEnum):
    """Who goes first when several things fall due in the same second."""

    EXPIRE = 0
    CANCEL = 1
    RENEW = 2
    COLLECT = 3
    SETTLE = 4


@dataclass(order=True, slots=True)
class Entry:
    due_at: int
    turn: Turn
    position: int
    run: Callable[[], None] = field(compare=False)


class Agenda:
    """A queue by due time. An entry checks for itself, when it runs, whether its reason still holds."""

    def __init__(self) -> None:
        self._entries: list[Entry] = []
        self._positions = itertools.count()

    def at(self, due_at: int, turn: Turn, run: Callable[[], None]) -> None:
        heapq.heappush(self._entries, Entry(due_at=due_at, turn=turn, position=next(self._positions), run=run))

    def next_due(self) -> int | None:
        return self._entries[0].due_at if self._entries else None

    def pop_due(self, until: int) -> Entry | None:
        if self._entries and self._entries[0].due_at <= until:
            return heapq.heappop(self._entries)
        return None

    def clear(self) -> None:
        self._entries.clear()

    def __len__(self) -> int:
        return len(self._entries)
