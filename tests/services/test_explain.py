"""The page about a purchase says what really happened, whichever of the two sides is behind or silent."""

import pytest

from gateway.domain.timeline import HappeningKind, in_order
from gateway.domain.verdicts import Verdict
from gateway.services.events.review import replay_dead
from gateway.services.explaining import Explanation, explain
from gateway.services.purchases.stale import sweep_checkouts
from gateway.services.syncing import sync_checkout
from models.checkout import Checkout
from tests.support.books import assert_books_balance
from tests.support.gateway import Platform
from tests.support.person import Page, Person
from tests.support.stripe_door import DECLINED, PAYS_LATER


async def paid_deposit(platform: Platform, person: Person, cents: str = "2500") -> Page:
    page = await person.deposit_page(cents)
    await platform.stripe.pay(page.url)
    await platform.settled()
    return page


async def page_of(platform: Platform, given: str) -> Explanation:
    found = await explain(platform.billing, given)
    assert found.happenings == in_order(found.happenings)
    return found


def told(page: Explanation) -> list[str]:
    """What happened apart from events, in order."""
    events = {HappeningKind.EVENT_RECEIVED, HappeningKind.EVENT_FINISHED}
    return [one.message for one in page.happenings if one.kind not in events]


async def test_a_deposit_that_went_well_is_told_from_beginning_to_end(platform: Platform) -> None:
    ann = platform.person()
    deposit = await paid_deposit(platform, ann)

    page = await page_of(platform, deposit.session_id)

    assert (page.verdict, page.action, page.stripe_answered) == (Verdict.PAID_AND_APPLIED, None, True)
    assert told(page) == [
        "The purchase of a deposit of $25.00 began.",
        "Stripe made the payment page.",
        "$25.00 was paid.",
        "The wallet was credited with $25.00.",
    ]
    assert "The wallet holds $25.00." in page.standing
    assert_nothing_personal(page, ann)
    await assert_books_balance(platform.database)


async def test_every_id_of_a_purchase_leads_to_the_same_verdict(platform: Platform) -> None:
    ann = platform.person()
    deposit = await paid_deposit(platform, ann)
    row = await platform.database.fetch_one(
        "SELECT id, customer_id, stripe_customer_id, payment_intent_id FROM checkout"
    )
    assert row is not None
    event = await platform.database.fetch_one(
        "SELECT id FROM stripe_event WHERE type = 'checkout.session.completed' AND object_id = $1",
        (deposit.session_id,),
    )
    assert event is not None

    for given in (*row.values(), event["id"], ann.subject, f" {deposit.session_id}\n"):
        assert (await page_of(platform, str(given))).verdict is Verdict.PAID_AND_APPLIED, given


async def test_a_charge_of_stripes_leads_to_its_deposit(platform: Platform) -> None:
    deposit = await paid_deposit(platform, platform.person())
    page = await page_of(platform, deposit.session_id)
    (charge_id,) = [one.ref for one in page.happenings if one.kind is HappeningKind.PAID]

    assert charge_id is not None
    assert (await page_of(platform, charge_id)).about == page.about


async def test_a_page_nobody_used_waits_and_then_expires(platform: Platform) -> None:
    deposit = await platform.person().deposit_page()

    assert (await page_of(platform, deposit.session_id)).verdict is Verdict.WAITING_FOR_PAYMENT
    await platform.advance(hours=25)
    page = await page_of(platform, deposit.session_id)

    assert page.verdict is Verdict.EXPIRED
    assert "The payment page closed without a payment." in told(page)


@pytest.mark.parametrize(
    ("card", "verdict"), [(PAYS_LATER, Verdict.BANK_WORKING), (DECLINED, Verdict.WAITING_FOR_PAYMENT)]
)
async def test_a_payment_that_is_not_there_yet(platform: Platform, card: str, verdict: Verdict) -> None:
    deposit = await platform.person().deposit_page()
    await platform.stripe.pay(deposit.url, card=card)
    await platform.settled()

    assert (await page_of(platform, deposit.session_id)).verdict is verdict


async def test_a_payment_that_failed_at_the_bank(platform: Platform) -> None:
    deposit = await platform.person().deposit_page()
    await platform.stripe.pay(deposit.url, card=PAYS_LATER)
    await platform.stripe.control("payments/fail", checkout_session=deposit.session_id)
    await platform.settled()

    assert (await page_of(platform, deposit.session_id)).verdict is Verdict.FAILED


