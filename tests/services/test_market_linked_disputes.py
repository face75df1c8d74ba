"""Disputes that hang together: what came from a disputed deposit is not payable, whichever way its money went."""

import pytest

from gateway.db import Database
from gateway.domain.charges import Charged
from gateway.domain.clock import ManualClock
from gateway.domain.ledger import BAD_DEBT
from gateway.services.books.checkpoints import derived_balance
from gateway.services.marketplace.reversals import reverse_charge
from gateway.services.taken_back.disputes import settle_dispute
from tests.services.market_world import HOLD, Deposit, Market, open_market
from tests.support.books import assert_books_balance
from tests.support.crashing import Crash, CrashingDatabase, Tripwire

DOLLAR = 1_000_000
NET = 800_000


@pytest.fixture
async def market(database: Database) -> Market:
    """Dan sells `t` and eve sells `u`, each at a dollar a call; a fifth of it is the platform's."""
    market = open_market(database)
    await market.publish("t", "dan", price="1")
    await market.publish("u", "eve", price="1")
    return market


async def spend(market: Market, tool: str, *call_ids: str) -> None:
    outcomes = await market.charge(*(market.call("ann", tool, call_id) for call_id in call_ids))
    assert all(isinstance(outcome, Charged) for outcome in outcomes)


async def lose(market: Market, deposit: Deposit, *, name: str = "one") -> None:
    await market.dispute(deposit, status="lost", withdrawn_cents=deposit.amount_cents, name=name)


async def open_dispute(market: Market, deposit: Deposit, *, name: str = "one") -> None:
    await market.dispute(deposit, status="needs_response", withdrawn_cents=deposit.amount_cents, name=name)


async def let_holds_end(market: Market) -> None:
    assert isinstance(market.billing.clock, ManualClock)
    market.billing.clock.advance(HOLD)
    await market.release_all()


async def test_two_disputed_cards_do_not_pay_for_each_other(market: Market) -> None:
    spent = await market.deposit("ann", 500)
    await spend(market, "t", *"01234")
    unspent = await market.deposit("ann", 500)
    await open_dispute(market, spent)
    await open_dispute(market, unspent)

    await lose(market, spent)
    await let_holds_end(market)
    assert await market.balances("dan") == {"earn_held": 5 * NET}

    await lose(market, unspent)
    assert set((await market.states("ann")).values()) == {"lost"}
    assert await market.balances("dan") == {}
    assert await derived_balance(market.database, BAD_DEBT) == -DOLLAR
    await assert_books_balance(market.database)


async def test_the_second_card_lost_first_costs_the_same(market: Market) -> None:
    spent = await market.deposit("ann", 500)
    await spend(market, "t", *"01234")
    unspent = await market.deposit("ann", 500)
    await open_dispute(market, spent)

    await lose(market, unspent)
    await lose(market, spent)

    assert await market.balances("dan") == {}
    assert await derived_balance(market.database, BAD_DEBT) == -DOLLAR
    await assert_books_balance(market.database)


async def test_a_deposit_that_covered_anothers_debt_has_paid_what_the_other_paid(market: Market) -> None:
    first = await market.deposit("ann", 500)
    await spend(market, "t", *"01234")
    await open_dispute(market, first)
    second = await market.deposit("ann", 500)
    await open_dispute(market, second)

    await lose(market, first)
    await let_holds_end(market)
    assert await market.balances("dan") == {"earn_held": 5 * NET}

    await lose(market, second)
    assert await market.balances("dan") == {}
    assert await derived_balance(market.database, BAD_DEBT) == -DOLLAR
    await assert_books_balance(market.database)


async def test_a_chain_of_cards_leads_back_to_the_calls(market: Market) -> None:
    first = await market.deposit("ann", 500)
    await spend(market, "t", *"01234")
    await open_dispute(market, first)
    cards = [first]
    for _ in range(3):
        cards.append(await market.deposit("ann", 500))
        await open_dispute(market, cards[-1])

    for card in cards:
        await lose(market, card)

    await let_holds_end(market)
    assert await market.balances("dan") == {}
    assert await derived_balance(market.database, BAD_DEBT) == -DOLLAR
    await assert_books_balance(market.database)


