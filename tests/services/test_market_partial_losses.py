"""Calls that are lost in part: exactly what nobody has paid for, whatever a call costs and whoever loses it."""

from datetime import timedelta
from pathlib import Path

import pytest

from gateway.db import Connection, Database, migrate, open_database
from gateway.domain.clock import ManualClock
from gateway.domain.errors import InvalidInput
from gateway.domain.ledger import BAD_DEBT
from gateway.services.ledger import balance
from gateway.services.marketplace.reversals import reverse_charge
from tests.services.market_world import HOLD, Deposit, Market, open_market
from tests.support.books import assert_books_balance
from tests.support.postgres import PostgresServer

DOLLAR = 1_000_000


@pytest.fixture
async def market(database: Database) -> Market:
    """Dan sells `dear` at a hundred dollars a call; a fifth of it is the platform's."""
    market = open_market(database)
    await market.publish("dear", "dan", price="100")
    return market


async def one_dear_call(market: Market) -> Deposit:
    deposit = await market.deposit("ann", 10_000)
    await market.charged("ann", "dear", "1")
    return deposit


def pass_time(market: Market, by: timedelta) -> None:
    assert isinstance(market.billing.clock, ManualClock)
    market.billing.clock.advance(by)


async def test_who_tops_up_before_losing_a_dispute_saves_a_colluder_only_what_was_topped_up(market: Market) -> None:
    deposit = await one_dear_call(market)
    await market.deposit("ann", 500)
    await market.dispute(deposit, status="needs_response", withdrawn_cents=10_000)
    assert await market.balances("ann") == {"receivable": -95 * DOLLAR}

    await market.dispute(deposit, status="lost", withdrawn_cents=10_000)

    assert await market.balances("ann") == {}
    assert await market.balances("dan") == {"earn_pending": 4 * DOLLAR}
    assert await balance(market.database, BAD_DEBT) == -19 * DOLLAR
    days = await market.database.fetch("SELECT gross_micros, fee_micros, net_micros, calls FROM earnings_day")
    assert [tuple(row.values()) for row in days] == [(5 * DOLLAR, DOLLAR, 4 * DOLLAR, 1)]
    events = await market.database.fetch("SELECT kind, gross_micros, net_micros FROM earning_event")
    assert [tuple(row.values()) for row in events] == [("DISPUTE", -76 * DOLLAR, -76 * DOLLAR)]
    pass_time(market, HOLD)
    assert await market.release_all() == 1
    assert await market.balances("dan") == {"earn_available": 4 * DOLLAR}
    await assert_books_balance(market.database)


async def test_many_cards_that_each_lose_a_part_of_one_call_lose_it_together(market: Market) -> None:
    cards = [await market.deposit("ann", 2_500) for _ in range(4)]
    await market.charged("ann", "dear", "1")
    for card in cards:
        await market.dispute(card, status="needs_response", withdrawn_cents=2_500)

    held = [await market.balances("dan")]
    for card in cards:
        await market.dispute(card, status="lost", withdrawn_cents=2_500)
        held.append(await market.balances("dan"))

    assert held == [{"earn_held": left * 20 * DOLLAR} for left in (4, 3, 2, 1)] + [{}]
    assert await market.states("ann") == {"1": "lost"}
    assert await balance(market.database, BAD_DEBT) == -20 * DOLLAR
    await market.dispute(cards[1], status="won", withdrawn_cents=0)
    assert await market.balances("dan") == {"earn_pending": 20 * DOLLAR}
    await assert_books_balance(market.database)


async def test_money_that_comes_back_in_parts_gives_back_a_call_in_parts(market: Market) -> None:
    deposit = await one_dear_call(market)
    await market.dispute(deposit, status="lost", withdrawn_cents=10_000)

    seen: list[tuple[int, int]] = []
    for withdrawn_cents in (9_999, 3_333, 1, 0):
        await market.dispute(deposit, status="lost", withdrawn_cents=withdrawn_cents)
        earned = (await market.balances("dan"))["earn_pending"]
        seen.append((earned, await balance(market.database, BAD_DEBT)))
        await assert_books_balance(market.database)

    assert seen == [(8_000, -19_998_000), (53_336_000, -6_666_000), (79_992_000, -2_000), (80 * DOLLAR, 0)]
    assert await market.states("ann") == {"1": "pending"}


async def test_of_a_call_that_is_lost_in_part_nothing_can_be_taken_back(market: Market) -> None:
    deposit = await one_dear_call(market)
    await market.dispute(deposit, status="lost", withdrawn_cents=1_000)

    with pytest.raises(InvalidInput, match="took a part of this charge's money back"):
        await reverse_charge(
            market.billing, consumer=market.subject("ann"), call_id="1", reason="faulty", operator="op"
        )

    assert await market.balances("dan") == {"earn_pending": 72 * DOLLAR}
    await assert_books_balance(market.database)


