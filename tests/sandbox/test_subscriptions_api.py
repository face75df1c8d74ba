"""Changing and ending subscriptions through the API."""

import pytest
import stripe

from gateway.sandbox.engine.periods import period_at
from gateway.sandbox.engine.switches import share
from gateway.sandbox.refusals import Json
from tests.sandbox.local_stripe import FAILS_LATER, LocalStripe, plain
from tests.sandbox.shop import META, open_shop, subscribe, subscription


def _item(of: Json) -> Json:
    return of["items"]["data"][0]


async def test_items_hold_the_period_and_the_subscription_does_not(local: LocalStripe) -> None:
    shop = await open_shop(local)
    bought = await subscribe(local, shop)
    assert "current_period_end" not in bought
    start = _item(bought)["current_period_start"]
    expected = period_at(start, start, interval="month", count=1)
    assert (start, _item(bought)["current_period_end"]) == expected
    assert bought["billing_mode"]["type"] == "flexible"


async def test_the_flag_plans_the_end_of_the_period_and_lifts_it(local: LocalStripe) -> None:
    bought = await subscribe(local, await open_shop(local))
    planned = await plain(local.sdk.v1.subscriptions.update_async(bought["id"], {"cancel_at_period_end": True}))
    end = _item(bought)["current_period_end"]
    assert (planned["cancel_at_period_end"], planned["cancel_at"], planned["status"]) == (True, end, "active")
    assert planned["canceled_at"] is not None
    assert local.events[-1]["data"]["previous_attributes"]["cancel_at"] is None

    lifted = await plain(local.sdk.v1.subscriptions.update_async(bought["id"], {"cancel_at_period_end": False}))
    assert (lifted["cancel_at_period_end"], lifted["cancel_at"], lifted["canceled_at"]) == (False, None, None)
    await local.advance(days=33)
    assert (await subscription(local, bought["id"]))["status"] == "active"


async def test_a_planned_end_comes_instead_of_the_renewal(local: LocalStripe) -> None:
    bought = await subscribe(local, await open_shop(local))
    await local.sdk.v1.subscriptions.update_async(bought["id"], {"cancel_at_period_end": True})
    await local.advance(days=32)

    ended = await subscription(local, bought["id"])
    end = _item(bought)["current_period_end"]
    assert (ended["status"], ended["ended_at"]) == ("canceled", end)
    assert local.types()[-1] == "customer.subscription.deleted"
    assert local.types().count("invoice.created") == 1
    await local.advance(days=60)
    assert local.types().count("customer.subscription.deleted") == 1


async def test_a_moment_to_end_at_can_be_set_and_unset(local: LocalStripe) -> None:
    bought = await subscribe(local, await open_shop(local))
    now = (await local.look("clock"))["now"]
    path = f"/v1/subscriptions/{bought['id']}"
    planned = await local.ok("POST", path, f"cancel_at={now + 1000}")
    assert (planned["cancel_at"], planned["cancel_at_period_end"]) == (now + 1000, False)
    assert (await local.ok("POST", path, "cancel_at="))["cancel_at"] is None
    await local.ok("POST", path, f"cancel_at={now + 2000}")
    await local.advance(seconds=1500)
    assert (await local.ok("GET", path))["status"] == "active"
    await local.advance(seconds=1000)
    assert (await local.ok("GET", path))["status"] == "canceled"


@pytest.mark.parametrize("form", ["cancel_at=1", "cancel_at=soon", "cancel_at_period_end=true&cancel_at=9999999999"])
async def test_an_end_that_makes_no_sense_is_refused(local: LocalStripe, form: str) -> None:
    bought = await subscribe(local, await open_shop(local))
    assert (await local.refused("POST", f"/v1/subscriptions/{bought['id']}", form))[:3:2] == (400, "cancel_at")
    assert (await subscription(local, bought["id"]))["cancel_at"] is None


