"""Input that cannot be sold, refused before Stripe hears of anything."""

import pytest

from tests.support.gateway import Platform
from tests.support.person import APP, DEPOSIT

EVIL_URLS = (
    "https://evil.example",
    "http://app.aerostack.dev/done",
    "https://app.aerostack.dev.evil.example/done",
    "https://app.aerostack.dev@evil.example/done",
    "https://user:password@app.aerostack.dev/done",
    "https://app.aerostack.dev:8443/done",
    "https://evil.example/https://app.aerostack.dev",
    "//evil.example/done",
    "https:\\\\evil.example",
    "https://app.aerostack.dev\\@evil.example",
    "https://app.aerostack.dev\t.evil.example",
    "https://a.b.aerostack-admin.pages.dev/",
    "https://xn--80ak6aa92e.aerostack-admin.pages.dev/",
    "https://аpp.aerostack.dev/",  # noqa: RUF001 - a Cyrillic letter that looks like a Latin one
    "javascript:alert(1)//https://app.aerostack.dev",
    "data:text/html,x",
    "/done",
    "",
    "https://app.aerostack.dev/" + "a" * 2048,
)


async def assert_nothing_happened(platform: Platform) -> None:
    assert await platform.stripe.requests() == []
    assert await platform.database.fetch("SELECT id FROM customer") == []
    assert await platform.database.fetch("SELECT id FROM checkout") == []
    assert await platform.effects() == 0


@pytest.mark.parametrize("field", ["successUrl", "cancelUrl"])
async def test_a_redirect_elsewhere_is_refused_with_its_field(platform: Platform, field: str) -> None:
    ann = platform.person()
    for url in EVIL_URLS:
        for answer in (await ann.checkout(**{field: url}), await ann.deposit(**{field: url})):
            assert (answer["__typename"], answer["code"]) == ("RedirectNotAllowed", "REDIRECT_NOT_ALLOWED"), url
            assert answer["path"] == ["input", field]
            assert APP in answer["message"]
    await assert_nothing_happened(platform)


async def test_the_portal_returns_to_allowed_pages_only(platform: Platform) -> None:
    ann = platform.person()
    for url in EVIL_URLS:
        answer = await ann.portal(return_url=url)
        assert (answer["__typename"], answer["path"]) == ("RedirectNotAllowed", ["input", "returnUrl"]), url
    await assert_nothing_happened(platform)


@pytest.mark.parametrize(
    "url",
    [
        "https://pr-7.aerostack-admin.pages.dev/done",
        "http://localhost:5173/done?tab=plans#here",
        "HTTPS://APP.aerostack.dev",
    ],
)
async def test_allowed_pages_get_the_session_id_appended(platform: Platform, url: str) -> None:
    page = await platform.person().deposit_page(successUrl=url)

    paid = await platform.stripe.pay(page.url)

    assert paid.location is not None
    assert f"session_id={page.session_id}" in paid.location
    assert paid.location.lower().startswith(url.partition("?")[0].lower())
    await platform.assert_true()


async def test_a_deposit_outside_its_limits_is_refused_with_them(platform: Platform) -> None:
    ann = platform.person()
    for amount in (499, "499", 50_001, "50001", -1, "-1", 0, "0", "25", 2**63, str(2**63), "9" * 40):
        answer = await ann.deposit(amount)

        assert (answer["__typename"], answer["code"]) == ("AmountOutOfRange", "AMOUNT_OUT_OF_RANGE"), amount
        assert answer["path"] == ["input", "amountCents"]
        assert answer["message"].startswith("A deposit is between $5.00 and $500.00; got ")
        assert answer["minimum"] == {"amountCents": "500", "amount": "5.00", "currency": "USD"}
        assert answer["maximum"] == {"amountCents": "50000", "amount": "500.00", "currency": "USD"}
    assert (await ann.deposit(499))["message"].endswith("got $4.99.")
    await assert_nothing_happened(platform)


