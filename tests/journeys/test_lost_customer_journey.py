"""Somebody deletes the Customer in Stripe's dashboard, and life goes on."""

from gateway.services.customers import find_stripe_customer
from tests.support.gateway import Platform
from tests.support.person import Person


async def delete_customer(platform: Platform, person: Person) -> str:
    found = await customer_of(platform, person)
    assert found is not None
    await platform.stripe.api("DELETE", f"/v1/customers/{found}")
    return found


async def customer_of(platform: Platform, person: Person) -> str | None:
    return await find_stripe_customer(platform.database, person.subject)


async def test_a_deleted_customer_is_followed_by_a_new_one(platform: Platform) -> None:
    ann = platform.person()
    await ann.deposit_page()
    lost = await delete_customer(platform, ann)
    await platform.settled()

    page = await ann.deposit_page("2500")
    await platform.stripe.pay(page.url)

    assert await customer_of(platform, ann) != lost
    assert (await ann.verify_deposit(page.session_id))["deposited"] is True
    await platform.assert_true()


async def test_a_customer_deleted_behind_our_back_is_followed_by_a_new_one(platform: Platform) -> None:
    ann = platform.person()
    await ann.deposit_page()
    await platform.stripe.control("events/hold")
    lost = await delete_customer(platform, ann)

    deposit = await ann.deposit_page("2500")
    await platform.stripe.pay(deposit.url)
    plan = await ann.checkout_page("PRO", "MONTHLY")
    await platform.stripe.pay(plan.url)

    assert await customer_of(platform, ann) != lost
    assert (await ann.verify_deposit(deposit.session_id))["deposited"] is True
    assert (await ann.verify_checkout(plan.session_id))["tier"] == "PRO"
    assert await platform.stripe.count("customer") == 2
    await platform.stripe.control("events/release")
    await platform.assert_true()
    assert await ann.tier() == "PRO"


async def test_a_deleted_customer_loses_its_plan_and_can_buy_another(platform: Platform) -> None:
    ann = platform.person()
    first = await ann.checkout_page("PRO", "MONTHLY")
    await platform.stripe.pay(first.url)
    await platform.settled()
    await delete_customer(platform, ann)
    await platform.settled()

    lost = await ann.plan()
    second = await ann.checkout_page("STARTER", "MONTHLY")
    await platform.stripe.pay(second.url)

    assert lost["tier"] == "FREE"
    assert (await ann.verify_checkout(second.session_id))["tier"] == "STARTER"
    await platform.assert_true()


async def test_a_subscriber_deleted_behind_our_back_can_buy_at_once(platform: Platform) -> None:
    ann = platform.person()
    first = await ann.checkout_page("PRO", "MONTHLY")
    await platform.stripe.pay(first.url)
    await platform.settled()
    await platform.stripe.control("events/hold")
    await delete_customer(platform, ann)

    second = await ann.checkout_page("STARTER", "MONTHLY")
    await platform.stripe.pay(second.url)

    assert (await ann.verify_checkout(second.session_id))["tier"] == "STARTER"
    await platform.stripe.control("events/release")
    await platform.assert_true()
    assert await ann.tier() == "STARTER"


async def test_the_portal_of_a_deleted_customer_is_none(platform: Platform) -> None:
    ann = platform.person()
    await ann.deposit_page()
    await delete_customer(platform, ann)
    await platform.settled()

    assert (await ann.portal())["code"] == "NO_BILLING_ACCOUNT"
