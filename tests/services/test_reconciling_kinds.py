"""Lines of every type find what they belong to, so that nothing is called different that is not."""

from collections import Counter
from collections.abc import AsyncIterator

import pytest

from gateway.domain.ledger import BANK, STRIPE, STRIPE_FEES, EntryDraft, EntryKind, Line
from gateway.domain.reconciliation import DifferenceKind
from gateway.services.ledger import balance, record
from gateway.services.reconciling import Reconciliation, accept
from tests.services.reconciling_rounds import ONE_DAY
from tests.support.payouts import Creator
from tests.support.reconciling import DAY, MoneyWorld, open_money_world

#: A card whose payment takes days and then fails or not.
DELAYED = "4000000000009979"


@pytest.fixture
async def world(database_url: str) -> AsyncIterator[MoneyWorld]:
    async with open_money_world(database_url) as opened:
        yield opened


def told(report: Reconciliation) -> list[tuple[str, DifferenceKind]]:
    return [(one.subject, one.kind) for one in report.differences]


async def delayed_deposit(world: MoneyWorld) -> str:
    """The session of a debit that was submitted; Stripe makes its line at once."""
    page = await world.platform.person().deposit_page("2500")
    await world.platform.stripe.pay(page.url, DELAYED)
    await world.platform.settled()
    return page.session_id


async def test_a_payment_under_way_is_timing_however_long_it_takes(world: MoneyWorld) -> None:
    session = await delayed_deposit(world)
    await world.next_day(days=3)

    report = await world.reconcile()

    assert told(report) == [(f"dep:{session}", DifferenceKind.TIMING)]
    assert (report.healed, await world.in_ledger_cents()) == ((), -103)  # Stripe's fee, which it takes at once


async def test_a_payment_that_failed_and_was_taken_back_is_no_difference(world: MoneyWorld) -> None:
    session = await delayed_deposit(world)
    await world.next_day(days=3)
    assert len((await world.reconcile()).differences) == 1
    await world.control("payments/fail", checkout_session=session)
    await world.platform.settled()
    await world.next_day(days=3)

    report = await world.reconcile(DAY + 3 * ONE_DAY)

    assert report.differences == ()
    await world.assert_agreed()


async def test_a_failed_refund_that_comes_as_an_adjustment_is_of_the_refund(world: MoneyWorld) -> None:
    paid = await world.deposit(5_000)
    refund = await world.control("refunds", charge=paid.charge_id)
    await world.platform.settled()
    await world.control("refunds/fail", refund=refund["id"])
    await world.platform.settled()
    line = await world.line_of(refund["id"], type="refund_failure")
    await world.control("balance/alter", balance_transaction=line, missing=True)
    await world.control("balance/plant", amount=5_000, type="adjustment", source=refund["id"])
    await world.next_day(days=4)

    report = await world.reconcile()

    assert report.differences == ()
    await world.assert_agreed()


async def test_what_is_only_timing_cannot_be_accepted(world: MoneyWorld) -> None:
    await world.silence()
    unheard = await world.deposit(2_500, settled=False)
    subject = f"dep:{unheard.session_id}"
    await world.next_day()
    assert told(await world.reconcile(with_healing=False)) == [(subject, DifferenceKind.TIMING)]

    assert not await accept(world.platform.billing, subject)

    await world.next_day(days=5)
    assert told(await world.reconcile(with_healing=False)) == [(subject, DifferenceKind.MISSING_HERE)]


async def test_what_was_accepted_is_loud_again_when_it_is_of_another_kind(world: MoneyWorld) -> None:
    planted = await world.control("balance/plant", amount=-800)
    subject = f"txn:{planted['id']}"
    await world.next_day()
    await world.reconcile()
    assert await accept(world.platform.billing, subject)
    await world.platform.database.run(
        lambda connection: connection.execute("UPDATE reconciliation_difference SET kind = 'timing'")
    )

    assert told(await world.reconcile()) == [(subject, DifferenceKind.UNKNOWN_TYPE)]


async def transfer_by_hand(world: MoneyWorld) -> tuple[Creator, str]:
    await world.deposit(50_000)
    creator, _ = await world.pay_out(5_000)
    made = await world.platform.stripe.api(
        "POST", "/v1/transfers", amount="1500", currency="usd", destination=creator.stripe_account_id
    )
    return creator, str(made["id"])


