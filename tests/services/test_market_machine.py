"""Random histories of the marketplace: the services on the real ledger and the plain model agree after every step."""

import asyncio
from collections.abc import Awaitable, Iterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from typing import ClassVar, TypeVar

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

from gateway.db import open_database
from gateway.domain.charges import Charged, ChargeOutcome
from gateway.domain.clock import ManualClock
from gateway.domain.errors import IdempotencyConflict, InsufficientFunds, InvalidInput, ToolNotFound
from gateway.domain.ids import new_id
from gateway.domain.ledger import BAD_DEBT, FEES, STRIPE
from gateway.services.books.checking import check_books
from gateway.services.ledger import balance
from gateway.services.marketplace.charging import charge_calls
from gateway.services.marketplace.reversals import reverse_charge
from gateway.services.snapshot import EarningPageNeed, Need
from gateway.services.snapshot.loading import load_snapshot
from gateway.services.snapshot.needs import PAGE_ROWS_MAX
from gateway.services.taken_back import disputed_charges, tracing
from models.deposit_dispute import DepositDispute
from models.tool_charge import ToolCharge
from tests.services.market_model import ModelCharge, ModelDeposit, ModelDispute, ModelMarket, ModelTool
from tests.services.market_world import HOLD, START, Deposit, Market, open_market

T = TypeVar("T")
CONSUMERS = ("ann", "bob", "cyd")
CREATORS = ("ann", "dan")
TOOLS = ("small", "middle", "large")
PRICES = (100, 101, 333_333, 999_999, 2_500_000, 7_770_000, 40_000_000)
FEES_BPS = (0, 2_000, 2_000, 3_333, 10_000)
CALL_IDS = 100
WORDS: dict[type, str] = {
    InsufficientFunds: "insufficient",
    ToolNotFound: "unknown",
    IdempotencyConflict: "conflict",
}

consumers, tools = st.sampled_from(CONSUMERS), st.sampled_from(TOOLS)
call_ids = st.integers(0, CALL_IDS - 1).map(str)
calls = st.tuples(consumers, tools, call_ids)
places = st.integers(0, 2) | st.integers(0, 50)
parts = st.sampled_from([0, 1, 25, 50, 99, 100])

#: Rows that the audit, the tracing and the moving of charges take at once where everything is done in small parts.
FEW = 2