async def test_the_rest_of_a_call_stays_held_by_another_dispute_and_unpayable_if_it_is_ones_own(
    database: Database,
) -> None:
    market = open_market(database)
    await market.publish("own", "ann", price="10")
    await market.publish("dear", "dan", price="10")
    first, second = await market.deposit("ann", 500), await market.deposit("ann", 1_500)
    await market.charged("ann", "dear", "1")
    await market.charged("ann", "own", "2")
    for deposit in (first, second):
        await market.dispute(deposit, status="needs_response", withdrawn_cents=deposit.amount_cents)

    await market.dispute(first, status="lost", withdrawn_cents=500)
    assert await market.balances("dan") == {"earn_held": 4 * DOLLAR}
    await market.dispute(second, status="lost", withdrawn_cents=500)

    assert await market.states("ann") == {"1": "pending", "2": "own"}
    assert await market.balances("dan") == {"earn_pending": 4 * DOLLAR}
    assert await market.balances("ann") == {"earn_held": 4 * DOLLAR}
    await assert_books_balance(database)


async def test_what_is_lost_of_a_call_never_costs_more_than_a_micro_dollar_of_rounding(database: Database) -> None:
    market = open_market(database, fee_bps=3_333)
    await market.publish("odd", "dan", price="1.000001")
    deposit = await market.deposit("ann", 500)
    await market.charged("ann", "odd", "1")
    await market.dispute(deposit, status="needs_response", withdrawn_cents=500)
    assert await market.balances("ann") == {"receivable": -1_000_001}

    await market.deposit("ann", 33)
    await market.dispute(deposit, status="lost", withdrawn_cents=500)

    assert await market.balances("dan") == {"earn_pending": 220_012}, "of 666,701 net for 1,000,001, 330,000 is paid"
    await assert_books_balance(database)


async def test_what_a_dispute_that_is_won_frees_is_lost_by_another_that_is_not(market: Market) -> None:
    """Both are about one deposit, and the first one had lost all there was to lose."""
    await market.publish("plain", "dan", price="10")
    deposit = await market.deposit("ann", 2_000)
    await market.charged("ann", "plain", "1")
    for name in ("one", "two"):
        await market.dispute(deposit, status="lost", withdrawn_cents=2_000, name=name)
    assert await market.states("ann") == {"1": "lost"}

    await market.dispute(deposit, status="won", withdrawn_cents=0, name="one")
    assert await market.states("ann") == {"1": "lost"}
    assert await market.balances("dan") == {}
    assert await balance(market.database, BAD_DEBT) == -2 * DOLLAR, "the platform loses its fee"
    await assert_books_balance(market.database)

    await market.dispute(deposit, status="won", withdrawn_cents=0, name="two")
    assert await market.states("ann") == {"1": "pending"}
    assert await market.balances("dan") == {"earn_pending": 8 * DOLLAR}
    assert await market.balances("ann") == {"wallet": 10 * DOLLAR}
    await assert_books_balance(market.database)


async def a_loss_is_taken_over(url: str) -> None:
    """As the release before left it: a charge that is lost knows its dispute, and nothing of parts."""
    async with open_database(url) as database:
        market = open_market(database)
        await market.publish("dear", "dan", price="100")
        deposit = await one_dear_call(market)
        await market.dispute(deposit, status="lost", withdrawn_cents=10_000)
        await database.run(_as_before)
    await migrate(url)
    async with open_database(url) as database:
        market = market.beside(database)
        await assert_books_balance(database)
        await market.dispute(deposit, status="lost", withdrawn_cents=2_500)
        assert await market.balances("dan") == {"earn_pending": 60 * DOLLAR}
        await assert_books_balance(database)


async def _as_before(connection: Connection) -> None:
    for statement in (
        "UPDATE tool_charge SET dispute_id = (SELECT max(dispute_id) FROM charge_loss)",
        "DROP TABLE charge_loss",
        "ALTER TABLE tool_charge DROP COLUMN lost_micros",
        "ALTER TABLE tool_charge DROP COLUMN lost_net_micros",
        "DROP INDEX bank_payout_paid",
        "DELETE FROM schema_migration WHERE name >= '0017_partial_losses'",
    ):
        await connection.execute(statement)


async def test_upgrade_takes_losses_over_on_sqlite(tmp_path: Path) -> None:
    url = f"sqlite://{tmp_path / 'old.db'}"
    await migrate(url)
    await a_loss_is_taken_over(url)


async def test_upgrade_takes_losses_over_on_postgres(postgres_server: PostgresServer) -> None:
    name = postgres_server.create()
    await migrate(postgres_server.url(name))
    await a_loss_is_taken_over(postgres_server.url(name))
    postgres_server.drop(name)
