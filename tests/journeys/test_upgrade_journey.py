"""Buying a plan on Stripe's page and coming back with it."""

from tests.support.gateway import START, Platform
from tests.support.stripe_door import DECLINED, PAYS_LATER

ONE_MONTH_LATER = START.replace(month=12).isoformat()


async def test_a_person_upgrades_to_pro_after_a_declined_card(platform: Platform) -> None:
    ann = platform.person()
    assert await ann.tier() == "FREE"
    page = await ann.checkout_page("PRO", "MONTHLY")

    declined = await platform.stripe.pay(page.url, DECLINED)
    between = await ann.verify_checkout(page.session_id)
    paid = await platform.stripe.pay(page.url)
    verified = await ann.verify_checkout(page.session_id)

    assert declined.status == 402
    assert "Your card was declined." in declined.text
    assert (between["__typename"], between["retryAfterMs"]) == ("PaymentPending", 2000)
    assert (paid.status, paid.location) == (303, f"https://app.aerostack.dev/done?session_id={page.session_id}")
    assert verified["__typename"] == "VerifyCheckoutSuccess"
    assert verified["tier"] == "PRO"
    assert verified["plan"] == {
        "tier": "PRO",
        "interval": "MONTHLY",
        "status": "ACTIVE",
        "price": {"amountCents": "2900", "amount": "29.00", "currency": "USD"},
        "currentPeriodEnd": ONE_MONTH_LATER,
        "cancelsAt": None,
        "graceEndsAt": None,
    }
    assert await ann.plan() == verified["plan"]
    await platform.assert_true()


async def test_verifying_a_checkout_again_answers_the_same(platform: Platform) -> None:
    ann = platform.person()
    page = await ann.checkout_page("BUSINESS", "YEARLY")
    await platform.stripe.pay(page.url)

    first = await ann.verify_checkout(page.session_id)
    await platform.settled()
    second = await ann.verify_checkout(page.session_id)

    assert first["plan"]["price"]["amountCents"] == "89100"
    assert second == first
    await platform.assert_true()


async def test_a_second_purchase_is_refused_with_the_way_to_the_portal(platform: Platform) -> None:
    ann = platform.person()
    page = await ann.checkout_page("PRO", "MONTHLY")
    await platform.stripe.pay(page.url)
    await ann.verify_checkout(page.session_id)
    before = await platform.stripe.count("checkout.session")

    refused = await ann.checkout("BUSINESS", "MONTHLY")

    assert (refused["__typename"], refused["code"]) == ("AlreadySubscribed", "ALREADY_SUBSCRIBED")
    assert "portal" in refused["message"]
    assert refused["plan"]["tier"] == "PRO"
    assert await platform.stripe.count("checkout.session") == before
    await platform.assert_true()


async def test_a_paid_plan_is_held_though_nobody_comes_back(platform: Platform) -> None:
    ann = platform.person()
    page = await ann.checkout_page("STARTER", "YEARLY")

    await platform.stripe.pay(page.url)
    await platform.settled()

    plan = await ann.plan()
    assert (plan["tier"], plan["interval"], plan["price"]["amountCents"]) == ("STARTER", "YEARLY", "8100")
    assert [row["state"] for row in await platform.checkouts(ann.subject)] == ["settled"]
    await platform.assert_true()


async def test_the_same_click_twice_shows_the_same_page(platform: Platform) -> None:
    ann = platform.person()

    first = await ann.checkout_page("PRO", "MONTHLY")
    second = await ann.checkout_page("PRO", "MONTHLY")

    assert second == first
    assert await platform.stripe.count("checkout.session") == 1


async def test_a_page_about_to_expire_is_replaced(platform: Platform) -> None:
    ann = platform.person()
    first = await ann.checkout_page("PRO", "MONTHLY")

    await platform.advance(hours=23, minutes=55)
    second = await ann.checkout_page("PRO", "MONTHLY")

    assert second.session_id != first.session_id
    assert (await platform.stripe.session(first.session_id))["status"] == "expired"
    assert (await platform.stripe.session(second.session_id))["status"] == "open"


async def test_an_expired_page_says_so_and_another_can_be_had(platform: Platform) -> None:
    ann = platform.person()
    first = await ann.checkout_page("PRO", "MONTHLY")

    await platform.advance(hours=25)
    verified = await ann.verify_checkout(first.session_id)
    second = await ann.checkout_page("PRO", "MONTHLY")
    await platform.stripe.pay(second.url)

    assert (verified["__typename"], verified["code"]) == ("BillingProblem", "SESSION_EXPIRED")
    assert (await ann.verify_checkout(second.session_id))["tier"] == "PRO"
    await platform.assert_true()


async def test_a_purchase_paid_by_bank_is_pending_and_blocks_another(platform: Platform) -> None:
    ann = platform.person()
    page = await ann.checkout_page("PRO", "MONTHLY")
    await platform.stripe.pay(page.url, PAYS_LATER)

    pending = await ann.verify_checkout(page.session_id)
    other = await ann.checkout("BUSINESS", "MONTHLY")
    await platform.stripe.control("payments/settle", checkout_session=page.session_id)
    await platform.settled()

    assert (pending["__typename"], pending["retryAfterMs"]) == ("PaymentPending", 30_000)
    assert other["code"] in {"ALREADY_SUBSCRIBED", "IN_PROGRESS"}
    assert (await ann.verify_checkout(page.session_id))["tier"] == "PRO"
    assert len(await platform.stripe.subscriptions()) == 1
    await platform.assert_true()


async def test_a_subscription_made_elsewhere_refuses_a_checkout(platform: Platform) -> None:
    ann = platform.person()
    await ann.deposit_page()
    (row,) = await platform.checkouts(ann.subject)
    await platform.stripe.control("events/hold")

    await platform.stripe.control(
        "subscriptions/create", customer=row["stripe_customer_id"], lookup_key="starter_monthly"
    )
    refused = await ann.checkout("PRO", "MONTHLY")

    assert refused["code"] == "ALREADY_SUBSCRIBED"
    assert refused["plan"]["tier"] == "STARTER"
    await platform.stripe.control("events/release")
    await platform.assert_true()


async def test_after_the_end_of_a_subscription_another_can_be_bought(platform: Platform) -> None:
    ann = platform.person()
    first = await ann.checkout_page("PRO", "MONTHLY")
    await platform.stripe.pay(first.url)
    await platform.settled()
    (subscription,) = await platform.stripe.subscriptions()

    await platform.stripe.control("subscriptions/cancel", subscription=subscription["id"])
    await platform.settled()
    ended = await ann.plan()
    second = await ann.checkout_page("BUSINESS", "MONTHLY")
    await platform.stripe.pay(second.url)

    assert (ended["tier"], ended["status"], ended["interval"]) == ("FREE", "CANCELED", None)
    assert (await ann.verify_checkout(second.session_id))["tier"] == "BUSINESS"
    await platform.settled()
    assert await ann.tier() == "BUSINESS"
    await platform.assert_true()
