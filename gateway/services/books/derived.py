"""The check of what the platform's accounts hold: their postings, summed up a batch at a time, beside the writers."""

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final
from uuid import UUID

import orjson

from gateway.db.rows import identifier, integer
from gateway.domain.ids import first_id, time_of_id
from gateway.services.ledger import POSTINGS_AT_ONCE_MAX, Fault, Reader, Step
from gateway.services.ledger.walking import batch_end

#: Postings younger than this, beside the newest there is, may have older ones come after them: clocks of nodes differ
#: by two hours, and a transaction takes its time. They are summed up at the end, in the view of what is known.
SETTLED_AFTER: Final = timedelta(hours=3)
_BEFORE_FIRST: Final = UUID(int=0)

_NEWEST: Final = "SELECT id FROM posting ORDER BY id DESC LIMIT 1"
_BATCH: Final = """
    SELECT p.account_id, sum(p.amount_micros) AS moved_micros
    FROM posting AS p JOIN ledger_account AS a ON a.id = p.account_id AND NOT a.cached
    WHERE p.id > $1 AND p.id <= $2 GROUP BY p.account_id"""
# The checkpoint and tail, and what was not summed up yet, of one view.
_KNOWN: Final = """
    SELECT a.id, a.code,
        coalesce((SELECT c.balance_micros FROM ledger_checkpoint AS c WHERE c.account_id = a.id), 0)
            + coalesce((SELECT sum(t.amount_micros) FROM ledger_tail AS t WHERE t.account_id = a.id), 0)
            AS known_micros,
        coalesce(r.moved_micros, 0) AS recent_micros
    FROM ledger_account AS a LEFT JOIN (
        SELECT account_id, sum(amount_micros) AS moved_micros FROM posting WHERE id > $1 GROUP BY account_id
    ) AS r ON r.account_id = a.id
    WHERE NOT a.cached ORDER BY a.id"""


@dataclass(frozen=True, slots=True, kw_only=True)
class DerivedWalk:
    """Checkpoint and tail against the postings. A fault is believed when a second walk finds it too."""

    name: str = "derived"
    rule: str = "Checkpoint and tail of a platform account are the sum of its postings"
    batch_max: int = POSTINGS_AT_ONCE_MAX

    async def step(self, reader: Reader, place: str | None) -> Step:
        so_far = _Sums() if place is None else _Sums.read(place)
        settled = await _settled(reader)
        if so_far.after < settled:
            upto = await batch_end(reader, so_far.after, upto=settled, size=self.batch_max)
            for row in await reader.fetch(_BATCH, (so_far.after, upto)):
                so_far.add(identifier(row, "account_id"), integer(row, "moved_micros"))
            so_far.after = upto
            return Step((), so_far.written())
        faults = [
            _fault(str(row["code"]), known=integer(row, "known_micros"), total=total)
            for row in await reader.fetch(_KNOWN, (so_far.after,))
            if (total := so_far.of(identifier(row, "id")) + integer(row, "recent_micros")) != row["known_micros"]
        ]
        if faults and not so_far.is_second:
            return Step((), _Sums(is_second=True).written())
        return Step(tuple(faults), None)


@dataclass(slots=True, kw_only=True)
class _Sums:
    """What the postings up to an id come to, by account."""

    after: UUID = _BEFORE_FIRST
    is_second: bool = False
    micros: dict[str, int] = field(default_factory=dict[str, int])

    def of(self, account_id: UUID) -> int:
        return self.micros.get(str(account_id), 0)

    def add(self, account_id: UUID, micros: int) -> None:
        self.micros[str(account_id)] = self.of(account_id) + micros

    @classmethod
    def read(cls, place: str) -> "_Sums":
        fields = orjson.loads(place)
        return cls(after=UUID(fields["after"]), is_second=fields["is_second"], micros=fields["micros"])

    def written(self) -> str:
        return orjson.dumps({"after": str(self.after), "is_second": self.is_second, "micros": self.micros}).decode()


async def _settled(reader: Reader) -> UUID:
    """The id up to which every posting is there that ever will be; ids begin with their time."""
    row = await reader.fetch_one(_NEWEST)
    if row is None:
        return _BEFORE_FIRST
    return first_id(time_of_id(identifier(row, "id")) - SETTLED_AFTER)


def _fault(code: str, *, known: int, total: int) -> Fault:
    return Fault("derived-checkpoint", code, f"Checkpoint and tail say {known}; postings say {total}.")