async def test_a_deposit_that_paid_anothers_refund_has_paid_what_the_other_paid(market: Market) -> None:
    refunded = await market.deposit("ann", 500)
    await spend(market, "t", *"01234")
    disputed = await market.deposit("ann", 500)
    await market.refund(refunded, total_cents=500)

    await open_dispute(market, disputed)
    assert await market.balances("dan") == {"earn_held": 5 * NET}
    await lose(market, disputed)

    assert await market.balances("dan") == {}
    await assert_books_balance(market.database)


async def test_a_newer_deposit_refunded_out_of_an_older_one_leaves_the_older_one_the_calls(market: Market) -> None:
    older = await market.deposit("ann", 500)
    newer = await market.deposit("ann", 500)
    await market.refund(newer, total_cents=500)
    await spend(market, "t", *"01234")

    await open_dispute(market, older)

    assert await market.balances("dan") == {"earn_held": 5 * NET}
    await assert_books_balance(market.database)


async def test_a_deposit_that_covered_the_debt_of_a_refund_has_paid_what_that_paid(market: Market) -> None:
    refunded = await market.deposit("ann", 500)
    await spend(market, "t", *"01234")
    await market.refund(refunded, total_cents=500)
    covering = await market.deposit("ann", 500)

    await lose(market, covering)

    assert await market.balances("dan") == {}
    assert await market.balances("ann") == {}
    await assert_books_balance(market.database)


@pytest.mark.parametrize("name", ["one", "two"])
async def test_what_was_given_back_and_spent_is_frozen_when_it_is_taken_again(market: Market, name: str) -> None:
    deposit = await market.deposit("ann", 500)
    await spend(market, "t", "0")
    await open_dispute(market, deposit)
    await market.dispute(deposit, status="won", withdrawn_cents=0)
    await spend(market, "u", *"1234")

    await open_dispute(market, deposit, name=name)
    assert await market.balances("dan") == {"earn_held": NET}
    assert await market.balances("eve") == {"earn_held": 4 * NET}

    await lose(market, deposit, name=name)
    assert set((await market.states("ann")).values()) == {"lost"}
    assert await derived_balance(market.database, BAD_DEBT) == -DOLLAR
    await assert_books_balance(market.database)


async def test_money_of_a_reversed_call_stays_the_deposits_when_it_is_spent_again(market: Market) -> None:
    deposit = await market.deposit("ann", 500)
    await spend(market, "t", *"01234")
    await reverse_charge(market.billing, consumer=market.subject("ann"), call_id="0", reason="faulty", operator="op")
    await spend(market, "u", "5")

    await open_dispute(market, deposit)

    assert await market.balances("dan") == {"earn_held": 4 * NET}
    assert await market.balances("eve") == {"earn_held": NET}
    await assert_books_balance(market.database)


async def test_what_is_spent_after_the_bank_took_its_part_is_other_money_for_good(market: Market) -> None:
    deposit = await market.deposit("ann", 500)
    await spend(market, "t", *"01")
    await market.dispute(deposit, status="needs_response", withdrawn_cents=200)
    await spend(market, "u", *"2")

    for status in ("under_review", "needs_response"):
        await market.dispute(deposit, status=status, withdrawn_cents=200)
    assert await market.balances("eve") == {"earn_pending": NET}

    await open_dispute(market, deposit)
    assert await market.balances("eve") == {"earn_held": NET}
    assert await market.balances("dan") == {"earn_held": 2 * NET}
    await assert_books_balance(market.database)


async def test_of_strangers_cards_none_is_drawn_in(market: Market) -> None:
    await market.deposit("bob", 500)
    await market.charged("bob", "t", "bobs")
    deposit = await market.deposit("ann", 500)
    await spend(market, "t", "0")

    await lose(market, deposit)

    assert await market.states("bob") == {"bobs": "pending"}
    assert await market.balances("dan") == {"earn_pending": NET}
    await assert_books_balance(market.database)


