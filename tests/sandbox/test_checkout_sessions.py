"""Checkout sessions: what may be asked for, paying, declines, delays, expiry."""

import pytest
import stripe

from gateway.sandbox.refusals import Json
from tests.sandbox.local_stripe import (
    DECLINED,
    NO_FUNDS,
    PAYS_LATER,
    VISA,
    LocalStripe,
    plain,
)
from tests.sandbox.shop import META, deposit_session, open_shop, pay, plan_session

ENDIVE = {"Stripe-Version": "2026-10-28.endive"}
LINE = (
    "line_items[0][quantity]=1&line_items[0][price_data][currency]=usd&line_items[0][price_data][product_data][name]=A"
)
DEPOSIT = f"mode=payment&success_url=https://a.test/&{LINE}&line_items[0][price_data][unit_amount]=2500"


@pytest.mark.parametrize(
    ("form", "param", "code"),
    [
        ("success_url=https://a.test", "mode", "parameter_missing"),
        ("mode=payment&success_url=https://a.test", "line_items", "parameter_missing"),
        (f"mode=payment&{LINE}&line_items[0][price_data][unit_amount]=2500", "success_url", "parameter_missing"),
        (DEPOSIT.replace("https://a.test/", "javascript:alert(1)"), "success_url", "url_invalid"),
        (DEPOSIT.replace("https://a.test/", "//a.test/"), "success_url", "url_invalid"),
        (f"{DEPOSIT}&cancel_url=nowhere", "cancel_url", "url_invalid"),
        (f"{DEPOSIT}&mode=gift", "mode", None),
        (f"{DEPOSIT}&customer=cus_none", "customer", "resource_missing"),
        (f"{DEPOSIT}&customer=cus_none&customer_email=a@b.test", "customer", None),
        (f"{DEPOSIT}&customer_email=nobody", "customer_email", "email_invalid"),
        (f"{DEPOSIT}&customer_update[name]=auto", "customer_update", None),
        (f"{DEPOSIT}&line_items[0][price_data][unit_amount]=49", "line_items", "amount_too_small"),
        (f"{DEPOSIT}&line_items[0][quantity]=50000", "line_items", "amount_too_large"),
        (f"{DEPOSIT}&line_items[0][quantity]=0", "line_items[0][quantity]", None),
        (f"{DEPOSIT}&line_items[0][quantity]=1.5", "line_items[0][quantity]", None),
        (f"{DEPOSIT}&line_items[0][price]=price_x", "line_items[0]", None),
        (
            f"{DEPOSIT}&line_items[1][price]=price_x&line_items[1][quantity]=1",
            "line_items[1][price]",
            "resource_missing",
        ),
        (f"{DEPOSIT}&line_items[0][price_data][product]=prod_x", "line_items[0][price_data]", None),
        (f"{DEPOSIT}&line_items[0][price_data][recurring][interval]=month", "line_items", None),
        (f"{DEPOSIT}&mode=subscription", "line_items", None),
        (f"{DEPOSIT}&subscription_data[metadata][a]=b", "subscription_data", None),
        (f"{DEPOSIT}&expires_at=1", "expires_at", None),
        (f"{DEPOSIT}&expires_at=9999999999", "expires_at", None),
        (f"{DEPOSIT}&mode=setup", "mode", "not_played_here"),
        (f"{DEPOSIT}&ui_mode=form", "ui_mode", "not_played_here"),
        (f"{DEPOSIT}&ui_mode=hosted", "ui_mode", None),
        (f"{DEPOSIT}&automatic_tax[enabled]=true", "automatic_tax[enabled]", "not_played_here"),
        (f"{DEPOSIT}&discounts[0][coupon]=x", "discounts", "not_played_here"),
        (f"{DEPOSIT}&client_reference_id={'x' * 201}", "client_reference_id", None),
        (f"{DEPOSIT}&payment_intent_data[amount]=1", "payment_intent_data[amount]", "parameter_unknown"),
        (f"{DEPOSIT}&payment_method_types[0]=card", "payment_method_types", "payment_method_types_no_longer_supported"),
    ],
)
async def test_sessions_that_make_no_sense_are_refused_and_leave_nothing(
    local: LocalStripe, form: str, param: str, code: str | None
) -> None:
    status, known, named, _ = await local.refused("POST", "/v1/checkout/sessions", form, headers=ENDIVE)
    assert (status, named, known) == (400, param, code)
    assert local.events == []
    assert (await local.ok("GET", "/v1/checkout/sessions"))["data"] == []


