"""Appending entries to the ledger, inside the caller's transaction."""

from collections.abc import Sequence
from datetime import datetime
from functools import partial
from typing import Final
from uuid import UUID

from gateway.db import Connection, Contention, Row
from gateway.db.rows import identifier, identifier_or_none, integer
from gateway.domain.ids import new_id
from gateway.domain.ledger import EntryDraft, FloorBroken, Recorded
from gateway.services.ledger.plan import KnownEntry, NewEntry, NewPosting, Outcome, Plan, Planner, Standing
from gateway.services.ledger.statements import statements_for

BATCH_ENTRIES_MAX: Final = 1000


async def record(connection: Connection, draft: EntryDraft, *, now: datetime) -> Recorded:
    """Append one entry; the same draft again changes nothing and returns what the first call returned.

    A refusal leaves the transaction usable, with nothing of the draft in it.

    Raises:
        FloorBroken: an account that may not go below zero would.
        EntryConflict: the idem was recorded with another content, or what it reverses is reversed already.
    """
    (outcome,) = await record_many(connection, (draft,), now=now)
    if isinstance(outcome, Recorded):
        return outcome
    raise outcome


async def record_many(connection: Connection, drafts: Sequence[EntryDraft], *, now: datetime) -> tuple[Outcome, ...]:
    """Append several entries in a handful of statements; one outcome a draft, in their order.

    Each draft counts on top of the ones before it. A refused one is returned as its refusal and does not touch its
    neighbours.

    Raises:
        Contention: another transaction recorded one of the idems at this very moment; run the whole work again,
            which `Database.run` does.
    """
    if not drafts:
        return ()
    if len(drafts) > BATCH_ENTRIES_MAX:
        raise ValueError(f"At most {BATCH_ENTRIES_MAX} entries are recorded at once; got {len(drafts)}.")
    recorder = _Recorder(connection, drafts, now)
    return await (recorder.record_one() if len(drafts) == 1 else recorder.record_all())


class _Recorder:
    """One call: lock the accounts, decide in memory, write what was decided."""

    def __init__(self, connection: Connection, drafts: Sequence[EntryDraft], now: datetime) -> None:
        self._connection = connection
        self._sql = statements_for(connection.dialect)
        self._drafts = drafts
        self._now = now

    async def record_one(self) -> tuple[Outcome, ...]:
        """Look for an earlier entry only when something hints at one: first calls are the rule."""
        standings = await self._lock_accounts()
        plan = self._plan(standings, [])
        if isinstance(plan.outcomes[0], FloorBroken) or not await self._write(plan):
            plan = self._plan(standings, await self._find_entries())
            assert not plan.entries, "an entry that could not be written is known or refused"
        return plan.outcomes

    async def record_all(self) -> tuple[Outcome, ...]:
        """Look for earlier entries once the locks are held, so that the decision stands."""
        standings = await self._lock_accounts()
        plan = self._plan(standings, await self._find_entries())
        if plan.entries and not await self._write(plan):
            raise Contention("Another transaction recorded an entry of this batch at this moment.")
        return plan.outcomes

    def _plan(self, standings: dict[UUID, Standing], known: Sequence[KnownEntry]) -> Plan:
        planner = Planner(standings=standings, known=known, make_id=partial(new_id, self._now))
        return planner.plan(self._drafts)

    async def _lock_accounts(self) -> dict[UUID, Standing]:
        accounts = {line.account.id: line.account for draft in self._drafts for line in draft.lines}
        wanted = [account_id for account_id, account in accounts.items() if account.cached]
        if not wanted:
            return {}
        standings = await self._lock(wanted)
        missing = [accounts[account_id] for account_id in wanted if account_id not in standings]
        if missing:
            rows = [(a.id, a.code, a.kind.value, a.owner_id, a.floor_at_zero, a.cached) for a in missing]
            await self._connection.execute(self._sql.create_accounts, (*self._sql.rows(rows), self._now))
            standings = await self._lock(wanted)
        assert standings.keys() == set(wanted), "an account that was just made is there"
        return standings

    async def _lock(self, account_ids: Sequence[UUID]) -> dict[UUID, Standing]:
        rows = await self._connection.fetch(self._sql.lock_accounts, (self._sql.values(account_ids),))
        return {
            identifier(row, "id"): Standing(integer(row, "balance_micros"), integer(row, "version")) for row in rows
        }

    async def _find_entries(self) -> list[KnownEntry]:
        idems = [draft.idem for draft in self._drafts]
        reversals = [draft.reverses for draft in self._drafts if draft.reverses is not None]
        rows = await self._connection.fetch(
            self._sql.find_entries, (self._sql.values(idems), self._sql.values(reversals))
        )
        return _known_entries(rows)

    async def _write(self, plan: Plan) -> bool:
        """Write the entries and seal them; False, with nothing to be kept, when the name of one is taken."""
        entries = self._sql.rows([_entry_row(entry) for entry in plan.entries])
        postings = self._sql.rows([_posting_row(posting) for entry in plan.entries for posting in entry.postings])
        if self._sql.insert_postings is None:
            claimed = await self._connection.fetch(self._sql.insert_entries, (*entries, self._now, *postings))
        else:
            claimed = await self._connection.fetch(self._sql.insert_entries, (*entries, self._now))
        if len(claimed) < len(plan.entries):
            return False
        if self._sql.insert_postings is not None:
            await self._connection.execute(self._sql.insert_postings, postings)
        entry_ids = [entry.id for entry in plan.entries]
        await self._connection.execute(self._sql.seal_entries, (self._sql.values(entry_ids),))
        return True


def _posting_row(posting: NewPosting) -> tuple[object, ...]:
    return (
        posting.id,
        posting.entry_id,
        posting.account_id,
        posting.amount_micros,
        posting.seq,
        posting.balance_after_micros,
    )


def _entry_row(entry: NewEntry) -> tuple[object, ...]:
    draft = entry.draft
    return entry.id, draft.idem, entry.digest, draft.kind.value, draft.ref, draft.reverses, draft.description


def _known_entries(rows: Sequence[Row]) -> list[KnownEntry]:
    balances: dict[UUID, dict[UUID, int]] = {}
    entries: dict[UUID, KnownEntry] = {}
    for row in rows:
        entry_id = identifier(row, "id")
        after = balances.setdefault(entry_id, {})
        if row["balance_after_micros"] is not None:
            after[identifier(row, "account_id")] = integer(row, "balance_after_micros")
        reverses = identifier_or_none(row, "reverses")
        entries[entry_id] = KnownEntry(entry_id, str(row["idem"]), str(row["digest"]), reverses, after)
    return list(entries.values())
