"""The customer portal: configurations, sessions, and what its pages do to the state."""

import pytest
import stripe

from gateway.sandbox.refusals import Json
from gateway.sandbox.settings import SandboxSettings
from tests.sandbox.local_stripe import DECLINED, FAILS_LATER, PAYS_LATER, VISA, LocalStripe, local_stripe, plain
from tests.sandbox.shop import Shop, open_shop, subscribe, subscription

CANCELING = "customer={customer}&return_url=https://a.test&flow_data[type]=subscription_cancel"
FEATURES = "features[subscription_cancel][enabled]=true&features[invoice_history][enabled]=true"


async def _portal(local: LocalStripe, shop: Shop, **more: str) -> Json:
    form = f"customer={shop.customer}&return_url=https://a.test/back"
    return await local.ok(
        "POST", "/v1/billing_portal/sessions", "&".join([form, *(f"{k}={v}" for k, v in more.items())])
    )


async def _press(local: LocalStripe, portal: Json, button: str, **fields: str) -> int:
    async with local.http.post(f"{portal['url']}/{button}", data=fields, allow_redirects=False) as response:
        return response.status


async def test_a_session_leads_to_a_page_with_the_way_back(local: LocalStripe) -> None:
    shop = await open_shop(local)
    portal = await _portal(local, shop)
    assert portal["url"] == f"{local.url}/p/session/{portal['id']}"
    async with local.http.get(portal["url"]) as response:
        text = await response.text()
    assert response.status == 200
    assert "https://a.test/back" in text
    assert "ada@example.com" in text


async def test_without_saved_settings_a_session_is_refused() -> None:
    async with local_stripe(SandboxSettings(portal_default_saved=False)) as local:
        shop = await open_shop(local)
        with pytest.raises(stripe.InvalidRequestError, match="default configuration has not been created"):
            await local.sdk.v1.billing_portal.sessions.create_async(
                {"customer": shop.customer, "return_url": "https://a.test"}
            )
        made = await local.ok("POST", "/v1/billing_portal/configurations", FEATURES)
        assert made["is_default"] is False
        portal = await _portal(local, shop, configuration=made["id"])
        assert portal["configuration"] == made["id"]


async def test_the_saved_settings_are_a_configuration(local: LocalStripe) -> None:
    shop = await open_shop(local)
    portal = await _portal(local, shop)
    listed = await plain(local.sdk.v1.billing_portal.configurations.list_async({"is_default": True}))
    assert [one["id"] for one in listed["data"]] == [portal["configuration"]]


async def test_a_configuration_keeps_what_an_update_does_not_name(local: LocalStripe) -> None:
    shop = await open_shop(local)
    switching = (
        "features[subscription_update][enabled]=true&features[subscription_update][default_allowed_updates][]=price"
        f"&features[subscription_update][products][0][product]={shop.product}"
        f"&features[subscription_update][products][0][prices][]={shop.monthly}"
        "&features[subscription_update][proration_behavior]=always_invoice"
    )
    made = await local.ok("POST", "/v1/billing_portal/configurations", f"{FEATURES}&{switching}&metadata[a]=1")
    path = f"/v1/billing_portal/configurations/{made['id']}"
    changed = await local.ok("POST", path, "features[subscription_cancel][enabled]=false&business_profile[headline]=Hi")
    assert changed["features"]["subscription_cancel"]["enabled"] is False
    assert changed["features"]["subscription_update"] == made["features"]["subscription_update"]
    assert (changed["business_profile"]["headline"], changed["metadata"]) == ("Hi", {"a": "1"})
    assert local.types()[-1] == "billing_portal.configuration.updated"
    await local.ok("POST", path, "active=false")
    refused = await local.refused(
        "POST",
        "/v1/billing_portal/sessions",
        f"customer={shop.customer}&configuration={made['id']}&return_url=https://a.test",
    )
    assert refused[0] == 400


@pytest.mark.parametrize(
    ("form", "param"),
    [
        ("", "features"),
        ("features[subscription_cancel][mode]=at_period_end", "features[subscription_cancel][enabled]"),
        ("features[subscription_update][enabled]=true&features[subscription_update][default_allowed_updates][]=price",
         "features[subscription_update][products]"),
        (f"{FEATURES}&default_return_url=nowhere", "default_return_url"),
        (f"{FEATURES}&features[subscription_pause][enabled]=true", "features[subscription_pause]"),
        (f"{FEATURES}&business_profile[terms_of_service_url]=x", "business_profile[terms_of_service_url]"),
    ],
)  # fmt: skip
async def test_configurations_that_make_no_sense_are_refused(local: LocalStripe, form: str, param: str) -> None:
    status, _, named, _ = await local.refused("POST", "/v1/billing_portal/configurations", form)
    assert (status, named) == (400, param)