async def test_a_transfer_by_hand_that_was_taken_back_in_full_is_no_difference(world: MoneyWorld) -> None:
    _, transfer_id = await transfer_by_hand(world)
    await world.next_day()
    before = await world.reconcile()
    await world.control("transfers/reverse", transfer=transfer_id)
    await world.platform.settled()
    await world.next_day(days=3)

    after = await world.reconcile(DAY + ONE_DAY)

    assert told(before) == [(f"tr:{transfer_id}", DifferenceKind.MISSING_HERE)]
    assert after.differences == ()
    await world.assert_agreed()


async def test_a_transfer_by_hand_that_was_taken_back_in_part_stays(world: MoneyWorld) -> None:
    _, transfer_id = await transfer_by_hand(world)
    reversal = await world.control("transfers/reverse", transfer=transfer_id, amount=600)
    await world.platform.settled()
    await world.next_day(days=3)

    report = await world.reconcile()

    missing = DifferenceKind.MISSING_HERE
    assert sorted(told(report)) == [(f"tr:{transfer_id}", missing), (f"trr:{reversal['id']}", missing)]


async def test_top_ups_and_taxes_are_booked_and_what_is_held_back_is_timing(world: MoneyWorld) -> None:
    await world.control("balance/plant", amount=90_000, type="topup")
    await world.control("balance/plant", amount=-120, type="tax_fee")
    await world.control("balance/plant", amount=-100, type="payout_minimum_balance_hold")
    await world.next_day(days=3)
    held = await world.reconcile()
    await world.control("balance/plant", amount=100, type="payout_minimum_balance_release")
    await world.next_day(days=3)

    released = await world.reconcile(DAY + 3 * ONE_DAY)

    assert told(held) == [("hold:minimum_balance", DifferenceKind.TIMING)]
    assert released.differences == ()
    assert await balance(world.platform.database, STRIPE_FEES) == -1_200_000
    await world.assert_agreed()


async def test_a_correction_by_hand_explains_the_line_it_refers_to(world: MoneyWorld) -> None:
    planted = await world.control("balance/plant", amount=-800)
    await world.next_day(days=3)
    assert told(await world.reconcile()) == [(f"txn:{planted['id']}", DifferenceKind.UNKNOWN_TYPE)]

    await correct(world, str(planted["id"]), micros=-8_000_000)

    assert (await world.reconcile()).differences == ()
    await world.assert_agreed()


async def test_a_correction_of_another_amount_is_a_difference(world: MoneyWorld) -> None:
    planted = await world.control("balance/plant", amount=-800)
    await world.next_day()
    await correct(world, str(planted["id"]), micros=-7_000_000)
    await world.platform.advance(days=3)

    (difference,) = (await world.reconcile()).differences

    assert (difference.kind, difference.ours_micros, difference.theirs_micros) == (
        DifferenceKind.AMOUNT,
        -7_000_000,
        -8_000_000,
    )


async def correct(world: MoneyWorld, line_id: str, *, micros: int) -> None:
    """Book by hand what a line changed Stripe's balance by."""
    draft = EntryDraft(
        idem=f"adj:{line_id}",
        kind=EntryKind.ADJUSTMENT,
        lines=(Line(STRIPE, -micros), Line(BANK, micros)),
        ref=line_id,
    )
    now = world.platform.clock.now()
    await world.platform.database.run(lambda connection: record(connection, draft, now=now))


async def test_stripe_is_asked_once_whose_a_payment_is(world: MoneyWorld) -> None:
    for _ in range(5):
        await world.subscribe()
    await world.next_day()
    await world.platform.stripe.forget_requests()
    await world.reconcile()
    first = Counter(one["path"].split("/")[2] for one in await world.platform.stripe.requests("/v1"))
    await world.platform.stripe.forget_requests()

    again = await world.reconcile()

    asked = Counter(one["path"].split("/")[2] for one in await world.platform.stripe.requests("/v1"))
    assert first == {"balance_transactions": 1, "invoice_payments": 5, "transfers": 1}
    assert asked == {"balance_transactions": 1, "transfers": 1}
    assert again.booked == 0
