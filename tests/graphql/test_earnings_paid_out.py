"""Where earnings are while they are being paid out, and when some of it comes back: nothing is ever lost or doubled."""

from collections.abc import AsyncIterator
from typing import cast
from uuid import UUID

import pytest

from gateway.domain.clock import ManualClock
from gateway.services.payouts import cancel_payout
from tests.graphql.market import (
    REVERSE,
    START,
    all_pages,
    nets,
)
from tests.support.connecting import stripe_id
from tests.support.gateway import Platform, open_platform
from tests.support.payday import (
    Creator,
    assert_right,
    catch_up,
    connected,
    earn,
    operator_of,
    pass_time,
    sell,
    transfer_of,
)
from tests.support.payday import totals as totals_of


@pytest.fixture
async def payday(database_url: str) -> AsyncIterator[tuple[Platform, Creator]]:
    """`ann` has $40 available from a sale, a ready account, and a platform with money at Stripe."""
    async with open_platform(database_url, clock=ManualClock(START), with_worker=False) as running:
        ann = await connected(running, "ann")
        await sell(running, ann, cents=4_000)
        yield running, ann
        await assert_right(running)


async def lines(creator: Creator) -> list[tuple[str, str]]:
    """The lines about payouts, newest first; all lines together are what is here."""
    nodes = await all_pages(creator.person, first=2)
    now = await creator.totals()
    here = sum(int(now[name].replace(".", "")) for name in ("available", "pending", "held"))
    assert sum(int(net.replace(".", "")) for net in nets(nodes)) == here
    away = sum(int(now[name].replace(".", "")) for name in ("inTransit", "paidOut"))
    assert int(now["lifetime"].replace(".", "")) == here + away
    assert all((node["toolId"], node["availableAt"]) == (None, None) for node in nodes if "PAYOUT" in node["kind"])
    return [(node["kind"], node["net"]["amount"]) for node in nodes if "PAYOUT" in node["kind"]]


async def bank_payout_of(platform: Platform) -> str:
    """The only payout of Stripe's to a bank."""
    (row,) = await platform.database.fetch("SELECT id FROM bank_payout")
    return cast("str", row["id"])


async def test_money_on_its_way_is_in_transit_until_the_bank_has_it(payday: tuple[Platform, Creator]) -> None:
    platform, ann = payday
    await ann.requested("2500")
    assert await ann.totals() == totals_of(available="15.00", inTransit="25.00", lifetime="40.00")
    assert await lines(ann) == [("PAYOUT", "-25.00")]
    await catch_up(platform)
    assert await ann.totals() == totals_of(available="15.00", inTransit="25.00", lifetime="40.00")

    await pass_time(platform, days=4)
    assert await ann.totals() == totals_of(available="15.00", paidOut="25.00", lifetime="40.00")

    await platform.stripe.control("payouts/fail", payout=await bank_payout_of(platform), reason="no_account")
    await catch_up(platform)
    assert (await ann.only_payout())["status"] == "FAILED"
    assert await ann.totals() == totals_of(available="15.00", inTransit="25.00", lifetime="40.00")
    assert await lines(ann) == [("PAYOUT", "-25.00")], "it left, and where it is now is told by its payout"


async def test_a_payout_that_stripe_refused_is_available_again(payday: tuple[Platform, Creator]) -> None:
    platform, ann = payday
    await ann.requested("2500")
    await platform.advance(seconds=1)
    account = await platform.database.fetch_one("SELECT stripe_account_id FROM connected_account")
    assert account is not None
    await platform.stripe.control("accounts/deauthorize", account=account["stripe_account_id"])

    await pass_time(platform, hours=1)

    assert (await ann.only_payout())["status"] == "FAILED"
    assert await ann.totals() == totals_of(available="40.00", lifetime="40.00")
    assert await lines(ann) == [("PAYOUT_RETURNED", "25.00"), ("PAYOUT", "-25.00")]


