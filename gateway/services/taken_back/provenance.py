"""Which postings of a wallet an income paid for: first in, first out over its own history, which never changes.

The k-th dollar that left a wallet is the k-th dollar that came in. So an income covers a span of what is spent after
it, which begins with what the wallet held besides: [balance after - amount, balance after). A spending whose own span
overlaps was paid by it. Nothing is stored for this: it is read off the postings when a dispute asks, which is seldom.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, order=True)
class Income:
    """A credit of a wallet: its number in the history, its amount, and what the wallet held right after it."""

    seq: int
    amount_micros: int
    balance_after_micros: int


@dataclass(frozen=True, slots=True, order=True)
class Stretch:
    """Neighbours in the history of a wallet, by their numbers, both ends included."""

    first: int
    last: int

    def windows(self, size: int) -> Iterator["Stretch"]:
        """The same, oldest first, in parts of at most so many postings."""
        for start in range(self.first, self.last + 1, size):
            yield Stretch(start, min(start + size - 1, self.last))


class Sweep:
    """A walk over a wallet's postings from the first of some incomes on, that notes the stretches they paid for."""

    def __init__(self, incomes: Iterable[Income]) -> None:
        self._coming = deque(sorted(incomes))
        self._spans = deque[tuple[int, int]]()
        self._went_out = 0
        self._found: list[Stretch] = []
        self._unbroken = False

    @property
    def is_over(self) -> bool:
        """Whether all of the incomes is spent, so that nothing later can be of them."""
        return not self._coming and (not self._spans or self._spans[-1][1] <= self._went_out)

    def step(self, seq: int, amount_micros: int) -> None:
        """The next posting, in the order of their numbers."""
        if amount_micros > 0:
            self._come_in(seq)
            return
        since, self._went_out = self._went_out, self._went_out - amount_micros
        while self._spans and self._spans[0][1] <= since:
            self._spans.popleft()
        if self._spans and self._spans[0][0] < self._went_out:
            self._note(seq)
        else:
            self._unbroken = False

    def stretches(self) -> tuple[Stretch, ...]:
        return tuple(self._found)

    def _come_in(self, seq: int) -> None:
        if self._coming and self._coming[0].seq == seq:
            income = self._coming.popleft()
            end = self._went_out + income.balance_after_micros
            self._spans.append((end - income.amount_micros, end))

    def _note(self, seq: int) -> None:
        first = self._found.pop().first if self._unbroken else seq
        self._found.append(Stretch(first, seq))
        self._unbroken = True


def merged(stretches: Iterable[Stretch]) -> tuple[Stretch, ...]:
    """The same postings as stretches that do not overlap, oldest first."""
    found: list[Stretch] = []
    for stretch in sorted(stretches):
        if found and stretch.first <= found[-1].last + 1:
            found[-1] = Stretch(found[-1].first, max(found[-1].last, stretch.last))
        else:
            found.append(stretch)
    return tuple(found)


def covers(stretches: Sequence[Stretch], seq: int) -> bool:
    """Whether one of the stretches holds this posting; they are few."""
    return any(stretch.first <= seq <= stretch.last for stretch in stretches)
