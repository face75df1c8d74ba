"""Many at once about one creator's money: one payout, one run, one transfer."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from gateway.db import Database
from gateway.domain.errors import PayoutInProgress
from gateway.services.payouts import PayoutView, request_payout, run_due_schedules
from tests.support.payouts import DOLLAR, START, PayoutWorld, open_payout_world

MANY = 50


@pytest.fixture
async def paying(database: Database) -> AsyncIterator[PayoutWorld]:
    async with open_payout_world(database) as world:
        yield world


async def test_fifty_requests_at_once_are_one_payout(paying: PayoutWorld) -> None:
    creator = await paying.creator(cents=5_000)

    outcomes = await asyncio.gather(
        *(request_payout(paying.billing, subject=creator.subject, amount_cents=1_000) for _ in range(MANY)),
        return_exceptions=True,
    )

    made = [one for one in outcomes if isinstance(one, PayoutView)]
    assert len(made) == 1
    assert sum(isinstance(one, PayoutInProgress) for one in outcomes) == MANY - 1
    assert await paying.balances(creator) == {"earn_available": 40 * DOLLAR, "transit": 10 * DOLLAR}
    await paying.assert_books()


async def test_fifty_requests_with_one_key_are_one_payout_and_no_refusal(paying: PayoutWorld) -> None:
    creator = await paying.creator(cents=5_000)

    views = await asyncio.gather(
        *(request_payout(paying.billing, subject=creator.subject, client_key="k") for _ in range(MANY))
    )

    assert len({view.id for view in views}) == 1
    assert len(await paying.payouts(creator)) == 1
    await paying.assert_books()


async def test_two_schedulers_claim_each_creator_once(paying: PayoutWorld) -> None:
    creators = [await paying.creator() for _ in range(20)]
    for creator in creators:
        await paying.schedule(creator, due_at=START - timedelta(days=6, hours=9))

    ran = await asyncio.gather(*(run_due_schedules(paying.billing, limit=100) for _ in range(4)))

    assert sum(ran) == len(creators)
    assert [len(await paying.payouts(creator)) for creator in creators] == [1] * len(creators)
    rows = await paying.database.fetch("SELECT creator_id FROM payout_run")
    assert len(rows) == len(creators)
    await paying.assert_books()


async def test_many_workers_at_one_payout_make_one_transfer(paying: PayoutWorld) -> None:
    creator = await paying.creator()
    view = await request_payout(paying.billing, subject=creator.subject)

    for _ in range(3):
        await asyncio.gather(*(paying.work(view.id) for _ in range(8)))
        await paying.advance(hours=1)

    assert len(await paying.transfers(view.id)) == 1
    assert (await paying.payout(creator)).state == "in_transit"
    assert await paying.balances(creator) == {}
    await paying.assert_books()


async def test_a_request_and_a_schedule_at_once_never_pay_more_than_there_is(paying: PayoutWorld) -> None:
    creators = [await paying.creator(cents=1_500) for _ in range(10)]
    for creator in creators:
        await paying.schedule(creator, due_at=START - timedelta(days=6, hours=9))

    await asyncio.gather(
        run_due_schedules(paying.billing, limit=100),
        *(request_payout(paying.billing, subject=creator.subject) for creator in creators),
        return_exceptions=True,
    )

    for creator in creators:
        assert await paying.balances(creator) == {"transit": 15 * DOLLAR}
        assert len(await paying.payouts(creator)) == 1
    await paying.assert_books()
