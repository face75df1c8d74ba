"""One check of the audit: a walk over a table by its key, a batch a statement."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from gateway.db import Row
from gateway.services.ledger import Fault, Reader, Step

ROWS_AT_ONCE_MAX: Final = 500
#: Creators whose whole history one statement sums up.
CREATORS_AT_ONCE_MAX: Final = 20
#: Before the ids that we make, and before those that Stripe makes.
BEFORE_FIRST: Final = UUID(int=0)
BEFORE_FIRST_TEXT: Final = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """A walk over a table by its key. `sql` takes the last key seen and how many keys to read, and calls it `id`."""

    name: str
    rule: str
    sql: str
    judge: Callable[[Row], Iterator[Fault]]
    at_once: int = ROWS_AT_ONCE_MAX
    before_first: UUID | str = BEFORE_FIRST

    async def step(self, reader: Reader, place: str | None) -> Step:
        key = type(self.before_first)
        after = self.before_first if place is None else key(place)
        rows = await reader.fetch(self.sql, (after, self.at_once))
        return Step(tuple(self._judge_all(rows)), str(rows[-1]["id"]) if rows else None)

    def _judge_all(self, rows: Sequence[Row]) -> Iterator[Fault]:
        for row in rows:
            yield from self.judge(row)
