"""What a deposit paid for in the end: its own calls, and those of deposits whose taking back it had to pay.

Money of a deposit comes into the wallet with its payment, when a dispute or refund of it is given back, and when a call
that it paid is reversed. Where another deposit is taken back out of it, or a debt of another is covered with it, it
has paid what the other had paid: else two cards that are both disputed would pay each other's debt, and nobody's.
"""

from collections.abc import Collection, Sequence
from typing import Final, Protocol
from uuid import UUID

from gateway.db import Dialect, Row
from gateway.db.batches import list_parameter
from gateway.db.rows import identifier, integer
from gateway.domain.charges import receivable
from gateway.domain.ledger import EntryKind, wallet
from gateway.services.ledger.reading import Reader
from gateway.services.taken_back.provenance import Income, Stretch, Sweep, merged

#: Postings read by one statement, of one index.
POSTINGS_AT_ONCE_MAX: Final = 5_000
#: Postings read by one statement with what they are about.
EXPLAINED_AT_ONCE_MAX: Final = 1_000

_POSTINGS: Final = (
    "SELECT seq, amount_micros FROM posting WHERE account_id = $1 AND seq >= $2 AND seq <= $3 ORDER BY seq"
)
# What left the wallet and was no call, with where its entry stands in the history of what is owed.
_NO_CALLS: Final = """
    SELECT e.kind, e.ref, o.seq AS owed_seq FROM posting AS p JOIN ledger_entry AS e ON e.id = p.entry_id
    LEFT JOIN posting AS o ON o.entry_id = p.entry_id AND o.account_id = $4
    WHERE p.account_id = $1 AND p.seq >= $2 AND p.seq <= $3 AND p.amount_micros < 0 AND e.kind <> 'tool_call'"""
_REVERSALS: Final = """
    SELECT r.seq, r.amount_micros, r.balance_after_micros
    FROM posting AS p JOIN ledger_entry AS e ON e.reverses = p.entry_id
    JOIN posting AS r ON r.entry_id = e.id AND r.account_id = p.account_id
    WHERE p.account_id = $1 AND p.seq >= $2 AND p.seq <= $3 AND p.amount_micros < 0 AND r.seq <= $4"""
_INCOMES: Final = """
    SELECT p.seq, p.amount_micros, p.balance_after_micros, o.seq AS owed_seq, o.amount_micros AS owed_micros
    FROM ledger_entry AS e
    LEFT JOIN posting AS p ON p.entry_id = e.id AND p.account_id = $2
    LEFT JOIN posting AS o ON o.entry_id = e.id AND o.account_id = $3
    WHERE e.idem {listed}"""
# The debts that stood when something was covered: all since nothing was owed last.
_DEBTS: Final = """
    SELECT e.kind, e.ref FROM posting AS o JOIN ledger_entry AS e ON e.id = o.entry_id
    WHERE o.account_id = $1 AND o.seq < $2 AND o.amount_micros < 0 AND o.seq > coalesce((SELECT max(z.seq)
        FROM posting AS z WHERE z.account_id = $1 AND z.seq < $2 AND z.balance_after_micros >= 0), 0)"""
_DISPUTED: Final = "SELECT checkout_id AS id FROM deposit_dispute WHERE id {listed}"
# Refunds of before the charge was noted are of some refunded deposit of this customer.
_REFUNDED: Final = """
    SELECT id FROM checkout WHERE customer_id = $2 AND mode = 'deposit'
    AND (refund_charge_id {listed} OR (refund_charge_id IS NULL AND refund_version > 0))"""
_DEPOSITS: Final = "SELECT session_id, refund_charge_id, refund_version FROM checkout WHERE id {listed}"
_DISPUTES: Final = "SELECT id, version FROM deposit_dispute WHERE checkout_id {listed}"


class TracingReader(Reader, Protocol):
    """A `Database`: what it reads here is committed and never changes, so no transaction is needed."""

    @property
    def dialect(self) -> Dialect: ...


async def paid_by(
    reader: TracingReader, *, customer_id: UUID, deposit_id: UUID, wallet_seq: int, receivable_seq: int
) -> tuple[Stretch, ...]:
    """The stretches of the wallet's history that the money of a deposit paid, oldest first; charges among them count.

    Nothing after `wallet_seq` of the wallet and `receivable_seq` of what is owed is looked at: what is spent once the
    bank has taken its money is other money, so the answer stays the same until the bank takes more.
    """
    return await _Trace(reader, customer_id, wallet_seq, receivable_seq).of(deposit_id)


