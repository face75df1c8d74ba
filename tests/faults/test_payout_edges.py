"""Payouts at their edges: calendars, clocks, accounts that change, and many who act at once."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta

import pytest
from structlog.testing import capture_logs

from gateway.db import Connection, Database
from gateway.domain.clock import ManualClock
from gateway.domain.connecting import AccountsApi, AccountStatus
from gateway.domain.errors import BelowMinimumPayout, PayoutsNotReady, ProviderUnavailable
from gateway.domain.schedules import PayoutFrequency
from gateway.services.connecting import close_account, start_onboarding, sync_account
from gateway.services.payouts import cancel_payout, request_payout, run_due_schedules, update_frequency
from gateway.stripe_service import AccountLink
from models.payout import Payout
from tests.support.payouts import DOLLAR, START, Creator, PayoutWorld, open_payout_world
from tests.support.reading import payout_settings

#: The Monday after START.
MONDAY = START + timedelta(hours=15)


@pytest.fixture
async def paying(database: Database) -> AsyncIterator[PayoutWorld]:
    async with open_payout_world(database) as world:
        yield world


async def requested(paying: PayoutWorld, *, cents: int = 5_000) -> tuple[Creator, Payout]:
    creator = await paying.creator(cents=cents)
    await request_payout(paying.billing, subject=creator.subject)
    return creator, await paying.payout(creator)


def seen_at(paying: PayoutWorld, clock: ManualClock) -> PayoutWorld:
    """The same world seen by a node whose clock is another."""
    return replace(paying, billing=replace(paying.billing, clock=clock), clock=clock)


async def test_a_canceled_payout_of_a_schedule_leaves_the_creator_free(paying: PayoutWorld) -> None:
    await paying.fund(-90_000_000)
    creator = await paying.creator()
    await paying.schedule(creator, due_at=MONDAY)
    paying.clock.advance(MONDAY - paying.clock.now())
    assert await run_due_schedules(paying.billing, limit=10) == 1
    assert not await paying.work((await paying.payout(creator)).id)
    assert await cancel_payout(paying.billing, (await paying.payout(creator)).id)
    await paying.fund(90_000_000)

    await paying.advance(minutes=1)
    by_hand = await request_payout(paying.billing, subject=creator.subject)
    assert await paying.work(by_hand.id)
    await paying.earn(creator, micros=30 * DOLLAR)
    await paying.advance(days=7)
    assert await run_due_schedules(paying.billing, limit=10) == 1

    rows = [(one.state, one.period, one.amount_cents) for one in await paying.payouts(creator)]
    assert rows == [
        ("canceled", "weekly:2026-W49", 5_000),
        ("in_transit", None, 5_000),
        ("requested", "weekly:2026-W50", 3_000),
    ]
    await paying.assert_books()


async def test_clocks_two_hours_apart_begin_a_period_once(paying: PayoutWorld) -> None:
    creator = await paying.creator()
    await paying.schedule(creator, due_at=MONDAY)
    paying.clock.advance(MONDAY - timedelta(hours=1) - paying.clock.now())
    fast, slow = ManualClock(MONDAY + timedelta(hours=1)), ManualClock(MONDAY - timedelta(hours=3))
    ahead, behind = seen_at(paying, fast), seen_at(paying, slow)

    ran = [await run_due_schedules(node.billing, limit=10) for node in (behind, ahead, paying, behind)]
    await paying.work((await paying.payout(creator)).id)
    await paying.earn(creator, micros=30 * DOLLAR)
    paying.clock.advance(timedelta(hours=2))
    slow.advance(timedelta(hours=4))
    ran += [await run_due_schedules(node.billing, limit=10) for node in (behind, paying)]

    assert ran == [0, 1, 0, 0, 0, 0]
    assert [one.period for one in await paying.payouts(creator)] == ["weekly:2026-W49"]
    await paying.assert_books()


async def test_an_account_that_was_replaced_after_the_reserve_gets_nothing_and_the_new_one_does(
    paying: PayoutWorld,
) -> None:
    creator, payout = await requested(paying)
    await close_account(paying.billing, creator.account_id, reason="left")
    other = await paying.creator(cents=0)

    async def hand_over(connection: Connection) -> None:
        await connection.execute(
            "UPDATE connected_account SET creator_id = $2 WHERE id = $1", (other.account_id, creator.id)
        )

    await paying.database.run(hand_over)

    assert await paying.work(payout.id)

    payout = await paying.payout(creator)
    assert (payout.state, payout.failure_code) == ("failed", "account_closed")
    assert await paying.balances(creator) == {"earn_available": 50 * DOLLAR}
    await paying.advance(minutes=1)
    again = await request_payout(paying.billing, subject=creator.subject)
    assert await paying.work(again.id)
    (transfer,) = await paying.transfers(again.id)
    assert transfer["destination"] == other.stripe_account_id
    await paying.assert_books()


async def test_a_closed_account_stays_closed_whatever_is_told_of_it_later(paying: PayoutWorld) -> None:
    creator = await paying.creator()
    await close_account(paying.billing, creator.account_id, reason="left")

    after = await sync_account(paying.billing, account_id=creator.account_id)

    assert after.status is AccountStatus.CLOSED
    with pytest.raises(PayoutsNotReady):
        await request_payout(paying.billing, subject=creator.subject)
    await paying.assert_books()


@pytest.mark.parametrize(("micros", "cents"), [(10 * DOLLAR, 1_000), (10 * DOLLAR + 9_999, 1_000)])
async def test_exactly_the_minimum_is_paid_and_less_than_a_cent_stays(
    paying: PayoutWorld, micros: int, cents: int
) -> None:
    creator = await paying.creator(cents=0, micros=micros)
    view = await request_payout(paying.billing, subject=creator.subject, amount_cents=cents)
    assert await paying.work(view.id)
    left = micros - cents * 10_000
    assert await paying.balances(creator) == ({"earn_available": left} if left else {})
    await paying.assert_books()


async def test_a_hundredth_of_a_cent_less_than_the_minimum_is_too_little(paying: PayoutWorld) -> None:
    creator = await paying.creator(cents=0, micros=10 * DOLLAR - 1)
    with pytest.raises(BelowMinimumPayout):
        await request_payout(paying.billing, subject=creator.subject)
    await paying.assert_books()


async def test_requests_and_reversals_at_once_never_reserve_what_is_gone(paying: PayoutWorld) -> None:
    creators = [await paying.creator(cents=1_000) for _ in range(10)]

    await asyncio.gather(
        *(request_payout(paying.billing, subject=creator.subject) for creator in creators),
        *(paying.earn(creator, micros=-1) for creator in creators),
        return_exceptions=True,
    )
    await asyncio.gather(*(paying.round() for _ in range(2)))

    for creator in creators:
        balances = await paying.balances(creator)
        made = sum(payout.transfer_id is not None for payout in await paying.payouts(creator))
        assert balances in ({"earn_available": 10 * DOLLAR - 1}, {"earn_available": -1}), balances
        assert made == (balances["earn_available"] < 0)
    await paying.assert_books()


async def test_cancelling_and_sending_at_once_pays_or_gives_back_and_never_both(paying: PayoutWorld) -> None:
    made = [await requested(paying) for _ in range(10)]

    canceled = await asyncio.gather(
        *(cancel_payout(paying.billing, payout.id) for _, payout in made),
        *(paying.work(payout.id) for _, payout in made),
    )

    for (creator, payout), gone in zip(made, canceled, strict=False):
        assert len(await paying.transfers(payout.id)) == (0 if gone else 1)
        assert (await paying.payout(creator)).state == ("canceled" if gone else "in_transit")
        assert await paying.balances(creator) == ({"earn_available": 50 * DOLLAR} if gone else {})
    await paying.assert_books()


async def test_a_creator_whom_one_generation_of_the_api_refused_connects_with_the_other(paying: PayoutWorld) -> None:
    """The row of the first click must not hold the creator to an API that the platform does not have."""
    await paying.door.fault("/v2/core/accounts", "drop_before", method="POST")
    with pytest.raises(ProviderUnavailable):
        await onboard(paying, AccountsApi.V2)

    link = await onboard(paying, AccountsApi.V1)
    again = await onboard(paying, AccountsApi.V2)

    assert link.url != again.url
    rows = await paying.database.fetch("SELECT api, status FROM connected_account ORDER BY created_at, id")
    assert sorted((row["api"], row["status"]) for row in rows) == [("v1", "onboarding"), ("v2", "closed")]
    await paying.assert_books()


async def onboard(paying: PayoutWorld, api: AccountsApi) -> AccountLink:
    billing = replace(paying.billing, rules=replace(paying.billing.rules, accounts_api=api))
    url = "https://app.aerostack.dev/payouts"
    return await start_onboarding(billing, subject="ann", return_url=url, refresh_url=url, country="US")


async def test_a_way_into_stripes_pages_is_never_logged(paying: PayoutWorld) -> None:
    with capture_logs() as logged:
        link = await onboard(paying, AccountsApi.V1)
    assert "connect.link_made" in [one["event"] for one in logged]
    assert link.url.rpartition("/")[2] not in repr(logged)
    assert "aerostack.dev" not in repr(logged)
    assert link.url not in repr(link)


async def test_choosing_another_calendar_while_the_run_begins_ends_in_one_of_both_orders(paying: PayoutWorld) -> None:
    creators = [await paying.creator() for _ in range(10)]
    for creator in creators:
        await paying.schedule(creator, due_at=MONDAY)
    paying.clock.advance(MONDAY - paying.clock.now())

    await asyncio.gather(
        run_due_schedules(paying.billing, limit=100),
        *(
            update_frequency(paying.billing, subject=creator.subject, frequency=PayoutFrequency.MONTHLY)
            for creator in creators
        ),
    )
    await run_due_schedules(paying.billing, limit=100)

    for creator in creators:
        assert [one.period for one in await paying.payouts(creator)] in ([], ["weekly:2026-W49"])
        settings = await payout_settings(paying.billing, creator.subject)
        assert (settings.frequency, settings.next_payout_at) == (PayoutFrequency.MONTHLY, MONDAY + timedelta(days=1))
    await paying.assert_books()
