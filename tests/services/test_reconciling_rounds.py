"""How a day is gone through: page by page, cut off and gone on with, by two nodes at once, late, and once a day."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from gateway.domain.errors import ProviderUnavailable
from gateway.domain.ledger import STRIPE_FEES
from gateway.domain.reconciliation import DifferenceKind
from gateway.services.ledger import balance
from gateway.services.reconciling import FutureDay, accept, reconcile_day, reconcile_when_due
from tests.services.reconciling_rounds import LINES, ONE_DAY, Watch, days_done, plant_fees
from tests.support.reconciling import DAY, MoneyWorld, open_money_world


@pytest.fixture
async def world(database_url: str) -> AsyncIterator[MoneyWorld]:
    async with open_money_world(database_url, gateways=2) as opened:
        yield opened


async def pages_asked(world: MoneyWorld) -> int:
    return len([one for one in await world.platform.stripe.requests(LINES) if one["path"] == LINES])


async def test_a_day_of_many_lines_is_read_page_by_page_and_booked_once(world: MoneyWorld) -> None:
    await plant_fees(world, 251)
    await world.next_day()
    await world.platform.stripe.forget_requests()

    report = await world.reconcile()

    assert (report.lines, report.booked, report.differences) == (251, 251, ())
    assert await pages_asked(world) == 3
    assert await balance(world.platform.database, STRIPE_FEES) == -2_510_000
    await world.assert_agreed()


async def test_a_reading_that_was_cut_off_goes_on_where_it_was(world: MoneyWorld) -> None:
    await plant_fees(world, 251)
    await world.next_day()
    await world.platform.stripe.fault(LINES, "status_500", count=20, skip=1)
    with pytest.raises(ProviderUnavailable):
        await world.reconcile()
    await world.control("faults/clear")
    await world.platform.stripe.forget_requests()

    report = await world.reconcile()

    assert (report.lines, report.booked, report.differences) == (251, 251, ())
    assert await pages_asked(world) == 2
    await world.assert_agreed()


async def test_a_reading_whose_place_is_gone_starts_over(world: MoneyWorld) -> None:
    await plant_fees(world, 150)
    await world.next_day()
    await world.platform.stripe.fault(LINES, "status_500", count=20, skip=1)
    with pytest.raises(ProviderUnavailable):
        await world.reconcile()
    await world.control("faults/clear")
    row = await world.platform.database.fetch_one("SELECT cursor FROM reconciliation_day")
    assert row is not None
    await world.control("balance/alter", balance_transaction=row["cursor"], missing=True)

    report = await world.reconcile()

    assert (report.lines, report.booked, report.differences) == (149, 149, ())
    await world.assert_agreed()


async def test_two_nodes_at_once_book_and_heal_everything_once(world: MoneyWorld) -> None:
    await plant_fees(world, 120)
    await world.deposit(5_000)
    await world.silence()
    unheard = await world.deposit(2_500, settled=False)
    await world.next_day()
    nodes = [node.gateway.billing for node in world.platform.nodes]

    reports = await asyncio.gather(*(reconcile_day(billing, DAY) for billing in nodes * 2))

    assert [report.differences for report in reports] == [()] * 4
    assert {one.subject for report in reports for one in report.healed} == {f"dep:{unheard.session_id}"}
    rows = await world.platform.database.fetch("SELECT idem FROM ledger_entry WHERE kind = 'stripe_fee'")
    assert len(rows) == 122
    await world.assert_agreed()


async def test_what_is_young_is_timing_and_is_looked_at_again_with_the_next_day(world: MoneyWorld) -> None:
    await world.silence()
    unheard = await world.deposit(2_500, settled=False)
    subject = f"dep:{unheard.session_id}"
    await world.next_day()

    first = await world.reconcile(with_healing=False)
    await world.next_day()
    second = await world.reconcile(DAY + ONE_DAY, with_healing=False)
    await world.next_day()
    third = await world.reconcile(DAY + 2 * ONE_DAY, with_healing=False)
    last = await world.reconcile(DAY + 2 * ONE_DAY)

    found = [[(one.subject, one.kind, one.is_open) for one in report.differences] for report in (first, second, third)]
    assert found == [
        [(subject, DifferenceKind.TIMING, False)],
        [(subject, DifferenceKind.TIMING, False)],
        [(subject, DifferenceKind.MISSING_HERE, True)],
    ]
    assert (last.differences, [one.subject for one in last.healed]) == ((), [subject])
    await world.assert_agreed()


async def test_stripe_away_changes_nothing_and_the_next_round_does_it_all(world: MoneyWorld) -> None:
    await world.deposit(5_000)
    await world.next_day()
    await world.platform.stripe.fault(LINES, "status_500", count=20)
    with pytest.raises(ProviderUnavailable):
        await world.reconcile()
    assert await world.platform.entries() == 1
    await world.control("faults/clear")

    assert (await world.reconcile()).differences == ()
    await world.assert_agreed()


async def test_a_day_that_has_not_begun_is_refused(world: MoneyWorld) -> None:
    with pytest.raises(FutureDay, match="2026-11-03 is after 2026-11-02"):
        await world.reconcile(DAY + ONE_DAY)
    assert await pages_asked(world) == 0


async def test_the_chore_does_each_day_once_and_catches_up(world: MoneyWorld) -> None:
    watch = Watch()
    first, second = (replace(node.gateway.billing, watch=watch) for node in world.platform.nodes)
    await world.deposit(5_000)
    await world.control("balance/plant", amount=700)
    await world.next_day()

    claimed = await asyncio.gather(reconcile_when_due(first), reconcile_when_due(second))
    again = await reconcile_when_due(first)
    assert (sorted(claimed), again) == ([False, True], False)
    await world.next_day(days=3)
    rounds = [await reconcile_when_due(second) for _ in range(4)]

    assert rounds == [True, True, True, False]
    assert await days_done(world) == [DAY + days * ONE_DAY for days in range(4)]
    assert watch.open == {"unknown_type": 1}


async def test_a_round_of_the_chore_that_failed_is_tried_again_after_an_hour(world: MoneyWorld) -> None:
    billing = replace(world.platform.billing, watch=Watch())
    await world.deposit(5_000)
    await world.next_day()
    await world.platform.stripe.fault(LINES, "status_500", count=20)
    with pytest.raises(ProviderUnavailable):
        await reconcile_when_due(billing)
    await world.control("faults/clear")

    at_once = await reconcile_when_due(billing)
    await world.platform.advance(hours=1)
    later = await reconcile_when_due(billing)

    assert (at_once, later) == (False, True)
    await world.assert_agreed()


async def test_what_was_accepted_stays_quiet_until_it_changes(world: MoneyWorld) -> None:
    billing = world.platform.billing
    planted = await world.control("balance/plant", amount=-800)
    subject = f"txn:{planted['id']}"
    await world.next_day()
    assert [one.subject for one in (await world.reconcile()).differences] == [subject]

    assert await accept(billing, subject)
    quiet = await world.reconcile()
    await world.control("balance/alter", balance_transaction=planted["id"], amount=-900)
    loud = await world.reconcile()

    assert quiet.differences == ()
    assert [(one.subject, one.theirs_micros) for one in loud.differences] == [(subject, -9_000_000)]
    assert await accept(billing, subject)
    assert not await accept(billing, subject)
    assert not await accept(billing, "txn:unknown")


async def test_money_that_came_back_unheard_is_settled_again_at_once(world: MoneyWorld) -> None:
    refunded, disputed = [await world.deposit(cents) for cents in (2_500, 3_000)]
    refund = await world.control("refunds", charge=refunded.charge_id)
    dispute = await world.control("disputes/open", charge=disputed.charge_id)
    await world.platform.settled()
    await world.silence()
    await world.control("refunds/fail", refund=refund["id"])
    await world.control("disputes/close", dispute=dispute["id"], outcome="won")
    await world.next_day()

    report = await world.reconcile()

    assert report.differences == ()
    assert {one.subject for one in report.healed} == {f"ref:{refunded.charge_id}", f"dp:{dispute['id']}"}
    await world.assert_agreed()


async def test_what_only_the_ledger_has_is_reported_and_never_taken_back(world: MoneyWorld) -> None:
    paid = await world.deposit(2_500)
    refund = await world.control("refunds", charge=paid.charge_id)
    await world.platform.settled()
    await world.control("balance/alter", balance_transaction=await world.line_of(refund["id"]), missing=True)
    entries = await world.platform.entries()
    await world.next_day()

    report = await world.reconcile()

    assert [(one.subject, one.kind) for one in report.differences] == [(f"ref:{paid.charge_id}", DifferenceKind.TIMING)]
    assert report.healed == ()
    assert await world.platform.entries() == entries + report.booked