class _Trace:
    """One search: deposits lead to incomes, incomes to stretches, stretches to more incomes and deposits."""

    def __init__(self, reader: TracingReader, customer_id: UUID, wallet_seq: int, receivable_seq: int) -> None:
        self._reader = reader
        self._customer_id = customer_id
        self._wallet_id = wallet(customer_id).id
        self._receivable_id = receivable(customer_id).id
        self._wallet_seq = wallet_seq
        self._receivable_seq = receivable_seq
        self._deposits: set[UUID] = set()
        self._incomes: set[Income] = set()
        self._new: set[Income] = set()

    async def of(self, deposit_id: UUID) -> tuple[Stretch, ...]:
        found: list[Stretch] = []
        await self._add_deposits({deposit_id})
        while self._new:
            incomes, self._new = self._new, set()
            for stretch in await self._sweep(incomes):
                found.append(stretch)
                for window in stretch.windows(EXPLAINED_AT_ONCE_MAX):
                    await self._follow(window)
        return merged(found)

    async def _sweep(self, incomes: Collection[Income]) -> tuple[Stretch, ...]:
        sweep = Sweep(incomes)
        for window in Stretch(min(incomes).seq, self._wallet_seq).windows(POSTINGS_AT_ONCE_MAX):
            rows = await self._reader.fetch(_POSTINGS, (self._wallet_id, window.first, window.last))
            for row in rows:
                sweep.step(integer(row, "seq"), integer(row, "amount_micros"))
            if sweep.is_over:
                break
        return sweep.stretches()

    async def _follow(self, window: Stretch) -> None:
        """Where else the money went or came back: into other deposits' debts, and out of reversed calls."""
        place = (self._wallet_id, window.first, window.last)
        rows = await self._reader.fetch(_NO_CALLS, (*place, self._receivable_id))
        covered = [integer(row, "owed_seq") for row in rows if row["kind"] == EntryKind.ADJUSTMENT and row["owed_seq"]]
        await self._add_deposits(await self._deposits_of(rows) | await self._indebted(covered))
        self._add_incomes(await self._reader.fetch(_REVERSALS, (*place, self._wallet_seq)))

    async def _add_deposits(self, deposits: set[UUID]) -> None:
        while deposits := deposits - self._deposits:
            self._deposits |= deposits
            rows = await self._fetch_listed(_INCOMES, await self._names(deposits), self._wallet_id, self._receivable_id)
            self._add_incomes([row for row in rows if row["seq"] is not None])
            covered = [integer(r, "owed_seq") for r in rows if r["owed_seq"] and integer(r, "owed_micros") > 0]
            deposits = await self._indebted([seq for seq in covered if seq <= self._receivable_seq])

    def _add_incomes(self, rows: Sequence[Row]) -> None:
        found = {
            Income(integer(row, "seq"), integer(row, "amount_micros"), integer(row, "balance_after_micros"))
            for row in rows
            if integer(row, "amount_micros") > 0 and integer(row, "seq") <= self._wallet_seq
        }
        self._new |= found - self._incomes
        self._incomes |= found

    async def _names(self, deposits: Collection[UUID]) -> list[str]:
        """The entries that may have brought money of these deposits into the wallet."""
        names: list[str] = []
        for row in await self._fetch_listed(_DEPOSITS, deposits):
            names.append(f"dep:{row['session_id']}")
            if row["refund_charge_id"] is not None:
                names += [f"ref:{row['refund_charge_id']}:{n + 1}" for n in range(integer(row, "refund_version"))]
        for row in await self._fetch_listed(_DISPUTES, deposits):
            names += [f"dp:{row['id']}:{n + 1}" for n in range(integer(row, "version"))]
        return names

    async def _indebted(self, owed_seqs: Collection[int]) -> set[UUID]:
        """The deposits whose debts stood at these places of the history of what is owed."""
        found: set[UUID] = set()
        for seq in owed_seqs:
            found |= await self._deposits_of(await self._reader.fetch(_DEBTS, (self._receivable_id, seq)))
        return found

    async def _deposits_of(self, rows: Sequence[Row]) -> set[UUID]:
        """The deposits that were taken back by entries of this kind and about this."""
        refs = {kind: {str(row["ref"]) for row in rows if row["kind"] == kind} for kind in EntryKind}
        found: list[Row] = []
        # A debt of a dispute that had been written off is revived under the kind of the write-off.
        if disputes := refs[EntryKind.DISPUTE] | refs[EntryKind.BAD_DEBT]:
            found += await self._fetch_listed(_DISPUTED, disputes)
        if refs[EntryKind.REFUND]:
            found += await self._fetch_listed(_REFUNDED, refs[EntryKind.REFUND], self._customer_id)
        return {identifier(row, "id") for row in found}

    async def _fetch_listed(self, sql: str, listed: Collection[object], *params: object) -> list[Row]:
        """Rows whose `{listed}` column is among these values, which are the first parameter."""
        dialect = self._reader.dialect
        match = "IN (SELECT value FROM json_each($1))" if dialect == "sqlite" else "= ANY($1)"
        return await self._reader.fetch(sql.format(listed=match), (list_parameter(dialect, list(listed)), *params))
