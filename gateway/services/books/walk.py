"""One check of the audit: a walk over a table by its key, a batch a statement."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from gateway.db import Row
from gateway.services.ledger import Fault, Reader, Step
from gateway.services.ledger.rows import as_uuid

ROWS_AT_ONCE_MAX: Final = 500
#: Creators whose whole history one statement sums up.
CREATORS_AT_ONCE_MAX: Final = 20
_BEFORE_FIRST: Final = UUID(int=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """A walk over a table by its key. `sql` takes the last key seen and how many keys to read, and calls it `id`."""

    name: str
    rule: str
    sql: str
    judge: Callable[[Row], Iterator[Fault]]
    at_once: int = ROWS_AT_ONCE_MAX

    async def step(self, reader: Reader, place: str | None) -> Step:
        after = _BEFORE_FIRST if place is None else UUID(place)
        rows = await reader.fetch(self.sql, (after, self.at_once))
        return Step(tuple(self._judge_all(rows)), str(as_uuid(rows[-1]["id"])) if rows else None)

    def _judge_all(self, rows: Sequence[Row]) -> Iterator[Fault]:
        for row in rows:
            yield from self.judge(row)
