"""Random histories: the ledger in the database and the plain model agree after every step."""

import asyncio
import math
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import ClassVar, TypeVar
from uuid import UUID

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from gateway.db import Connection, Database, open_database
from gateway.domain.ids import new_id
from gateway.domain.ledger import (
    FEES,
    PLATFORM_KINDS,
    STRIPE,
    Account,
    AccountKind,
    EntryConflict,
    EntryDraft,
    EntryKind,
    FloorBroken,
    Line,
    Recorded,
)
from gateway.services.ledger import Outcome, postings_page, record, record_many
from tests.services.ledger_drafts import NOW
from tests.services.ledger_model import ModelBooks
from tests.support.books import assert_books_balance

T = TypeVar("T")
OWNED_KINDS = sorted(set(AccountKind) - PLATFORM_KINDS)
OWNERS = 2
NAMES = 40

# More comes in than goes out, or almost everything would be an overdraft.
amounts = st.tuples(st.sampled_from([1, 1, 1, 1, 1, -1]), st.integers(1, 20) | st.integers(1, 10**9)).map(math.prod)
places = st.one_of(
    st.sampled_from(["stripe", "fees"]),
    st.tuples(
        st.sampled_from([AccountKind.WALLET, AccountKind.EARN_PENDING, *OWNED_KINDS]), st.integers(0, OWNERS - 1)
    ),
)


@dataclass(frozen=True)
class Sketch:
    """A draft before it is known which ledger it is for: names, owners and reversed entries are numbers."""

    name: int
    kind: EntryKind
    lines: tuple[tuple[str | tuple[AccountKind, int], int], ...]
    reverses: int | None


@st.composite
def sketches(draw: st.DrawFn) -> Sketch:
    touched = draw(st.lists(places, min_size=1, max_size=4, unique=True))
    lines = [(place, draw(amounts)) for place in touched]
    total = sum(amount for _, amount in lines)
    if total:
        free = [place for place in ("stripe", "fees") if place not in touched]
        last = free[0] if free else draw(places.filter(lambda place: place not in touched))
        lines.append((last, -total))
    kind = draw(st.sampled_from([EntryKind.ADJUSTMENT, EntryKind.DEPOSIT]))
    return Sketch(draw(st.integers(0, NAMES - 1)), kind, tuple(lines), draw(st.none() | st.integers(0, 10)))