@pytest.mark.parametrize(
    ("form", "param"),
    [
        ("return_url=https://a.test", "customer"),
        ("customer=cus_none&return_url=https://a.test", "customer"),
        ("customer={customer}", "return_url"),
        ("customer={customer}&return_url=javascript:x", "return_url"),
        ("customer={customer}&return_url=https://a.test&configuration=bpc_none", "configuration"),
        ("customer={customer}&return_url=https://a.test&flow_data[type]=dance", "flow_data[type]"),
        (CANCELING, "flow_data[subscription_cancel]"),
        (f"{CANCELING}&flow_data[subscription_cancel][subscription]=sub_none",
         "flow_data[subscription_cancel][subscription]"),
    ],
)  # fmt: skip
async def test_sessions_that_make_no_sense_are_refused(local: LocalStripe, form: str, param: str) -> None:
    shop = await open_shop(local)
    status, _, named, _ = await local.refused(
        "POST", "/v1/billing_portal/sessions", form.replace("{customer}", shop.customer)
    )
    assert (status, named) == (400, param)


async def test_a_session_may_lead_to_one_thing(local: LocalStripe) -> None:
    shop = await open_shop(local)
    bought = await subscribe(local, shop)
    portal = await plain(
        local.sdk.v1.billing_portal.sessions.create_async(
            {
                "customer": shop.customer,
                "return_url": "https://a.test",
                "flow_data": {
                    "type": "subscription_cancel",
                    "subscription_cancel": {"subscription": bought["id"]},
                    "after_completion": {"type": "redirect", "redirect": {"return_url": "https://a.test/gone"}},
                },
            }
        )
    )
    assert portal["flow"]["subscription_cancel"]["subscription"] == bought["id"]
    assert portal["flow"]["after_completion"]["redirect"]["return_url"] == "https://a.test/gone"


async def test_canceling_on_the_page_sets_only_the_date_and_resuming_lifts_it(local: LocalStripe) -> None:
    shop = await open_shop(local)
    bought = await subscribe(local, shop)
    portal = await _portal(local, shop)

    assert await _press(local, portal, "cancel", subscription_id=bought["id"]) == 303

    planned = await subscription(local, bought["id"])
    end = planned["items"]["data"][0]["current_period_end"]
    assert (planned["cancel_at"], planned["cancel_at_period_end"], planned["status"]) == (end, False, "active")
    assert local.types()[-1] == "customer.subscription.updated"
    assert set(local.events[-1]["data"]["previous_attributes"]) == {"cancel_at", "canceled_at", "cancellation_details"}
    assert local.events[-1]["request"] == {"id": None, "idempotency_key": None}

    assert await _press(local, portal, "resume", subscription_id=bought["id"]) == 303
    lifted = await subscription(local, bought["id"])
    assert (lifted["cancel_at"], lifted["canceled_at"]) == (None, None)


async def test_a_planned_end_on_the_page_comes_true(local: LocalStripe) -> None:
    shop = await open_shop(local)
    bought = await subscribe(local, shop)
    await _press(local, await _portal(local, shop), "cancel", subscription_id=bought["id"])
    await local.advance(days=32)
    assert (await subscription(local, bought["id"]))["status"] == "canceled"
    assert local.types()[-1] == "customer.subscription.deleted"


async def test_switching_on_the_page_changes_the_price(local: LocalStripe) -> None:
    shop = await open_shop(local)
    bought = await subscribe(local, shop)
    portal = await _portal(local, shop)

    assert await _press(local, portal, "switch", subscription_id=bought["id"], price_id=shop.yearly) == 303

    switched = await subscription(local, bought["id"])
    assert switched["items"]["data"][0]["price"]["id"] == shop.yearly
    assert local.objects("invoice.paid")[0]["amount_paid"] == 2900
    assert local.objects("invoice.paid")[1]["billing_reason"] == "subscription_update"


async def test_only_configured_prices_can_be_switched_to(local: LocalStripe) -> None:
    shop = await open_shop(local)
    bought = await subscribe(local, shop)
    switching = (
        "features[subscription_update][enabled]=true&features[subscription_update][default_allowed_updates][]=price"
        f"&features[subscription_update][products][0][product]={shop.product}"
        f"&features[subscription_update][products][0][prices][]={shop.yearly}"
    )
    made = await local.ok("POST", "/v1/billing_portal/configurations", switching)
    portal = await _portal(local, shop, configuration=made["id"])
    assert await _press(local, portal, "switch", subscription_id=bought["id"], price_id=shop.dearer) == 422
    assert await _press(local, portal, "cancel", subscription_id=bought["id"]) == 303
    unchanged = await subscription(local, bought["id"])
    assert (unchanged["items"]["data"][0]["price"]["id"], unchanged["cancel_at"]) == (shop.monthly, None)
    assert await _press(local, portal, "switch", subscription_id=bought["id"], price_id=shop.yearly) == 303
    assert (await subscription(local, bought["id"]))["items"]["data"][0]["price"]["id"] == shop.yearly


