"""Rounds of a dispute: many charges, crashes in the middle, and several who are told of the same dispute at once."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from gateway.db import Database, Parameters, Row
from gateway.domain.clock import ManualClock
from gateway.domain.errors import ProviderRejected
from gateway.domain.ledger import BAD_DEBT
from gateway.services.books.checkpoints import derived_balance
from gateway.services.jobs.doing import Doer
from gateway.services.jobs.table import JobTable
from gateway.services.taken_back.disputed_charges import MOVED_AT_ONCE_MAX
from gateway.services.taken_back.disputes import SEEN_THROUGH_AFTER, settle_dispute
from tests.services.market_world import Deposit, Market, open_market
from tests.support.books import assert_books_balance
from tests.support.counting import CountingDatabase
from tests.support.crashing import Crash, CrashingDatabase, Tripwire

DOLLAR = 1_000_000
CALLS_AT_ONCE = 500
#: Three batches of moves, the last one short.
MANY = 2 * MOVED_AT_ONCE_MAX + 100


@pytest.fixture
async def market(database: Database) -> Market:
    """Dan sells `t` at a cent a call; a fifth of it is the platform's."""
    market = open_market(database)
    await market.publish("t", "dan", price="0.01")
    return market


async def spend(market: Market, calls: int, *, name: str = "ann", since: int = 0) -> None:
    for start in range(since, since + calls, CALLS_AT_ONCE):
        ids = range(start, min(start + CALLS_AT_ONCE, since + calls))
        await market.charge(*(market.call(name, "t", str(number)) for number in ids))


async def spent_deposit(market: Market) -> Deposit:
    deposit = await market.deposit("ann", MANY)
    await spend(market, MANY)
    return deposit


def opened(market: Market, deposit: Deposit) -> str:
    """Open a dispute at Stripe; nobody has told the gateway yet."""
    dispute_id = f"dp_{deposit.charge_id}one"
    market.stripe.dispute(dispute_id, deposit.charge_id, status="needs_response", withdrawn_cents=deposit.amount_cents)
    return dispute_id


async def do_jobs(market: Market, *, later_by: timedelta) -> None:
    """What another process finds to do, some time later."""
    assert isinstance(market.billing.clock, ManualClock)
    market.billing.clock.advance(later_by)
    table = JobTable(market.billing.clock)
    for job in await market.database.run(lambda connection: table.claim(connection, limit=10)):
        await Doer(market.billing, table).do(job)


async def count(market: Market, sql: str) -> int:
    row = await market.database.fetch_one(sql)
    assert row is not None
    return int(str(row["n"]))


async def test_a_batch_of_charges_is_one_entry_a_creator_and_one_event_a_charge(market: Market) -> None:
    deposit = await spent_deposit(market)

    await market.dispute(deposit, status="lost", withdrawn_cents=MANY)

    assert set((await market.states("ann")).values()) == {"lost"}
    assert await count(market, "SELECT count(*) AS n FROM ledger_entry WHERE idem LIKE 'fz:%'") == 3
    assert await count(market, "SELECT count(*) AS n FROM earning_event WHERE kind = 'DISPUTE'") == MANY
    assert await count(market, "SELECT sum(calls) AS n FROM earnings_day") == 0
    assert await market.balances("dan") == {}
    await assert_books_balance(market.database)


@pytest.mark.parametrize("status", ["needs_response", "lost", "won"])
async def test_a_settling_that_dies_goes_on_where_it_stopped(market: Market, status: str) -> None:
    deposit = await spent_deposit(market)
    dispute_id = opened(market, deposit)
    if status != "needs_response":
        await settle_dispute(market.billing, dispute_id=dispute_id)
    withdrawn_cents = 0 if status == "won" else MANY
    market.stripe.dispute(dispute_id, deposit.charge_id, status=status, withdrawn_cents=withdrawn_cents)
    moved, at_first = {
        "needs_response": ("held", MOVED_AT_ONCE_MAX),
        "lost": ("lost", MANY % MOVED_AT_ONCE_MAX),
        "won": ("pending", MOVED_AT_ONCE_MAX),
    }[status]

    # The customer's side is committed, then the first batch (of what is lost the newest); the second is not.
    dying = market.beside(CrashingDatabase(market.database, Tripwire(frozenset({5}))))
    with pytest.raises(Crash):
        await settle_dispute(dying.billing, dispute_id=dispute_id)
    assert sorted((await market.states("ann")).values()).count(moved) == at_first

    counting = CountingDatabase(market.database)
    await settle_dispute(market.beside(counting).billing, dispute_id=dispute_id)
    assert set((await market.states("ann")).values()) == {moved}
    assert counting.transactions == 3, "the look, and the two batches that were left"
    await assert_books_balance(market.database)