async def test_money_won_back_makes_up_for_what_was_written_off_while_it_was_away(market: Market) -> None:
    spent = await market.deposit("ann", 500)
    await spend(market, "t", *"01234")
    unspent = await market.deposit("ann", 700)
    await open_dispute(market, unspent)
    await lose(market, spent)
    assert await market.balances("dan") == {}

    await market.dispute(unspent, status="won", withdrawn_cents=0)

    assert await market.balances("ann") == {"wallet": 2 * DOLLAR}
    assert await market.balances("dan") == {"earn_pending": 5 * NET}
    assert await derived_balance(market.database, BAD_DEBT) == 0
    await assert_books_balance(market.database)


async def test_money_won_back_in_parts_makes_up_for_a_write_off_in_parts(market: Market) -> None:
    spent = await market.deposit("ann", 500)
    await spend(market, "t", *"01234")
    unspent = await market.deposit("ann", 500)
    await open_dispute(market, unspent)
    await lose(market, spent)

    await market.dispute(unspent, status="won", withdrawn_cents=350)
    assert await market.balances("ann") == {}
    assert await market.balances("dan") == {"earn_pending": 1_200_000}
    assert await market.states("ann") == {"0": "pending", "1": "pending", "2": "lost", "3": "lost", "4": "lost"}
    await market.dispute(unspent, status="won", withdrawn_cents=0)

    assert await market.balances("dan") == {"earn_pending": 5 * NET}
    assert await derived_balance(market.database, BAD_DEBT) == 0
    await assert_books_balance(market.database)


async def test_who_made_up_for_a_write_off_and_is_taken_again_answers_for_its_calls(market: Market) -> None:
    spent = await market.deposit("ann", 500)
    await spend(market, "t", *"01234")
    unspent = await market.deposit("ann", 500)
    await open_dispute(market, unspent)
    await lose(market, spent)
    await market.dispute(unspent, status="won", withdrawn_cents=0)

    await open_dispute(market, unspent, name="two")
    assert await market.balances("dan") == {"earn_held": 5 * NET}
    await lose(market, unspent, name="two")

    assert await market.balances("dan") == {}
    assert await derived_balance(market.database, BAD_DEBT) == -DOLLAR
    await assert_books_balance(market.database)


async def test_money_that_came_after_a_write_off_stays_the_customers_when_its_dispute_is_won(market: Market) -> None:
    spent = await market.deposit("ann", 500)
    await spend(market, "t", *"01234")
    await lose(market, spent)
    later = await market.deposit("ann", 700)
    await open_dispute(market, later)

    await market.dispute(later, status="won", withdrawn_cents=0)

    assert await market.balances("ann") == {"wallet": 7 * DOLLAR}
    assert await market.balances("dan") == {}
    await assert_books_balance(market.database)


async def test_creators_are_given_back_a_write_off_by_whoever_comes_after_a_crash(market: Market) -> None:
    spent = await market.deposit("ann", 500)
    await spend(market, "t", *"01234")
    unspent = await market.deposit("ann", 500)
    await open_dispute(market, unspent)
    await lose(market, spent)
    dispute_id = f"dp_{unspent.charge_id}one"
    market.stripe.dispute(dispute_id, unspent.charge_id, status="won", withdrawn_cents=0)

    # The customer's side is committed; the batch that gives back is not.
    dying = market.beside(CrashingDatabase(market.database, Tripwire(frozenset({3}))))
    with pytest.raises(Crash):
        await settle_dispute(dying.billing, dispute_id=dispute_id)
    assert await market.balances("dan") == {}
    await settle_dispute(market.billing, dispute_id=dispute_id)

    assert await market.balances("dan") == {"earn_pending": 5 * NET}
    assert await derived_balance(market.database, BAD_DEBT) == 0
    await assert_books_balance(market.database)