async def test_another_customers_subscription_is_out_of_reach(local: LocalStripe) -> None:
    shop = await open_shop(local)
    bought = await subscribe(local, shop)
    stranger = await local.ok("POST", "/v1/customers")
    portal = await local.ok(
        "POST", "/v1/billing_portal/sessions", f"customer={stranger['id']}&return_url=https://a.test"
    )
    before = len(local.events)
    for button in ("cancel", "switch", "resume"):
        assert await _press(local, portal, button, subscription_id=bought["id"], price_id=shop.yearly) == 422
    assert len(local.events) == before


async def test_a_new_card_pays_the_next_renewal(local: LocalStripe) -> None:
    shop = await open_shop(local)
    bought = await subscribe(local, shop, card=FAILS_LATER)
    portal = await _portal(local, shop)
    assert await _press(local, portal, "card", card_number=DECLINED) == 402
    assert await _press(local, portal, "card", card_number=VISA) == 303
    await local.advance(days=32)
    assert (await subscription(local, bought["id"]))["status"] == "active"
    async with local.http.get((await _portal(local, shop))["url"]) as response:
        assert "4242" in await response.text()


async def test_a_portal_session_ends_after_its_hour(local: LocalStripe) -> None:
    shop = await open_shop(local)
    bought = await subscribe(local, shop)
    portal = await _portal(local, shop)
    await local.advance(seconds=3600)
    async with local.http.get(portal["url"]) as response:
        assert response.status == 404
    assert await _press(local, portal, "cancel", subscription_id=bought["id"]) in {404, 422}
    assert (await subscription(local, bought["id"]))["cancel_at"] is None


async def test_the_checkout_page_declines_and_then_pays(local: LocalStripe) -> None:
    shop = await open_shop(local)
    session = await local.ok(
        "POST",
        "/v1/checkout/sessions",
        f"mode=subscription&customer={shop.customer}&success_url=https://a.test/?s={{CHECKOUT_SESSION_ID}}"
        f"&cancel_url=https://a.test/back&line_items[0][price]={shop.monthly}&line_items[0][quantity]=1",
    )
    async with local.http.get(session["url"]) as response:
        page = await response.text()
    assert "$29.00" in page
    assert "https://a.test/back" in page

    async with local.http.post(session["url"], data={"card_number": DECLINED}, allow_redirects=False) as response:
        assert response.status == 402
        assert "declined" in (await response.text()).lower()
    async with local.http.post(session["url"], data={"card_number": VISA}, allow_redirects=False) as response:
        assert (response.status, response.headers["Location"]) == (303, f"https://a.test/?s={session['id']}")
    async with local.http.post(session["url"], data={"card_number": VISA}, allow_redirects=False) as response:
        assert (response.status, response.headers["Location"]) == (303, f"https://a.test/?s={session['id']}")
    assert local.types().count("customer.subscription.created") == 1


async def test_the_page_of_an_expired_or_unknown_session_charges_nothing(local: LocalStripe) -> None:
    session = await local.ok(
        "POST",
        "/v1/checkout/sessions",
        "mode=payment&success_url=https://a.test&line_items[0][quantity]=1&line_items[0][price_data][currency]=usd"
        "&line_items[0][price_data][unit_amount]=500&line_items[0][price_data][product_data][name]=A",
    )
    await local.advance(days=2)
    for url in (session["url"], f"{local.url}/c/pay/cs_test_none"):
        async with local.http.post(url, data={"card_number": VISA}, allow_redirects=False) as response:
            assert response.status in {404, 410, 200}
    assert "charge.succeeded" not in local.types()


async def test_an_overdue_invoice_is_paid_with_another_card(local: LocalStripe) -> None:
    shop = await open_shop(local)
    bought = await subscribe(local, shop, card=FAILS_LATER)
    await local.advance(days=32)
    assert (await subscription(local, bought["id"]))["status"] == "past_due"
    portal = await _portal(local, shop)
    assert await _press(local, portal, "pay") == 402
    assert (await subscription(local, bought["id"]))["status"] == "past_due"
    assert await _press(local, portal, "card", card_number=VISA) == 303

    assert await _press(local, portal, "pay") == 303

    assert (await subscription(local, bought["id"]))["status"] == "active"
    assert local.types().count("invoice.paid") == 2
    invoices = (await local.ok("GET", "/v1/invoices", f"subscription={bought['id']}"))["data"]
    assert [one["status"] for one in invoices] == ["paid", "paid"]
    assert await _press(local, portal, "pay") == 422


async def test_a_payment_under_way_is_not_asked_for_again(local: LocalStripe) -> None:
    shop = await open_shop(local)
    bought = await subscribe(local, shop, card=PAYS_LATER)
    portal = await _portal(local, shop)
    assert await _press(local, portal, "pay", subscription_id=bought["id"]) == 422
    assert len((await local.ok("GET", "/v1/charges"))["data"]) == 1