async def test_paid_with_an_event_that_never_arrived_says_how_to_settle_it(platform: Platform) -> None:
    deposit = await platform.person().deposit_page()
    await platform.stripe.control("events/hold")
    await platform.stripe.pay(deposit.url)

    page = await page_of(platform, deposit.session_id)

    assert page.verdict is Verdict.EVENT_NEVER_ARRIVED
    assert page.action == f"gateway sync checkout {deposit.session_id}"


async def test_a_waiting_and_a_dead_event_are_named(platform: Platform) -> None:
    deposit = await platform.person().deposit_page()
    await platform.stripe.pay(deposit.url)
    await platform.delivered()
    waiting = await page_of(platform, deposit.session_id)
    async with platform.database.transaction() as connection:
        await connection.execute("UPDATE stripe_event SET state = 'dead' WHERE object_id = $1", (deposit.session_id,))

    dead = await page_of(platform, deposit.session_id)

    event = await platform.database.fetch_one("SELECT id FROM stripe_event WHERE state = 'dead'")
    assert event is not None
    assert waiting.verdict is Verdict.EVENT_WAITING
    assert (dead.verdict, dead.action) == (Verdict.EVENT_DEAD, f"gateway events replay {event['id']}")
    assert (await page_of(platform, str(event["id"]))).verdict is Verdict.EVENT_DEAD


async def test_refunds_and_disputes_are_told_with_their_amounts(platform: Platform) -> None:
    deposit = await paid_deposit(platform, platform.person())
    await platform.stripe.control("refunds", checkout_session=deposit.session_id, amount=500)
    behind = await page_of(platform, deposit.session_id)
    await platform.settled()
    partly = await page_of(platform, deposit.session_id)
    await platform.stripe.control("refunds", checkout_session=deposit.session_id)
    await platform.settled()
    whole = await page_of(platform, deposit.session_id)

    assert behind.verdict is Verdict.REFUND_NOT_APPLIED
    assert (partly.verdict, told(partly)[-1]) == (Verdict.PARTLY_REFUNDED, "$5.00 was refunded to the card.")
    assert (whole.verdict, told(whole)[-1]) == (Verdict.REFUNDED, "$20.00 was refunded to the card.")
    await assert_books_balance(platform.database)


async def test_a_dispute_is_told_until_it_ends(platform: Platform) -> None:
    deposit = await paid_deposit(platform, platform.person())
    dispute = await platform.stripe.control("disputes/open", checkout_session=deposit.session_id)
    await platform.settled()
    opened = await page_of(platform, deposit.session_id)
    await platform.stripe.control("disputes/close", dispute=dispute["id"], outcome="lost")
    await platform.settled()
    lost = await page_of(platform, deposit.session_id)

    assert opened.verdict is Verdict.DISPUTED
    assert (lost.verdict, told(lost)[-1]) == (
        Verdict.DISPUTE_LOST,
        "The dispute was lost; the bank kept the money.",
    )
    await assert_books_balance(platform.database)


async def test_a_dispute_that_nobody_told_us_of_is_named_and_can_be_synced(platform: Platform) -> None:
    ann = platform.person()
    deposit = await paid_deposit(platform, ann)
    await platform.stripe.control("events/hold")
    await platform.stripe.control("disputes/open", checkout_session=deposit.session_id)

    unknown = await page_of(platform, deposit.session_id)
    checkout = await Checkout.get(session_id=deposit.session_id, using_db=platform.database.orm)
    await sync_checkout(platform.billing, checkout, deposit.session_id)
    synced = await page_of(platform, deposit.session_id)

    assert unknown.verdict is Verdict.DISPUTE_NOT_APPLIED
    assert unknown.action == f"gateway sync checkout {deposit.session_id}"
    assert (synced.verdict, await ann.balance_cents()) == (Verdict.DISPUTED, "0")
    await assert_books_balance(platform.database)