async def test_a_round_is_finished_though_nobody_comes_again(market: Market) -> None:
    deposit = await spent_deposit(market)
    dispute_id = opened(market, deposit)
    dying = market.beside(CrashingDatabase(market.database, Tripwire(frozenset({5}))))
    with pytest.raises(Crash):
        await settle_dispute(dying.billing, dispute_id=dispute_id)
    assert set((await market.states("ann")).values()) == {"held", "pending"}

    await do_jobs(market, later_by=SEEN_THROUGH_AFTER)

    assert set((await market.states("ann")).values()) == {"held"}
    assert await count(market, "SELECT count(*) AS n FROM job WHERE kind = 'dispute.finish' AND state = 'done'") == 1
    await assert_books_balance(market.database)


class ChargesRead(CountingDatabase):
    """Counts the charges that are read outside of transactions."""

    charges = 0

    async def fetch(self, sql: str, params: Parameters = ()) -> list[Row]:
        rows = await super().fetch(sql, params)
        self.charges += len(rows) if "JOIN tool_charge" in sql else 0
        return rows


async def test_who_comes_again_reads_none_of_the_charges_that_are_held(market: Market) -> None:
    deposit = await market.deposit("ann", 30)
    await spend(market, 30)
    dispute_id = opened(market, deposit)
    first, again = ChargesRead(market.database), ChargesRead(market.database)

    await settle_dispute(market.beside(first).billing, dispute_id=dispute_id)
    await settle_dispute(market.beside(again).billing, dispute_id=dispute_id)

    assert set((await market.states("ann")).values()) == {"held"}
    assert (first.charges, again.charges) == (30, 0)
    await assert_books_balance(market.database)


async def test_who_is_told_at_once_settles_one_round_together(market: Market) -> None:
    deposit = await spent_deposit(market)
    dispute_id = opened(market, deposit)

    await asyncio.gather(*(settle_dispute(market.billing, dispute_id=dispute_id) for _ in range(4)))

    assert await count(market, "SELECT version AS n FROM deposit_dispute") == 1
    assert await market.balances("dan") == {"earn_held": MANY * 8_000}
    assert await count(market, "SELECT count(*) AS n FROM ledger_entry WHERE idem LIKE 'fz:%'") == 3
    await assert_books_balance(market.database)


async def test_a_look_that_finds_nothing_new_begins_no_round(market: Market) -> None:
    deposit = await market.deposit("ann", 1_000)
    await spend(market, 10)

    for status in ("needs_response", "needs_response", "under_review"):
        await market.dispute(deposit, status=status, withdrawn_cents=1_000)
    assert await count(market, "SELECT version AS n FROM deposit_dispute") == 1

    for _ in range(2):
        await market.dispute(deposit, status="lost", withdrawn_cents=1_000)
    assert await count(market, "SELECT version AS n FROM deposit_dispute") == 2
    await assert_books_balance(market.database)


async def test_an_answer_from_before_a_look_that_found_nothing_new_is_not_booked(market: Market) -> None:
    deposit = await market.deposit("ann", 1_000)
    await spend(market, 10)
    dispute_id = opened(market, deposit)
    await settle_dispute(market.billing, dispute_id=dispute_id)
    market.stripe.dispute(dispute_id, deposit.charge_id, status="won", withdrawn_cents=0)

    async def withdrawn_after_all() -> None:
        await market.dispute(deposit, status="under_review", withdrawn_cents=1_000)

    market.stripe.meanwhile = [withdrawn_after_all]
    await settle_dispute(market.billing, dispute_id=dispute_id)

    assert await count(market, "SELECT version AS n FROM deposit_dispute") == 1
    assert await market.balances("dan") == {"earn_held": 10 * 8_000}
    await assert_books_balance(market.database)


async def test_a_dispute_reads_nothing_of_the_wallet_from_before_its_deposit(market: Market) -> None:
    read: dict[str, int] = {}
    for name, earlier in (("bob", 0), ("ann", 2_000)):
        if earlier:
            await market.deposit(name, earlier)
            await spend(market, earlier, name=name)
        deposit = await market.deposit(name, 1_000)
        await spend(market, 10, name=name, since=earlier)
        counting = CountingDatabase(market.database)
        await market.beside(counting).dispute(deposit, status="needs_response", withdrawn_cents=1_000)
        read[name] = len(counting.reads)

    assert read["ann"] == read["bob"]
    assert list((await market.states("ann")).values()).count("held") == 10
    await assert_books_balance(market.database)


