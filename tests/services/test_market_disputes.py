"""Refunds and disputes of deposits: who bears what, in which order things may happen, and what comes back."""

from datetime import timedelta

import pytest

from gateway.db import Database
from gateway.domain.clock import ManualClock
from gateway.domain.errors import InsufficientFunds, InvalidInput
from gateway.domain.ledger import BAD_DEBT, STRIPE
from gateway.services.ledger import balance
from gateway.services.marketplace.releases import release_due
from gateway.services.marketplace.reversals import reverse_charge
from gateway.services.purchases.settle import settle_checkout
from gateway.services.taken_back.disputes import settle_dispute
from gateway.services.taken_back.refunds import settle_refund
from tests.services.market_world import HOLD, Deposit, Market, open_market
from tests.support.books import assert_books_balance
from tests.support.reading import payout_settings

DOLLAR = 1_000_000


@pytest.fixture
async def market(database: Database) -> Market:
    """Dan sells `t` at a dollar a call; a fifth of it is the platform's."""
    market = open_market(database)
    await market.publish("t", "dan", price="1")
    return market


async def ten_calls(market: Market, *, cents: int = 1_000) -> Deposit:
    deposit = await market.deposit("ann", cents)
    await market.charge(*(market.call("ann", "t", str(number)) for number in range(10)))
    return deposit


def pass_time(market: Market, by: timedelta) -> None:
    assert isinstance(market.billing.clock, ManualClock)
    market.billing.clock.advance(by)


async def reverse(market: Market, call_id: str) -> None:
    await reverse_charge(
        market.billing, consumer=market.subject("ann"), call_id=call_id, reason="faulty", operator="op"
    )


async def test_who_owes_is_told_how_much_a_call_takes(market: Market) -> None:
    deposit = await ten_calls(market)
    await market.refund(deposit, total_cents=1_000)

    owing, (stranger,) = (
        await market.charge(market.call("ann", "t", "x")),
        await market.charge(market.call("eve", "t", "x")),
    )

    assert [str(one) for one in owing] == [
        (
            "The wallet holds $0.00 and the call costs $1.00; $10.00 is owed for a deposit that was taken back, "
            "so it takes deposits of $11.00."
        )
    ]
    assert str(stranger) == "The wallet holds $0.00 and the call costs $1.00; deposit first."
    assert await market.balances("ann") == {"receivable": -10 * DOLLAR}
    await market.deposit("ann", 1_100)
    await market.charged("ann", "t", "x")
    assert await market.balances("ann") == {}
    await assert_books_balance(market.database)


async def test_a_dispute_freezes_what_the_deposit_paid_and_winning_it_frees_that(market: Market) -> None:
    deposit = await ten_calls(market)

    await market.dispute(deposit, status="needs_response", withdrawn_cents=1_000)
    assert await market.balances("ann") == {"receivable": -10 * DOLLAR}
    assert await market.balances("dan") == {"earn_held": 8 * DOLLAR}

    await market.dispute(deposit, status="won", withdrawn_cents=0)
    assert await market.balances("ann") == {}
    assert await market.balances("dan") == {"earn_pending": 8 * DOLLAR}
    pass_time(market, HOLD)
    assert await market.release_all() == 10
    assert await market.balances("dan") == {"earn_available": 8 * DOLLAR}
    await assert_books_balance(market.database)


async def test_a_creator_is_told_that_a_dispute_holds_its_money_as_long_as_it_does(market: Market) -> None:
    told = "Some of your earnings are held until disputes about the money they were paid with are decided."
    deposit = await ten_calls(market)
    await market.charge(market.call("dan", "t", "own"))

    async def reasons() -> list[str]:
        settings = await payout_settings(market.billing, market.subject("dan"))
        return [blocker.message for blocker in settings.blockers]

    before = await reasons()
    await market.dispute(deposit, status="needs_response", withdrawn_cents=1_000)
    held = await reasons()
    await market.dispute(deposit, status="won", withdrawn_cents=0)

    assert held == [*before, told]
    assert await reasons() == before
    await assert_books_balance(market.database)


