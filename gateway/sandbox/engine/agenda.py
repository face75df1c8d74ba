"""What falls due on the sandbox's clock, in order."""

import heapq
import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import IntEnum
from typing import TYPE_CHECKING, Any, Final, TypeVar, TypeVarTuple

if TYPE_CHECKING:
    from gateway.sandbox.engine.book import Book

Arguments = TypeVarTuple("Arguments")
AnyDeed = TypeVar("AnyDeed", bound="Callable[..., None]")

_DEEDS: Final[dict[str, Callable[..., None]]] = {}
_NAMES: Final[dict[Callable[..., None], str]] = {}


def deed(name: str) -> Callable[[AnyDeed], AnyDeed]:
    """Let a function be planned; `name` is what a kept agenda calls it, so it outlives the function's own name."""

    def register(function: AnyDeed) -> AnyDeed:
        assert name not in _DEEDS
        _DEEDS[name] = function
        _NAMES[function] = name
        return function

    return register


class Turn(IntEnum):
    """Who goes first when several things fall due in the same second."""

    EXPIRE = 0
    CANCEL = 1
    RENEW = 2
    COLLECT = 3
    SETTLE = 4


@dataclass(order=True, slots=True)
class Entry:
    """One deed and what it is done to: objects of its book, moments, flags."""

    due_at: int
    turn: Turn
    position: int
    book: "Book" = field(compare=False)
    deed: str = field(compare=False)
    arguments: tuple[Any, ...] = field(compare=False)

    def run(self) -> None:
        _DEEDS[self.deed](self.book, *self.arguments)


class Agenda:
    """A queue by due time. A deed checks for itself, when it runs, whether its reason still holds."""

    def __init__(self) -> None:
        self._entries: list[Entry] = []
        self._positions = itertools.count()

    def at(
        self,
        due_at: int,
        turn: Turn,
        book: "Book",
        run: "Callable[[Book, *Arguments], None]",
        *arguments: *Arguments,
    ) -> None:
        """Plan a function that `deed` has named."""
        self.put(due_at, turn, book, deed=_NAMES[run], arguments=arguments)

    def put(self, due_at: int, turn: Turn, book: "Book", *, deed: str, arguments: tuple[Any, ...]) -> None:
        """Plan by name. Raises KeyError for a name that no function has."""
        if deed not in _DEEDS:
            raise KeyError(deed)
        position = next(self._positions)
        heapq.heappush(self._entries, Entry(due_at, turn, position, book, deed, arguments))

    def entries(self) -> list[Entry]:
        """What is planned, in the order in which it will run."""
        return sorted(self._entries)

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
