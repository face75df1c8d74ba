"""Charging calls: once per name, at the price of the moment, and no call's refusal is its neighbour's."""

import asyncio
from collections.abc import Sequence
from uuid import UUID, uuid4

import pytest

from gateway.db import Database, DatabaseUnavailable
from gateway.domain.charges import Call, Charged, ChargeOutcome
from gateway.domain.errors import IdempotencyConflict, InsufficientFunds, InvalidInput, ToolNotFound
from gateway.services.marketplace.queue import WAITING_BATCHES_MAX, WAITING_CALLS_MAX, ChargeQueue, TooManyWaiting
from gateway.services.marketplace.reversals import reverse_charge
from tests.services.market_world import Market, open_market
from tests.support.books import assert_books_balance

DOLLAR = 1_000_000


@pytest.fixture
async def market(database: Database) -> Market:
    market = open_market(database)
    await market.publish("t", "dan", price="1")
    await market.deposit("ann", 500)
    return market


async def test_a_replay_answers_the_first_answer_whatever_happened_since(market: Market) -> None:
    first = await market.charged("ann", "t", "1")
    await market.publish("t", "dan", price="2", active=False)
    await market.charge(*(market.call("ann", "t", str(n)) for n in range(2, 9)))

    again = await market.charged("ann", "t", "1")

    assert (again.entry_id, again.split, again.balance_after_micros) == (first.entry_id, first.split, 4 * DOLLAR)
    assert (first.replayed, again.replayed) == (False, True)


async def test_a_replay_of_an_empty_wallet_is_still_a_replay(market: Market) -> None:
    await market.charge(*(market.call("ann", "t", str(n)) for n in range(5)))

    assert (await market.charged("ann", "t", "4")).replayed is True
    (refused,) = await market.charge(market.call("ann", "t", "5"))
    assert isinstance(refused, InsufficientFunds)
    assert (refused.balance_micros, refused.required_micros) == (0, DOLLAR)


async def test_each_call_of_a_batch_has_an_outcome_of_its_own_in_order(market: Market) -> None:
    await market.publish("dear", "dan", price="4.5")
    calls = [
        market.call("ann", "t", "1"),
        market.call("ann", "gone", "2"),
        market.call("ann", "dear", "3"),
        market.call("bob", "t", "1"),
        market.call("ann", "t", "1"),
        market.call("ann", "dear", "1"),
        market.call("ann", "t", "4"),
    ]

    outcomes = await market.charge(*calls)

    assert [type(outcome) for outcome in outcomes] == [
        Charged,
        ToolNotFound,
        InsufficientFunds,
        InsufficientFunds,
        Charged,
        IdempotencyConflict,
        Charged,
    ]
    assert [outcome.replayed for outcome in outcomes if isinstance(outcome, Charged)] == [False, True, False]
    assert await market.balances("ann") == {"wallet": 3 * DOLLAR}
    await assert_books_balance(market.database)


@pytest.mark.parametrize(("fee_bps", "earned"), [(0, {"earn_pending": DOLLAR}), (10_000, {})])
async def test_shares_of_nothing_and_of_all_are_charged_released_and_reversed(
    database: Database, fee_bps: int, earned: dict[str, int]
) -> None:
    market = open_market(database, fee_bps=fee_bps)
    await market.publish("t", "dan", price="1")
    await market.deposit("ann", 500)
    await market.charged("ann", "t", "1")
    assert await market.balances("dan") == earned

    await reverse_charge(market.billing, consumer=market.subject("ann"), call_id="1", reason="faulty", operator="op")

    assert await market.balances("dan") == {}
    assert await market.balances("ann") == {"wallet": 5 * DOLLAR}
    await assert_books_balance(database)


async def test_a_charge_is_reversed_once_and_for_one_reason(market: Market) -> None:
    await market.charged("ann", "t", "1")
    ann = market.subject("ann")
    _, first = await reverse_charge(market.billing, consumer=ann, call_id="1", reason="faulty", operator="op")
    _, again = await reverse_charge(market.billing, consumer=ann, call_id="1", reason="faulty", operator="op")

    assert (first, again) == (True, False)
    with pytest.raises(IdempotencyConflict):
        await reverse_charge(market.billing, consumer=ann, call_id="1", reason="other", operator="op")
    with pytest.raises(InvalidInput):
        await reverse_charge(market.billing, consumer=ann, call_id="2", reason="faulty", operator="op")
    assert (await market.charged("ann", "t", "1")).replayed is True
    assert await market.balances("ann") == {"wallet": 5 * DOLLAR}