async def test_a_lost_dispute_of_money_that_is_all_spent_costs_the_creators_their_nets(market: Market) -> None:
    deposit = await ten_calls(market)
    await market.dispute(deposit, status="needs_response", withdrawn_cents=1_000)

    await market.dispute(deposit, status="lost", withdrawn_cents=1_000)

    assert await market.balances("ann") == {}
    assert await market.balances("dan") == {}
    assert set((await market.states("ann")).values()) == {"lost"}
    assert await balance(market.database, BAD_DEBT) == -2 * DOLLAR
    assert await balance(market.database, STRIPE) == 0
    with pytest.raises(InvalidInput, match="lost dispute"):
        await reverse(market, "0")
    await assert_books_balance(market.database)


async def test_creators_lose_nothing_that_the_customer_has_paid_for_after_all(market: Market) -> None:
    deposit = await ten_calls(market)
    await market.dispute(deposit, status="needs_response", withdrawn_cents=1_000)
    await market.deposit("ann", 700)
    assert await market.balances("ann") == {"receivable": -3 * DOLLAR}

    await market.dispute(deposit, status="lost", withdrawn_cents=1_000)

    states = await market.states("ann")
    assert [call for call, state in sorted(states.items()) if state == "lost"] == ["7", "8", "9"]
    assert await market.balances("dan") == {"earn_pending": 7 * 800_000}
    assert await market.balances("ann") == {}
    await assert_books_balance(market.database)


async def test_a_dispute_that_the_wallet_can_pay_costs_no_creator_anything(market: Market) -> None:
    deposit = await ten_calls(market)
    await market.deposit("ann", 1_500)

    await market.dispute(deposit, status="needs_response", withdrawn_cents=1_000)
    assert await market.balances("dan") == {"earn_held": 8 * DOLLAR}
    await market.dispute(deposit, status="lost", withdrawn_cents=1_000)

    assert await market.balances("dan") == {"earn_pending": 8 * DOLLAR}
    assert await market.balances("ann") == {"wallet": 5 * DOLLAR}
    assert await balance(market.database, BAD_DEBT) == 0
    await assert_books_balance(market.database)


async def test_a_dispute_about_a_part_costs_creators_that_part(market: Market) -> None:
    deposit = await ten_calls(market)
    await market.dispute(deposit, status="needs_response", withdrawn_cents=250)

    await market.dispute(deposit, status="lost", withdrawn_cents=250)

    assert sorted((await market.states("ann")).values()) == ["lost"] * 2 + ["pending"] * 8
    assert await market.balances("dan") == {"earn_pending": 6 * DOLLAR}, "two calls are lost, and half of a third"
    assert await balance(market.database, BAD_DEBT) == -500_000
    await assert_books_balance(market.database)


async def test_calls_made_after_the_bank_took_its_money_are_not_frozen(market: Market) -> None:
    await market.deposit("ann", 1_000)
    disputed = await market.deposit("ann", 1_000)
    await market.dispute(disputed, status="needs_response", withdrawn_cents=1_000)
    await ten_calls_without_deposit(market)

    await market.dispute(disputed, status="under_review", withdrawn_cents=1_000)
    assert await market.balances("dan") == {"earn_pending": 8 * DOLLAR}
    await market.dispute(disputed, status="lost", withdrawn_cents=1_000)

    assert await market.balances("dan") == {"earn_pending": 8 * DOLLAR}
    assert await market.balances("ann") == {}


async def ten_calls_without_deposit(market: Market) -> None:
    await market.charge(*(market.call("ann", "t", str(number)) for number in range(10)))


