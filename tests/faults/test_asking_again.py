"""Stripe fails in the middle of a purchase; asking again ends in the one true state."""

from collections.abc import Awaitable, Callable

import pytest

from tests.support.gateway import Platform, eventually
from tests.support.person import Json, Page

#: One more than the SDK tries by itself, so that the failure reaches the caller.
ENOUGH = 3
FAULTS = ("status_500", "status_429", "status_409", "timeout_before", "timeout_after", "cut_body", "status_500_after")
CUSTOMERS = "regex:^/v1/customers$"
SESSIONS = "regex:^/v1/checkout/sessions$"
SESSION = "regex:^/v1/checkout/sessions/cs_"
EXPIRING = "regex:/expire$"
SUBSCRIPTIONS = "regex:^/v1/subscriptions$"


async def fails_then(platform: Platform, path: str, kind: str, ask: Callable[[], Awaitable[Json]]) -> Json:
    """What `ask` answers once the fault, which it must meet and say, is over; Stripe may hold the key for a moment."""
    await platform.stripe.fault(path, kind, count=ENOUGH)
    refused = await ask()
    assert (refused["__typename"], refused["code"]) == ("BillingProblem", "PROVIDER_UNAVAILABLE"), refused
    await platform.stripe.control("faults/clear")
    answers: list[Json] = []

    async def served() -> None:
        answers.append(await ask())
        assert answers[-1].get("code") != "PROVIDER_UNAVAILABLE"

    await eventually(served)
    return answers[-1]


@pytest.mark.parametrize("kind", FAULTS)
async def test_a_failing_customer_creation_makes_one_customer(platform: Platform, kind: str) -> None:
    ann = platform.person()

    answer = await fails_then(platform, CUSTOMERS, kind, lambda: ann.deposit("2500", idempotencyKey="one"))
    await ann.checkout_page("PRO")

    assert answer["__typename"] == "DepositSuccess"
    assert await platform.stripe.count("customer") == 1
    keys = {row["idempotency_key"] for row in await platform.stripe.requests("/v1/customers", method="POST")}
    assert len(keys) == 1
    await platform.stripe.pay(answer["url"])
    assert (await ann.verify_deposit(answer["sessionId"]))["deposited"] is True
    await platform.assert_true()


@pytest.mark.parametrize("kind", FAULTS)
async def test_a_failing_page_creation_makes_one_page_of_each_kind(platform: Platform, kind: str) -> None:
    ann = platform.person()

    deposit = await fails_then(platform, SESSIONS, kind, lambda: ann.deposit("2500", idempotencyKey="one"))
    plan = await fails_then(platform, SESSIONS, kind, lambda: ann.checkout("PRO", "MONTHLY"))

    assert (deposit["__typename"], plan["__typename"]) == ("DepositSuccess", "CheckoutSuccess")
    assert await platform.stripe.count("checkout.session") == 2
    for answer in (deposit, plan):
        await platform.stripe.pay(answer["url"])
    assert (await ann.verify_deposit(deposit["sessionId"]))["deposited"] is True
    assert (await ann.verify_checkout(plan["sessionId"]))["tier"] == "PRO"
    assert await ann.balance_cents() == "2500"
    await platform.assert_true()


@pytest.mark.parametrize("kind", FAULTS)
async def test_a_failing_look_at_a_session_credits_once(platform: Platform, kind: str) -> None:
    ann = platform.person()
    page = await ann.deposit_page("2500")
    await platform.stripe.pay(page.url)

    verified = await fails_then(platform, SESSION, kind, lambda: ann.verify_deposit(page.session_id))

    assert verified["deposited"] is True
    assert await ann.balance_cents() == "2500"
    await platform.assert_true()


@pytest.mark.parametrize("kind", FAULTS)
async def test_a_failing_look_at_the_subscriptions_changes_nothing_until_it_is_known(
    platform: Platform, kind: str
) -> None:
    ann = platform.person()
    page = await ann.checkout_page("PRO")
    await platform.stripe.pay(page.url)

    await platform.stripe.fault(SUBSCRIPTIONS, kind, count=ENOUGH)
    refused = await ann.verify_checkout(page.session_id)
    meanwhile = await ann.tier()
    await platform.stripe.control("faults/clear")
    verified = await ann.verify_checkout(page.session_id)

    assert refused["code"] == "PROVIDER_UNAVAILABLE"
    assert meanwhile == "FREE"
    assert [row["state"] for row in await platform.checkouts(ann.subject)] == ["settled"]
    assert verified["tier"] == "PRO"
    await platform.assert_true()


@pytest.mark.parametrize("kind", FAULTS)
async def test_an_older_page_that_cannot_be_closed_is_not_joined_by_another(platform: Platform, kind: str) -> None:
    ann = platform.person()
    older = await ann.checkout_page("STARTER")

    newer = await fails_then(platform, EXPIRING, kind, lambda: ann.checkout("BUSINESS"))

    assert newer["__typename"] == "CheckoutSuccess"
    open_pages = [one["id"] for one in await platform.stripe.sessions() if one["status"] == "open"]
    assert open_pages == [newer["sessionId"]]
    assert (await platform.stripe.pay(older.url)).status == 410
    await platform.stripe.pay(newer["url"])
    assert (await ann.verify_checkout(newer["sessionId"]))["tier"] == "BUSINESS"
    await platform.assert_true()


@pytest.mark.parametrize("path", [CUSTOMERS, SESSIONS], ids=["customer", "page"])
async def test_a_failure_that_stripe_remembers_is_got_over_after_a_while(platform: Platform, path: str) -> None:
    ann = platform.person()
    await platform.stripe.fault(path, "status_500_kept")

    refused = await ann.deposit("2500", idempotencyKey="one")
    await platform.advance(minutes=15)
    page = await ann.deposit_page("2500", idempotencyKey="one")
    await platform.stripe.pay(page.url)

    assert refused["code"] == "PROVIDER_UNAVAILABLE"
    assert (await ann.verify_deposit(page.session_id))["deposited"] is True
    assert await platform.stripe.count("customer") == 1
    await platform.assert_true()


async def test_a_page_whose_answer_was_lost_is_credited_when_it_is_paid_all_the_same(platform: Platform) -> None:
    ann = platform.person()
    await platform.stripe.fault(SESSIONS, "status_500_after", count=ENOUGH)

    refused = await ann.deposit("2500")
    (session,) = await platform.stripe.sessions()
    await platform.stripe.control("checkout/pay", checkout_session=session["id"])
    await platform.settled()

    assert refused["code"] == "PROVIDER_UNAVAILABLE"
    assert await ann.balance_cents() == "2500"
    assert (await ann.verify_deposit(session["id"]))["deposited"] is True
    await platform.assert_true()


async def test_a_price_list_that_cannot_be_renewed_still_sells(platform: Platform) -> None:
    ann, bob = platform.person(), platform.person()
    await ann.checkout_page("PRO")
    await platform.advance(minutes=10)
    await platform.stripe.fault("/v1/prices", "status_500", count=ENOUGH)

    page = await bob.checkout_page("PRO")

    assert isinstance(page, Page)
    await platform.stripe.control("faults/clear")


@pytest.mark.parametrize("kind", ["status_500", "status_429", "timeout_after"])
async def test_a_portal_that_fails_opens_at_the_next_click(platform: Platform, kind: str) -> None:
    ann = platform.person()
    await ann.deposit_page()

    opened = await fails_then(platform, "/v1/billing_portal/sessions", kind, ann.portal)

    assert opened["__typename"] == "PortalSuccess"
    assert (await platform.stripe.page(opened["url"])).status == 200