async def test_callers_of_an_older_version_may_still_name_payment_method_types(local: LocalStripe) -> None:
    form = f"{DEPOSIT}&payment_method_types[]=card"
    await local.ok("POST", "/v1/checkout/sessions", form)
    await local.ok("POST", "/v1/checkout/sessions", form, headers={"Stripe-Version": "2026-08-26.dahlia"})


async def test_a_session_expires_when_its_time_is_over(local: LocalStripe) -> None:
    now = (await local.look("clock"))["now"]
    short = await deposit_session(local, expires_at=now + 1801)
    long = await deposit_session(local)
    assert long["expires_at"] in range(now + 86_400, now + 86_402)

    await local.advance(seconds=1801)

    session = await plain(local.sdk.v1.checkout.sessions.retrieve_async(short["id"]))
    assert (session["status"], session["payment_status"], session["url"]) == ("expired", "unpaid", None)
    assert [one["id"] for one in local.objects("checkout.session.expired")] == [short["id"]]
    await local.advance(days=1)
    assert [one["id"] for one in local.objects("checkout.session.expired")] == [short["id"], long["id"]]
    assert local.events[-1]["created"] == long["expires_at"]


async def test_an_open_session_can_be_expired_once(local: LocalStripe) -> None:
    session = await deposit_session(local)
    expired = await plain(local.sdk.v1.checkout.sessions.expire_async(session["id"]))
    assert (expired["status"], expired["url"]) == ("expired", None)
    with pytest.raises(stripe.InvalidRequestError, match="status of expired"):
        await local.sdk.v1.checkout.sessions.expire_async(session["id"])
    await local.control("checkout/pay", {"checkout_session": session["id"]}, answers=400)
    assert local.types().count("checkout.session.expired") == 1
    assert "charge.succeeded" not in local.types()


async def test_a_paid_session_neither_pays_again_nor_expires(local: LocalStripe) -> None:
    session = await deposit_session(local)
    await pay(local, session)
    await local.control("checkout/pay", {"checkout_session": session["id"]}, answers=400)
    with pytest.raises(stripe.InvalidRequestError):
        await local.sdk.v1.checkout.sessions.expire_async(session["id"])
    await local.advance(days=2)
    assert local.types().count("charge.succeeded") == 1
    assert "checkout.session.expired" not in local.types()


@pytest.mark.parametrize(("card", "reason"), [(DECLINED, "generic_decline"), (NO_FUNDS, "insufficient_funds")])
async def test_a_declined_card_leaves_the_session_open(local: LocalStripe, card: str, reason: str) -> None:
    session = await deposit_session(local)
    await local.control("checkout/pay", {"checkout_session": session["id"], "card_number": card}, answers=402)

    open_still = await plain(
        local.sdk.v1.checkout.sessions.retrieve_async(session["id"], {"expand": ["payment_intent.latest_charge"]})
    )
    assert (open_still["status"], open_still["payment_status"]) == ("open", "unpaid")
    intent: Json = open_still["payment_intent"]
    assert (intent["status"], intent["amount_received"]) == ("requires_payment_method", 0)
    assert intent["last_payment_error"]["decline_code"] == reason
    assert (intent["latest_charge"]["status"], intent["latest_charge"]["paid"]) == ("failed", False)
    assert local.types()[-3:] == ["payment_intent.created", "charge.failed", "payment_intent.payment_failed"]

    paid = await pay(local, session, VISA)
    assert (paid["status"], paid["payment_status"], paid["payment_intent"]) == ("complete", "paid", intent["id"])
    assert local.types().count("payment_intent.created") == 1


@pytest.mark.parametrize("card", ["4242424242424241", "1234", "", "\uff14\uff12" * 8, "abcd" * 4])
async def test_a_number_that_is_no_card_attempts_nothing(local: LocalStripe, card: str) -> None:
    session = await deposit_session(local)
    expected = 402 if card else 400
    await local.control("checkout/pay", {"checkout_session": session["id"], "card_number": card}, answers=expected)
    assert "charge.failed" not in local.types()


