"""The audit: reads the whole ledger again and says where it does not add up."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from typing import Final
from uuid import UUID

import orjson

from gateway.db import Row
from gateway.db.rows import identifier, identifier_or_none, integer, text_or_none
from gateway.domain.ledger import LINES_MIN, Account, AccountKind, MalformedEntry, entry_digest
from gateway.services.ledger.reading import Reader
from gateway.services.ledger.walking import LAST_ID, Fault, Step, Walk, batch_end

BATCH_ROWS_MAX: Final = 500
#: Postings that one statement goes over: a second's work, well within the limit of a statement.
POSTINGS_AT_ONCE_MAX: Final = 100_000
#: Faults after which a check stops looking for more.
FAULTS_MAX: Final = 1_000
_BEFORE_FIRST: Final = UUID(int=0)

_ENTRIES: Final = """
    SELECT e.id, e.idem, e.digest, e.kind, e.ref, e.reverses, e.sealed, p.id AS posting_id, p.amount_micros, a.code
    FROM (SELECT * FROM ledger_entry WHERE id > $1 ORDER BY id LIMIT $2) AS e
    LEFT JOIN posting AS p ON p.entry_id = e.id
    LEFT JOIN ledger_account AS a ON a.id = p.account_id
    ORDER BY e.id"""

_ACCOUNTS: Final = """
    WITH batch AS (SELECT * FROM ledger_account WHERE id > $1 ORDER BY id LIMIT $2),
    line AS (
        SELECT p.account_id, p.amount_micros, p.seq, p.balance_after_micros, b.floor_at_zero,
            row_number() OVER (PARTITION BY p.account_id ORDER BY p.seq) AS place,
            sum(p.amount_micros) OVER (PARTITION BY p.account_id ORDER BY p.seq) AS running_micros
        FROM posting AS p JOIN batch AS b ON b.id = p.account_id AND b.cached),
    history AS (
        SELECT account_id, count(*) AS postings, sum(amount_micros) AS total_micros,
            sum(CASE WHEN seq = place THEN 0 ELSE 1 END) AS gaps,
            sum(CASE WHEN balance_after_micros = running_micros THEN 0 ELSE 1 END) AS drifts,
            sum(CASE WHEN floor_at_zero AND balance_after_micros < 0 THEN 1 ELSE 0 END) AS dips
        FROM line GROUP BY account_id)
    SELECT b.id, b.code, b.kind, b.owner_id, b.floor_at_zero, b.cached, b.balance_micros, b.version,
        coalesce(h.postings, 0) AS postings, coalesce(h.total_micros, 0) AS total_micros,
        coalesce(h.gaps, 0) AS gaps, coalesce(h.drifts, 0) AS drifts, coalesce(h.dips, 0) AS dips
    FROM batch AS b LEFT JOIN history AS h ON h.account_id = b.id
    ORDER BY b.id"""

#: A stretch of one account whose history is too long for one statement; `$4` is its balance before.
_STRETCH: Final = """
    WITH line AS (
        SELECT p.amount_micros, p.seq, p.balance_after_micros,
            CAST($2 AS bigint) + row_number() OVER (ORDER BY p.seq) AS place,
            CAST($4 AS bigint) + sum(p.amount_micros) OVER (ORDER BY p.seq) AS running_micros
        FROM (SELECT * FROM posting WHERE account_id = $1 AND seq > $2 ORDER BY seq LIMIT $3) AS p),
    stretch AS (
        SELECT count(*) AS postings, coalesce(sum(amount_micros), 0) AS moved_micros, max(seq) AS last_seq,
            coalesce(sum(CASE WHEN seq = place THEN 0 ELSE 1 END), 0) AS gaps,
            coalesce(sum(CASE WHEN balance_after_micros = running_micros THEN 0 ELSE 1 END), 0) AS drifts,
            coalesce(sum(CASE WHEN balance_after_micros < 0 THEN 1 ELSE 0 END), 0) AS negatives
        FROM line)
    SELECT a.id, a.code, a.kind, a.owner_id, a.floor_at_zero, a.cached, a.balance_micros, a.version,
        s.postings, s.moved_micros, s.last_seq, s.gaps, s.drifts, s.negatives
    FROM ledger_account AS a CROSS JOIN stretch AS s WHERE a.id = $1"""

_VERSIONS: Final = "SELECT id, version FROM ledger_account WHERE id > $1 ORDER BY id LIMIT $2"

_STRAYS: Final = """
    SELECT p.id FROM posting AS p WHERE p.id > $1 AND p.id <= $2
    AND NOT EXISTS (SELECT 1 FROM ledger_entry AS e WHERE e.id = p.entry_id) ORDER BY p.id"""

_NUMBERED_DERIVED: Final = """
    SELECT p.id FROM ledger_account AS a JOIN posting AS p ON p.account_id = a.id
    WHERE NOT a.cached AND p.seq IS NOT NULL LIMIT $1"""

_NAME: Final = "ledger"
_RULE: Final = "Entries are sealed, balanced and unchanged; balances are the sums of their postings"


async def verify_books(
    reader: Reader,
    *,
    batch_max: int = BATCH_ROWS_MAX,
    faults_max: int = FAULTS_MAX,
    postings_max: int = POSTINGS_AT_ONCE_MAX,
) -> list[Fault]:
    """Check every entry and every account against the rules of the ledger; an empty list is what one wants.

    Reads in batches, each a consistent view, so it may run beside the writers. Stops at `faults_max` faults.
    """
    faults: list[Fault] = []
    for walk in ledger_walks(batch_max=batch_max, postings_max=postings_max):
        place: str | None = None
        while True:
            step = await walk.step(reader, place)
            faults.extend(step.faults)
            if len(faults) >= faults_max:
                return faults[:faults_max]
            if (place := step.place) is None:
                break
    return faults


def ledger_walks(
    *, batch_max: int = BATCH_ROWS_MAX, postings_max: int = POSTINGS_AT_ONCE_MAX
) -> tuple[Walk, Walk, Walk, Walk]:
    """The parts of the check: entries, accounts, postings of no entry, and numbers where there may be none."""
    return (
        _Entries(batch_max=batch_max),
        _Accounts(batch_max=batch_max, postings_max=postings_max),
        _Strays(batch_max=postings_max),
        _Numbered(),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Entries:
    name: str = _NAME
    rule: str = _RULE
    batch_max: int

    async def step(self, reader: Reader, place: str | None) -> Step:
        rows = await reader.fetch(_ENTRIES, (_after(place), self.batch_max))
        entries = [list(group) for _, group in groupby(rows, key=lambda row: row["id"])]
        faults = tuple(fault for entry in entries for fault in _entry_faults(entry))
        return Step(faults, str(identifier(rows[-1], "id")) if rows else None)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Accounts:
    """Accounts together as long as their postings are few enough for a statement; a long history in stretches.

    What was numbered never changes, so stretches read one after the other fit together beside the writers; the last
    one reads the account in the same view.
    """

    name: str = _NAME
    rule: str = _RULE
    batch_max: int
    postings_max: int

    async def step(self, reader: Reader, place: str | None) -> Step:
        if place is not None and "{" in place:
            return await self._stretch(reader, _Stretch(**orjson.loads(place)))
        accounts = await reader.fetch(_VERSIONS, (_after(place), self.batch_max))
        if not accounts:
            return Step((), None)
        together = _few_enough(accounts, self.postings_max)
        if together == 0:
            return await self._stretch(reader, _Stretch(account=str(identifier(accounts[0], "id"))))
        rows = await reader.fetch(_ACCOUNTS, (_after(place), together))
        return Step(tuple(fault for row in rows for fault in _account_faults(row)), str(identifier(rows[-1], "id")))

    async def _stretch(self, reader: Reader, so_far: "_Stretch") -> Step:
        row = await reader.fetch_one(
            _STRETCH, (UUID(so_far.account), so_far.seq, self.postings_max, so_far.total_micros)
        )
        assert row is not None, "no account is ever removed"
        now = so_far.and_then(row)
        if integer(row, "postings") == self.postings_max:
            return Step((), orjson.dumps(asdict(now)).decode())
        return Step(tuple(_account_faults(now.as_account(row))), so_far.account)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Stretch:
    """How far into one account the walk is, and what it came to."""

    account: str
    seq: int = 0
    postings: int = 0
    total_micros: int = 0
    gaps: int = 0
    drifts: int = 0
    negatives: int = 0

    def and_then(self, row: Row) -> "_Stretch":
        return _Stretch(
            account=self.account,
            seq=self.seq if row["last_seq"] is None else integer(row, "last_seq"),
            postings=self.postings + integer(row, "postings"),
            total_micros=self.total_micros + integer(row, "moved_micros"),
            gaps=self.gaps + integer(row, "gaps"),
            drifts=self.drifts + integer(row, "drifts"),
            negatives=self.negatives + integer(row, "negatives"),
        )

    def as_account(self, row: Row) -> Row:
        """The whole account, in the words of `_ACCOUNTS`."""
        sums = {name: getattr(self, name) for name in ("postings", "total_micros", "gaps", "drifts")}
        return {**dict(row), **sums, "dips": self.negatives if row["floor_at_zero"] else 0}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Strays:
    name: str = _NAME
    rule: str = _RULE
    batch_max: int

    async def step(self, reader: Reader, place: str | None) -> Step:
        after = _after(place)
        upto = await batch_end(reader, after, upto=LAST_ID, size=self.batch_max)
        rows = await reader.fetch(_STRAYS, (after, upto))
        message = "The posting belongs to no entry."
        faults = tuple(Fault("posting-has-entry", str(row["id"]), message) for row in rows)
        return Step(faults, None if upto == LAST_ID else str(upto))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Numbered:
    name: str = _NAME
    rule: str = _RULE

    async def step(self, reader: Reader, place: str | None) -> Step:
        assert place is None, "one statement is all of it"
        rows = await reader.fetch(_NUMBERED_DERIVED, (FAULTS_MAX,))
        message = "A posting of a derived account has a number."
        return Step(tuple(Fault("derived-unnumbered", str(row["id"]), message) for row in rows), None)


def _after(place: str | None) -> UUID:
    return _BEFORE_FIRST if place is None else UUID(place)


def _few_enough(accounts: Sequence[Row], postings_max: int) -> int:
    """How many of these accounts have no more postings together than that."""
    postings = 0
    for number, row in enumerate(accounts):
        postings += integer(row, "version")
        if postings > postings_max:
            return number
    return len(accounts)


def _entry_faults(rows: Sequence[Row]) -> Iterator[Fault]:
    entry, idem = rows[0], str(rows[0]["idem"])
    postings = [row for row in rows if row["posting_id"] is not None]
    total = sum(integer(row, "amount_micros") for row in postings)
    if not entry["sealed"]:
        yield Fault("entry-sealed", idem, "The entry was never sealed.")
    if total != 0:
        yield Fault("entry-balanced", idem, f"The postings sum to {total}.")
    if len(postings) < LINES_MIN:
        yield Fault("entry-double", idem, f"The entry has {len(postings)} postings.")
    amounts = {str(row["code"]): integer(row, "amount_micros") for row in postings}
    digest = entry_digest(
        kind=str(entry["kind"]),
        ref=text_or_none(entry, "ref"),
        reverses=identifier_or_none(entry, "reverses"),
        amounts=amounts,
    )
    if digest != entry["digest"]:
        yield Fault("entry-digest", idem, "The content is not what was recorded.")


def _account_faults(row: Row) -> Iterator[Fault]:
    code = str(row["code"])
    if not _is_of_its_kind(row):
        yield Fault("account-kind", code, "The id, the floor or the caching is not that of the account's kind.")
    balance, total = integer(row, "balance_micros"), integer(row, "total_micros")
    if balance != total:
        yield Fault("balance-derived", code, f"The balance is {balance} and the postings sum to {total}.")
    if row["floor_at_zero"] and balance < 0:
        yield Fault("balance-floor", code, f"The balance is {balance}.")
    version, postings, gaps = (integer(row, column) for column in ("version", "postings", "gaps"))
    if gaps or version != postings:
        yield Fault(
            "seq-gapless", code, f"{postings} postings, {gaps} out of number, and the account counts {version}."
        )
    if drifts := integer(row, "drifts"):
        yield Fault("balance-after", code, f"{drifts} postings carry a balance that is not the sum up to them.")
    if dips := integer(row, "dips"):
        yield Fault("history-floor", code, f"{dips} postings left the account below zero.")


def _is_of_its_kind(row: Row) -> bool:
    try:
        account = Account(AccountKind(str(row["kind"])), identifier_or_none(row, "owner_id"))
    except (MalformedEntry, ValueError):
        return False
    flags = (bool(row["floor_at_zero"]), bool(row["cached"]))
    return account.id == identifier(row, "id") and flags == (account.floor_at_zero, account.cached)
