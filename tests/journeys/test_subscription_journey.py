"""What becomes of a subscription: changed and cancelled in the portal, renewed, unpaid, lost."""

from datetime import timedelta

from tests.support.gateway import START, Platform
from tests.support.person import Person
from tests.support.stripe_door import FAILS_LATER, VISA

MONTH_END = START.replace(month=12)


async def subscribed(platform: Platform, *, card: str = VISA) -> Person:
    """Somebody on PRO, monthly."""
    person = platform.person()
    page = await person.checkout_page("PRO", "MONTHLY")
    await platform.stripe.pay(page.url, card)
    await person.verify_checkout(page.session_id)
    await platform.settled()
    return person


async def switch(platform: Platform, person: Person, lookup_key: str) -> None:
    """Choose another price in the portal."""
    prices = await platform.stripe.api("GET", f"/v1/prices?lookup_keys[]={lookup_key}")
    portal = await person.portal_url()
    answer = await platform.stripe.post_form(f"{portal}/switch", price_id=prices["data"][0]["id"])
    assert (answer.status, answer.location is not None) == (303, True), answer
    await platform.settled()


async def test_cancelling_in_the_portal_shows_the_end_and_resuming_lifts_it(platform: Platform) -> None:
    ann = await subscribed(platform)
    portal = await ann.portal_url()

    await platform.stripe.post_form(f"{portal}/cancel")
    await platform.settled()
    cancelled = await ann.plan()
    await platform.stripe.post_form(f"{portal}/resume")
    await platform.settled()

    assert (cancelled["tier"], cancelled["status"]) == ("PRO", "ACTIVE")
    assert cancelled["cancelsAt"] == MONTH_END.isoformat()
    assert (await ann.plan())["cancelsAt"] is None
    await platform.assert_true()


async def test_a_cancelled_subscription_ends_with_its_period(platform: Platform) -> None:
    ann = await subscribed(platform)
    await platform.stripe.post_form(f"{await ann.portal_url()}/cancel")

    await platform.advance(days=29)
    await platform.settled()
    before = await ann.tier()
    await platform.advance(days=2)
    await platform.settled()

    assert before == "PRO"
    plan = await ann.plan()
    assert (plan["tier"], plan["status"], plan["price"]["amountCents"]) == ("FREE", "CANCELED", "0")
    await platform.assert_true()


async def test_switching_tier_and_interval_in_the_portal_changes_the_plan(platform: Platform) -> None:
    ann = await subscribed(platform)

    await switch(platform, ann, "business_monthly")
    dearer = await ann.plan()
    await switch(platform, ann, "starter_yearly")
    yearly = await ann.plan()

    assert (dearer["tier"], dearer["interval"], dearer["price"]["amountCents"]) == ("BUSINESS", "MONTHLY", "9900")
    assert (yearly["tier"], yearly["interval"], yearly["price"]["amountCents"]) == ("STARTER", "YEARLY", "8100")
    assert yearly["currentPeriodEnd"] == START.replace(year=2027).isoformat()
    await platform.assert_true()


async def test_a_renewal_moves_the_end_of_the_period(platform: Platform) -> None:
    ann = await subscribed(platform)

    await platform.advance(days=30, hours=2)
    await platform.settled()

    plan = await ann.plan()
    assert (plan["tier"], plan["status"]) == ("PRO", "ACTIVE")
    assert plan["currentPeriodEnd"] == START.replace(year=2027, month=1).isoformat()
    await platform.assert_true()


async def test_a_failed_renewal_keeps_the_tier_until_the_grace_is_over(platform: Platform) -> None:
    ann = await subscribed(platform, card=FAILS_LATER)

    noticed_at = await platform.advance(days=30, hours=2)
    await platform.settled()
    in_grace = await ann.plan()
    await platform.advance(days=6, hours=23)
    await platform.settled()
    still = await ann.plan()
    await platform.advance(hours=1)

    assert (in_grace["tier"], in_grace["status"]) == ("PRO", "PAST_DUE")
    assert in_grace["graceEndsAt"] == (noticed_at + timedelta(days=7)).isoformat()
    assert still == in_grace
    over = await ann.plan()
    assert (over["tier"], over["status"], over["interval"]) == ("FREE", "PAST_DUE", None)
    assert (over["price"]["amountCents"], over["currentPeriodEnd"]) == ("0", None)
    await platform.assert_true()


async def test_a_new_card_in_the_portal_ends_the_grace(platform: Platform) -> None:
    ann = await subscribed(platform, card=FAILS_LATER)
    await platform.advance(days=30, hours=2)
    await platform.settled()

    replaced = await platform.stripe.post_form(f"{await ann.portal_url()}/card", card_number=VISA)
    await platform.advance(days=3)
    await platform.settled()

    assert replaced.status == 303
    plan = await ann.plan()
    assert (plan["tier"], plan["status"], plan["graceEndsAt"]) == ("PRO", "ACTIVE", None)
    await platform.assert_true()


async def test_a_subscription_that_nobody_pays_for_ends(platform: Platform) -> None:
    ann = await subscribed(platform, card=FAILS_LATER)

    for _ in range(4):
        await platform.advance(days=12)
        await platform.settled()

    plan = await ann.plan()
    assert (plan["tier"], plan["status"], plan["graceEndsAt"]) == ("FREE", "CANCELED", None)
    page = await ann.checkout_page("PRO", "MONTHLY")
    await platform.stripe.pay(page.url)
    assert (await ann.verify_checkout(page.session_id))["tier"] == "PRO"
    await platform.assert_true()


async def test_an_unpaid_subscription_gives_nothing_and_still_blocks_a_purchase(platform: Platform) -> None:
    ann = await subscribed(platform)
    (subscription,) = await platform.stripe.subscriptions()

    await platform.stripe.control("subscriptions/status", subscription=subscription["id"], status="unpaid")
    await platform.settled()

    plan = await ann.plan()
    assert (plan["tier"], plan["status"], plan["interval"]) == ("FREE", "UNPAID", None)
    assert (await ann.checkout("PRO"))["code"] == "ALREADY_SUBSCRIBED"
    await platform.assert_true()
