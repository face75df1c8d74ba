"""Many charges, releases, reversals and disputes at the same moment, from several nodes on one PostgreSQL."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Sequence
from contextlib import AsyncExitStack, suppress
from datetime import timedelta
from functools import partial

import pytest

from gateway.db import open_database
from gateway.domain.charges import Call, Charged, ChargeOutcome
from gateway.domain.clock import ManualClock
from gateway.domain.errors import IdempotencyConflict, InProgress, InsufficientFunds
from gateway.services.marketplace.charging import charge_calls
from gateway.services.marketplace.queue import ChargeQueue
from gateway.services.marketplace.releases import release_due
from gateway.services.marketplace.reversals import reverse_charge
from gateway.services.taken_back.disputes import settle_dispute
from gateway.services.taken_back.refunds import settle_refund
from tests.services.market_world import HOLD, Market, open_market
from tests.support.books import assert_books_balance

TASKS = 64
DOLLAR = 1_000_000


@pytest.fixture
async def nodes(postgres_url: str) -> AsyncIterator[Sequence[Market]]:
    """One market, seen by three nodes; dan sells `cheap` for a tenth of a cent and `t` for a dollar."""
    async with AsyncExitStack() as stack:
        databases = [await stack.enter_async_context(open_database(postgres_url)) for _ in range(3)]
        first = open_market(databases[0])
        await first.publish("cheap", "dan", price="0.001")
        await first.publish("t", "dan", price="1")
        yield [first.beside(database) for database in databases]


def queue_of(node: Market) -> ChargeQueue:
    return ChargeQueue(partial(charge_calls, node.billing))


async def ask(queues: Sequence[ChargeQueue], calls: Sequence[Call]) -> list[ChargeOutcome]:
    """All calls, shared out among 64 tasks, each of which makes its own one after the other."""

    async def task(seat: int) -> list[ChargeOutcome]:
        queue = queues[seat % len(queues)]
        return [await queue.charge(call) for call in calls[seat::TASKS]]

    return [outcome for one in await asyncio.gather(*map(task, range(TASKS))) for outcome in one]


@pytest.mark.parametrize("count", [1, 3])
async def test_money_for_a_thousand_calls_pays_exactly_a_thousand_of_two(nodes: Sequence[Market], count: int) -> None:
    ann = nodes[0]
    await ann.deposit("ann", 100)

    outcomes = await ask(
        [queue_of(node) for node in nodes[:count]], [ann.call("ann", "cheap", str(n)) for n in range(2_000)]
    )

    assert Counter(type(outcome) for outcome in outcomes) == {Charged: 1_000, InsufficientFunds: 1_000}
    assert await ann.balances("ann") == {}
    assert await ann.balances("dan") == {"earn_pending": 1_000 * 800}
    after = sorted(outcome.balance_after_micros for outcome in outcomes if isinstance(outcome, Charged))
    assert after == list(range(0, DOLLAR, 1_000))
    await assert_books_balance(ann.database)


async def test_one_call_id_from_fifty_tasks_is_charged_once(nodes: Sequence[Market]) -> None:
    await nodes[0].deposit("ann", 1_000)
    queues = [queue_of(node) for node in nodes]
    call = nodes[0].call("ann", "t", "same")

    outcomes = await asyncio.gather(*(queues[n % len(queues)].charge(call) for n in range(50)))

    charged = [outcome for outcome in outcomes if isinstance(outcome, Charged)]
    assert Counter(outcome.replayed for outcome in charged) == {False: 1, True: 49}
    assert len({(outcome.entry_id, outcome.balance_after_micros) for outcome in charged}) == 1
    assert await nodes[0].balances("ann") == {"wallet": 9 * DOLLAR}
    await assert_books_balance(nodes[0].database)


async def test_one_call_id_for_two_tools_at_once_pays_one_and_refuses_the_other(nodes: Sequence[Market]) -> None:
    await nodes[0].deposit("ann", 1_000)
    queues = [queue_of(node) for node in nodes]
    calls = [nodes[0].call("ann", tool, "same") for tool in ("t", "cheap")] * 10

    outcomes = await asyncio.gather(*(queues[n % 3].charge(call) for n, call in enumerate(calls)))

    assert Counter(type(outcome) for outcome in outcomes) == {Charged: 10, IdempotencyConflict: 10}
    assert sum(isinstance(outcome, Charged) and not outcome.replayed for outcome in outcomes) == 1
    await assert_books_balance(nodes[0].database)


async def test_a_creator_with_many_customers_on_many_nodes_loses_no_cent(nodes: Sequence[Market]) -> None:
    people = [f"person-{number}" for number in range(30)]
    await asyncio.gather(*(nodes[n % 3].deposit(person, 100) for n, person in enumerate(people)))
    queues = [queue_of(node) for node in nodes]
    calls = [nodes[0].call(person, "cheap", str(n)) for n in range(20) for person in people]

    outcomes = await asyncio.gather(*(queues[n % 3].charge(call) for n, call in enumerate(calls)))

    assert all(isinstance(outcome, Charged) and not outcome.replayed for outcome in outcomes)
    assert await nodes[0].balances("dan") == {"earn_pending": 600 * 800}
    (day,) = await nodes[0].database.fetch("SELECT gross_micros, net_micros, calls FROM earnings_day")
    assert tuple(day.values()) == (600_000, 480_000, 600)
    await assert_books_balance(nodes[0].database)


async def test_nodes_that_release_at_once_move_each_charge_once(nodes: Sequence[Market]) -> None:
    first = nodes[0]
    creators = [f"creator-{number}" for number in range(8)]
    for creator in creators:
        await first.publish(creator, creator, price="0.001")
    await first.deposit("ann", 1_000)
    calls = [first.call("ann", creator, f"{creator}-{n}") for n in range(150) for creator in creators]
    for start in range(0, len(calls), 300):
        await first.charge(*calls[start : start + 300])
    assert isinstance(first.billing.clock, ManualClock)
    first.billing.clock.advance(HOLD)

    released = await asyncio.gather(*(node.release_all() for node in (*nodes, *nodes)))

    assert sum(released) + await first.release_all() == 1_200
    for creator in creators:
        assert await first.balances(creator) == {"earn_available": 150 * 800}
    await assert_books_balance(first.database)


async def patiently(settling: Awaitable[object]) -> None:
    """As the inbox does: what others are at comes again later, here at the end."""
    with suppress(InProgress):
        await settling


async def test_charges_releases_reversals_and_disputes_at_once_keep_the_books(nodes: Sequence[Market]) -> None:
    first, clock = nodes[0], nodes[0].billing.clock
    assert isinstance(clock, ManualClock)
    people = ["ann", "bob", "dan"]
    deposits = {person: [await first.deposit(person, 2_000) for _ in range(2)] for person in people}
    for person in people:
        await first.charge(*(first.call(person, "t", f"old-{n}") for n in range(15)))
    clock.advance(HOLD + timedelta(seconds=1))
    queues = [queue_of(node) for node in nodes]

    def dispute(node: Market, person: str, place: int, status: str, cents: int) -> Awaitable[object]:
        charge_id = deposits[person][place].charge_id
        node.stripe.dispute(f"dp_{charge_id}one", charge_id, status=status, withdrawn_cents=cents)
        return patiently(settle_dispute(node.billing, dispute_id=f"dp_{charge_id}one"))

    def refund(node: Market, person: str, cents: int) -> Awaitable[object]:
        node.stripe.refund(deposits[person][1].charge_id, total_cents=cents)
        return patiently(settle_refund(node.billing, charge_id=deposits[person][1].charge_id))

    def work(number: int) -> list[Awaitable[object]]:
        node, person = nodes[number % 3], people[number % len(people)]
        status = ("needs_response", "won", "lost")[number // 3 % 3]
        return [
            *(queues[number % 3].charge(first.call(person, "t", f"new-{number}-{n}")) for n in range(10)),
            release_due(node.billing),
            reverse_charge(
                node.billing,
                consumer=first.subject(person),
                call_id=f"old-{number % 15}",
                reason="faulty",
                operator="op",
            ),
            dispute(node, person, 0, status, 0 if status == "won" else 2_000),
            refund(node, person, 100 * (number % 10)),
            node.deposit(person, 300),
        ]

    for start in range(0, 27, 9):
        results = await asyncio.gather(
            *(one for number in range(start, start + 9) for one in work(number)), return_exceptions=True
        )
        failures = [one for one in results if isinstance(one, BaseException) and not isinstance(one, InsufficientFunds)]
        assert {str(failure) for failure in failures} <= {"A lost dispute took this charge's money back already."}
        await assert_books_balance(first.database)
    for person in people:
        await dispute(first, person, 0, "won", 0)
        await refund(first, person, 0)
    await first.release_all()

    assert not {"held", "lost"} & {state for person in people for state in (await first.states(person)).values()}
    for person in people:
        assert not {"wallet", "receivable"} <= (await first.balances(person)).keys()
    await assert_books_balance(first.database)