async def test_an_amount_that_is_no_whole_number_is_malformed(platform: Platform) -> None:
    ann = platform.person()
    urls = {"successUrl": f"{APP}/done", "cancelUrl": f"{APP}/plans"}
    for amount in (25.0, 2500.5, 1e3, True, False, None, "1e3", "25.00", "", " 2500", "2500 ", "+2500", "٢٥٠٠", [2500]):
        reply = await ann.post(DEPOSIT, input={"amountCents": amount, **urls})

        assert reply.codes == ["BAD_REQUEST"], amount
        assert "data" not in reply.body
    for literal in ("2500.0", "1e3", "true", "null", '"1e3"', "{}"):
        reply = await ann.post(
            f'mutation {{ deposit(input: {{ amountCents: {literal}, successUrl: "{APP}", cancelUrl: "{APP}" }}) '
            "{ __typename } }"
        )
        assert reply.codes == ["BAD_REQUEST"], literal
    await assert_nothing_happened(platform)


@pytest.mark.parametrize("amount", [500, "500", 50_000, "50000"])
async def test_the_limits_themselves_can_be_deposited(platform: Platform, amount: int | str) -> None:
    ann = platform.person()
    page = await ann.deposit_page(amount)

    await platform.stripe.pay(page.url)

    assert (await ann.verify_deposit(page.session_id))["amount"]["amountCents"] == str(amount)
    await platform.assert_true()


async def test_an_amount_written_into_the_document_is_read_exactly(platform: Platform) -> None:
    ann = platform.person()
    for literal in ("2500", '"2500"'):
        data = await ann.ask(
            f'mutation {{ deposit(input: {{ amountCents: {literal}, successUrl: "{APP}", cancelUrl: "{APP}" }}) '
            "{ ... on DepositSuccess { sessionId } } }"
        )
        assert (await platform.stripe.session(data["deposit"]["sessionId"]))["amount_total"] == 2500


async def test_free_is_not_for_sale(platform: Platform) -> None:
    answer = await platform.person().checkout("FREE", "MONTHLY")

    assert (answer["__typename"], answer["code"]) == ("BillingProblem", "TIER_NOT_PURCHASABLE")
    assert answer["path"] == ["input", "tier"]
    await assert_nothing_happened(platform)


@pytest.mark.parametrize("key", ["", "k" * 256])
async def test_a_key_of_the_wrong_length_is_refused(platform: Platform, key: str) -> None:
    ann = platform.person()

    for answer in (await ann.checkout(idempotencyKey=key), await ann.deposit(idempotencyKey=key)):
        assert (answer["code"], answer["path"]) == ("INVALID_INPUT", ["input", "idempotencyKey"])
    await assert_nothing_happened(platform)


async def test_one_key_for_two_inputs_is_a_conflict(platform: Platform) -> None:
    ann, bob = platform.person(), platform.person()
    first = await ann.deposit_page("2500", idempotencyKey="k" * 255)
    await ann.checkout_page("PRO", "MONTHLY", idempotencyKey="plan")

    other_amount = await ann.deposit("2600", idempotencyKey="k" * 255)
    other_page = await ann.deposit("2500", idempotencyKey="k" * 255, cancelUrl=f"{APP}/elsewhere")
    other_plan = await ann.checkout("PRO", "YEARLY", idempotencyKey="plan")
    of_bob = await bob.deposit_page("2600", idempotencyKey="k" * 255)

    for answer in (other_amount, other_page, other_plan):
        assert (answer["__typename"], answer["code"]) == ("BillingProblem", "IDEMPOTENCY_CONFLICT")
        assert answer["path"] == ["input", "idempotencyKey"]
    assert of_bob.session_id != first.session_id
    assert await ann.deposit_page("2500", idempotencyKey="k" * 255) == first
    assert await platform.stripe.count("checkout.session") == 3