async def test_canceling_ends_at_once_and_only_once(local: LocalStripe) -> None:
    bought = await subscribe(local, await open_shop(local))
    ended = await plain(
        local.sdk.v1.subscriptions.cancel_async(
            bought["id"], {"cancellation_details": {"feedback": "too_expensive", "comment": "bye"}}
        )
    )
    assert ended["status"] == "canceled"
    assert ended["cancellation_details"] == {
        "comment": "bye",
        "feedback": "too_expensive",
        "feedback_option": None,
        "reason": "cancellation_requested",
    }
    with pytest.raises(stripe.InvalidRequestError) as gone:
        await local.sdk.v1.subscriptions.cancel_async(bought["id"])
    assert gone.value.code == "resource_missing"
    with pytest.raises(stripe.InvalidRequestError):
        await local.sdk.v1.subscriptions.update_async(bought["id"], {"cancel_at_period_end": True})
    assert local.types().count("customer.subscription.deleted") == 1


async def _switch(local: LocalStripe, bought: Json, price: str, proration: str, more: str = "") -> Json:
    item = _item(bought)["id"]
    form = f"items[0][id]={item}&items[0][price]={price}&proration_behavior={proration}{more}&expand[]=latest_invoice"
    return await local.ok("POST", f"/v1/subscriptions/{bought['id']}", form)


