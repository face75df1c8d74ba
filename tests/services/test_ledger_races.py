"""Many at once: one name is recorded once, no wallet goes below zero, nobody waits in a ring."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from uuid import UUID

import pytest

from gateway.db import Contention, Database
from gateway.domain.ledger import FEES, STRIPE, EntryConflict, EntryDraft, FloorBroken, LedgerRefusal, Recorded, wallet
from gateway.services.ledger import Outcome, balance, postings_page, record, record_many
from tests.services.ledger_drafts import ANN, ANN_WALLET, BOB, NOW, deposit, entry, recorded, tool_call
from tests.support.books import assert_books_balance

BOB_WALLET = wallet(BOB)


async def outcome_of(database: Database, draft: EntryDraft) -> Recorded | LedgerRefusal:
    try:
        return await recorded(database, draft)
    except LedgerRefusal as refusal:
        return refusal


async def batch(database: Database, drafts: Sequence[EntryDraft]) -> tuple[Outcome, ...]:
    return await database.run(lambda connection: record_many(connection, drafts, now=NOW))


def customer(number: int) -> UUID:
    return UUID(int=ANN.int + 0x1000 + number)


async def test_twenty_settlements_of_one_deposit_credit_once(database: Database) -> None:
    outcomes = await asyncio.gather(*(recorded(database, deposit(25_000_000)) for _ in range(20)))
    assert Counter(outcome.created for outcome in outcomes) == {True: 1, False: 19}
    assert {outcome.entry_id for outcome in outcomes} == {outcomes[0].entry_id}
    assert all(outcome.balances == {ANN_WALLET: 25_000_000} for outcome in outcomes)
    assert await balance(database, ANN_WALLET) == 25_000_000
    await assert_books_balance(database)


async def test_one_name_for_twenty_different_deposits_credits_one_of_them(database: Database) -> None:
    drafts = [deposit(1_000_000 + n, customer_id=customer(n)) for n in range(20)]
    outcomes = await asyncio.gather(*(outcome_of(database, draft) for draft in drafts))
    assert Counter(type(outcome) for outcome in outcomes) == {Recorded: 1, EntryConflict: 19}
    balances = [await balance(database, wallet(customer(n))) for n in range(20)]
    assert sum(amount > 0 for amount in balances) == 1
    await assert_books_balance(database)


async def test_parallel_debits_of_one_wallet_stop_at_zero(database: Database) -> None:
    await recorded(database, deposit(100_000))
    calls = (tool_call(7_000, call_id=str(n)) for n in range(40))
    outcomes = await asyncio.gather(*(outcome_of(database, call) for call in calls))
    assert Counter(type(outcome) for outcome in outcomes) == {Recorded: 14, FloorBroken: 26}
    assert await balance(database, ANN_WALLET) == 2_000
    seqs = [row.seq for row in await postings_page(database, ANN_WALLET, limit=100)]
    assert seqs == list(range(15, 0, -1))
    await assert_books_balance(database)


async def test_transfers_in_both_directions_do_not_wait_for_each_other_in_a_ring(database: Database) -> None:
    await recorded(database, deposit(1_000))
    await recorded(database, deposit(1_000, session_id="cs_2", customer_id=BOB))
    there = [entry(f"adj:there{n}", (ANN_WALLET, -1), (BOB_WALLET, 1)) for n in range(30)]
    back = [entry(f"adj:back{n}", (BOB_WALLET, -1), (ANN_WALLET, 1)) for n in range(30)]
    await asyncio.gather(*(recorded(database, draft) for pair in zip(there, back, strict=True) for draft in pair))
    assert [await balance(database, account) for account in (ANN_WALLET, BOB_WALLET)] == [1_000, 1_000]
    await assert_books_balance(database)


async def test_one_entry_is_reversed_once_by_many(database: Database) -> None:
    first = await recorded(database, deposit(1_000))
    await recorded(database, deposit(99_000, session_id="cs_2"))
    mirror = [(line.account, -line.amount_micros) for line in deposit(1_000).lines]
    drafts = [entry(f"rev:{n}", *mirror, reverses=first.entry_id) for n in range(10)]
    outcomes = await asyncio.gather(*(outcome_of(database, draft) for draft in drafts))
    assert Counter(type(outcome) for outcome in outcomes) == {Recorded: 1, EntryConflict: 9}
    assert await balance(database, ANN_WALLET) == 99_000
    await assert_books_balance(database)


async def test_batches_that_meet_at_one_name_record_it_once_and_keep_the_rest(database: Database) -> None:
    batches = [
        [
            deposit(10_000, session_id=f"cs_own_{n}", customer_id=customer(n)),
            deposit(5_000, session_id="cs_shared", customer_id=customer(n)),
        ]
        for n in range(8)
    ]
    outcomes = await asyncio.gather(*(batch(database, drafts) for drafts in batches))
    assert all(isinstance(own, Recorded) and own.created for own, _ in outcomes)
    assert Counter(type(shared) for _, shared in outcomes) == {Recorded: 1, EntryConflict: 7}
    balances = sorted([await balance(database, wallet(customer(n))) for n in range(8)])
    assert balances == [10_000] * 7 + [15_000]
    await assert_books_balance(database)


async def blocked(database: Database, *, count: int) -> None:
    """Wait until as many transactions wait for another one."""
    waiting = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    while len(await database.fetch(waiting)) < count:
        await asyncio.sleep(0.01)


@pytest.mark.parametrize("engine", ["postgres"])
@pytest.mark.parametrize("customer_id", [ANN, BOB])
async def test_name_taken_while_waiting_for_it_is_a_replay_or_a_conflict(database: Database, customer_id: UUID) -> None:
    fees = entry("fee:1", (STRIPE, -5), (FEES, 5))
    async with database.transaction() as connection:
        first = await record(connection, deposit(1_000), now=NOW)
        await record(connection, fees, now=NOW)
        late = asyncio.create_task(outcome_of(database, deposit(1_000, customer_id=customer_id)))
        late_fees = asyncio.create_task(outcome_of(database, fees))
        await blocked(database, count=2)
    outcome = await late
    if customer_id == ANN:
        assert outcome == Recorded(first.entry_id, created=False, balances={ANN_WALLET: 1_000})
    else:
        assert isinstance(outcome, EntryConflict)
    fees_outcome = await late_fees
    assert isinstance(fees_outcome, Recorded)
    assert not fees_outcome.created
    await assert_books_balance(database)


@pytest.mark.parametrize("engine", ["postgres"])
async def test_batch_that_loses_a_name_while_waiting_is_to_be_run_again(database: Database) -> None:
    batches = [
        [
            deposit(1_000, customer_id=customer(n)),
            deposit(2_000, session_id=f"cs_{n}", customer_id=customer(n)),
        ]
        for n in (2, 3)
    ]

    async def once() -> None:
        async with database.transaction() as connection:
            await record_many(connection, batches[0], now=NOW)

    async with database.transaction() as connection:
        await record(connection, deposit(1_000), now=NOW)
        late = asyncio.create_task(once())
        again = asyncio.create_task(batch(database, batches[1]))
        await blocked(database, count=2)
    with pytest.raises(Contention):
        await late
    assert [type(outcome) for outcome in await again] == [EntryConflict, Recorded]
    assert [await balance(database, wallet(customer(n))) for n in (2, 3)] == [0, 2_000]
    await assert_books_balance(database)


async def test_batches_and_single_calls_share_a_wallet(database: Database) -> None:
    await recorded(database, deposit(100_000))
    batches = (batch(database, [tool_call(1_000, call_id=f"{b}-{n}") for n in range(10)]) for b in range(8))
    singles = (outcome_of(database, tool_call(1_000, call_id=f"s-{n}")) for n in range(40))
    done = await asyncio.gather(*batches, *singles)
    outcomes = [one for item in done for one in (item if isinstance(item, tuple) else (item,))]
    assert Counter(type(outcome) for outcome in outcomes) == {Recorded: 100, FloorBroken: 20}
    assert await balance(database, ANN_WALLET) == 0
    await assert_books_balance(database)


async def test_caller_that_gives_up_leaves_a_whole_entry_or_none(database: Database) -> None:
    await recorded(database, deposit(1_000_000))
    for n in range(30):
        task = asyncio.create_task(outcome_of(database, tool_call(1_000, call_id=str(n))))
        for _ in range(n):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    for n in range(30):
        await recorded(database, tool_call(1_000, call_id=str(n)))
    assert await balance(database, ANN_WALLET) == 970_000
    await assert_books_balance(database)
