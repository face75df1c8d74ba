"""Going over books of any size: a bounded step at a time, from a place that can be kept and gone on from."""

from dataclasses import dataclass
from typing import Final, Protocol
from uuid import UUID

from gateway.db.rows import identifier
from gateway.services.ledger.reading import Reader

#: After every id there is.
LAST_ID: Final = UUID(int=2**128 - 1)


@dataclass(frozen=True, slots=True)
class Fault:
    """Something in the books that cannot be: the rule, what breaks it (an idem, an account code, an id), and how."""

    rule: str
    subject: str
    message: str


@dataclass(frozen=True, slots=True)
class Step:
    """What one step found, and the place to go on from; None when the walk has ended."""

    faults: tuple[Fault, ...]
    place: str | None


class Walk(Protocol):
    """One walk over the books. Walks of one name are parts of one check."""

    @property
    def name(self) -> str: ...

    @property
    def rule(self) -> str: ...

    async def step(self, reader: Reader, place: str | None) -> Step:
        """Look at the next batch, from the beginning where there is no place yet."""
        ...


async def batch_end(reader: Reader, after: UUID, *, upto: UUID, size: int) -> UUID:
    """The id of the last of so many postings after one, `upto` where there are not so many up to it."""
    row = await reader.fetch_one(
        "SELECT id FROM posting WHERE id > $1 AND id <= $2 ORDER BY id LIMIT 1 OFFSET $3", (after, upto, size - 1)
    )
    return upto if row is None else identifier(row, "id")
