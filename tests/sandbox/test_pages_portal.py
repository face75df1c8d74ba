"""The portal as a browser meets it: what it shows, each change, and what it refuses."""

from dataclasses import replace

import pytest
from aiohttp import ClientResponse, web
from aiohttp.test_utils import TestClient
from fake_hosted_world import DECEMBER_22, DECLINED_CARD, RETURN_URL, FakeHostedWorld, portal, subscription
from pytest_aiohttp.plugin import AiohttpClient

from gateway.sandbox.pages import add_page_routes

Browser = TestClient[web.Request, web.Application]


@pytest.fixture
def world() -> FakeHostedWorld:
    world = FakeHostedWorld()
    world.add(portal("ps_1"))
    return world


@pytest.fixture
async def browser(aiohttp_client: AiohttpClient, world: FakeHostedWorld) -> Browser:
    app = web.Application()
    add_page_routes(app, world)
    return await aiohttp_client(app)


async def post(browser: Browser, change: str, **fields: str) -> ClientResponse:
    return await browser.post(f"/p/session/ps_1/{change}", data=fields, allow_redirects=False)


async def page_after(browser: Browser, response: ClientResponse) -> str:
    assert response.status == 303, await response.text()
    return await (await browser.get(response.headers["Location"])).text()


async def test_portal_shows_plan_card_invoices_and_the_way_back(browser: Browser) -> None:
    response = await browser.get("/p/session/ps_1")
    page = await response.text()
    assert response.status == 200
    for shown in (
        "Test mode: no real money",
        "ada@example.com",
        "$29.00",
        "Renews on",
        "22 December 2026",
        "Pro, billed yearly",
        "$261.00",
        "AERO-0002",
        "$1,234.56",
        f'href="{RETURN_URL}"',
    ):
        assert shown in page
    assert "<script" not in page
    assert "form-action 'self';" in response.headers["Content-Security-Policy"]


async def test_empty_portal_says_what_is_missing(browser: Browser, world: FakeHostedWorld) -> None:
    world.add(replace(portal("ps_1"), subscriptions=(), invoices=(), card_last4=None))
    page = await (await browser.get("/p/session/ps_1")).text()
    for shown in ("You have no subscription.", "No card is saved.", "No invoices yet."):
        assert shown in page


async def test_switch_changes_the_price_and_says_so(browser: Browser, world: FakeHostedWorld) -> None:
    response = await post(browser, "switch", subscription_id="sub_1", price_id="price_pro_yearly")
    page = await page_after(browser, response)
    assert "Your plan was changed." in page
    assert "$261.00 <small>per year" in page
    assert world.asked == [("switch", "sub_1", "price_pro_yearly")]


@pytest.mark.parametrize("price_id", ["", "price_other", "<script>"])
async def test_price_that_is_not_offered_is_refused(browser: Browser, world: FakeHostedWorld, price_id: str) -> None:
    response = await post(browser, "switch", subscription_id="sub_1", price_id=price_id)
    page = await response.text()
    assert response.status == 422
    assert 'role="alert"' in page
    assert "<script" not in page
    assert world.asked == []


async def test_asking_to_cancel_changes_nothing_and_names_the_last_day(
    browser: Browser, world: FakeHostedWorld
) -> None:
    response = await browser.get("/p/session/ps_1/cancel?subscription_id=sub_1")
    page = await response.text()
    assert response.status == 200
    assert "Cancel Pro?" in page
    assert "22 December 2026" in page
    assert 'href="/p/session/ps_1">Keep subscription' in page
    assert world.asked == []


async def test_cancel_then_resume(browser: Browser, world: FakeHostedWorld) -> None:
    canceled = await page_after(browser, await post(browser, "cancel", subscription_id="sub_1"))
    assert "Your subscription will end with the current period." in canceled
    assert "Ends on" in canceled
    assert "Resume subscription" in canceled
    resumed = await page_after(browser, await post(browser, "resume", subscription_id="sub_1"))
    assert "Your subscription will renew as before." in resumed
    assert "Renews on" in resumed
    assert world.asked == [("cancel", "sub_1"), ("resume", "sub_1")]


async def test_second_cancel_and_needless_resume_change_nothing_more(browser: Browser, world: FakeHostedWorld) -> None:
    statuses = [(await post(browser, change)).status for change in ("resume", "cancel", "cancel")]
    assert statuses == [303, 303, 303]
    assert world.asked == [("cancel", "sub_1")]


async def test_asking_to_cancel_what_is_ending_leads_back(browser: Browser, world: FakeHostedWorld) -> None:
    world.add(portal("ps_1", replace(subscription(), cancel_at=DECEMBER_22)))
    response = await browser.get("/p/session/ps_1/cancel?subscription_id=sub_1", allow_redirects=False)
    assert (response.status, response.headers["Location"]) == (303, "/p/session/ps_1")


async def test_with_two_subscriptions_the_one_meant_has_to_be_named(browser: Browser, world: FakeHostedWorld) -> None:
    world.add(portal("ps_1", subscription("sub_1"), subscription("sub_2")))
    assert (await post(browser, "cancel")).status == 422
    assert world.asked == []
    assert (await post(browser, "cancel", subscription_id="sub_2")).status == 303
    assert world.asked == [("cancel", "sub_2")]