async def test_a_decision_that_was_given_up_here_is_not_waited_for_at_the_bank(platform: Platform) -> None:
    deposit = await paid_deposit(platform, platform.person())
    dispute = await platform.stripe.control("disputes/open", checkout_session=deposit.session_id)
    await platform.settled()
    await platform.stripe.control("disputes/close", dispute=dispute["id"], outcome="lost")
    await platform.delivered()
    async with platform.database.transaction() as connection:
        await connection.execute("UPDATE stripe_event SET state = 'dead' WHERE state = 'new'")

    given_up = await page_of(platform, deposit.session_id)
    checkout = await Checkout.get(session_id=deposit.session_id, using_db=platform.database.orm)
    await sync_checkout(platform.billing, checkout, deposit.session_id)
    await replay_dead(platform.billing, limit=10)
    await platform.work()
    lost = await page_of(platform, deposit.session_id)

    assert given_up.verdict is Verdict.DISPUTE_NOT_APPLIED
    assert given_up.action == f"gateway sync checkout {deposit.session_id}"
    assert lost.verdict is Verdict.DISPUTE_LOST
    await assert_books_balance(platform.database)


async def test_an_inquiry_that_is_not_answered_yet_is_not_called_won(platform: Platform) -> None:
    deposit = await paid_deposit(platform, platform.person())
    inquiry = await platform.stripe.control("disputes/open", checkout_session=deposit.session_id, inquiry=True)
    await platform.settled()
    opened = await page_of(platform, deposit.session_id)
    await platform.stripe.control("disputes/close", dispute=inquiry["id"], outcome="warning_closed")
    await platform.settled()
    closed = await page_of(platform, deposit.session_id)

    asked = "The customer's bank asked about the payment, and nothing was withdrawn."
    for page in (opened, closed):
        assert (page.verdict, told(page)[-1]) == (Verdict.PAID_AND_APPLIED, asked)
    await assert_books_balance(platform.database)


async def test_a_page_that_was_never_made_is_not_waited_for(platform: Platform) -> None:
    ann = platform.person()
    await platform.stripe.fault("/v1/checkout/sessions", "status_500", count=100)
    await ann.deposit("2500")
    being_made = await page_of(platform, ann.subject)
    await platform.stripe.control("faults/clear")
    await platform.advance(minutes=11)
    await sweep_checkouts(platform.billing)

    page = await page_of(platform, ann.subject)

    assert (being_made.verdict, page.verdict) == (Verdict.BEING_MADE, Verdict.EXPIRED)
    assert "was never made; nothing was taken." in page.message


async def test_a_late_payment_whose_own_event_is_not_here_is_not_said_to_have_one(platform: Platform) -> None:
    deposit = await platform.person().deposit_page()
    await platform.stripe.pay(deposit.url, card=PAYS_LATER)
    await platform.settled()
    await platform.stripe.control("events/hold")
    await platform.stripe.control("payments/settle", checkout_session=deposit.session_id)

    page = await page_of(platform, deposit.session_id)

    assert page.verdict is Verdict.PAID_NOT_APPLIED
    assert page.message == "Paid at Stripe, and not handed over here although an event about it was applied."
    assert page.action == f"gateway sync checkout {deposit.session_id}"


async def test_a_plan_that_changed_behind_our_back_is_behind_until_it_is_synced(platform: Platform) -> None:
    ann = platform.person()
    bought = await ann.checkout_page("PRO")
    await platform.stripe.pay(bought.url)
    await platform.settled()
    fine = await page_of(platform, ann.subject)
    (subscription,) = await platform.stripe.subscriptions()
    await platform.stripe.control("events/hold")
    await platform.stripe.control("subscriptions/cancel", subscription=subscription["id"])

    behind = await page_of(platform, ann.subject)

    assert fine.verdict is Verdict.PAID_AND_APPLIED
    assert behind.verdict is Verdict.PLAN_BEHIND
    assert behind.action is not None
    assert behind.action.startswith("gateway sync customer ")
    assert (await page_of(platform, subscription["id"])).verdict is Verdict.PLAN_BEHIND