async def test_a_real_looking_card_is_declined_with_a_clear_reason(local: LocalStripe) -> None:
    session = await deposit_session(local)
    answer = await local.control(
        "checkout/pay", {"checkout_session": session["id"], "card_number": "4111 1111 1111 1111"}, answers=402
    )
    assert "used a non test card" in answer["error"]["message"]


async def test_a_guest_pays_without_becoming_a_customer(local: LocalStripe) -> None:
    session = await deposit_session(local)
    paid = await pay(local, session, email="guest@example.com")
    assert (paid["customer"], paid["customer_details"]["email"]) == (None, "guest@example.com")
    assert "customer.created" not in local.types()


async def test_a_payment_session_makes_a_customer_when_asked_to(local: LocalStripe) -> None:
    session = await deposit_session(local, customer_creation="always", customer_email="new@example.com")
    paid = await pay(local, session)
    customer = await plain(local.sdk.v1.customers.retrieve_async(paid["customer"]))
    assert customer["email"] == "new@example.com"


async def test_a_subscription_session_makes_a_customer_when_none_is_given(local: LocalStripe) -> None:
    shop = await open_shop(local)
    session = await plan_session(local, shop.monthly)
    assert (session["customer"], session["customer_creation"]) == (None, "always")
    paid = await pay(local, session, email="new@example.com")
    assert paid["customer"].startswith("cus_")
    (bought,) = local.objects("customer.subscription.created")
    assert bought["customer"] == paid["customer"]


async def test_a_delayed_payment_settles(local: LocalStripe) -> None:
    session = await deposit_session(local)
    waiting = await pay(local, session, PAYS_LATER)
    assert (waiting["status"], waiting["payment_status"]) == ("complete", "unpaid")
    (told,) = local.objects("checkout.session.completed")
    assert told["payment_status"] == "unpaid"
    assert "charge.succeeded" not in local.types()

    settled = await local.control("payments/settle", {"checkout_session": session["id"]})

    assert settled["status"] == "succeeded"
    assert local.types()[-3:] == [
        "charge.succeeded",
        "payment_intent.succeeded",
        "checkout.session.async_payment_succeeded",
    ]
    (arrived,) = local.objects("checkout.session.async_payment_succeeded")
    assert (arrived["payment_status"], arrived["metadata"]) == ("paid", META)
    await local.control("payments/settle", {"checkout_session": session["id"]}, answers=400)
    await local.control("payments/fail", {"checkout_session": session["id"]}, answers=400)
    await local.advance(days=10)
    assert local.types().count("charge.succeeded") == 1


async def test_a_delayed_payment_fails(local: LocalStripe) -> None:
    session = await deposit_session(local)
    await pay(local, session, PAYS_LATER)
    await local.control("payments/fail", {"checkout_session": session["id"]})
    (failed,) = local.objects("checkout.session.async_payment_failed")
    assert (failed["status"], failed["payment_status"]) == ("complete", "unpaid")
    await local.advance(days=10)
    assert "charge.succeeded" not in local.types()
    assert "checkout.session.async_payment_succeeded" not in local.types()


async def test_a_delayed_payment_settles_by_itself_in_time(local: LocalStripe) -> None:
    session = await deposit_session(local)
    await pay(local, session, PAYS_LATER)
    await local.advance(days=3)
    assert local.types()[-1] == "checkout.session.async_payment_succeeded"


async def test_a_delayed_plan_is_active_while_its_payment_is_under_way(local: LocalStripe) -> None:
    shop = await open_shop(local)
    session = await plan_session(local, shop.monthly, customer=shop.customer)
    waiting = await pay(local, session, PAYS_LATER)
    assert (waiting["status"], waiting["payment_status"]) == ("complete", "unpaid")
    assert "invoice.paid" not in local.types()

    await local.control("payments/settle", {"checkout_session": session["id"]})

    (invoice,) = local.objects("invoice.paid")
    assert (invoice["status"], invoice["amount_paid"], invoice["id"]) == ("paid", 2900, waiting["invoice"])


