"""Which of the asked-for entries may be recorded, decided in memory over locked balances; pure."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias
from uuid import UUID

from gateway.domain.ledger import Account, EntryConflict, EntryDraft, FloorBroken, Recorded

Outcome: TypeAlias = Recorded | FloorBroken | EntryConflict


@dataclass(frozen=True, slots=True)
class Standing:
    """What a cached account holds, and how many postings made it so."""

    balance_micros: int = 0
    version: int = 0

    def after(self, amount_micros: int) -> "Standing":
        return Standing(self.balance_micros + amount_micros, self.version + 1)


@dataclass(frozen=True, slots=True)
class KnownEntry:
    """An entry that stands in the books; `balances` by account id."""

    id: UUID
    idem: str
    digest: str
    reverses: UUID | None
    balances: Mapping[UUID, int]


@dataclass(frozen=True, slots=True)
class NewPosting:
    """A posting to write; `seq` and `balance_after_micros` are None for a derived account."""

    id: UUID
    entry_id: UUID
    account_id: UUID
    amount_micros: int
    seq: int | None
    balance_after_micros: int | None


@dataclass(frozen=True, slots=True)
class NewEntry:
    """An entry to write, with its postings in the order in which they are applied."""

    id: UUID
    digest: str
    draft: EntryDraft
    postings: tuple[NewPosting, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """One outcome for each draft, in their order, and what has to be written to make them true."""

    outcomes: tuple[Outcome, ...]
    entries: tuple[NewEntry, ...]


class Planner:
    """Takes drafts one after the other, each on top of what the ones before it did.

    `known` is what already stands under the idems and reversals of the drafts. A refused draft leaves no trace, so
    its neighbours are decided as if it had not been there.
    """

    def __init__(
        self,
        *,
        standings: Mapping[UUID, Standing],
        known: Sequence[KnownEntry],
        make_id: Callable[[], UUID],
    ) -> None:
        self._standings = dict(standings)
        self._by_idem = {entry.idem: entry for entry in known}
        self._reversed = {entry.reverses: entry.idem for entry in known if entry.reverses is not None}
        self._make_id = make_id
        self._entries: list[NewEntry] = []

    def plan(self, drafts: Sequence[EntryDraft]) -> Plan:
        outcomes = tuple(self._decide(draft) for draft in drafts)
        return Plan(outcomes, tuple(self._entries))

    def _decide(self, draft: EntryDraft) -> Outcome:
        digest = draft.digest
        known = self._by_idem.get(draft.idem)
        if known is not None:
            return replayed(draft, digest, known)
        if draft.reverses is not None and draft.reverses in self._reversed:
            by = self._reversed[draft.reverses]
            return EntryConflict(draft.idem, f"Entry {draft.reverses} is already reversed, by {by!r}.")
        return self._floor_broken(draft) or self._accept(draft, digest)

    def _floor_broken(self, draft: EntryDraft) -> FloorBroken | None:
        for line in draft.lines:
            if line.amount_micros < 0 and line.account.floor_at_zero:
                balance = self._standings[line.account.id].balance_micros
                if balance + line.amount_micros < 0:
                    return FloorBroken(line.account, balance_micros=balance, required_micros=-line.amount_micros)
        return None

    def _accept(self, draft: EntryDraft, digest: str) -> Recorded:
        entry_id = self._make_id()
        postings = tuple(self._postings(entry_id, draft))
        self._entries.append(NewEntry(entry_id, digest, draft, postings))
        after = {p.account_id: p.balance_after_micros for p in postings if p.balance_after_micros is not None}
        self._by_idem[draft.idem] = KnownEntry(entry_id, draft.idem, digest, draft.reverses, after)
        if draft.reverses is not None:
            self._reversed[draft.reverses] = draft.idem
        return Recorded(entry_id, created=True, balances=_by_account(draft, after))

    def _postings(self, entry_id: UUID, draft: EntryDraft) -> Iterator[NewPosting]:
        for line in draft.lines:
            account_id, amount = line.account.id, line.amount_micros
            seq = balance_after = None
            if line.account.cached:
                standing = self._standings[account_id] = self._standings[account_id].after(amount)
                seq, balance_after = standing.version, standing.balance_micros
            yield NewPosting(self._make_id(), entry_id, account_id, amount, seq, balance_after)


def replayed(draft: EntryDraft, digest: str, known: KnownEntry) -> Recorded | EntryConflict:
    """What a draft gets whose idem stands in the books already: the first answer, or a refusal."""
    if known.digest != digest:
        return EntryConflict(draft.idem, f"{draft.idem!r} was recorded before with another content.")
    return Recorded(known.id, created=False, balances=_by_account(draft, known.balances))


def _by_account(draft: EntryDraft, balances: Mapping[UUID, int]) -> dict[Account, int]:
    return {line.account: balances[line.account.id] for line in draft.lines if line.account.cached}