async def test_a_tool_belongs_to_who_published_it_first(market: Market) -> None:
    with pytest.raises(InvalidInput, match="another creator"):
        await market.publish("t", "eve", price="1")


def a_call(number: int) -> Call:
    return Call(call_id=str(number), tool_id="t", consumer_id=UUID(int=number))


async def test_calls_side_by_side_share_groups_and_a_failed_group_is_told_to_its_own() -> None:
    groups: list[int] = []

    async def charge(calls: Sequence[Call]) -> list[ChargeOutcome]:
        groups.append(len(calls))
        await asyncio.sleep(0)
        if len(groups) == 2:
            raise DatabaseUnavailable("gone for a moment")
        return [ToolNotFound(call.call_id) for call in calls]

    queue = ChargeQueue(charge, lanes=1, group_max=10)
    answers = await asyncio.gather(*(queue.charge(a_call(n)) for n in range(25)), return_exceptions=True)

    assert groups == [10, 10, 5]
    assert [type(answer) for answer in answers] == [ToolNotFound] * 10 + [DatabaseUnavailable] * 10 + [ToolNotFound] * 5
    assert [str(answer) for answer in answers[20:]] == ["20", "21", "22", "23", "24"]


async def test_a_caller_that_gives_up_takes_nobody_with_it() -> None:
    gate = asyncio.Event()
    seen: list[str] = []

    async def charge(calls: Sequence[Call]) -> list[ChargeOutcome]:
        await gate.wait()
        seen.extend(call.call_id for call in calls)
        return [ToolNotFound(call.call_id) for call in calls]

    queue = ChargeQueue(charge, lanes=1)
    hasty, patient = (asyncio.ensure_future(queue.charge(a_call(n))) for n in (1, 2))
    await asyncio.sleep(0)
    hasty.cancel()
    gate.set()

    assert isinstance(await patient, ToolNotFound)
    await queue.drain()
    assert seen == ["1", "2"]


async def test_a_full_queue_refuses_at_once() -> None:
    gate = asyncio.Event()

    async def charge(calls: Sequence[Call]) -> list[ChargeOutcome]:
        await gate.wait()
        return [ToolNotFound(call.call_id) for call in calls]

    queue = ChargeQueue(charge, lanes=1, group_max=1)
    asked = [asyncio.ensure_future(queue.charge(a_call(n))) for n in range(WAITING_CALLS_MAX + 2)]
    await asyncio.sleep(0)

    refused = [one for one in asked if one.done()]
    assert [type(one.exception()) for one in refused] == [TooManyWaiting] * 2
    for one in asked:
        one.cancel()
    await asyncio.gather(*asked, return_exceptions=True)
    gate.set()
    await queue.drain()


async def test_batches_and_groups_of_one_process_take_turns() -> None:
    at_once: list[int] = []
    running = 0

    async def charge(calls: Sequence[Call]) -> list[ChargeOutcome]:
        nonlocal running
        running += 1
        at_once.append(running)
        await asyncio.sleep(0)
        running -= 1
        return [ToolNotFound(call.call_id) for call in calls]

    queue = ChargeQueue(charge)
    consumer = uuid4()
    batches = [queue.charge_batch([Call(f"b{n}", "search", consumer)]) for n in range(5)]
    singles = [queue.charge(Call(f"s{n}", "search", consumer)) for n in range(5)]

    answers, _ = await asyncio.gather(asyncio.gather(*batches), asyncio.gather(*singles))

    assert [str(outcome) for (outcome,) in answers] == [f"b{n}" for n in range(5)]
    assert set(at_once) == {1}


async def test_a_batch_is_refused_when_too_many_wait() -> None:
    gate = asyncio.Event()

    async def charge(calls: Sequence[Call]) -> list[ChargeOutcome]:
        await gate.wait()
        return [ToolNotFound(call.call_id) for call in calls]

    queue = ChargeQueue(charge)
    call = Call("b", "search", uuid4())
    waiting = [asyncio.create_task(queue.charge_batch([call])) for _ in range(WAITING_BATCHES_MAX)]
    await asyncio.sleep(0)

    with pytest.raises(TooManyWaiting):
        await queue.charge_batch([call])
    gate.set()
    assert len(await asyncio.gather(*waiting)) == WAITING_BATCHES_MAX
