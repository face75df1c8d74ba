"""What a deposit of which Stripe does not say yet when it clears paid for: held until it is known, then for as long."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
import structlog

from gateway.db import Database
from gateway.db.rows import moment
from gateway.domain.clock import ManualClock
from gateway.services.purchases.clearing import (
    ASSUMED_AGAIN_AFTER,
    CLEARING_ASSUMED,
    LOOKED_AT_MAX,
    LOOKS_APART_MAX,
    look_at_uncleared,
    pause_after,
    settle_clearing,
)
from tests.services.market_world import HOLD, START, Deposit, FakeStripe, Market, open_market
from tests.support.books import assert_books_balance
from tests.support.gateway import CLEARING_TOLD_AFTER_SECONDS, Platform, open_platform

MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
SHORT_HOLD = timedelta(0)


@pytest.fixture
async def market(database: Database) -> Market:
    """A marketplace that holds nothing by itself; ann calls dan's tool, a dollar a call."""
    market = open_market(database)
    market.billing = replace(market.billing, rules=replace(market.billing.rules, earnings_hold=SHORT_HOLD))
    await market.publish("t", "dan", price="1")
    return market


def pass_time(market: Market, by: timedelta) -> datetime:
    return market.billing.clock.advance(by)  # type: ignore[attr-defined]  # open_market gives a clock of ours


def becomes_known(market: Market, deposit: Deposit, clears_at: datetime | None) -> None:
    sessions = market.stripe.sessions
    sessions[deposit.session_id] = replace(sessions[deposit.session_id], funds_available_at=clears_at)


async def available_at(market: Market, name: str = "ann") -> list[datetime]:
    rows = await market.database.fetch(
        "SELECT available_at FROM tool_charge WHERE consumer_id = $1 ORDER BY created_at, call_id",
        (market.customer_id(name),),
    )
    return [moment(row, "available_at") for row in rows]


async def clears_at(market: Market, name: str = "ann") -> datetime:
    row = await market.database.fetch_one(
        "SELECT funds_clear_at FROM customer WHERE id = $1", (market.customer_id(name),)
    )
    assert row is not None
    return moment(row, "funds_clear_at")


async def test_what_an_uncleared_deposit_paid_for_is_not_available_until_stripe_says_when_it_clears(
    market: Market,
) -> None:
    deposit = await market.deposit("ann", 1_000)
    await market.charged("ann", "t", "1")

    assert await market.release_all() == 0
    assert await market.balances("dan") == {"earn_pending": 800_000}
    assert await available_at(market) == [START + CLEARING_ASSUMED]

    becomes_known(market, deposit, START + 2 * DAY)
    assert await settle_clearing(market.billing, checkout_id=deposit.checkout_id)
    assert await available_at(market) == [START + 2 * DAY]
    assert await clears_at(market) == START + 2 * DAY

    pass_time(market, 2 * DAY)
    assert await market.release_all() == 1
    assert await market.balances("dan") == {"earn_available": 800_000}
    await assert_books_balance(market.database)


async def test_a_charge_after_it_is_known_is_held_as_long_as_the_ones_before(market: Market) -> None:
    deposit = await market.deposit("ann", 1_000)
    becomes_known(market, deposit, START + DAY)
    await settle_clearing(market.billing, checkout_id=deposit.checkout_id)

    await market.charged("ann", "t", "1")

    assert await available_at(market) == [START + DAY]


async def test_money_that_clears_later_than_assumed_holds_what_it_paid_for_longer(market: Market) -> None:
    deposit = await market.deposit("ann", 1_000)
    await market.charged("ann", "t", "1")

    becomes_known(market, deposit, START + 30 * DAY)
    await settle_clearing(market.billing, checkout_id=deposit.checkout_id)

    assert await available_at(market) == [START + 30 * DAY]


async def test_a_call_after_the_deposit_is_held_longer_though_its_node_has_a_slow_clock(market: Market) -> None:
    market.billing = replace(market.billing, clock=ManualClock(START + 2 * HOUR))
    deposit = await market.deposit("ann", 1_000)
    slow = Market(replace(market.billing, clock=ManualClock(START)), market.stripe, market.tag)
    await slow.charged("ann", "t", "1")

    becomes_known(market, deposit, START + 30 * DAY)
    await settle_clearing(market.billing, checkout_id=deposit.checkout_id)

    assert await available_at(market) == [START + 30 * DAY]
    await assert_books_balance(market.database)


async def test_what_was_called_before_a_deposit_is_not_held_for_it(market: Market) -> None:
    await market.deposit("ann", 1_000, clears_at=START)
    slow = Market(replace(market.billing, clock=ManualClock(START)), market.stripe, market.tag)
    pass_time(market, 2 * HOUR)
    await market.charged("ann", "t", "1")
    deposit = await slow.deposit("ann", 1_000)

    becomes_known(market, deposit, START + 30 * DAY)
    await settle_clearing(market.billing, checkout_id=deposit.checkout_id)

    assert await available_at(market) == [START + 2 * HOUR]
    await assert_books_balance(market.database)


async def test_a_charge_keeps_its_own_hold_when_that_is_the_longer_one(database: Database) -> None:
    market = open_market(database)
    await market.publish("t", "dan", price="1")
    deposit = await market.deposit("ann", 1_000)
    await market.charged("ann", "t", "1")
    called_at = pass_time(market, MINUTE)
    await market.charged("ann", "t", "2")

    becomes_known(market, deposit, START + 2 * DAY)
    await settle_clearing(market.billing, checkout_id=deposit.checkout_id)

    assert await available_at(market) == [START + HOLD, called_at + HOLD]