class LedgerMachine(RuleBasedStateMachine):
    """Each history has owners and names of its own, so that all of them can share one database."""

    runner: ClassVar[asyncio.Runner]
    database: ClassVar[Database]
    books_each_step: ClassVar[bool]

    @initialize()
    def begin(self) -> None:
        self.model = ModelBooks()
        self.owners = [new_id(NOW) for _ in range(OWNERS)]
        self.tag = new_id(NOW).hex
        self.entry_ids: list[UUID] = []
        self.recorded: list[EntryDraft] = []
        self.now = NOW

    @rule(sketch=sketches())
    def record_one(self, sketch: Sketch) -> None:
        draft = self.draft(sketch)
        self.check([draft], self.run(lambda connection: one(connection, draft)))

    @rule(several=st.lists(sketches(), min_size=1, max_size=8))
    def record_batch(self, several: list[Sketch]) -> None:
        drafts = [self.draft(sketch) for sketch in several]
        self.check(drafts, self.run(lambda connection: record_many(connection, drafts, now=self.now)))

    @rule(several=st.lists(sketches(), min_size=1, max_size=4))
    def record_in_one_transaction(self, several: list[Sketch]) -> None:
        drafts = [self.draft(sketch) for sketch in several]

        async def work(connection: Connection) -> Sequence[Outcome]:
            return [outcome for draft in drafts for outcome in await one(connection, draft)]

        self.check(drafts, self.run(work))

    @rule(sketch=sketches())
    def record_and_roll_back(self, sketch: Sketch) -> None:
        draft = self.draft(sketch)

        async def work(connection: Connection) -> None:
            await record_many(connection, [draft, replace(draft, idem=f"{draft.idem}:b")], now=self.now)
            raise RolledBack

        with pytest.raises(RolledBack):
            self.run(work)

    @precondition(lambda self: self.recorded)
    @rule(number=st.integers(0, NAMES))
    def repeat(self, number: int) -> None:
        draft = self.recorded[number % len(self.recorded)]
        self.check([draft], self.run(lambda connection: one(connection, draft)))

    @rule()
    def drain_a_wallet_and_one_more(self) -> None:
        wallet = Account(AccountKind.WALLET, self.owners[0])
        held = self.model.balances.get(wallet, 0)
        drafts = [
            EntryDraft(
                idem=f"drain:{self.tag}:{len(self.model.contents)}:{take}",
                kind=EntryKind.TOOL_CALL,
                lines=(Line(wallet, -take), Line(FEES, take)),
            )
            for take in (held, 1)
            if take
        ]
        self.check(drafts, self.run(lambda connection: record_many(connection, drafts, now=self.now)))

    @invariant()
    def books_balance(self) -> None:
        if self.books_each_step:
            self.runner.run(assert_books_balance(self.database))

    @invariant()
    def balances_agree(self) -> None:
        rows = self.runner.run(
            self.database.fetch(
                "SELECT code, balance_micros, version FROM ledger_account WHERE owner_id IN ($1, $2) AND version > 0",
                self.owners,
            )
        )
        stored = {row["code"]: (row["balance_micros"], row["version"]) for row in rows}
        model = self.model
        assert stored == {
            account.code: (micros, model.postings[account])
            for account, micros in model.balances.items()
            if account.cached
        }

    def teardown(self) -> None:
        for owner in self.owners:
            account = Account(AccountKind.WALLET, owner)
            page = self.runner.run(postings_page(self.database, account, limit=500))
            assert [row.seq for row in page] == list(range(self.model.postings.get(account, 0), 0, -1))

    def run(self, work: Callable[[Connection], Awaitable[T]]) -> T:
        self.now += timedelta(milliseconds=1)
        return self.runner.run(self.database.run(work))

    def draft(self, sketch: Sketch) -> EntryDraft:
        known = self.entry_ids
        reverses = known[sketch.reverses % len(known)] if sketch.reverses is not None and known else None
        lines = tuple(Line(self.account(place), amount) for place, amount in sketch.lines)
        return EntryDraft(idem=f"m:{self.tag}:{sketch.name}", kind=sketch.kind, lines=lines, reverses=reverses)

    def account(self, place: str | tuple[AccountKind, int]) -> Account:
        if isinstance(place, str):
            return {"stripe": STRIPE, "fees": FEES}[place]
        return Account(place[0], self.owners[place[1]])

    def check(self, drafts: Sequence[EntryDraft], outcomes: Sequence[Outcome]) -> None:
        for draft, outcome in zip(drafts, outcomes, strict=True):
            expected = self.model.apply(draft)
            assert name_of(outcome) == expected, draft
            if isinstance(outcome, Recorded):
                assert outcome.balances == self.model.answers[draft.idem]
                if outcome.created:
                    self.entry_ids.append(outcome.entry_id)
                    self.recorded.append(draft)


class RolledBack(Exception):
    """The caller's own reason to undo its transaction."""


async def one(connection: Connection, draft: EntryDraft) -> tuple[Outcome, ...]:
    try:
        return (await record(connection, draft, now=NOW),)
    except (FloorBroken, EntryConflict) as refusal:
        return (refusal,)


def name_of(outcome: Outcome) -> str:
    if isinstance(outcome, Recorded):
        return "recorded" if outcome.created else "replayed"
    return "floor" if isinstance(outcome, FloorBroken) else "conflict"


@pytest.fixture
def machine(database_url: str) -> Iterator[type[LedgerMachine]]:
    """The machine on a database that is open for the whole test, on a loop of its own."""
    with asyncio.Runner() as runner:
        stack = AsyncExitStack()
        database = runner.run(stack.enter_async_context(open_database(database_url)))

        class Machine(LedgerMachine):
            pass

        Machine.runner, Machine.database = runner, database
        yield Machine
        runner.run(assert_books_balance(database))
        runner.run(stack.aclose())


def play(machine: type[LedgerMachine], *, histories: int, steps: int, books_each_step: bool) -> None:
    machine.books_each_step = books_each_step
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=histories,
            stateful_step_count=steps,
            deadline=None,
            database=None,
            suppress_health_check=(HealthCheck.too_slow, HealthCheck.filter_too_much),
        ),
    )


def test_random_histories_agree_with_the_model(machine: type[LedgerMachine]) -> None:
    play(machine, histories=15, steps=25, books_each_step=True)


@pytest.mark.storm
def test_thousands_of_random_steps_agree_with_the_model(machine: type[LedgerMachine]) -> None:
    play(machine, histories=100, steps=50, books_each_step=False)


@pytest.mark.storm
def test_the_books_balance_after_each_of_thousands_of_random_steps(machine: type[LedgerMachine]) -> None:
    play(machine, histories=60, steps=50, books_each_step=True)
