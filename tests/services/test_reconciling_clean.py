"""Days on which nothing is wrong: no difference is invented, and the ledger ends where Stripe does, to the cent."""

from collections.abc import AsyncIterator
from datetime import date, timedelta

import pytest

from gateway.domain.ledger import STRIPE_FEES, SUBSCRIPTIONS
from gateway.services.ledger import balance
from tests.support.reconciling import DAY, MoneyWorld, open_money_world


@pytest.fixture
async def world(database_url: str) -> AsyncIterator[MoneyWorld]:
    async with open_money_world(database_url) as opened:
        yield opened


async def busy_day(world: MoneyWorld) -> None:
    """Every kind of line that Stripe's balance can have of us."""
    for _ in range(2):
        await world.deposit(50_000)
    refunded, failed, won, lost = [await world.deposit(cents) for cents in (5_000, 2_500, 4_000, 3_000)]
    kept, returned, contested = [await world.subscribe() for _ in range(3)]
    assert len({kept, returned, contested}) == 3
    await world.control("refunds", charge=returned, amount=900)
    await world.control("disputes/open", charge=contested)
    await world.control("refunds", charge=refunded.charge_id, amount=2_000)
    await world.control("refunds", charge=refunded.charge_id, amount=500)
    comes_back = await world.control("refunds", charge=failed.charge_id)
    await world.platform.settled()
    await world.control("refunds/fail", refund=comes_back["id"])
    disputes = [await world.control("disputes/open", charge=one.charge_id) for one in (won, lost)]
    await world.platform.settled()
    for dispute, outcome in zip(disputes, ("won", "lost"), strict=True):
        await world.control("disputes/close", dispute=dispute["id"], outcome=outcome)
    await world.platform.settled()
    _, transfer_id = await world.pay_out(5_000)
    await world.pay_out(2_000)
    await world.control("transfers/reverse", transfer=transfer_id, amount=1_200)
    to_bank = await world.control("payouts/create", amount=10_000)
    await world.control("payouts/arrive", payout=to_bank["id"])
    sent_back = await world.control("payouts/create", amount=7_000)
    await world.control("payouts/fail", payout=sent_back["id"])
    await world.platform.settled()


async def test_a_day_of_every_kind_of_money_ends_where_stripe_does(world: MoneyWorld) -> None:
    await busy_day(world)
    await world.next_day()

    report = await world.reconcile()

    assert report.differences == ()
    assert report.healed == ()
    assert (report.lines, report.booked) == (24, 20)
    await world.assert_agreed()
    assert await balance(world.platform.database, SUBSCRIPTIONS) == (2 * 2_900 - 900) * 10_000
    assert await balance(world.platform.database, STRIPE_FEES) < 0


async def test_reconciling_again_books_nothing_and_finds_nothing(world: MoneyWorld) -> None:
    await busy_day(world)
    await world.next_day()
    first = await world.reconcile()
    entries = await world.platform.entries()

    again = await world.reconcile(with_healing=False)

    assert first.booked > 0
    assert (again.booked, again.lines, again.differences) == (0, first.lines, ())
    assert await world.platform.entries() == entries


async def test_renewals_and_automatic_payouts_of_later_days_are_booked_too(world: MoneyWorld) -> None:
    await world.subscribe()
    await world.deposit(5_000)
    await world.next_day(days=33)
    await world.platform.settled()

    assert await world.reconcile_since(DAY) == []

    await world.assert_agreed()
    rows = await world.platform.database.fetch("SELECT idem FROM ledger_entry WHERE kind = 'subscription'")
    assert len(rows) == 2


async def test_what_was_settled_after_midnight_belongs_to_the_day_before(world: MoneyWorld) -> None:
    await world.platform.advance(hours=14, minutes=59)
    await world.silence()
    paid = await world.deposit(2_500, settled=False)
    assert world.platform.clock.now().date() == DAY
    await world.platform.advance(minutes=2)
    await world.control("events/release")
    await world.platform.settled()
    await world.next_day()

    second = await world.reconcile(DAY + timedelta(days=1))
    first = await world.reconcile(DAY)

    assert (second.differences, first.differences) == ((), ())
    rows = await world.platform.database.fetch("SELECT idem FROM ledger_entry WHERE idem LIKE 'dep:%'")
    assert [row["idem"] for row in rows] == [f"dep:{paid.session_id}"]
    await world.assert_agreed()


async def test_a_day_without_anything_is_clean(world: MoneyWorld) -> None:
    report = await world.reconcile(date(2026, 1, 1))

    assert (report.lines, report.booked, report.differences, report.healed) == (0, 0, (), ())
