"""Which charges a deposit paid: first in, first out over the wallet's own history, which never changes.

The k-th dollar that left a wallet is the k-th dollar that came in. So a deposit covers a span of the wallet's income,
and a charge takes a span of its spending; where the spans overlap, the deposit paid the charge. Nothing is stored for
this: it is read off the postings when a dispute asks, which is seldom.
"""

from collections import deque
from dataclasses import dataclass, field
from typing import Final
from uuid import UUID

from gateway.db import Parameters, Row
from gateway.domain.ledger import wallet
from gateway.services.ledger.reading import Reader
from gateway.services.ledger.rows import as_int, as_uuid

PAGE_POSTINGS: Final = 1_000

_PAGE: Final = (
    "SELECT p.seq, p.amount_micros, p.entry_id, e.idem, e.kind FROM posting AS p "
    "JOIN ledger_entry AS e ON e.id = p.entry_id WHERE p.account_id = $1 AND p.seq > $2 ORDER BY p.seq LIMIT $3"
)


@dataclass(slots=True)
class Trail:
    """A walk over a wallet's postings, oldest first, that remembers which spendings one income paid."""

    income_idem: str
    came_in: int = 0
    went_out: int = 0
    span: tuple[int, int] | None = None
    _spendings: deque[tuple[UUID, int, int]] = field(default_factory=deque[tuple[UUID, int, int]])

    def step(self, *, idem: str, entry_id: UUID, amount_micros: int) -> None:
        if amount_micros > 0:
            if idem == self.income_idem:
                self.span = (self.came_in, self.came_in + amount_micros)
            self.came_in += amount_micros
        else:
            self._spendings.append((entry_id, self.went_out, self.went_out - amount_micros))
            self.went_out -= amount_micros
            self._forget()

    def paid(self) -> tuple[UUID, ...]:
        """The entries that took money out of the span, oldest first."""
        if self.span is None:
            return ()
        start, end = self.span
        return tuple(entry for entry, since, until in self._spendings if since < end and until > start)

    @property
    def is_over(self) -> bool:
        """Whether all of the span is spent, so that nothing later can be of it."""
        return self.span is not None and self.went_out >= self.span[1]

    def _forget(self) -> None:
        """Spending that lies before the span is of no interest, so a long history stays a short list."""
        if self.span is not None:
            start = self.span[0]
            while self._spendings and self._spendings[0][2] <= start:
                self._spendings.popleft()


async def entries_paid_by(reader: Reader, *, customer_id: UUID, income_idem: str, until_idem: str) -> tuple[UUID, ...]:
    """The ledger entries that spent the money of one income (`dep:cs_…`) of a wallet, oldest first.

    `until_idem` is how the names of those begin that take the income itself back: what is spent after the first of
    them is other money, so the answer does not grow once the income is gone.
    """
    trail = Trail(income_idem)
    seq = 0
    while True:
        rows = await _page(reader, customer_id, seq)
        for row in rows:
            if str(row["idem"]).startswith(until_idem):
                return trail.paid()
            trail.step(
                idem=str(row["idem"]), entry_id=as_uuid(row["entry_id"]), amount_micros=as_int(row["amount_micros"])
            )
            if trail.is_over:
                return trail.paid()
        if len(rows) < PAGE_POSTINGS:
            return trail.paid()
        seq = as_int(rows[-1]["seq"])


async def _page(reader: Reader, customer_id: UUID, seq: int) -> list[Row]:
    params: Parameters = (wallet(customer_id).id, seq, PAGE_POSTINGS)
    return await reader.fetch(_PAGE, params)
