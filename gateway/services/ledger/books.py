"""The audit: reads the whole ledger again and says where it does not add up."""

from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from itertools import groupby
from typing import Final
from uuid import UUID

from gateway.db import Row
from gateway.domain.ledger import LINES_MIN, Account, AccountKind, MalformedEntry, entry_digest
from gateway.services.ledger.reading import Reader
from gateway.services.ledger.rows import as_int, as_optional_text, as_optional_uuid, as_uuid

BATCH_ROWS_MAX: Final = 500
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

_STRAYS: Final = """
    SELECT p.id FROM posting AS p
    WHERE NOT EXISTS (SELECT 1 FROM ledger_entry AS e WHERE e.id = p.entry_id) LIMIT $1"""

_NUMBERED_DERIVED: Final = """
    SELECT p.id FROM ledger_account AS a JOIN posting AS p ON p.account_id = a.id
    WHERE NOT a.cached AND p.seq IS NOT NULL LIMIT $1"""


@dataclass(frozen=True, slots=True)
class Fault:
    """Something in the books that cannot be: the rule, what breaks it (an idem, an account code, an id), and how."""

    rule: str
    subject: str
    message: str


async def verify_books(reader: Reader, *, batch_max: int = BATCH_ROWS_MAX, faults_max: int = FAULTS_MAX) -> list[Fault]:
    """Check every entry and every account against the rules of the ledger; an empty list is what one wants.

    Reads in batches, each a consistent view, so it may run beside the writers. Stops at `faults_max` faults.
    """
    faults: list[Fault] = []
    async with aclosing(_faults(reader, batch_max)) as found:
        async for fault in found:
            faults.append(fault)
            if len(faults) >= faults_max:
                break
    return faults


async def _faults(reader: Reader, batch_max: int) -> AsyncGenerator[Fault]:
    async for entries in _batches(reader, _ENTRIES, batch_max):
        for _, rows in groupby(entries, key=lambda row: row["id"]):
            for fault in _entry_faults(list(rows)):
                yield fault
    async for accounts in _batches(reader, _ACCOUNTS, batch_max):
        for row in accounts:
            for fault in _account_faults(row):
                yield fault
    for row in await reader.fetch(_STRAYS, (FAULTS_MAX,)):
        yield Fault("posting-has-entry", str(row["id"]), "The posting belongs to no entry.")
    for row in await reader.fetch(_NUMBERED_DERIVED, (FAULTS_MAX,)):
        yield Fault("derived-unnumbered", str(row["id"]), "A posting of a derived account has a number.")


async def _batches(reader: Reader, sql: str, size: int) -> AsyncGenerator[Sequence[Row]]:
    after = _BEFORE_FIRST
    while rows := await reader.fetch(sql, (after, size)):
        yield rows
        after = as_uuid(rows[-1]["id"])


def _entry_faults(rows: Sequence[Row]) -> Iterator[Fault]:
    entry, idem = rows[0], str(rows[0]["idem"])
    postings = [row for row in rows if row["posting_id"] is not None]
    total = sum(as_int(row["amount_micros"]) for row in postings)
    if not entry["sealed"]:
        yield Fault("entry-sealed", idem, "The entry was never sealed.")
    if total != 0:
        yield Fault("entry-balanced", idem, f"The postings sum to {total}.")
    if len(postings) < LINES_MIN:
        yield Fault("entry-double", idem, f"The entry has {len(postings)} postings.")
    amounts = {str(row["code"]): as_int(row["amount_micros"]) for row in postings}
    digest = entry_digest(
        kind=str(entry["kind"]),
        ref=as_optional_text(entry["ref"]),
        reverses=as_optional_uuid(entry["reverses"]),
        amounts=amounts,
    )
    if digest != entry["digest"]:
        yield Fault("entry-digest", idem, "The content is not what was recorded.")


def _account_faults(row: Row) -> Iterator[Fault]:
    code = str(row["code"])
    if not _is_of_its_kind(row):
        yield Fault("account-kind", code, "The id, the floor or the caching is not that of the account's kind.")
    balance, total = as_int(row["balance_micros"]), as_int(row["total_micros"])
    if balance != total:
        yield Fault("balance-derived", code, f"The balance is {balance} and the postings sum to {total}.")
    if row["floor_at_zero"] and balance < 0:
        yield Fault("balance-floor", code, f"The balance is {balance}.")
    version, postings, gaps = (as_int(row[column]) for column in ("version", "postings", "gaps"))
    if gaps or version != postings:
        yield Fault(
            "seq-gapless", code, f"{postings} postings, {gaps} out of number, and the account counts {version}."
        )
    if drifts := as_int(row["drifts"]):
        yield Fault("balance-after", code, f"{drifts} postings carry a balance that is not the sum up to them.")
    if dips := as_int(row["dips"]):
        yield Fault("history-floor", code, f"{dips} postings left the account below zero.")


def _is_of_its_kind(row: Row) -> bool:
    try:
        account = Account(AccountKind(str(row["kind"])), as_optional_uuid(row["owner_id"]))
    except (MalformedEntry, ValueError):
        return False
    flags = (bool(row["floor_at_zero"]), bool(row["cached"]))
    return account.id == as_uuid(row["id"]) and flags == (account.floor_at_zero, account.cached)