async def test_what_is_reversed_before_and_after_it_arrived_is_available_again(
    payday: tuple[Platform, Creator],
) -> None:
    platform, ann = payday
    await ann.requested("2500")
    await pass_time(platform, minutes=1)
    transfer = await transfer_of(platform, ann)

    await platform.stripe.control("transfers/reverse", transfer=transfer, amount=700)
    await pass_time(platform, minutes=1)
    assert await ann.totals() == totals_of(available="22.00", inTransit="18.00", lifetime="40.00")
    await pass_time(platform, days=4)
    assert (await ann.only_payout())["status"] == "PAID"
    assert await ann.totals() == totals_of(available="22.00", paidOut="18.00", lifetime="40.00")
    await platform.stripe.control("transfers/reverse", transfer=transfer)
    await catch_up(platform)

    assert await ann.totals() == totals_of(available="40.00", lifetime="40.00")
    payout = await ann.only_payout()
    assert (payout["status"], payout["returned"]["amount"]) == ("PAID", "25.00")
    assert await lines(ann) == [
        ("PAYOUT_RETURNED", "18.00"),
        ("PAYOUT_RETURNED", "7.00"),
        ("PAYOUT", "-25.00"),
    ]


async def test_what_is_reversed_whole_before_it_arrived_is_a_failed_payout(payday: tuple[Platform, Creator]) -> None:
    platform, ann = payday
    await ann.requested("2500")
    await pass_time(platform, minutes=1)

    await platform.stripe.control("transfers/reverse", transfer=await transfer_of(platform, ann))
    await catch_up(platform)

    payout = await ann.only_payout()
    assert (payout["status"], payout["returned"]["amount"], payout["failureMessage"]) == (
        "FAILED",
        "25.00",
        "The payment was taken back before it reached the bank; the money is available again.",
    )
    assert await ann.totals() == totals_of(available="40.00", lifetime="40.00")
    assert await lines(ann) == [("PAYOUT_RETURNED", "25.00"), ("PAYOUT", "-25.00")]


async def test_a_transfer_that_turns_up_late_has_left_all_the_same(payday: tuple[Platform, Creator]) -> None:
    platform, ann = payday
    asked = await ann.requested("4000")
    await platform.advance(minutes=1)
    assert await cancel_payout(platform.billing, UUID(asked["id"]))
    assert await ann.totals() == totals_of(available="40.00", lifetime="40.00")

    await platform.advance(minutes=1)
    await platform.billing.stripe.create_transfer(
        amount_cents=4_000,
        destination=await stripe_id(platform, ann.person),
        payout_id=asked["id"],
        idempotency_key=f"po:{asked['id']}:1",
    )
    await catch_up(platform)

    late = await ann.payout(asked["id"])
    assert late is not None
    assert late["status"] == "IN_TRANSIT"
    assert await ann.totals() == totals_of(inTransit="40.00", lifetime="40.00")
    assert await lines(ann) == [("PAYOUT", "-40.00"), ("PAYOUT_RETURNED", "40.00"), ("PAYOUT", "-40.00")]


async def test_a_sale_that_is_taken_back_after_it_was_paid_is_owed(payday: tuple[Platform, Creator]) -> None:
    platform, ann = payday
    await ann.requested()
    await pass_time(platform, days=4)
    (charge,) = await platform.database.fetch("SELECT call_id FROM tool_charge")
    call = cast("str", charge["call_id"])
    given = {"callId": call, "consumerId": f"buyer-{call}", "reason": "It never ran"}

    answer = (await operator_of(platform).ask(REVERSE, input=given))["reverseToolCall"]

    assert answer["__typename"] == "ReverseToolCallSuccess", answer
    assert await ann.totals() == totals_of(available="-40.00", paidOut="40.00")
    assert await ann.blockers() == [
        ("BELOW_MINIMUM_PAYOUT", "You owe $40.00 from reversed sales; what you earn next covers it first.")
    ]
    assert (await ann.request())["code"] == "BELOW_MINIMUM_PAYOUT"
    assert await lines(ann) == [("PAYOUT", "-40.00")]


@pytest.mark.parametrize(("cents", "available", "lifetime"), [(500, "20.00", "45.00"), (-500, "10.00", "35.00")])
async def test_a_correction_by_hand_changes_what_was_earned_and_not_what_was_paid_out(
    payday: tuple[Platform, Creator], cents: int, available: str, lifetime: str
) -> None:
    platform, ann = payday
    await ann.requested("2500")
    await pass_time(platform, days=4)

    await earn(platform, ann, cents=cents)

    assert await ann.totals() == totals_of(available=available, paidOut="25.00", lifetime=lifetime)