async def test_an_upgrade_in_the_middle_is_invoiced_at_once(local: LocalStripe) -> None:
    shop = await open_shop(local)
    bought = await subscribe(local, shop)
    start, end = _item(bought)["current_period_start"], _item(bought)["current_period_end"]
    await local.advance(to=(start + end) // 2)

    changed = await _switch(local, bought, shop.dearer, "always_invoice")

    rest = end - (start + end) // 2
    owed = share(9900, part=rest, whole=end - start) - share(2900, part=rest, whole=end - start)
    assert owed == 3500
    invoice: Json = changed["latest_invoice"]
    assert (invoice["billing_reason"], invoice["status"], invoice["amount_paid"]) == (
        "subscription_update",
        "paid",
        3500,
    )
    assert [line["amount"] for line in invoice["lines"]["data"]] == [-1450, 4950]
    assert all(line["parent"]["invoice_item_details"]["proration"] for line in invoice["lines"]["data"])
    assert _item(changed)["id"] == _item(bought)["id"]
    assert (_item(changed)["price"]["id"], _item(changed)["current_period_end"]) == (shop.dearer, end)


async def test_a_downgrade_in_the_middle_becomes_credit(local: LocalStripe) -> None:
    shop = await open_shop(local)
    bought = await subscribe(local, shop, price=shop.dearer)
    start, end = _item(bought)["current_period_start"], _item(bought)["current_period_end"]
    await local.advance(to=(start + end) // 2)

    changed = await _switch(local, bought, shop.monthly, "always_invoice")

    assert (changed["latest_invoice"]["total"], changed["latest_invoice"]["amount_due"]) == (-3500, 0)
    assert (await local.ok("GET", f"/v1/customers/{shop.customer}"))["balance"] == -3500
    await local.advance(to=end + 3700)
    renewed = (await local.ok("GET", f"/v1/subscriptions/{bought['id']}", "expand[]=latest_invoice"))["latest_invoice"]
    assert (renewed["total"], renewed["amount_due"], renewed["amount_paid"]) == (2900, 0, 0)
    assert (await local.ok("GET", f"/v1/customers/{shop.customer}"))["balance"] == -600


async def test_prorations_wait_for_the_next_invoice_by_default(local: LocalStripe) -> None:
    shop = await open_shop(local)
    bought = await subscribe(local, shop)
    start, end = _item(bought)["current_period_start"], _item(bought)["current_period_end"]
    await local.advance(to=(start + end) // 2)
    changed = await _switch(local, bought, shop.dearer, "create_prorations")
    assert changed["latest_invoice"]["id"] == bought["latest_invoice"]

    await local.advance(to=end + 3700)

    (_, renewal) = local.objects("invoice.paid")
    assert [line["amount"] for line in renewal["lines"]["data"]] == [-1450, 4950, 9900]
    assert renewal["amount_paid"] == 13400


async def test_without_proration_the_new_price_counts_from_the_renewal(local: LocalStripe) -> None:
    shop = await open_shop(local)
    bought = await subscribe(local, shop)
    await local.advance(days=10)
    await _switch(local, bought, shop.dearer, "none")
    await local.advance(days=23)
    assert [one["amount_paid"] for one in local.objects("invoice.paid")] == [2900, 9900]


async def test_another_interval_begins_a_new_period_and_is_charged_at_once(local: LocalStripe) -> None:
    shop = await open_shop(local)
    bought = await subscribe(local, shop)
    start, end = _item(bought)["current_period_start"], _item(bought)["current_period_end"]
    await local.advance(to=(start + end) // 2)

    changed = await _switch(local, bought, shop.yearly, "create_prorations")

    assert [line["amount"] for line in changed["latest_invoice"]["lines"]["data"]] == [-1450, 26100]
    assert changed["latest_invoice"]["amount_paid"] == 24650
    middle = (start + end) // 2
    assert middle <= _item(changed)["current_period_start"] <= middle + 5
    assert changed["billing_cycle_anchor"] == _item(changed)["current_period_start"]
    await local.advance(to=end + 4000)
    assert local.types().count("invoice.paid") == 2


async def test_a_switch_that_cannot_be_paid_is_refused_whole_when_asked_so(local: LocalStripe) -> None:
    shop = await open_shop(local)
    bought = await subscribe(local, shop, card=FAILS_LATER)
    before = len(local.events)
    with pytest.raises(stripe.CardError) as declined:
        await local.sdk.v1.subscriptions.update_async(
            bought["id"],
            {
                "items": [{"id": _item(bought)["id"], "price": shop.dearer}],
                "proration_behavior": "always_invoice",
                "payment_behavior": "error_if_incomplete",
            },
        )
    assert declined.value.http_status == 402
    assert len(local.events) == before
    assert _item(await subscription(local, bought["id"]))["price"]["id"] == shop.monthly


async def test_a_switch_that_cannot_be_paid_makes_the_subscription_owe(local: LocalStripe) -> None:
    shop = await open_shop(local)
    bought = await subscribe(local, shop, card=FAILS_LATER)
    changed = await _switch(local, bought, shop.dearer, "always_invoice")
    assert (changed["status"], changed["latest_invoice"]["status"]) == ("past_due", "open")


async def test_items_can_be_added_and_removed(local: LocalStripe) -> None:
    shop = await open_shop(local)
    bought = await subscribe(local, shop)
    path = f"/v1/subscriptions/{bought['id']}"
    more = await local.ok("POST", path, f"items[0][price]={shop.dearer}&items[0][quantity]=2&proration_behavior=none")
    assert [(item["price"]["id"], item["quantity"]) for item in more["items"]["data"]] == [
        (shop.monthly, 1),
        (shop.dearer, 2),
    ]
    gone = await local.ok(
        "POST", path, f"items[0][id]={_item(bought)['id']}&items[0][deleted]=true&proration_behavior=none"
    )
    assert [item["price"]["id"] for item in gone["items"]["data"]] == [shop.dearer]
    listed = await local.ok("GET", "/v1/subscription_items", f"subscription={bought['id']}")
    assert [item["price"]["id"] for item in listed["data"]] == [shop.dearer]
    last = gone["items"]["data"][0]["id"]
    assert (await local.refused("POST", path, f"items[0][id]={last}&items[0][deleted]=true"))[0] == 400


@pytest.mark.parametrize(
    ("form", "param"),
    [
        ("items[0][id]=si_none", "items[0][id]"),
        ("items[0][price]=price_none", "items[0][price]"),
        ("items[0][quantity]=1", "items[0][price]"),
        ("items[0][price]={yearly}", "items"),
        ("items[0][id]={item}&items[0][quantity]=-1", "items[0][quantity]"),
        ("proration_behavior=maybe", "proration_behavior"),
        ("plan=pro", "plan"),
        ("default_payment_method=pm_none", "default_payment_method"),
        ("billing_cycle_anchor[type]=now", "billing_cycle_anchor[type]"),
        ("billing_cycle_anchor=now", "billing_cycle_anchor"),
    ],
)
async def test_changes_that_make_no_sense_are_refused(local: LocalStripe, form: str, param: str) -> None:
    shop = await open_shop(local)
    bought = await subscribe(local, shop)
    before = len(local.events)
    filled = form.replace("{yearly}", shop.yearly).replace("{item}", _item(bought)["id"])
    status, _, named, _ = await local.refused("POST", f"/v1/subscriptions/{bought['id']}", filled)
    assert (status, named, len(local.events)) == (400, param, before)


async def test_a_subscription_can_begin_through_the_api(local: LocalStripe) -> None:
    shop = await open_shop(local)
    method = await plain(local.sdk.v1.payment_methods.attach_async("pm_card_visa", {"customer": shop.customer}))
    form = (
        f"customer={shop.customer}&items[0][price]={shop.monthly}&default_payment_method={method['id']}"
        "&metadata[gateway_customer]=u_1&expand[]=latest_invoice.payments.data.payment.payment_intent"
    )
    made = await local.ok("POST", "/v1/subscriptions", form)
    assert (made["status"], made["metadata"]) == ("active", {"gateway_customer": "u_1"})
    (payment,) = made["latest_invoice"]["payments"]["data"]
    assert (payment["payment"]["payment_intent"]["status"], payment["amount_paid"]) == ("succeeded", 2900)


async def test_a_subscription_without_a_card_stays_incomplete_and_expires(local: LocalStripe) -> None:
    shop = await open_shop(local)
    form = f"customer={shop.customer}&items[0][price]={shop.monthly}"
    made = await local.ok("POST", "/v1/subscriptions", form)
    assert made["status"] == "incomplete"
    await local.advance(seconds=23 * 3600)
    assert (await subscription(local, made["id"]))["status"] == "incomplete_expired"
    assert local.types()[-2:] == ["invoice.voided", "customer.subscription.updated"]
    strict = await local.refused("POST", "/v1/subscriptions", f"{form}&payment_behavior=error_if_incomplete")
    assert strict[0] == 400


async def test_subscriptions_are_listed_by_status(local: LocalStripe) -> None:
    shop = await open_shop(local)
    first, second = await subscribe(local, shop), await subscribe(local, shop, price=shop.yearly)
    await local.sdk.v1.subscriptions.cancel_async(first["id"])

    async def listed(query: str) -> list[str]:
        return [one["id"] for one in (await local.ok("GET", "/v1/subscriptions", query))["data"]]

    assert await listed(f"customer={shop.customer}") == [second["id"]]
    assert await listed("status=all") == [second["id"], first["id"]]
    assert await listed("status=canceled") == [first["id"]]
    assert await listed("status=ended") == [first["id"]]
    assert await listed(f"price={shop.monthly}&status=all") == [first["id"]]


async def test_the_subscriptions_of_a_customer_who_never_was_are_refused(local: LocalStripe) -> None:
    refused = await local.refused("GET", "/v1/subscriptions", "customer=cus_none&status=all")
    assert refused == (400, "resource_missing", "customer", "No such customer: 'cus_none'")


async def test_a_deleted_customer_still_has_its_canceled_subscriptions(local: LocalStripe) -> None:
    shop = await open_shop(local)
    bought = await subscribe(local, shop)
    await local.sdk.v1.customers.delete_async(shop.customer)

    async def listed(query: str) -> list[str]:
        form = f"customer={shop.customer}{query}"
        return [one["id"] for one in (await local.ok("GET", "/v1/subscriptions", form))["data"]]

    assert await listed("&status=all") == [bought["id"]]
    assert await listed("") == []


async def test_deleting_a_customer_ends_its_subscriptions(local: LocalStripe) -> None:
    shop = await open_shop(local)
    bought = await subscribe(local, shop)
    gone = await plain(local.sdk.v1.customers.delete_async(shop.customer))
    assert gone == {"id": shop.customer, "object": "customer", "deleted": True}
    assert await local.ok("GET", f"/v1/customers/{shop.customer}") == gone
    assert local.types()[-2:] == ["customer.subscription.deleted", "customer.deleted"]
    expanded = await local.ok("GET", f"/v1/subscriptions/{bought['id']}", "expand[]=customer")
    assert (expanded["status"], expanded["customer"]) == ("canceled", gone)
    assert (await local.ok("GET", "/v1/customers"))["data"] == []
    assert (await local.refused("POST", f"/v1/customers/{shop.customer}", "name=A"))[0] == 404


async def test_metadata_changes_key_by_key(local: LocalStripe) -> None:
    bought = await subscribe(local, await open_shop(local))
    changed = await local.ok("POST", f"/v1/subscriptions/{bought['id']}", "metadata[a]=1")
    assert changed["metadata"] == {**META, "a": "1"}
