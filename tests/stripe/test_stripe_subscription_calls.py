"""What the calls about subscriptions, owners and events send to Stripe, and what they make of the answers."""

from datetime import UTC, datetime

import pytest

from gateway.domain.errors import ProviderRejected
from gateway.stripe_service import StripeService
from tests.stripe.scripted import ScriptedStripe, refuses, says
from tests.stripe.stripe_objects import CREATED, PERIOD_END, JsonObject, event, listing, price, subscription

CREATED_AT = datetime.fromtimestamp(CREATED, UTC)


async def test_all_pages_of_subscriptions_are_read(service: StripeService, script: ScriptedStripe) -> None:
    script.will(says(listing(subscription("sub_2"), has_more=True)), says(listing(subscription(status="canceled"))))

    found = await service.list_subscriptions("cus_1")

    assert [(s.subscription_id, s.status) for s in found] == [("sub_2", "active"), ("sub_1", "canceled")]
    assert script.asked[0].params == {"customer": "cus_1", "status": "all", "limit": "100"}
    assert script.asked[1].params["starting_after"] == "sub_2"
    item = found[0].items[0]
    assert (item.price_id, item.lookup_key, item.interval, item.unit_amount_cents) == (
        "price_1",
        "pro_monthly",
        "month",
        2900,
    )
    assert item.period_end_at == datetime.fromtimestamp(PERIOD_END, UTC)


async def test_a_customer_nobody_knows_has_no_list_of_subscriptions(
    service: StripeService, script: ScriptedStripe
) -> None:
    script.will(refuses(404, code="resource_missing"))

    with pytest.raises(ProviderRejected) as caught:
        await service.list_subscriptions("cus_404")
    assert caught.value.provider_code == "resource_missing"


@pytest.mark.parametrize(
    ("cancel_at", "flag", "ends"),
    [
        (None, False, None),
        (PERIOD_END - 1, False, PERIOD_END - 1),
        (None, True, PERIOD_END),
        (PERIOD_END, True, PERIOD_END),
    ],
)
async def test_a_cancellation_is_seen_by_its_date_or_its_flag(
    service: StripeService, script: ScriptedStripe, *, cancel_at: int | None, flag: bool, ends: int | None
) -> None:
    script.will(says(subscription(cancel_at=cancel_at, cancel_at_period_end=flag)))

    found = await service.retrieve_subscription("sub_1")

    assert found is not None
    assert found.cancels_at == (None if ends is None else datetime.fromtimestamp(ends, UTC))


async def test_a_price_that_lost_its_lookup_key_still_names_its_plan(
    service: StripeService, script: ScriptedStripe
) -> None:
    old = price("price_old", lookup_key=None, metadata={"gateway_price": "pro_monthly"})
    one = subscription()
    one["items"]["data"][0]["price"] = old
    script.will(says(one))

    found = await service.retrieve_subscription("sub_1")

    assert found is not None
    assert (found.items[0].lookup_key, found.items[0].price.plan_key) == (None, "pro_monthly")


async def test_a_portal_session_uses_the_configuration(service: StripeService, script: ScriptedStripe) -> None:
    script.will(
        says({"id": "bps_1", "object": "billing_portal.session", "url": "https://billing.stripe.com/p/session/x"})
    )

    made = await service.create_portal_session(
        stripe_customer_id="cus_1",
        return_url="https://app.example.com/plan",
        configuration_id="bpc_1",
        idempotency_key="portal:1",
    )

    assert made.url == "https://billing.stripe.com/p/session/x"
    assert script.last.params == {
        "customer": "cus_1",
        "return_url": "https://app.example.com/plan",
        "configuration": "bpc_1",
    }


async def test_our_portal_configuration_is_found_by_its_mark(service: StripeService, script: ScriptedStripe) -> None:
    theirs: JsonObject = {"id": "bpc_1", "object": "billing_portal.configuration", "metadata": {}}
    ours = {**theirs, "id": "bpc_2", "metadata": {"gateway_setup": "portal"}}
    script.will(says(listing(theirs, ours)), says(listing(theirs)))

    assert await service.find_portal_configuration() == "bpc_2"
    assert await service.find_portal_configuration() is None


@pytest.mark.parametrize(
    ("object_type", "path"),
    [
        ("subscription", "/v1/subscriptions/x_1"),
        ("invoice", "/v1/invoices/x_1"),
        ("checkout.session", "/v1/checkout/sessions/x_1"),
        ("charge", "/v1/charges/x_1"),
        ("payment_intent", "/v1/payment_intents/x_1"),
    ],
)
async def test_an_objects_customer_is_asked_for(
    service: StripeService, script: ScriptedStripe, object_type: str, path: str
) -> None:
    answer = {"id": "x_1", "object": object_type, "customer": "cus_1", "metadata": {"gateway_customer": "ada"}}
    script.will(says(answer), says({**answer, "customer": None}), refuses(404, code="resource_missing"))

    first = await service.customer_of(object_type=object_type, object_id="x_1")
    guest = await service.customer_of(object_type=object_type, object_id="x_1")
    unknown = await service.customer_of(object_type=object_type, object_id="x_1")

    assert script.asked[0].path == path
    assert first is not None
    assert (first.stripe_customer_id, first.customer_id) == ("cus_1", "ada")
    assert guest is None
    assert unknown is None


async def test_a_disputes_customer_is_its_charges(service: StripeService, script: ScriptedStripe) -> None:
    charge: JsonObject = {"id": "ch_1", "object": "charge", "customer": "cus_1", "metadata": {}}
    script.will(says({"id": "dp_1", "object": "dispute", "charge": charge, "metadata": {}}))

    found = await service.customer_of(object_type="dispute", object_id="dp_1")

    assert script.last.params == {"expand[0]": "charge"}
    assert found is not None
    assert found.stripe_customer_id == "cus_1"


@pytest.mark.parametrize(("object_type", "object_id"), [("balance", "ba_1"), ("charge", ""), ("charge", "ch_1/refund")])
async def test_what_cannot_be_asked_for_has_no_customer(
    service: StripeService, script: ScriptedStripe, object_type: str, object_id: str
) -> None:
    assert await service.customer_of(object_type=object_type, object_id=object_id) is None
    assert script.asked == []


async def test_missed_events_are_listed_page_by_page(service: StripeService, script: ScriptedStripe) -> None:
    script.will(says(listing(event("evt_2"), has_more=True)), says(listing(event("evt_1"))))

    found = [
        one
        async for one in service.list_events(
            since=CREATED_AT, types=["checkout.session.completed"], undelivered_only=True
        )
    ]

    assert [one.event_id for one in found] == ["evt_2", "evt_1"]
    assert (found[0].object_type, found[0].object_id) == ("checkout.session", "cs_test_a1")
    assert script.asked[0].params == {
        "created[gte]": str(CREATED),
        "types[0]": "checkout.session.completed",
        "limit": "100",
        "delivery_success": "false",
    }
    assert script.asked[1].params["starting_after"] == "evt_2"


async def test_more_types_than_stripe_takes_are_asked_for_in_turns(
    service: StripeService, script: ScriptedStripe
) -> None:
    script.will(says(listing(event("evt_1"))), says(listing(event("evt_2"))))

    found = [one async for one in service.list_events(since=CREATED_AT, types=["charge.refunded"] * 21)]

    assert [one.event_id for one in found] == ["evt_1", "evt_2"]
    assert [sum(name.startswith("types") for name in request.params) for request in script.asked] == [20, 1]