@pytest.mark.parametrize("change", ["cancel", "resume", "switch"])
async def test_subscription_of_another_customer_is_out_of_reach(
    browser: Browser, world: FakeHostedWorld, change: str
) -> None:
    world.add(portal("ps_other", subscription("sub_other")))
    response = await post(browser, change, subscription_id="sub_other", price_id="price_pro_yearly")
    assert response.status == 422
    assert world.asked == []


async def test_ended_subscription_offers_no_change(browser: Browser, world: FakeHostedWorld) -> None:
    world.add(portal("ps_1", replace(subscription(), status="canceled")))
    page = await (await browser.get("/p/session/ps_1")).text()
    assert "Ended. Nothing more is charged." in page
    assert "Change plan" not in page
    assert "Cancel subscription" not in page
    assert (await post(browser, "cancel", subscription_id="sub_1")).status == 422
    assert world.asked == []


async def test_replaced_card_is_shown_by_its_last_four(browser: Browser, world: FakeHostedWorld) -> None:
    page = await page_after(browser, await post(browser, "card", card_number="4000 0000 0000 0341"))
    assert "Your card was replaced." in page
    assert "</span> 0341" in page
    assert world.asked == [("card", "4000000000000341")]


async def test_declined_replacement_is_402_and_keeps_the_old_card(browser: Browser) -> None:
    response = await post(browser, "card", card_number=DECLINED_CARD)
    page = await response.text()
    assert response.status == 402
    assert "Your card was declined. This was the card ending in 0002." in page
    assert DECLINED_CARD not in page
    assert "</span> 4242" in page


async def test_malformed_replacement_is_422_and_asks_nothing(browser: Browser, world: FakeHostedWorld) -> None:
    response = await post(browser, "card", card_number="4242")
    assert response.status == 422
    assert "12 to 19 digits; this one has 4." in await response.text()
    assert world.asked == []


async def test_notice_is_one_of_ours_or_none(browser: Browser) -> None:
    known = await (await browser.get("/p/session/ps_1?done=canceled")).text()
    unknown = await (await browser.get("/p/session/ps_1?done=Send+money+to+Eve")).text()
    assert 'role="status"' in known
    assert 'role="status"' not in unknown
    assert "Eve" not in unknown


@pytest.mark.parametrize("change", ["cancel", "resume", "switch", "card"])
async def test_unknown_session_is_a_404_page_for_every_change(browser: Browser, change: str) -> None:
    response = await browser.post(f"/p/session/ps_none/{change}", data={"card_number": "4242424242424242"})
    assert response.status == 404
    assert "This billing page is not open" in await response.text()


@pytest.mark.parametrize("address", ["/p/session/ps_none", "/p/session/ps_none/cancel", "/p/session/%00%ff"])
async def test_unknown_session_is_a_404_page_for_every_look(browser: Browser, address: str) -> None:
    response = await browser.get(address)
    assert response.status == 404
    assert "This billing page is not open" in await response.text()


async def test_junk_body_gets_a_page_that_leads_back(browser: Browser, world: FakeHostedWorld) -> None:
    response = await browser.post("/p/session/ps_1/cancel", data=b"{}", headers={"Content-Type": "application/json"})
    assert response.status == 415
    assert 'href="/p/session/ps_1"' in await response.text()
    assert world.asked == []


@pytest.mark.parametrize(
    ("status", "told"),
    [
        ("active", "Renews on"),
        ("trialing", "Free until"),
        ("past_due", "A payment is overdue."),
        ("unpaid", "Nothing more is charged until what is open is paid."),
        ("incomplete", "The first payment has not arrived."),
        ("paused", "Nothing is charged until it goes on."),
    ],
)
async def test_each_status_says_what_is_true_of_it(
    browser: Browser, world: FakeHostedWorld, status: str, told: str
) -> None:
    world.add(portal("ps_1", replace(subscription(), status=status)))
    page = await (await browser.get("/p/session/ps_1")).text()
    assert told in page
    assert ("Renews on" in page) == (status == "active")
    assert "/pay" not in page


async def test_what_is_overdue_can_be_paid_now(browser: Browser, world: FakeHostedWorld) -> None:
    world.add(portal("ps_1", replace(subscription(), status="past_due", owed_cents=2900)))
    page = await (await browser.get("/p/session/ps_1")).text()
    assert "Pay $29.00 now" in page

    paid = await page_after(browser, await post(browser, "pay"))

    assert "Your payment went through" in paid
    assert "Renews on" in paid
    assert world.asked == [("pay_overdue", "sub_1")]


async def test_a_declined_card_leaves_it_owed_and_nothing_owed_is_refused(
    browser: Browser, world: FakeHostedWorld
) -> None:
    owing = replace(subscription(), status="unpaid", owed_cents=2900)
    world.add(replace(portal("ps_1", owing), card_last4=DECLINED_CARD[-4:]))
    response = await post(browser, "pay")
    page = await response.text()
    assert response.status == 402
    assert "Your card was declined. Save another card here, then pay." in page
    assert "Pay $29.00 now" in page

    world.add(portal("ps_1"))
    assert (await post(browser, "pay")).status == 422
    assert world.asked == [("pay_overdue", "sub_1")]
