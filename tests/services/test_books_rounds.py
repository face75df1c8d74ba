"""Books too big for one round are checked wholly over several, and nothing is called right before the last one."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import pytest

from gateway.db import Database
from gateway.db.rows import integer_or_none, moment_or_none, text_or_none
from gateway.domain.clock import ManualClock
from gateway.services.books.rounds import check_books_on
from gateway.services.chores import BOOKS_EVERY, check_books_when_due
from tests.services.market_world import HOLD, Market, Unwatched, open_market
from tests.support.books import assert_books_balance

ONE_STEP = timedelta(0)


@dataclass
class Watch(Unwatched):
    """Remembers what it was told last."""

    told: tuple[int, datetime] | None = None

    def books_checked(self, *, faults: int, at: datetime) -> None:
        self.told = (faults, at)


@pytest.fixture
async def market(database: Database) -> Market:
    """Some sales, of an hour ago and of a week ago."""
    market = open_market(database)
    await market.publish("tool", "creator", price="0.01")
    await market.deposit("ann", 1_000)
    await market.charge(*(market.call("ann", "tool", f"old-{number}") for number in range(3)))
    advance(market, HOLD)
    await market.release_all()
    await market.charge(*(market.call("ann", "tool", f"new-{number}") for number in range(3)))
    return market


def advance(market: Market, by: timedelta) -> None:
    clock = market.billing.clock
    assert isinstance(clock, ManualClock)
    clock.advance(by)


async def written(market: Market) -> tuple[int | None, datetime | None, bool]:
    """The faults, when the last full check ended, and whether one is under way."""
    row = await market.database.fetch_one("SELECT faults, checked_at, progress FROM books_check")
    assert row is not None
    under_way = text_or_none(row, "progress") is not None
    return integer_or_none(row, "faults"), moment_or_none(row, "checked_at"), under_way


async def change(market: Market, statement: str, *values: object) -> None:
    async with market.database.transaction() as connection:
        assert await connection.execute(statement, values) > 0


async def test_a_check_of_many_rounds_says_nothing_before_the_last(market: Market) -> None:
    rounds = 0
    while await check_books_on(market.billing, round_max=ONE_STEP):
        rounds += 1
        assert await written(market) == (None, None, True)

    assert rounds > 20
    assert await written(market) == (0, market.billing.clock.now(), False)
    await assert_books_balance(market.database)


async def test_faults_count_from_the_round_that_found_them(market: Market) -> None:
    assert not await check_books_on(market.billing)
    first_end = market.billing.clock.now()
    advance(market, BOOKS_EVERY)
    await change(market, "UPDATE tool_charge SET fee_bps = 100 WHERE call_id = 'old-1'")
    seen: list[tuple[int | None, datetime | None, bool]] = []
    while await check_books_on(market.billing, round_max=ONE_STEP):
        seen.append(await written(market))

    assert seen[0] == (0, first_end, True)
    assert seen[-1] == (1, first_end, True)
    assert await written(market) == (1, market.billing.clock.now(), False)


async def test_another_node_goes_on_at_once_with_what_is_not_finished(market: Market) -> None:
    watch = Watch()
    billing = replace(market.billing, watch=watch)
    assert not await check_books_when_due(billing)
    advance(market, BOOKS_EVERY)
    assert await check_books_on(billing, round_max=ONE_STEP)

    assert not await check_books_when_due(billing)

    assert watch.told == (0, market.billing.clock.now())
    assert await written(market) == (0, market.billing.clock.now(), False)


async def test_the_place_of_another_release_is_not_gone_on_from(market: Market) -> None:
    other = '{"walks": ["ledger"], "at": 1, "place": null, "rows": {}, "found": {}}'
    await change(market, "UPDATE books_check SET progress = $1", other)
    await change(market, "UPDATE tool_charge SET fee_bps = 100 WHERE call_id = 'old-1'")

    assert not await check_books_on(market.billing)

    assert await written(market) == (1, market.billing.clock.now(), False)
