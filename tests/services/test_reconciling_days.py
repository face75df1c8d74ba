"""No day is left out: one read too early is read again, and after any downtime the next day is the next one."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from gateway.db.rows import integer, text
from gateway.domain.clock import ManualClock
from gateway.domain.errors import ProviderUnavailable
from gateway.domain.ledger import SUBSCRIPTIONS
from gateway.services.billing import Billing
from gateway.services.ledger import balance
from gateway.services.reconciling import mark_reconciled, reconcile_when_due, report_differences
from tests.services.reconciling_rounds import LINES, ONE_DAY, Watch, days_done, plant_fees
from tests.support.reconciling import DAY, MoneyWorld, open_money_world


@pytest.fixture
async def world(database_url: str) -> AsyncIterator[MoneyWorld]:
    async with open_money_world(database_url) as opened:
        yield opened


def watched(world: MoneyWorld) -> Billing:
    return replace(world.platform.billing, watch=Watch())


async def catch_up(billing: Billing) -> int:
    """Rounds of the chore until nothing is due; how many there were."""
    rounds = 0
    while await reconcile_when_due(billing):
        rounds += 1
    return rounds


async def test_a_reading_cut_off_before_midnight_begins_anew_after_it(world: MoneyWorld) -> None:
    await plant_fees(world, 120)
    await world.platform.stripe.fault(LINES, "status_500", count=20, skip=1)
    with pytest.raises(ProviderUnavailable):
        await world.reconcile(DAY)
    await world.control("faults/clear")
    await world.platform.advance(hours=2)
    await world.subscribe()
    await world.next_day()

    report = await world.reconcile(DAY)

    assert (report.lines, report.booked, report.differences) == (121, 122, ())
    assert await balance(world.platform.database, SUBSCRIPTIONS) == 29_000_000
    await world.assert_agreed()


async def test_a_day_closed_by_a_clock_two_hours_ahead_loses_nothing(world: MoneyWorld) -> None:
    await world.deposit(5_000)
    await world.platform.advance(hours=14)
    ahead = ManualClock(world.platform.clock.now() + timedelta(hours=2))
    await catch_up(replace(watched(world), clock=ahead))
    await world.platform.advance(minutes=30)
    await world.subscribe()
    assert world.platform.clock.now().date() == DAY

    for _ in range(2):
        await world.next_day()
        await catch_up(watched(world))

    assert await balance(world.platform.database, SUBSCRIPTIONS) == 29_000_000
    await world.assert_agreed()


async def test_the_command_just_after_midnight_does_not_close_yesterday(world: MoneyWorld) -> None:
    billing = world.platform.billing
    await world.platform.advance(hours=15, seconds=20)
    await world.reconcile(DAY)
    await mark_reconciled(billing, DAY)
    early = await days_done(world)
    await world.platform.advance(hours=3)
    await mark_reconciled(billing, DAY)

    assert (early, await days_done(world)) == ([], [DAY])


async def pulls(world: MoneyWorld) -> dict[str, int]:
    """How often each day that is over was read."""
    rows = await world.platform.database.fetch(
        "SELECT day, pull FROM reconciliation_day WHERE reconciled_at IS NOT NULL ORDER BY day"
    )
    return {text(row, "day"): integer(row, "pull") for row in rows}


async def test_the_last_three_days_are_read_again_with_the_newest(world: MoneyWorld) -> None:
    await world.deposit(5_000)
    await world.next_day(days=5)
    await catch_up(watched(world))
    before = await pulls(world)
    await world.next_day()

    assert await catch_up(watched(world)) == 1

    after = await pulls(world)
    again = [day for day, pull in before.items() if after[day] > pull]
    assert again == ["2026-11-04", "2026-11-05", "2026-11-06"]


async def test_after_nine_days_of_downtime_every_day_is_compared(world: MoneyWorld) -> None:
    await world.deposit(5_000)
    await world.next_day()
    assert await catch_up(watched(world)) == 1
    await world.deposit(5_000)
    await world.subscribe()
    await world.next_day(days=9)

    assert await catch_up(watched(world)) == 9

    assert await days_done(world) == [DAY + days * ONE_DAY for days in range(10)]
    await world.assert_agreed()


async def test_the_first_start_begins_with_the_day_of_the_first_money(world: MoneyWorld) -> None:
    await world.deposit(5_000)
    await world.subscribe()
    await world.next_day(days=3)

    assert await catch_up(watched(world)) == 3

    assert await days_done(world) == [DAY + days * ONE_DAY for days in range(3)]
    await world.assert_agreed()


async def test_days_begin_with_the_first_purchase(world: MoneyWorld) -> None:
    assert await catch_up(watched(world)) == 0
    assert await days_done(world) == []

    await world.deposit(5_000)
    assert await catch_up(watched(world)) == 0
    await world.next_day()
    assert await catch_up(watched(world)) == 1

    assert await days_done(world) == [DAY]
    await world.assert_agreed()


async def test_a_claim_of_a_broken_clock_is_not_waited_for(world: MoneyWorld) -> None:
    await world.deposit(5_000)
    await world.next_day()
    await catch_up(watched(world))
    await world.platform.database.run(
        lambda connection: connection.execute(
            "UPDATE reconciliation_progress SET due_at = $1", (world.platform.clock.now() + timedelta(days=300),)
        )
    )
    await world.next_day()

    assert await catch_up(watched(world)) == 1


async def test_the_watch_is_told_until_when_all_is_compared_also_while_that_stands_still(world: MoneyWorld) -> None:
    watch = Watch()
    billing = replace(world.platform.billing, watch=watch)
    await report_differences(billing)
    never = watch.until
    await world.deposit(5_000)
    await world.next_day()
    await world.platform.stripe.fault(LINES, "status_500", count=100_000)
    with pytest.raises(ProviderUnavailable):
        await reconcile_when_due(billing)
    await report_differences(billing)
    stuck = watch.until
    await world.control("faults/clear")
    await world.platform.advance(hours=1)
    await catch_up(billing)

    midnights = [datetime(DAY.year, DAY.month, DAY.day + days, tzinfo=UTC) for days in (0, 1)]
    assert (never, stuck, watch.until) == (None, *midnights)
