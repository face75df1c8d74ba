"""The audit of everything that is money: the ledger, and every row that says what an entry of it was for."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import orjson

from gateway.db import Dialect, Parameters, Row
from gateway.services.books.rules import walks
from gateway.services.ledger import FAULTS_MAX, POSTINGS_AT_ONCE_MAX, Fault, Reader, Walk


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What one check looked at, in rows read, and what it found."""

    name: str
    rule: str
    rows: int
    faults: tuple[Fault, ...]


@dataclass(frozen=True, slots=True)
class BooksReport:
    """All checks, in the order in which they were made."""

    results: tuple[CheckResult, ...]

    @property
    def faults(self) -> tuple[Fault, ...]:
        return tuple(fault for result in self.results for fault in result.faults)


class BooksReader(Reader, Protocol):
    """A `Database`, or a `Connection` for what its transaction sees."""

    @property
    def dialect(self) -> Dialect: ...


async def check_books(
    reader: BooksReader, *, faults_max: int = FAULTS_MAX, postings_max: int = POSTINGS_AT_ONCE_MAX
) -> BooksReport:
    """Check every invariant; a report without faults is what one wants.

    Reads in batches of one statement each, hence each of one consistent view, so it may run beside the writers, and
    memory does not grow with the books. Each check stops at `faults_max` faults.

    Raises:
        DatabaseUnavailable: nothing can be said.
    """
    audit = Audit(walks(reader.dialect, postings_max=postings_max), faults_max=faults_max)
    found: dict[str, list[Fault]] = {}
    while not audit.has_ended:
        name = audit.walk.name
        found.setdefault(name, []).extend(await audit.step(reader))
    rules = {walk.name: walk.rule for walk in audit.walks}
    return BooksReport(
        tuple(CheckResult(name, rule, audit.rows.get(name, 0), tuple(found[name])) for name, rule in rules.items())
    )


class Audit:
    """All walks, one after the other, a step at a time; what `written` says can be gone on from at another time."""

    def __init__(self, all_walks: Sequence[Walk], *, faults_max: int = FAULTS_MAX) -> None:
        self.walks = all_walks
        self.rows: dict[str, int] = {}
        self.found: dict[str, int] = {}
        self._faults_max = faults_max
        self._at = 0
        self._place: str | None = None

    @property
    def has_ended(self) -> bool:
        return self._at == len(self.walks)

    @property
    def walk(self) -> Walk:
        """The walk under way."""
        return self.walks[self._at]

    async def step(self, reader: Reader) -> tuple[Fault, ...]:
        """One step of the walk under way; its faults, no more than a check may have."""
        walk, counting = self.walk, _CountingReader(reader)
        found = self.found.get(walk.name, 0)
        step = await walk.step(counting, self._place)
        faults = step.faults[: self._faults_max - found]
        self.rows[walk.name] = self.rows.get(walk.name, 0) + counting.rows
        self.found[walk.name] = found + len(faults)
        self._place = step.place
        if step.place is None or self.found[walk.name] >= self._faults_max:
            self._next_walk()
        return faults

    def _next_walk(self) -> None:
        """Go on to the next walk, past those of a check that has found enough."""
        self._place = None
        self._at += 1
        while not self.has_ended and self.found.get(self.walk.name, 0) >= self._faults_max:
            self._at += 1

    def written(self) -> str:
        """The place of the audit, and what it came to so far."""
        names = [walk.name for walk in self.walks]
        said = {"walks": names, "at": self._at, "place": self._place, "rows": self.rows, "found": self.found}
        return orjson.dumps(said).decode()

    def go_on_from(self, written: str) -> None:
        """Take up a place that was written; one of other walks, of another release, is left: all begins anew."""
        said = orjson.loads(written)
        if said["walks"] == [walk.name for walk in self.walks]:
            self._at, self._place = said["at"], said["place"]
            self.rows, self.found = said["rows"], said["found"]


class _CountingReader:
    """Reads through another reader and counts the rows."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self.rows = 0

    async def fetch(self, sql: str, params: Parameters = ()) -> list[Row]:
        rows = await self._reader.fetch(sql, params)
        self.rows += len(rows)
        return rows

    async def fetch_one(self, sql: str, params: Parameters = ()) -> Row | None:
        row = await self._reader.fetch_one(sql, params)
        self.rows += row is not None
        return row
