"""The checkout page as a browser meets it: what it shows, what paying answers, what it refuses."""

import gzip
import re
from dataclasses import replace

import pytest
from aiohttp import ClientResponse, web
from aiohttp.test_utils import TestClient
from fake_hosted_world import CANCEL_URL, DECLINED_CARD, SUCCESS_URL, FakeHostedWorld, checkout
from pytest_aiohttp.plugin import AiohttpClient

from gateway.sandbox.hosted import PriceLine
from gateway.sandbox.pages import add_page_routes

Browser = TestClient[web.Request, web.Application]

FORM = {"Content-Type": "application/x-www-form-urlencoded"}


@pytest.fixture
def world() -> FakeHostedWorld:
    world = FakeHostedWorld()
    world.add(checkout("cs_open"))
    world.add(checkout("cs_done", "complete"))
    world.add(checkout("cs_late", "expired"))
    return world


@pytest.fixture
async def browser(aiohttp_client: AiohttpClient, world: FakeHostedWorld) -> Browser:
    app = web.Application()
    add_page_routes(app, world)
    return await aiohttp_client(app)


async def pay(browser: Browser, session_id: str, **fields: str) -> ClientResponse:
    return await browser.post(f"/c/pay/{session_id}", data=fields, allow_redirects=False)


async def test_open_page_shows_what_is_bought_and_the_way_back(browser: Browser) -> None:
    response = await browser.get("/c/pay/cs_open")
    page = await response.text()
    assert response.status == 200
    for shown in ("Test mode: no real money", "Aerostack", "Pro plan", "$29.00", "per month", "22 November 2026"):
        assert shown in page
    assert f'href="{CANCEL_URL}"' in page
    assert "4000 0000 0000 9979" in page
    assert "4000 0000 0000 0077" in page


async def test_page_holds_no_script_and_ties_every_field_to_a_label(browser: Browser) -> None:
    page = await (await browser.get("/c/pay/cs_open")).text()
    assert "<script" not in page
    fields = re.findall(r'<input id="(\w+)"', page)
    assert fields == ["email", "card_number", "expiry", "cvc", "name"]
    assert re.findall(r'<label for="(\w+)"', page) == fields
    assert re.findall(r'autocomplete="([\w-]+)"', page) == ["email", "cc-number", "cc-exp", "cc-csc", "cc-name"]
    assert re.findall(r'<input id="(\w+)"[^>]*\brequired\b', page) == ["card_number"]


async def test_every_answer_carries_the_security_headers(browser: Browser) -> None:
    posted = await pay(browser, "cs_open", card_number="1")
    paid = await pay(browser, "cs_done", card_number="4242424242424242")
    answers = [await browser.get(f"/c/pay/{name}") for name in ("cs_open", "cs_done", "cs_late", "cs_none")]
    for answer in (*answers, posted, paid):
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Referrer-Policy"] == "no-referrer"
    assert answers[0].headers["Content-Security-Policy"] == (
        "default-src 'none'; style-src 'self'; form-action 'self' https://app.example.com; "
        "base-uri 'none'; frame-ancestors 'none'"
    )
    assert "form-action 'self';" in answers[1].headers["Content-Security-Policy"]


async def test_stylesheet_of_a_page_is_served_from_here(browser: Browser) -> None:
    page = await (await browser.get("/c/pay/cs_open")).text()
    links = re.findall(r'<link rel="stylesheet" href="([^"]+)"', page)
    assert len(links) == 1
    stylesheet = await browser.get(links[0])
    assert (stylesheet.status, stylesheet.content_type) == (200, "text/css")


async def test_card_number_alone_pays_and_leads_to_the_success_url(browser: Browser, world: FakeHostedWorld) -> None:
    response = await pay(browser, "cs_open", card_number="4242424242424242")
    assert response.status == 303
    assert response.headers["Location"] == SUCCESS_URL
    assert world.asked == [("pay", "cs_open", "4242424242424242", "no e-mail")]