class MarketMachine(RuleBasedStateMachine):
    """Each history has people and tools of its own, so that all of them can share one database and one clock."""

    runner: ClassVar[asyncio.Runner]
    opened: ClassVar[Market]
    books_each_step: ClassVar[bool]

    @initialize()
    def begin(self) -> None:
        self.market = replace(self.opened, tag=new_id(START).hex)
        self.model = ModelMarket(hold=HOLD)
        self.deposits: list[tuple[Deposit, ModelDeposit]] = []
        self.before = self.platform()
        for tool, creator, price in zip(TOOLS, ("dan", "ann", "dan"), PRICES[2:], strict=False):
            self.publish(tool, creator, price, active=True)
        for consumer in CONSUMERS:
            self.deposit(consumer, 2_000, clears_in_days=None)

    @rule(
        tool=tools,
        creator=st.sampled_from(CREATORS),
        price=st.sampled_from(PRICES),
        active=st.sampled_from([True, True, True, False]),
    )
    def publish(self, tool: str, creator: str, price: int, active: bool) -> None:
        listed = self.model.tools.get(tool)
        publishing = self.market.publish(tool, creator, price=Decimal(price).scaleb(-6), active=active)
        if listed is not None and listed.creator != creator:
            with pytest.raises(InvalidInput):
                self.run(publishing)
            return
        self.run(publishing)
        self.model.tools[tool] = ModelTool(creator, price, active)

    @rule(consumer=consumers, cents=st.integers(1, 5_000), clears_in_days=st.sampled_from([None, 2, 10]))
    def deposit(self, consumer: str, cents: int, clears_in_days: int | None) -> None:
        clears_at = None if clears_in_days is None else self.clock.now() + timedelta(days=clears_in_days)
        made = self.run(self.market.deposit(consumer, cents, clears_at=clears_at))
        known = ModelDeposit(made.session_id, consumer, cents)
        self.model.deposit(known, clears_at)
        self.deposits.append((made, known))

    @rule(several=st.lists(calls, min_size=1, max_size=10), fee_bps=st.sampled_from(FEES_BPS))
    def charge(self, several: Sequence[tuple[str, str, str]], fee_bps: int) -> None:
        billing = self.market.billing
        billing = replace(billing, rules=replace(billing.rules, fee_bps=fee_bps))
        asked = [self.market.call(consumer, tool, call_id) for consumer, tool, call_id in several]
        outcomes = self.run(charge_calls(billing, asked))
        told = [
            self.model.charge(consumer, call_id, tool, fee_bps=fee_bps, now=self.clock.now())
            for consumer, tool, call_id in several
        ]
        for (consumer, tool, call_id), word, outcome in zip(several, told, outcomes, strict=True):
            self.check(word, self.model.charges.get((consumer, call_id)), tool, outcome)

    @rule(days=st.integers(0, 9))
    def let_time_pass(self, days: int) -> None:
        self.clock.advance(timedelta(days=days, seconds=1))

    @rule()
    def release(self) -> None:
        self.run(self.market.release_all())
        self.model.release(self.clock.now())

    @precondition(lambda self: self.model.charges)
    @rule(place=places, reason=st.sampled_from(["faulty", "faulty", "other"]))
    def reverse(self, place: int, reason: str) -> None:
        consumer, call_id = list(self.model.charges)[place % len(self.model.charges)]
        reversing = reverse_charge(
            self.market.billing,
            consumer=self.market.subject(consumer),
            call_id=call_id,
            reason=reason,
            operator="op",
        )
        word = self.model.reverse(consumer, call_id, reason)
        if word in {"conflict", "lost"}:
            with pytest.raises(IdempotencyConflict if word == "conflict" else InvalidInput):
                self.run(reversing)
        else:
            _, first = self.run(reversing)
            assert first is (word == "reversed")

    @rule(place=places, part=parts)
    def refund(self, place: int, part: int) -> None:
        made, known = self.deposits[place % len(self.deposits)]
        total_cents = known.cents * part // 100
        self.run(self.market.refund(made, total_cents=total_cents))
        self.model.refund(known, total_cents)

    @rule(
        place=places,
        name=st.sampled_from(["one", "two"]),
        status=st.sampled_from(["needs_response", "needs_response", "under_review", "lost", "won"]),
        part=parts.filter(bool),
        kept=st.sampled_from([0, 0, 0, 25, 99, 100]),
    )
    def dispute(self, place: int, name: str, status: str, part: int, kept: int) -> None:
        made, known = self.deposits[place % len(self.deposits)]
        withdrawn_cents = known.cents * (kept if status == "won" else part) // 100
        self.run(self.market.dispute(made, status=status, withdrawn_cents=withdrawn_cents, name=name))
        dispute_id = f"dp_{made.charge_id}{name}"
        dispute = self.model.disputes.get(dispute_id) or ModelDispute(dispute_id, known, self.clock.now())
        self.model.turn(dispute, status, withdrawn_cents, self.clock.now())

    @invariant()
    def accounts_agree(self) -> None:
        for person in {*CONSUMERS, *CREATORS}:
            accounts = self.model.accounts_of(person)
            assert self.run(self.market.balances(person)) == accounts, person
            assert not ("receivable" in accounts and "wallet" in accounts), "who owes has an empty wallet"
        now = self.platform()
        assert {code: now[code] - self.before[code] for code in now} == self.model.platform()
        if self.books_each_step:
            assert self.run(check_books(self.market.database)).faults == ()

    @invariant()
    def creators_are_told_all_of_it(self) -> None:
        for creator in CREATORS:
            self.run(self.compare_statement(creator))

    async def compare_statement(self, creator: str) -> None:
        page = EarningPageNeed(first=PAGE_ROWS_MAX)
        told = await load_snapshot(
            self.market.database,
            subject=self.market.subject(creator),
            need=Need(earnings=True, lifetime=True, earning_entries=frozenset({page})),
            today=self.clock.now().date(),
            payout_minimum_cents=0,
        )
        lifetime = sum(net for _, _, net, _ in self.model.days_of(creator).values())
        assert (told.earnings.lifetime_micros, told.earnings.paid_out_micros) == (lifetime, 0)
        lines = told.earning_entries[page]
        assert all(line.fee_micros + line.net_micros == line.gross_micros for line in lines.rows)
        assert lines.has_older or sum(line.net_micros for line in lines.rows) == lifetime

    @invariant()
    def rows_agree(self) -> None:
        self.run(self.compare_rows())

    async def compare_rows(self) -> None:
        market, orm = self.market, self.market.database.orm
        names = {market.customer_id(name): name for name in {*CONSUMERS, *CREATORS}}
        charges = await ToolCharge.filter(consumer_id__in=list(names)).using_db(orm)
        assert {
            (names[row.consumer_id], row.call_id): (row.state, row.available_at, row.lost_micros) for row in charges
        } == {key: (charge.state, charge.available_at, charge.lost) for key, charge in self.model.charges.items()}
        ids = list(self.model.disputes)
        rows = await DepositDispute.filter(id__in=ids).using_db(orm) if ids else []
        assert {row.id: (row.state, row.withdrawn_micros, row.owed_micros) for row in rows} == {
            one.id: (one.state, one.withdrawn, one.owed) for one in self.model.disputes.values()
        }
        for creator in CREATORS:
            days = await market.database.fetch(
                "SELECT day, gross_micros, fee_micros, net_micros, calls FROM earnings_day "
                "WHERE creator_id = $1 AND calls > 0",
                (market.customer_id(creator),),
            )
            assert {date.fromisoformat(str(row["day"])).isoformat(): tuple(row.values())[1:] for row in days} == (
                self.model.days_of(creator)
            )

    def check(self, word: str, known: ModelCharge | None, tool: str, outcome: ChargeOutcome) -> None:
        if word in {"charged", "replayed"}:
            assert isinstance(outcome, Charged), (word, outcome)
            assert known is not None
            split = (outcome.split.gross_micros, outcome.split.fee_micros, outcome.split.net_micros)
            assert split == (known.gross, known.fee, known.net)
            assert (outcome.balance_after_micros, outcome.replayed) == (known.balance_after, word == "replayed")
        elif known is not None and known.tool != tool:
            # A call refused for its own reasons is told instead that its name was used later in the same batch.
            assert isinstance(outcome, IdempotencyConflict), (word, outcome)
        else:
            assert WORDS.get(type(outcome)) == word or known is not None, (word, outcome)

    @property
    def clock(self) -> ManualClock:
        clock = self.market.billing.clock
        assert isinstance(clock, ManualClock)
        return clock

    def platform(self) -> dict[str, int]:
        accounts = (STRIPE, FEES, BAD_DEBT)
        return {account.code: self.run(balance(self.opened.database, account)) for account in accounts}

    def run(self, work: Awaitable[T]) -> T:
        async def awaited() -> T:
            return await work

        return self.runner.run(awaited())

    def teardown(self) -> None:
        assert self.run(check_books(self.opened.database)).faults == ()
        assert self.run(check_books(self.opened.database, postings_max=FEW)).faults == ()