async def test_a_delayed_plan_owes_when_its_payment_fails(local: LocalStripe) -> None:
    shop = await open_shop(local)
    session = await plan_session(local, shop.monthly, customer=shop.customer)
    waiting = await pay(local, session, PAYS_LATER)
    await local.control("payments/fail", {"checkout_session": session["id"]})
    assert "invoice.payment_failed" in local.types()
    assert (await local.ok("GET", f"/v1/subscriptions/{waiting['subscription']}"))["status"] == "past_due"


async def test_only_the_literal_placeholder_is_filled_in(local: LocalStripe) -> None:
    for url, lands in (
        ("https://a.test/?s={CHECKOUT_SESSION_ID}&t={CHECKOUT_SESSION_ID}", "https://a.test/?s={id}&t={id}"),
        ("https://a.test/?s=%7BCHECKOUT_SESSION_ID%7D", "https://a.test/?s=%7BCHECKOUT_SESSION_ID%7D"),
        ("https://a.test/#s={CHECKOUT_SESSION_ID}", "https://a.test/#s={id}"),
    ):
        session = await deposit_session(local, success_url=url)
        assert session["success_url"] == url
        form = {"card_number": VISA, "email": "a@example.com"}
        async with local.http.post(session["url"], data=form, allow_redirects=False) as response:
            assert response.status == 303
            assert response.headers["Location"] == lands.replace("{id}", session["id"])


async def test_the_line_items_are_listed_and_expanded(local: LocalStripe) -> None:
    shop = await open_shop(local)
    session = await plan_session(local, shop.yearly, customer=shop.customer)
    assert "line_items" not in session
    listed = await plain(
        local.sdk.v1.checkout.sessions.line_items.list_async(session["id"], {"expand": ["data.price.product"]})
    )
    (line,) = listed["data"]
    assert (line["amount_total"], line["quantity"], line["price"]["lookup_key"]) == (26100, 1, "pro_yearly")
    assert line["price"]["product"]["name"] == "Pro"
    assert listed["url"] == f"/v1/checkout/sessions/{session['id']}/line_items"


async def test_sessions_are_found_by_what_came_of_them(local: LocalStripe) -> None:
    shop = await open_shop(local)
    paid = await pay(local, await deposit_session(local, customer=shop.customer))
    await deposit_session(local)
    for query in (f"customer={shop.customer}", f"payment_intent={paid['payment_intent']}", "status=complete"):
        found = await local.ok("GET", "/v1/checkout/sessions", query)
        assert [one["id"] for one in found["data"]] == [paid["id"]]


async def test_the_metadata_of_an_open_session_can_change(local: LocalStripe) -> None:
    session = await deposit_session(local)
    changed = await local.ok(
        "POST", f"/v1/checkout/sessions/{session['id']}", "metadata[gateway_checkout]=&metadata[x]=1"
    )
    assert changed["metadata"] == {"gateway_customer": "u_1", "x": "1"}
    await pay(local, session)
    assert (await local.refused("POST", f"/v1/checkout/sessions/{session['id']}", "metadata[x]=2"))[0] == 400


async def test_a_trial_needs_no_payment_at_first(local: LocalStripe) -> None:
    shop = await open_shop(local)
    session = await plan_session(
        local, shop.monthly, customer=shop.customer, subscription_data={"trial_period_days": 7, "metadata": META}
    )
    paid = await pay(local, session)
    assert (paid["status"], paid["payment_status"]) == ("complete", "no_payment_required")
    bought = await local.ok("GET", f"/v1/subscriptions/{paid['subscription']}", "expand[]=latest_invoice")
    assert (bought["status"], bought["trial_end"] - bought["trial_start"]) == ("trialing", 7 * 86_400)
    assert (bought["latest_invoice"]["amount_due"], bought["latest_invoice"]["status"]) == (0, "paid")
    assert "invoice.payment_succeeded" not in local.types()

    await local.advance(days=5)
    assert local.types()[-1] == "customer.subscription.trial_will_end"
    await local.advance(days=3)
    after = await local.ok("GET", f"/v1/subscriptions/{paid['subscription']}", "expand[]=latest_invoice")
    assert (after["status"], after["latest_invoice"]["amount_paid"]) == ("active", 2900)
    assert after["items"]["data"][0]["current_period_start"] == bought["trial_end"]