async def test_an_appeal_that_is_won_gives_everybody_back_what_was_theirs(market: Market) -> None:
    deposit = await ten_calls(market)
    pass_time(market, HOLD)
    await market.release_all()
    await market.dispute(deposit, status="needs_response", withdrawn_cents=1_000)
    await market.dispute(deposit, status="lost", withdrawn_cents=1_000)

    await market.dispute(deposit, status="won", withdrawn_cents=0)

    assert await market.balances("ann") == {}
    assert await market.balances("dan") == {"earn_available": 8 * DOLLAR}
    assert await balance(market.database, BAD_DEBT) == 0
    assert await balance(market.database, STRIPE) == -10 * DOLLAR
    days = await market.database.fetch("SELECT net_micros, calls FROM earnings_day")
    assert [tuple(row.values()) for row in days] == [(8 * DOLLAR, 10)]
    await assert_books_balance(market.database)


async def test_a_dispute_won_first_and_lost_on_appeal_is_lost(market: Market) -> None:
    deposit = await ten_calls(market)
    await market.dispute(deposit, status="needs_response", withdrawn_cents=1_000)
    await market.dispute(deposit, status="won", withdrawn_cents=0)

    await market.dispute(deposit, status="lost", withdrawn_cents=1_000)

    assert set((await market.states("ann")).values()) == {"lost"}
    assert await balance(market.database, BAD_DEBT) == -2 * DOLLAR
    await assert_books_balance(market.database)


async def test_of_two_disputes_about_one_deposit_the_second_goes_on_holding(market: Market) -> None:
    deposit = await ten_calls(market)
    await market.dispute(deposit, status="needs_response", withdrawn_cents=500, name="one")
    await market.dispute(deposit, status="needs_response", withdrawn_cents=500, name="two")

    await market.dispute(deposit, status="won", withdrawn_cents=0, name="one")
    assert await market.balances("dan") == {"earn_held": 8 * DOLLAR}
    assert await market.balances("ann") == {"receivable": -5 * DOLLAR}

    await market.dispute(deposit, status="won", withdrawn_cents=0, name="two")
    assert await market.balances("dan") == {"earn_pending": 8 * DOLLAR}
    assert await market.balances("ann") == {}
    await assert_books_balance(market.database)


async def test_a_frozen_charge_that_is_reversed_stays_reversed_when_the_dispute_ends(market: Market) -> None:
    deposit = await ten_calls(market)
    await market.dispute(deposit, status="needs_response", withdrawn_cents=1_000)

    await reverse(market, "3")
    assert await market.balances("ann") == {"receivable": -9 * DOLLAR}
    assert await market.balances("dan") == {"earn_held": 9 * 800_000}
    await market.dispute(deposit, status="lost", withdrawn_cents=1_000)

    states = await market.states("ann")
    assert states.pop("3") == "reversed"
    assert set(states.values()) == {"lost"}
    assert await market.balances("ann") == {}
    assert await market.balances("dan") == {}
    await assert_books_balance(market.database)


async def test_what_a_creator_bought_of_itself_is_lost_with_the_deposit_and_comes_back_unpayable(
    database: Database,
) -> None:
    market = open_market(database)
    await market.publish("own", "ann", price="10")
    deposit = await market.deposit("ann", 1_000)
    await market.charged("ann", "own", "1")
    assert await market.balances("ann") == {"earn_held": 8 * DOLLAR}

    await market.dispute(deposit, status="lost", withdrawn_cents=1_000)
    assert await market.balances("ann") == {}
    await market.dispute(deposit, status="won", withdrawn_cents=0)

    assert await market.balances("ann") == {"earn_held": 8 * DOLLAR}
    assert await market.states("ann") == {"1": "own"}
    await assert_books_balance(database)


async def test_who_owes_cannot_spend_before_the_next_deposit_covers_it(market: Market) -> None:
    deposit = await ten_calls(market)
    await market.refund(deposit, total_cents=400)
    assert await market.balances("ann") == {"receivable": -4 * DOLLAR}

    await market.deposit("ann", 300)
    (refused,) = await market.charge(market.call("ann", "t", "more"))
    assert isinstance(refused, InsufficientFunds)
    assert (refused.balance_micros, refused.required_micros) == (0, DOLLAR)

    await market.deposit("ann", 300)
    assert await market.balances("ann") == {"wallet": 2 * DOLLAR}
    await market.charged("ann", "t", "more")
    await assert_books_balance(market.database)