async def test_a_switch_of_the_tier_that_nobody_told_us_of_is_behind(platform: Platform) -> None:
    ann = platform.person()
    bought = await ann.checkout_page("PRO")
    await platform.stripe.pay(bought.url)
    await platform.settled()
    (subscription,) = await platform.stripe.subscriptions()
    (business,) = (await platform.stripe.api("GET", "/v1/prices?lookup_keys[]=business_monthly"))["data"]
    await platform.stripe.control("events/hold")
    await platform.stripe.post_form(
        f"{await ann.portal_url()}/switch", subscription_id=subscription["id"], price_id=business["id"]
    )

    assert await ann.tier() == "PRO"
    assert (await page_of(platform, ann.subject)).verdict is Verdict.PLAN_BEHIND
    assert (await page_of(platform, bought.session_id)).verdict is Verdict.PLAN_BEHIND
    await platform.stripe.control("events/release")
    await platform.settled()
    assert (await page_of(platform, ann.subject)).verdict is Verdict.PAID_AND_APPLIED


async def test_a_better_subscription_that_nobody_told_us_of_is_behind_for_every_purchase(platform: Platform) -> None:
    ann = platform.person()
    bought = await ann.checkout_page("PRO")
    await platform.stripe.pay(bought.url)
    await platform.settled()
    (row,) = await platform.checkouts(ann.subject)
    await platform.stripe.control("events/hold")
    await platform.stripe.control(
        "subscriptions/create", customer=row["stripe_customer_id"], lookup_key="business_monthly"
    )

    assert (await page_of(platform, bought.session_id)).verdict is Verdict.PLAN_BEHIND
    assert (await page_of(platform, ann.subject)).verdict is Verdict.PLAN_BEHIND


async def test_a_silent_stripe_leaves_what_our_own_rows_say(platform: Platform) -> None:
    ann = platform.person()
    settled, still_open = await paid_deposit(platform, ann), await ann.deposit_page("700")
    await platform.stripe.control("refunds", checkout_session=settled.session_id, amount=500)
    await platform.settled()
    await platform.stripe.fault("/v1", "status_500", count=1_000)

    of_settled, of_open = await page_of(platform, settled.session_id), await page_of(platform, still_open.session_id)
    assert told(of_settled)[-1] == "$5.00 was refunded to the card."

    assert (of_settled.verdict, of_settled.stripe_answered) == (Verdict.PARTLY_REFUNDED, False)
    assert (of_open.verdict, of_open.stripe_answered) == (Verdict.STRIPE_UNREACHABLE, False)
    assert (await page_of(platform, "evt_unknown")).verdict is Verdict.STRIPE_UNREACHABLE
    assert (await page_of(platform, "cs_test_unknown")).verdict is Verdict.STRIPE_UNREACHABLE
    assert (await page_of(platform, ann.subject)).verdict is Verdict.STRIPE_UNREACHABLE


@pytest.mark.parametrize(
    ("given", "verdict"),
    [
        ("cs_test_unknown", Verdict.UNKNOWN),
        ("cs_live_unknown", Verdict.WRONG_MODE),
        ("cus_unknown", Verdict.UNKNOWN),
        ("tr_nobody_asks_about", Verdict.UNKNOWN),
        ("evt_unknown", Verdict.UNKNOWN),
        ("nobody we know", Verdict.UNKNOWN),
        ("01a20584-15b0-77f8-9e41-6bb096f26ac3", Verdict.UNKNOWN),
        ("", Verdict.UNKNOWN),
        ("x" * 1_000, Verdict.UNKNOWN),
        ("line\nbreak", Verdict.UNKNOWN),
        ("'; DROP TABLE customer; --", Verdict.UNKNOWN),
    ],
)
async def test_what_nobody_knows_is_said_to_be_unknown(platform: Platform, given: str, verdict: Verdict) -> None:
    assert (await page_of(platform, given)).verdict is verdict


async def test_of_what_is_not_looked_up_it_is_not_said_that_stripe_does_not_know_it(platform: Platform) -> None:
    page = await page_of(platform, "tr_nobody_asks_about")

    assert page.message == "Neither our rows nor Stripe show a purchase, a customer or an event of ours under it."
    assert page.stripe_answered is None


async def test_a_session_of_another_system_is_not_ours(platform: Platform) -> None:
    await platform.person().deposit_page()
    async with platform.database.transaction() as connection:
        await connection.execute("UPDATE checkout SET session_id = $1", ("cs_test_another",))
    (session,) = await platform.stripe.sessions()

    assert (await page_of(platform, session["id"])).verdict is Verdict.NOT_OURS


def assert_nothing_personal(page: Explanation, person: Person) -> None:
    text = repr(page)
    assert "somebody@example.com" not in text
    assert person.subject not in text
    assert "http" not in text