@pytest.fixture
def machine(database_url: str) -> Iterator[type[MarketMachine]]:
    """The machine on a database that is open for the whole test, on a loop of its own."""
    with asyncio.Runner() as runner:
        stack = AsyncExitStack()
        database = runner.run(stack.enter_async_context(open_database(database_url)))

        class Machine(MarketMachine):
            pass

        Machine.runner, Machine.opened = runner, open_market(database)
        yield Machine
        runner.run(stack.aclose())


def play(machine: type[MarketMachine], *, histories: int, steps: int, books_each_step: bool) -> None:
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


def test_random_markets_agree_with_the_model(machine: type[MarketMachine]) -> None:
    play(machine, histories=10, steps=40, books_each_step=True)


def test_random_markets_agree_where_every_history_is_read_in_small_parts(
    machine: type[MarketMachine], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(disputed_charges, "MOVED_AT_ONCE_MAX", FEW)
    monkeypatch.setattr(tracing, "POSTINGS_AT_ONCE_MAX", FEW)
    monkeypatch.setattr(tracing, "EXPLAINED_AT_ONCE_MAX", FEW)
    play(machine, histories=10, steps=40, books_each_step=False)


@pytest.mark.storm
def test_thousands_of_random_steps_of_markets_agree_with_the_model(machine: type[MarketMachine]) -> None:
    play(machine, histories=120, steps=50, books_each_step=False)


@pytest.mark.storm
def test_the_books_balance_after_each_of_thousands_of_random_steps_of_markets(machine: type[MarketMachine]) -> None:
    play(machine, histories=60, steps=50, books_each_step=True)