async def test_what_others_claim_is_read_once_a_round(market: Market) -> None:
    deposit = await spent_deposit(market)
    other = await market.deposit("ann", 1_000)
    await spend(market, 10, since=MANY)
    await market.dispute(other, status="needs_response", withdrawn_cents=1_000)
    await market.dispute(deposit, status="needs_response", withdrawn_cents=MANY)
    market.stripe.dispute(f"dp_{deposit.charge_id}one", deposit.charge_id, status="won", withdrawn_cents=0)

    counting = CountingDatabase(market.database)
    await settle_dispute(market.beside(counting).billing, dispute_id=f"dp_{deposit.charge_id}one")

    assert sum("d.state = 'open'" in sql for sql in counting.reads) == 1
    assert sorted((await market.states("ann")).values()) == ["held"] * 10 + ["pending"] * MANY
    await assert_books_balance(market.database)


async def test_a_dispute_that_turns_meanwhile_keeps_its_claim(market: Market) -> None:
    """Both hold the same calls; the second is opened while the first is being freed."""
    deposit = await spent_deposit(market)
    await market.dispute(deposit, status="needs_response", withdrawn_cents=MANY // 2)
    dispute_id = f"dp_{deposit.charge_id}one"
    market.stripe.dispute(dispute_id, deposit.charge_id, status="won", withdrawn_cents=0)

    dying = market.beside(CrashingDatabase(market.database, Tripwire(frozenset({5}))))
    with pytest.raises(Crash):
        await settle_dispute(dying.billing, dispute_id=dispute_id)
    await market.dispute(deposit, status="needs_response", withdrawn_cents=MANY, name="two")
    await settle_dispute(market.billing, dispute_id=dispute_id)

    assert await market.balances("dan") == {"earn_held": MANY * 8_000}
    await market.dispute(deposit, status="lost", withdrawn_cents=MANY, name="two")
    assert await market.balances("dan") == {}
    await assert_books_balance(market.database)


async def test_half_of_a_lost_dispute_that_comes_back_frees_calls_until_the_rest_fits(market: Market) -> None:
    deposit = await market.deposit("ann", 1_000)
    await spend(market, 1_000)
    await market.dispute(deposit, status="lost", withdrawn_cents=1_000)
    assert await derived_balance(market.database, BAD_DEBT) == -2 * DOLLAR

    await market.dispute(deposit, status="lost", withdrawn_cents=500)

    states = await market.states("ann")
    assert {call for call, state in states.items() if state == "lost"} == {str(n) for n in range(500, 1_000)}
    assert await market.balances("dan") == {"earn_pending": 4 * DOLLAR}
    assert await derived_balance(market.database, BAD_DEBT) == -DOLLAR
    assert await count(market, "SELECT sum(calls) AS n FROM earnings_day") == 500
    await assert_books_balance(market.database)


async def test_a_dispute_won_in_part_is_lost_for_what_the_bank_keeps(market: Market) -> None:
    deposit = await market.deposit("ann", 1_000)
    await spend(market, 1_000)
    await market.dispute(deposit, status="needs_response", withdrawn_cents=1_000)

    await market.dispute(deposit, status="won", withdrawn_cents=400)

    row = await market.database.fetch_one("SELECT state, owed_micros FROM deposit_dispute")
    assert row is not None
    assert tuple(row.values()) == ("lost", 4 * DOLLAR)
    assert await market.balances("ann") == {}
    assert await market.balances("dan") == {"earn_pending": 600 * 8_000}
    assert await derived_balance(market.database, BAD_DEBT) == -4 * DOLLAR + 400 * 8_000
    await assert_books_balance(market.database)


async def test_a_dispute_won_waits_for_its_money(market: Market) -> None:
    deposit = await market.deposit("ann", 1_000)
    await spend(market, 1_000)
    await market.dispute(deposit, status="needs_response", withdrawn_cents=1_000)

    await market.dispute(deposit, status="won", withdrawn_cents=1_000)
    assert await market.balances("dan") == {"earn_held": 8 * DOLLAR}

    await market.dispute(deposit, status="won", withdrawn_cents=0)
    assert await market.balances("dan") == {"earn_pending": 8 * DOLLAR}
    await assert_books_balance(market.database)


async def test_a_dispute_whose_money_moved_in_another_currency_is_refused(market: Market) -> None:
    deposit = await market.deposit("ann", 1_000)
    dispute_id = opened(market, deposit)
    foreign = replace(market.stripe.disputes[dispute_id], moved_currencies=frozenset({"usd", "eur"}))
    market.stripe.disputes[dispute_id] = foreign

    with pytest.raises(ProviderRejected, match="in eur"):
        await settle_dispute(market.billing, dispute_id=dispute_id)

    assert await market.balances("ann") == {"wallet": 10 * DOLLAR}
    assert await count(market, "SELECT count(*) AS n FROM deposit_dispute") == 0
    await assert_books_balance(market.database)
