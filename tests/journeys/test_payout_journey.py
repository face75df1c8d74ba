"""From a tool that is called to money in its creator's bank, and every way in which that goes differently."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest

from gateway.domain.clock import ManualClock
from tests.graphql.market import CHARGE, all_pages, call_input, publish
from tests.support.connecting import stripe_id
from tests.support.gateway import CLEARING_TOLD_AFTER_SECONDS, START, Platform, open_platform
from tests.support.payday import (
    Creator,
    assert_right,
    catch_up,
    dollars,
    pass_time,
    runtime_of,
    totals,
    transfer_of,
)

#: The first Monday after the hold of what is sold at START is over.
PAYDAY = datetime(2026, 11, 16, tzinfo=UTC)
#: Of the local Stripe's test bank accounts, one that has been closed.
CLOSED_ACCOUNT = "000111111113"


@pytest.fixture
async def platform(database_url: str) -> AsyncIterator[Platform]:
    """Its background work is done by hand, so that nothing is waited for."""
    async with open_platform(
        database_url,
        clock=ManualClock(START),
        with_worker=False,
        clearing_told_after_seconds=CLEARING_TOLD_AFTER_SECONDS,
    ) as running:
        yield running


async def sold(platform: Platform) -> Creator:
    """`ann` sold two calls of $25 to `bob`, who paid with his deposit, and the hold of her $40 is over."""
    ann, bob = Creator(platform.person("ann")), platform.person("bob")
    page = await bob.deposit_page("10000")
    await platform.stripe.pay(page.url)
    await bob.verify_deposit(page.session_id)
    assert (await publish(ann.person, pricePerCall="25"))["__typename"] == "PublishToolSuccess"
    for call in ("one", "two"):
        answer = await runtime_of(platform).ask(CHARGE, input=call_input(call))
        assert answer["chargeToolCall"]["__typename"] == "ChargeToolCallSuccess", answer
    assert await ann.totals() == totals(pending="40.00", lifetime="40.00")
    await pass_time(platform, days=8)
    assert await ann.totals() == totals(available="40.00", lifetime="40.00")
    return ann


async def onboard(platform: Platform, creator: Creator, **form: str) -> None:
    """Go to Stripe's page, answer it, and come back."""
    done = await platform.stripe.post_form(await creator.person.connect_url(), **form)
    assert (done.status, done.location) == (303, "https://app.aerostack.dev/payouts")
    await catch_up(platform)


async def kinds(creator: Creator) -> list[tuple[str, str]]:
    """The statement, newest first: why, and by how much."""
    return [(node["kind"], node["net"]["amount"]) for node in await all_pages(creator.person, first=3)]


async def test_what_was_sold_is_paid_to_the_bank_on_monday(platform: Platform) -> None:
    ann = await sold(platform)
    assert (await ann.settings())["accountStatus"] == "NOT_CONNECTED"
    chosen = await ann.choose("WEEKLY")
    assert (chosen["nextPayoutAt"], chosen["nextAmount"]) == (PAYDAY.isoformat(), None), "there is no account yet"

    await onboard(platform, ann, outcome="finish")
    ready = await ann.settings()
    assert (ready["accountStatus"], ready["blockers"]) == ("READY", [])
    assert (ready["nextPayoutAt"], ready["nextAmount"]) == (PAYDAY.isoformat(), dollars("40.00"))
    await pass_time(platform, to=PAYDAY.replace(day=15, hour=23, minute=59))
    assert (await ann.payouts())["edges"] == []

    await pass_time(platform, to=PAYDAY)
    sent = await ann.only_payout()
    assert (sent["status"], sent["amount"], sent["manual"]) == ("IN_TRANSIT", dollars("40.00"), False)
    assert (sent["arrivalDate"], sent["failureMessage"], sent["returned"]) == (None, None, dollars("0.00"))
    assert await ann.totals() == totals(inTransit="40.00", lifetime="40.00")
    assert (await ann.settings())["nextPayoutAt"] == PAYDAY.replace(day=23).isoformat()

    await pass_time(platform, to=PAYDAY.replace(day=18))
    assert (await ann.only_payout())["arrivalDate"] == PAYDAY.replace(day=19).isoformat(), "expected then"
    assert (await ann.only_payout())["status"] == "IN_TRANSIT"
    await pass_time(platform, to=PAYDAY.replace(day=19))
    paid = await ann.only_payout()
    assert (paid["status"], paid["arrivalDate"]) == ("PAID", PAYDAY.replace(day=19).isoformat())
    assert await ann.totals() == totals(paidOut="40.00", lifetime="40.00")
    assert await kinds(ann) == [("PAYOUT", "-40.00"), ("TOOL_CALL", "20.00"), ("TOOL_CALL", "20.00")]

    await pass_time(platform, days=14)
    assert await ann.only_payout() == paid, "there was nothing to pay on the Mondays that followed"
    await assert_right(platform)


