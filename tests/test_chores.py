"""Background work goes on whatever happens to a round of it, and ends when it is told to."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

import pytest
from structlog.testing import capture_logs

from gateway.chores_runner import BREATH_SECONDS, RETRY_SECONDS_MAX, ChoreRunner
from gateway.db import Database, DatabaseUnavailable
from gateway.domain.clock import ManualClock
from gateway.domain.errors import ProviderMisconfigured, ProviderUnavailable
from gateway.services.billing import Billing
from gateway.services.chores import BOOKS_EVERY, CHORES, Chore, check_books_when_due, release_earnings, report_state
from tests.services.market_world import HOLD, START, Market, Unwatched, open_market

Work = Callable[[Billing], Awaitable[bool]]


@dataclass
class Naps:
    """Sleeps for no time, and remembers for how long it should have."""

    taken: list[float] = field(default_factory=list[float])

    async def sleep(self, seconds: float) -> None:
        self.taken.append(seconds)
        await asyncio.sleep(0)


@dataclass
class Watch(Unwatched):
    """Remembers what it was told last."""

    faults: int | None = None
    checked_at: datetime | None = None
    waits_seconds: float | None = None

    def books_checked(self, *, faults: int, at: datetime) -> None:
        self.faults, self.checked_at = faults, at

    def oldest_release_waits(self, *, seconds: float) -> None:
        self.waits_seconds = seconds


@pytest.fixture
def engine() -> str:
    """Most of this has nothing to do with the database."""
    return "sqlite"


@pytest.fixture
def market(database: Database) -> Market:
    return open_market(database)


def watched(market: Market, watch: Watch) -> Billing:
    return replace(market.billing, watch=watch)


async def run_until_done(billing: Billing, *works: Work, every_seconds: float = 60) -> Naps:
    """Run these chores until the first has had all its turns, which ends with StopAsyncIteration."""
    naps, runner = Naps(), None

    def ending(work: Work) -> Work:
        async def turn(billing: Billing) -> bool:
            try:
                return await work(billing)
            except StopAsyncIteration:
                assert runner is not None
                runner.stop()
                return False

        return turn

    kept = [Chore(name=str(n), every_seconds=every_seconds, work=ending(work)) for n, work in enumerate(works)]
    runner = ChoreRunner(billing, chores=kept, sleep=naps.sleep)
    async with asyncio.timeout(10):
        await runner.run()
    return naps


def turns(*outcomes: bool | Exception) -> Work:
    """Work whose rounds come out like this, one after the other."""
    left = list(outcomes)

    async def work(billing: Billing) -> bool:
        if not left:
            raise StopAsyncIteration
        outcome = left.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    return work


async def test_rounds_follow_each_other_at_the_chores_own_pace(market: Market) -> None:
    naps = await run_until_done(market.billing, turns(False, False))
    assert naps.taken[:2] == [60, 60]


async def test_more_work_is_done_after_a_breath(market: Market) -> None:
    naps = await run_until_done(market.billing, turns(True, True, False))
    assert naps.taken[:3] == [BREATH_SECONDS, BREATH_SECONDS, 60]


@pytest.mark.parametrize("error", [DatabaseUnavailable("away"), RuntimeError("a bug"), TimeoutError()])
async def test_failed_round_is_tried_again_soon(market: Market, error: Exception) -> None:
    naps = await run_until_done(market.billing, turns(error, error, False), every_seconds=3_600)
    assert naps.taken[:3] == [RETRY_SECONDS_MAX, RETRY_SECONDS_MAX, 3_600]


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (DatabaseUnavailable("away"), ("chore.database_away", "warning")),
        (ProviderUnavailable("Stripe did not answer."), ("chore.stripe_away", "warning")),
        (ProviderMisconfigured("Stripe does not take the key."), ("chore.stripe_away", "warning")),
        (RuntimeError("a bug"), ("chore.failed", "error")),
    ],
)
async def test_only_a_bug_is_an_error(market: Market, error: Exception, told: tuple[str, str]) -> None:
    with capture_logs() as events:
        await run_until_done(market.billing, turns(error, False))

    assert [(event["event"], event["log_level"]) for event in events] == [told]


async def test_frequent_chore_that_failed_keeps_its_pace(market: Market) -> None:
    naps = await run_until_done(market.billing, turns(RuntimeError("a bug"), False), every_seconds=2)
    assert naps.taken[:2] == [2, 2]


async def test_chore_that_always_fails_ends_no_other(market: Market) -> None:
    async def broken(billing: Billing) -> bool:
        raise RuntimeError("a bug")

    naps = await run_until_done(market.billing, turns(False, False, False), broken)
    assert naps.taken.count(60) >= 3


async def test_round_that_hangs_is_cut_off(market: Market) -> None:
    cut = asyncio.Event()

    async def hang(billing: Billing) -> bool:
        try:
            await asyncio.Event().wait()
        finally:
            cut.set()
        return False

    runner = ChoreRunner(
        market.billing, chores=[Chore(name="hang", every_seconds=1, work=hang, round_seconds_max=0.01)]
    )
    running = asyncio.create_task(runner.run())
    await asyncio.wait_for(cut.wait(), 10)
    runner.stop()
    await asyncio.wait_for(running, 10)


async def test_stop_waits_for_the_round_under_way(market: Market) -> None:
    begun, go_on, done = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def work(billing: Billing) -> bool:
        begun.set()
        await go_on.wait()
        done.set()
        return True

    runner = ChoreRunner(market.billing, chores=[Chore(name="slow", every_seconds=1, work=work)])
    running = asyncio.create_task(runner.run())
    await begun.wait()
    runner.stop()
    await asyncio.sleep(0)
    assert not running.done()
    go_on.set()
    await asyncio.wait_for(running, 10)
    assert done.is_set()


async def test_stop_cuts_off_what_only_reads(market: Market) -> None:
    begun = asyncio.Event()

    async def read(billing: Billing) -> bool:
        begun.set()
        await asyncio.Event().wait()
        return False

    runner = ChoreRunner(market.billing, chores=[Chore(name="read", every_seconds=1, work=read, may_be_cut=True)])
    running = asyncio.create_task(runner.run())
    await begun.wait()
    runner.stop()
    await asyncio.wait_for(running, 10)


async def test_stop_wakes_who_sleeps_and_a_stopped_runner_begins_nothing(market: Market) -> None:
    runner = ChoreRunner(market.billing, chores=[Chore(name="rare", every_seconds=86_400, work=turns(False))])
    running = asyncio.create_task(runner.run())
    await asyncio.sleep(0.01)
    runner.stop()
    await asyncio.wait_for(running, 10)
    await asyncio.wait_for(runner.run(), 10)


async def sell(market: Market, calls: int) -> None:
    await market.publish("tool", "creator", price="0.01")
    await market.deposit("consumer", 1_000)
    for number in range(calls):
        await market.charged("consumer", "tool", str(number))


def after_hold(market: Market) -> ManualClock:
    clock = market.billing.clock
    assert isinstance(clock, ManualClock)
    clock.advance(HOLD)
    return clock


@pytest.mark.parametrize("engine", ["sqlite", "postgres"])
async def test_earnings_are_released_once_when_many_do_it_after_a_long_downtime(market: Market) -> None:
    await sell(market, 5)
    assert await release_earnings(market.billing) is False
    assert (await market.balances("creator")) == {"earn_pending": 40_000}
    after_hold(market).advance(timedelta(days=30))
    assert await asyncio.gather(*(release_earnings(market.billing) for _ in range(4))) == [False] * 4
    assert (await market.balances("creator")) == {"earn_available": 40_000}


async def test_lateness_of_releases_is_told(market: Market) -> None:
    watch = Watch()
    await sell(market, 1)
    await report_state(watched(market, watch))
    assert watch.waits_seconds == 0
    after_hold(market).advance(timedelta(seconds=90))
    await report_state(watched(market, watch))
    assert watch.waits_seconds == 90
    await release_earnings(market.billing)
    await report_state(watched(market, watch))
    assert watch.waits_seconds == 0
    assert watch.faults is None


@pytest.mark.parametrize("engine", ["sqlite", "postgres"])
async def test_books_are_checked_once_an_hour_by_one_of_many(market: Market) -> None:
    await sell(market, 2)
    clock = market.billing.clock
    assert isinstance(clock, ManualClock)
    watches = [Watch() for _ in range(4)]
    for _ in range(2):
        await asyncio.gather(*(check_books_when_due(watched(market, watch)) for watch in watches))
        checked = [watch for watch in watches if watch.checked_at == clock.now()]
        assert len(checked) == 1
        assert checked[0].faults == 0
        clock.advance(BOOKS_EVERY)


async def test_result_of_the_check_is_told_by_every_node(market: Market) -> None:
    await sell(market, 1)
    async with market.database.transaction() as connection:
        await connection.execute("UPDATE earnings_day SET net_micros = net_micros + 1")
    await check_books_when_due(watched(market, Watch()))
    other = Watch()
    await report_state(watched(market, other))
    assert (other.faults, other.checked_at) == (1, START)


async def test_check_planned_by_a_clock_gone_wrong_is_made_all_the_same(market: Market) -> None:
    async with market.database.transaction() as connection:
        await connection.execute("UPDATE books_check SET due_at = $1", (START + timedelta(days=365),))
    watch = Watch()
    await check_books_when_due(watched(market, watch))
    assert watch.checked_at == START


def test_every_chore_has_a_name_of_its_own_and_a_pace() -> None:
    names = [chore.name for chore in CHORES]
    assert len(set(names)) == len(names)
    assert all(chore.every_seconds > 0 for chore in CHORES)