async def test_refunds_are_cumulative_and_one_that_fails_comes_back(market: Market) -> None:
    deposit = await market.deposit("ann", 1_000)

    for total_cents in (300, 300, 1_000, 700, 700):
        await market.refund(deposit, total_cents=total_cents)

    assert await market.balances("ann") == {"wallet": 3 * DOLLAR}
    assert await balance(market.database, STRIPE) == -3 * DOLLAR
    await assert_books_balance(market.database)


async def test_an_old_answer_about_a_refund_does_not_undo_a_newer_one(market: Market) -> None:
    deposit = await market.deposit("ann", 1_000)
    market.stripe.refund(deposit.charge_id, total_cents=100)

    async def newer() -> None:
        await market.refund(deposit, total_cents=600)

    async def nothing() -> None: ...

    market.stripe.meanwhile = [nothing, newer]
    await settle_refund(market.billing, charge_id=deposit.charge_id)

    assert await market.balances("ann") == {"wallet": 4 * DOLLAR}


async def test_an_old_answer_about_a_dispute_does_not_open_it_again(market: Market) -> None:
    deposit = await ten_calls(market)
    dispute_id = f"dp_{deposit.charge_id}one"
    market.stripe.dispute(dispute_id, deposit.charge_id, status="needs_response", withdrawn_cents=1_000)

    async def decided() -> None:
        await market.dispute(deposit, status="won", withdrawn_cents=0)

    market.stripe.meanwhile = [decided]
    await settle_dispute(market.billing, dispute_id=dispute_id)

    assert await market.balances("ann") == {}
    assert await market.balances("dan") == {"earn_pending": 8 * DOLLAR}


async def test_a_refund_told_before_its_deposit_settles_the_deposit_first(market: Market) -> None:
    deposit = await market.pay("ann", 1_000)

    await market.refund(deposit, total_cents=1_000)
    await settle_checkout(market.billing, session_id=deposit.session_id)

    assert await market.balances("ann") == {}
    assert await balance(market.database, STRIPE) == 0


async def test_a_dispute_told_before_its_deposit_settles_the_deposit_first(market: Market) -> None:
    deposit = await market.pay("ann", 1_000)

    await market.dispute(deposit, status="needs_response", withdrawn_cents=1_000)
    await settle_checkout(market.billing, session_id=deposit.session_id)

    assert await market.balances("ann") == {}
    assert await balance(market.database, STRIPE) == 0


async def test_the_refund_of_a_strangers_payment_is_none_of_ours(market: Market) -> None:
    deposit = await market.pay("ann", 1_000)
    del market.stripe.sessions[deposit.session_id]

    assert await settle_refund(market.billing, charge_id=deposit.charge_id) is None
    assert await settle_refund(market.billing, charge_id="ch_unknown") is None


async def test_a_charge_frozen_meanwhile_is_not_released(market: Market) -> None:
    deposit = await ten_calls(market)
    pass_time(market, HOLD)
    await market.dispute(deposit, status="needs_response", withdrawn_cents=1_000)

    assert await release_due(market.billing) == 0
    await market.dispute(deposit, status="won", withdrawn_cents=0)

    assert await release_due(market.billing) == 0
    assert await market.balances("dan") == {"earn_available": 8 * DOLLAR}


async def test_earnings_wait_until_stripe_has_cleared_the_deposit(market: Market) -> None:
    clears_at = market.billing.clock.now() + HOLD + timedelta(days=1)
    await market.deposit("ann", 1_000, clears_at=clears_at)
    await market.charged("ann", "t", "1")

    pass_time(market, HOLD)
    assert await release_due(market.billing) == 0
    pass_time(market, timedelta(days=1))
    assert await release_due(market.billing) == 1