async def test_full_form_with_spaces_and_hyphens_pays(browser: Browser, world: FakeHostedWorld) -> None:
    response = await pay(
        browser,
        "cs_open",
        card_number=" 4242-4242 4242 4242 ",
        expiry="12 / 34",
        cvc="123",
        name="Ada",
        email=" ada@example.com ",
    )
    assert response.status == 303
    assert world.asked == [("pay", "cs_open", "4242424242424242", "ada@example.com")]


async def test_known_email_is_shown_and_wins_over_a_posted_one(browser: Browser, world: FakeHostedWorld) -> None:
    world.add(replace(checkout("cs_known"), customer_email="ada@example.com"))
    page = await (await browser.get("/c/pay/cs_known")).text()
    assert "ada@example.com" in page
    assert 'name="email"' not in page
    await pay(browser, "cs_known", card_number="4242424242424242", email="eve@example.com")
    assert world.asked == [("pay", "cs_known", "4242424242424242", "ada@example.com")]


async def test_declined_card_is_402_with_the_reason_and_only_the_last_four(browser: Browser) -> None:
    response = await pay(
        browser, "cs_open", card_number=DECLINED_CARD, name='Ada "<b>"', cvc="987", email="ada@example.com"
    )
    page = await response.text()
    assert response.status == 402
    assert "Your card was declined. This was the card ending in 0002." in page
    assert 'aria-invalid="true" aria-describedby="card_number-problem"' in page
    assert f'value="{DECLINED_CARD}"' not in page
    assert DECLINED_CARD not in page
    assert "987" not in page
    assert 'value="Ada &#34;&lt;b&gt;&#34;"' in page
    assert 'value="ada@example.com"' in page


async def test_session_stays_payable_after_a_decline(browser: Browser) -> None:
    await pay(browser, "cs_open", card_number=DECLINED_CARD)
    response = await pay(browser, "cs_open", card_number="4242424242424242")
    assert (response.status, response.headers["Location"]) == (303, SUCCESS_URL)


@pytest.mark.parametrize(
    ("typed", "sentence"),
    [
        ("", "Enter the card number."),
        (" - ", "Enter the card number."),
        ("4242", "12 to 19 digits; this one has 4."),
        ("4" * 40, "12 to 19 digits; this one has 40."),
        ("4242424242424241", "its check digit does not fit"),
        ("<script>alert(1)</script>", "A card number holds digits only."),
        ("\uff14242424242424242", "A card number holds digits only."),
        ("4242424242424242\x00", "A card number holds digits only."),
    ],
)
async def test_malformed_number_is_422_and_is_not_shown_again(
    browser: Browser, world: FakeHostedWorld, typed: str, sentence: str
) -> None:
    response = await pay(browser, "cs_open", card_number=typed)
    page = await response.text()
    assert response.status == 422
    assert sentence in page
    assert "<script" not in page
    assert "4242424242424241" not in page
    assert world.asked == []


@pytest.mark.parametrize(
    "typed",
    ["ada", "@example.com", "ada@", "a@b@c.example", "a b@example.com", "a@b\n", "a\x00@b", "a" * 250 + "@b.io"],
)
async def test_malformed_email_is_422_and_charges_nothing(browser: Browser, world: FakeHostedWorld, typed: str) -> None:
    response = await pay(browser, "cs_open", card_number="4242424242424242", email=typed.replace("\n", "\n\x7f"))
    assert response.status == 422
    assert "This is not an e-mail address." in await response.text()
    assert world.asked == []


async def test_completed_session_says_it_is_paid_and_links_on(browser: Browser) -> None:
    response = await browser.get("/c/pay/cs_done")
    page = await response.text()
    assert response.status == 200
    assert "Your payment of $29.00 to Aerostack went through." in page
    assert f'href="{SUCCESS_URL.replace("&", "&amp;")}"' in page
    assert "<form" not in page


