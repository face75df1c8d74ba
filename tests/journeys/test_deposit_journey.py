"""Filling the wallet, from the first click to the statement."""

import pytest

from tests.support.gateway import START, Platform
from tests.support.stripe_door import DECLINED, PAYS_LATER


async def test_a_deposit_of_25_dollars_is_in_the_wallet_after_verifying(platform: Platform) -> None:
    ann = platform.person()
    page = await ann.deposit_page("2500")

    paid = await platform.stripe.pay(page.url)
    verified = await ann.verify_deposit(page.session_id)

    assert (paid.status, paid.location) == (303, f"https://app.aerostack.dev/done?session_id={page.session_id}")
    assert verified["__typename"] == "VerifyDepositSuccess"
    assert verified["deposited"] is True
    assert verified["amount"] == {"amountCents": "2500", "amount": "25.00", "currency": "USD"}
    assert verified["wallet"]["balance"]["amountCents"] == "2500"
    await platform.assert_true()


async def test_the_statement_shows_each_deposit_newest_first(platform: Platform) -> None:
    ann = platform.person()
    for cents in ("2500", "700"):
        page = await ann.deposit_page(cents)
        await platform.stripe.pay(page.url)
        await ann.verify_deposit(page.session_id)

    statement = await ann.entries()

    newer, older = (edge["node"] for edge in statement["edges"])
    assert (newer["kind"], older["kind"]) == ("DEPOSIT", "DEPOSIT")
    assert (newer["amount"]["amount"], newer["balanceAfter"]["amountCents"]) == ("7.00", "3200")
    assert (older["amount"]["amount"], older["balanceAfter"]["amountCents"]) == ("25.00", "2500")
    assert older["description"] == "Deposit"
    assert older["createdAt"] == START.isoformat()
    assert statement["pageInfo"] == {
        "hasNextPage": False,
        "hasPreviousPage": False,
        "startCursor": statement["edges"][0]["cursor"],
        "endCursor": statement["edges"][1]["cursor"],
    }
    await platform.assert_true()


async def test_verifying_again_answers_the_same_and_credits_nothing(platform: Platform) -> None:
    ann = platform.person()
    page = await ann.deposit_page("2500")
    await platform.stripe.pay(page.url)

    first = await ann.verify_deposit(page.session_id)
    await platform.settled()
    second = await ann.verify_deposit(page.session_id)

    assert second == first
    assert await ann.balance_cents() == "2500"
    assert await platform.effects() == 1
    await platform.assert_true()


async def test_verifying_before_paying_is_pending_and_says_when_to_ask_again(platform: Platform) -> None:
    ann = platform.person()
    page = await ann.deposit_page()

    early = await ann.verify_deposit(page.session_id)
    declined = await platform.stripe.pay(page.url, DECLINED)
    later = await ann.verify_deposit(page.session_id)

    assert (early["__typename"], early["code"], early["retryAfterMs"]) == ("PaymentPending", "PAYMENT_PENDING", 2000)
    assert declined.status == 402
    assert later == early
    assert await ann.balance_cents() == "0"
    await platform.assert_true()


async def test_a_paid_deposit_is_credited_though_nobody_comes_back(platform: Platform) -> None:
    ann = platform.person()
    page = await ann.deposit_page("50000")

    await platform.stripe.pay(page.url)
    await platform.settled()

    assert await ann.balance_cents() == "50000"
    verified = await ann.verify_deposit(page.session_id)
    assert verified["deposited"] is True
    await platform.assert_true()


async def test_a_delayed_payment_is_pending_until_the_bank_has_paid(platform: Platform) -> None:
    ann = platform.person()
    page = await ann.deposit_page("2500")
    await platform.stripe.pay(page.url, PAYS_LATER)
    await platform.settled()

    pending = await ann.verify_deposit(page.session_id)
    before = await ann.balance_cents()
    await platform.stripe.control("payments/settle", checkout_session=page.session_id)
    await platform.settled()

    assert (pending["__typename"], pending["retryAfterMs"]) == ("PaymentPending", 30_000)
    assert before == "0"
    assert await ann.balance_cents() == "2500"
    assert (await ann.verify_deposit(page.session_id))["deposited"] is True
    await platform.assert_true()


@pytest.mark.parametrize("heard", [True, False], ids=["the webhook told us", "nobody told us"])
async def test_a_delayed_payment_that_fails_takes_and_gives_nothing(platform: Platform, heard: bool) -> None:
    ann = platform.person()
    page = await ann.deposit_page("2500")
    await platform.stripe.pay(page.url, PAYS_LATER)
    await ann.verify_deposit(page.session_id)
    if not heard:
        await platform.stripe.control("events/hold")

    await platform.stripe.control("payments/fail", checkout_session=page.session_id)
    if heard:
        await platform.settled()
    failed = await ann.verify_deposit(page.session_id)
    again = await ann.verify_deposit(page.session_id)

    assert (failed["__typename"], failed["code"]) == ("BillingProblem", "PAYMENT_FAILED")
    assert again == failed
    assert [row["state"] for row in await platform.checkouts(ann.subject)] == ["failed"]
    assert await ann.balance_cents() == "0"
    await platform.stripe.control("events/release")
    await platform.assert_true()


async def test_a_page_that_was_not_used_in_time_is_expired(platform: Platform) -> None:
    ann = platform.person()
    page = await ann.deposit_page()

    await platform.advance(hours=25)
    refused = await platform.stripe.pay(page.url)
    verified = await ann.verify_deposit(page.session_id)

    assert refused.status == 410
    assert (verified["__typename"], verified["code"]) == ("BillingProblem", "SESSION_EXPIRED")
    await platform.settled()
    assert [row["state"] for row in await platform.checkouts(ann.subject)] == ["expired"]
    assert await ann.balance_cents() == "0"
    await platform.assert_true()


async def test_who_has_begun_a_deposit_has_a_portal_and_nobody_else_has(platform: Platform) -> None:
    ann, bob = platform.person(), platform.person()
    await ann.deposit_page()

    opened = await platform.stripe.page(await ann.portal_url())
    refused = await bob.portal()

    assert opened.status == 200
    assert refused["code"] == "NO_BILLING_ACCOUNT"
    await platform.assert_true()
