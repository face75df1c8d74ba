"""One thing that Stripe does not show is a difference of its own, and stops nothing; Stripe away stops the round."""

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from gateway.db.rows import text
from gateway.domain.errors import ProviderUnavailable
from gateway.domain.reconciliation import DifferenceKind
from gateway.services.reconciling import reconcile_when_due
from gateway.services.reconciling import remembering as rules
from tests.services.reconciling_rounds import LINES, ONE_DAY, Watch, days_done
from tests.support.reconciling import DAY, MoneyWorld, open_money_world

FOR_EVER = 100_000


@pytest.fixture
async def world(database_url: str) -> AsyncIterator[MoneyWorld]:
    async with open_money_world(database_url) as opened:
        yield opened


async def kept(world: MoneyWorld) -> dict[str, str]:
    rows = await world.platform.database.fetch(
        "SELECT subject, kind FROM reconciliation_difference WHERE resolved_at IS NULL"
    )
    return {text(row, "subject"): text(row, "kind") for row in rows}


async def test_a_line_that_stripe_does_not_show_is_unchecked_and_days_go_on(world: MoneyWorld) -> None:
    watch = Watch()
    billing = replace(world.platform.billing, watch=watch)
    hidden = await world.control("balance/plant", amount=-800)
    await world.deposit(5_000)
    await world.platform.stripe.fault(f"{LINES}/{hidden['id']}", "status_500", count=FOR_EVER)
    for _ in range(3):
        await world.next_day()
        assert await reconcile_when_due(billing)
    told = await kept(world)
    await world.control("faults/clear")
    await world.next_day()
    assert await reconcile_when_due(billing)

    subject = f"txn:{hidden['id']}"
    assert told == {subject: "unchecked"}
    assert await days_done(world) == [DAY + days * ONE_DAY for days in range(4)]
    assert (await kept(world), watch.open) == ({subject: "unknown_type"}, {"unknown_type": 1})


async def test_an_account_that_stripe_does_not_show_hides_no_other_difference(world: MoneyWorld) -> None:
    hidden, restricted = [await world.paying.creator(cents=3_000) for _ in range(2)]
    planted = await world.control("balance/plant", amount=-800)
    await world.silence()
    await world.control("accounts/stage", account=restricted.stripe_account_id, stage="restricted")
    await world.next_day()
    for path in ("/v1/accounts", "/v2/core/accounts"):
        await world.platform.stripe.fault(f"{path}/{hidden.stripe_account_id}", "status_500", count=FOR_EVER)

    report = await world.reconcile()

    unshown = f"connected account {hidden.stripe_account_id}"
    assert [(one.subject, one.kind, one.sentence) for one in report.differences] == [
        (
            f"txn:{planted['id']}",
            DifferenceKind.UNKNOWN_TYPE,
            f"Line {planted['id']} of -$8.00 belongs to nothing known here; its type is adjustment.",
        ),
        (
            f"acct:{hidden.stripe_account_id}",
            DifferenceKind.UNCHECKED,
            f"Stripe gave no clear answer about the {unshown}, so it was not compared.",
        ),
    ]
    assert [one.subject for one in report.healed] == [f"acct:{restricted.stripe_account_id}"]
    assert set(await kept(world)) == {one.subject for one in report.differences}


async def test_a_payment_whose_owner_stripe_does_not_tell_is_unchecked_until_it_does(world: MoneyWorld) -> None:
    await world.subscribe()
    await world.next_day()
    await world.platform.stripe.fault("/v1/invoice_payments", "status_500", count=FOR_EVER)
    hidden = await world.reconcile()
    await world.control("faults/clear")

    shown = await world.reconcile()

    assert [one.kind for one in hidden.differences] == [DifferenceKind.UNCHECKED]
    assert shown.differences == ()
    await world.assert_agreed()


async def test_what_was_found_before_stripe_went_away_is_kept(world: MoneyWorld) -> None:
    planted = await world.control("balance/plant", amount=-800)
    await world.next_day()
    await world.platform.stripe.fault("/v1/transfers", "status_500", count=FOR_EVER)

    with pytest.raises(ProviderUnavailable):
        await world.reconcile()

    assert await kept(world) == {f"txn:{planted['id']}": "unknown_type"}


async def test_stripe_away_over_a_closer_look_ends_the_round(world: MoneyWorld) -> None:
    hidden = await world.control("balance/plant", amount=-800)
    await world.next_day()
    await world.platform.stripe.fault(f"{LINES}/{hidden['id']}", "status_500", count=FOR_EVER)
    await world.platform.stripe.fault("/v1/balance", "status_500", count=FOR_EVER)

    with pytest.raises(ProviderUnavailable):
        await world.reconcile()

    assert await kept(world) == {}


async def test_more_open_differences_than_a_round_looks_at_take_turns(
    world: MoneyWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rules, "EARLIER_MAX", 3)
    for _ in range(3):
        await world.control("balance/plant", amount=-800)
    await world.next_day()
    await world.reconcile()
    await world.silence()
    unheard = await world.deposit(2_500, settled=False)
    await world.next_day()
    await world.reconcile(DAY + ONE_DAY, with_healing=False)
    assert (await kept(world))[f"dep:{unheard.session_id}"] == "timing"

    healed: list[str] = []
    for days in (2, 3):
        await world.next_day()
        report = await world.reconcile(DAY + days * ONE_DAY)
        healed += [one.subject for one in report.healed]

    assert healed == [f"dep:{unheard.session_id}"]