async def test_paying_twice_leads_on_and_charges_once(browser: Browser, world: FakeHostedWorld) -> None:
    first = await pay(browser, "cs_open", card_number="4242424242424242")
    second = await pay(browser, "cs_open", card_number="4242424242424242")
    assert [first.status, second.status] == [303, 303]
    assert second.headers["Location"] == SUCCESS_URL
    assert len(world.asked) == 1


async def test_completed_but_unpaid_session_does_not_claim_to_be_paid(browser: Browser, world: FakeHostedWorld) -> None:
    world.add(replace(checkout("cs_slow", "complete"), payment_status="unpaid"))
    page = await (await browser.get("/c/pay/cs_slow")).text()
    assert "is being processed" in page
    assert "went through" not in page


async def test_session_with_nothing_to_pay_says_so(browser: Browser, world: FakeHostedWorld) -> None:
    free = replace(checkout("cs_free"), total_cents=0, lines=(PriceLine("Trial", 0, "month"),))
    world.add(free)
    assert "Confirm" in await (await browser.get("/c/pay/cs_free")).text()
    world.add(replace(free, status="complete", payment_status="no_payment_required"))
    assert "There was nothing to pay" in await (await browser.get("/c/pay/cs_free")).text()


async def test_expired_session_is_410_for_a_look_and_for_a_payment(browser: Browser, world: FakeHostedWorld) -> None:
    looked = await browser.get("/c/pay/cs_late")
    paid = await pay(browser, "cs_late", card_number="4242424242424242")
    for response in (looked, paid):
        page = await response.text()
        assert response.status == 410
        assert "This payment page has expired" in page
        assert f'href="{CANCEL_URL}"' in page
    assert world.asked == []


async def test_no_link_is_shown_where_there_is_no_cancel_url(browser: Browser, world: FakeHostedWorld) -> None:
    world.add(replace(checkout("cs_open"), cancel_url=None))
    world.add(replace(checkout("cs_late", "expired"), cancel_url=None))
    for name in ("cs_open", "cs_late"):
        assert "<a " not in await (await browser.get(f"/c/pay/{name}")).text()


@pytest.mark.parametrize("name", ["cs_none", "%00", "%ff%0a", "a%2Fb", "<script>", "x" * 4000])
async def test_unknown_session_is_a_404_page(browser: Browser, name: str) -> None:
    looked = await browser.get(f"/c/pay/{name}")
    paid = await pay(browser, name, card_number="4242424242424242")
    for response in (looked, paid):
        assert response.status == 404
        assert "There is no such payment page" in await response.text()


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (b"", {}, 422),
        (b"", FORM, 422),
        (b"&&&===", FORM, 422),
        (b"card_number=%ff%fe", FORM, 422),
        (b"\xff\xfe\x00", FORM, 400),
        (b"&".join(b"a%d=1" % number for number in range(33)), FORM, 400),
        (b"junk", FORM | {"Content-Encoding": "gzip"}, 400),
        (b"card_number=" + b"4" * 16_384, FORM, 413),
        (gzip.compress(b"4" * 10_000_000), FORM | {"Content-Encoding": "gzip"}, 413),
        (b'{"card_number": "4242424242424242"}', {"Content-Type": "application/json"}, 415),
        (b"card_number=4242424242424242", {"Content-Type": "text/plain"}, 415),
    ],
)
async def test_junk_body_gets_a_page_and_charges_nothing(
    browser: Browser, world: FakeHostedWorld, body: bytes, headers: dict[str, str], status: int
) -> None:
    response = await browser.post("/c/pay/cs_open", data=body, headers=headers, skip_auto_headers=["Content-Type"])
    assert response.status == status
    assert "<h1" in await response.text()
    assert response.headers["Cache-Control"] == "no-store"
    assert world.asked == []


async def test_text_from_the_seller_is_escaped(browser: Browser, world: FakeHostedWorld) -> None:
    hostile = '<img src=x onerror="alert(1)">'
    world.add(replace(checkout("cs_evil"), business_name=hostile, lines=(PriceLine(hostile, 2900, None),)))
    page = await (await browser.get("/c/pay/cs_evil")).text()
    assert "<img" not in page
    assert "&lt;img" in page