async def test_who_was_refused_is_told_why_and_keeps_the_money(platform: Platform) -> None:
    ann = await sold(platform)
    await ann.choose("WEEKLY")
    await onboard(platform, ann, outcome="refuse")

    settings = await ann.settings()
    refused = await ann.request()
    await pass_time(platform, to=PAYDAY.replace(day=24))

    assert (settings["accountStatus"], settings["nextAmount"]) == ("RESTRICTED", None)
    (blocker,) = settings["blockers"]
    assert blocker["code"] == "PAYOUTS_NOT_READY"
    assert blocker["message"].startswith("Stripe has restricted the payout account (")
    assert (refused["__typename"], refused["code"], refused["message"]) == (
        "BillingProblem",
        "PAYOUTS_NOT_READY",
        blocker["message"],
    )
    assert (await ann.payouts())["edges"] == []
    assert await ann.totals() == totals(available="40.00", lifetime="40.00")
    await assert_right(platform)


async def test_what_the_bank_refused_reaches_another_bank_account(platform: Platform) -> None:
    ann = await sold(platform)
    await onboard(platform, ann, outcome="finish", account_number=CLOSED_ACCOUNT)
    asked = await ann.requested()
    assert (asked["status"], asked["manual"]) == ("REQUESTED", True)

    await pass_time(platform, days=4)
    failed = await ann.only_payout()
    assert (failed["id"], failed["status"]) == (asked["id"], "FAILED")
    assert failed["failureMessage"] == (
        "The bank refused the payment (account_closed). The money is in your Stripe account: give another bank account "
        "there, and Stripe sends it again."
    )
    assert await ann.totals() == totals(inTransit="40.00", lifetime="40.00"), "it is at Stripe, and not available here"
    settings = await ann.settings()
    assert settings["accountStatus"] == "RESTRICTED"
    assert [(one["code"], one["message"]) for one in settings["blockers"] if one["code"] == "PAYOUTS_NOT_READY"] == [
        (
            "PAYOUTS_NOT_READY",
            "Stripe has restricted the payout account (requirements_past_due): still needed are external_account.",
        ),
        (
            "PAYOUTS_NOT_READY",
            "The bank refused the last payment (The bank account has been closed.); give another bank account.",
        ),
    ]

    await platform.stripe.control("accounts/bank", account=await stripe_id(platform, ann.person))
    await pass_time(platform, days=4)

    paid = await ann.only_payout()
    assert (paid["id"], paid["status"], paid["failureMessage"]) == (asked["id"], "PAID", None)
    assert await ann.totals() == totals(paidOut="40.00", lifetime="40.00")
    assert (await ann.settings())["accountStatus"] == "READY"
    await assert_right(platform)


async def test_what_was_taken_back_can_be_paid_again(platform: Platform) -> None:
    ann = await sold(platform)
    await onboard(platform, ann, outcome="finish")
    first = await ann.requested()
    await pass_time(platform, minutes=1)

    await platform.stripe.control("transfers/reverse", transfer=await transfer_of(platform, ann), amount=1_500)
    await catch_up(platform)

    part = await ann.payout(first["id"])
    assert part is not None
    assert (part["status"], part["amount"], part["returned"]) == ("IN_TRANSIT", dollars("40.00"), dollars("15.00"))
    assert await ann.totals() == totals(available="15.00", inTransit="25.00", lifetime="40.00")
    assert await kinds(ann) == [
        ("PAYOUT_RETURNED", "15.00"),
        ("PAYOUT", "-40.00"),
        ("TOOL_CALL", "20.00"),
        ("TOOL_CALL", "20.00"),
    ]
    await pass_time(platform, days=4)
    arrived = await ann.payout(first["id"])
    assert arrived is not None
    assert (arrived["status"], arrived["returned"]) == ("PAID", dollars("15.00"))
    assert await ann.totals() == totals(available="15.00", paidOut="25.00", lifetime="40.00")

    second = await ann.requested("1500")
    await pass_time(platform, days=4)

    newest, oldest = [edge["node"] for edge in (await ann.payouts())["edges"]]
    assert (newest["id"], newest["status"], oldest["id"]) == (second["id"], "PAID", first["id"])
    assert await ann.totals() == totals(paidOut="40.00", lifetime="40.00")
    await assert_right(platform)