async def test_as_long_as_it_is_unknown_what_is_assumed_moves_on(market: Market) -> None:
    deposit = await market.deposit("ann", 1_000)
    await market.charged("ann", "t", "1")
    now = pass_time(market, ASSUMED_AGAIN_AFTER)

    assert not await settle_clearing(market.billing, checkout_id=deposit.checkout_id)
    assert await available_at(market) == [now + CLEARING_ASSUMED]

    becomes_known(market, deposit, START + 2 * DAY)
    await settle_clearing(market.billing, checkout_id=deposit.checkout_id)
    assert await available_at(market) == [START + 2 * DAY]
    assert await clears_at(market) == START + 2 * DAY


async def test_another_deposit_that_is_still_unknown_goes_on_holding(market: Market) -> None:
    first = await market.deposit("ann", 1_000)
    await market.charged("ann", "t", "1")
    later = pass_time(market, MINUTE)
    second = await market.deposit("ann", 1_000)
    await market.charged("ann", "t", "2")

    becomes_known(market, first, START + DAY)
    await settle_clearing(market.billing, checkout_id=first.checkout_id)
    assert await available_at(market) == [later + CLEARING_ASSUMED] * 2

    becomes_known(market, second, START + 2 * DAY)
    await settle_clearing(market.billing, checkout_id=second.checkout_id)
    assert await available_at(market) == [START + 2 * DAY] * 2
    assert await clears_at(market) == START + 2 * DAY


async def test_others_are_not_touched(market: Market) -> None:
    deposit = await market.deposit("ann", 1_000)
    await market.deposit("bob", 1_000)
    await market.charged("bob", "t", "1")

    becomes_known(market, deposit, START + DAY)
    await settle_clearing(market.billing, checkout_id=deposit.checkout_id)

    assert await available_at(market, "bob") == [START + CLEARING_ASSUMED]


async def test_the_chore_asks_ever_less_often_and_raises_an_alarm(market: Market) -> None:
    deposit = await market.deposit("ann", 1_000)
    with structlog.testing.capture_logs() as logs:
        for looks in range(1, 8):
            assert not await look_at_uncleared(market.billing)
            pass_time(market, pause_after(looks - 1))
    await look_at_uncleared(market.billing)

    (row,) = await market.database.fetch(
        "SELECT clearing_looks AS looks FROM checkout WHERE id = $1", (deposit.checkout_id,)
    )
    assert row["looks"] == 7
    assert [line["looks"] for line in logs if line["event"] == "deposit.clearing_unknown"] == [6]
    assert pause_after(100) == LOOKS_APART_MAX

    becomes_known(market, deposit, START + 2 * DAY)
    pass_time(market, LOOKS_APART_MAX)
    await look_at_uncleared(market.billing)
    assert await clears_at(market) == START + 2 * DAY
    (row,) = await market.database.fetch("SELECT count(*) AS left FROM checkout WHERE clearing_look_at IS NOT NULL")
    assert row["left"] == 0


async def test_one_round_of_the_chore_is_bounded(market: Market) -> None:
    for _ in range(LOOKED_AT_MAX + 1):
        becomes_known(market, await market.deposit("ann", 500), START + DAY)
    pass_time(market, 10 * MINUTE)

    assert await look_at_uncleared(market.billing)
    assert not await look_at_uncleared(market.billing)
    assert await clears_at(market) == START + DAY


@pytest.fixture
async def platform(database_url: str) -> AsyncIterator[Platform]:
    """A gateway that is not told at once when a payment's money clears."""
    async with open_platform(
        database_url,
        clock=ManualClock(START),
        with_worker=False,
        hasty=True,
        clearing_told_after_seconds=CLEARING_TOLD_AFTER_SECONDS,
    ) as running:
        yield running


async def test_stripe_tells_of_it_a_moment_after_the_payment(platform: Platform) -> None:
    ann = platform.person("ann-here")
    market = Market(platform.billing, FakeStripe(), tag="here")
    await market.publish("t", "dan", price="1")
    page = await ann.deposit_page("1000")
    await platform.stripe.pay(page.url)
    await platform.settled()
    paid_at = platform.clock.now()
    assert await clears_at(market) == paid_at + CLEARING_ASSUMED

    await platform.advance(seconds=CLEARING_TOLD_AFTER_SECONDS)
    await platform.settled()

    assert await clears_at(market) == paid_at + 2 * DAY
    assert [
        row["type"]
        for row in await platform.database.fetch(
            "SELECT type FROM stripe_event WHERE type = 'charge.updated' AND state = 'done'"
        )
    ] == ["charge.updated"]
    await platform.assert_true()


async def test_where_nobody_tells_the_chore_finds_out(platform: Platform) -> None:
    ann = platform.person("ann-here")
    market = Market(platform.billing, FakeStripe(), tag="here")
    await platform.stripe.pay((await ann.deposit_page("1000")).url)
    await platform.settled()
    paid_at = platform.clock.now()
    await platform.stripe.control("events/hold")

    await platform.advance(minutes=10)
    await look_at_uncleared(platform.billing)

    assert await clears_at(market) == paid_at + 2 * DAY
    await platform.stripe.control("events/release")
    await platform.assert_true()
