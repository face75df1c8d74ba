"""What the calls about customers and checkouts send to Stripe, and what they make of the answers."""

from datetime import UTC, datetime, timedelta

import pytest

from gateway.domain.errors import ProviderRejected, ProviderUnavailable
from gateway.stripe_service import CheckoutSession, StripeService
from gateway.stripe_service.customers import CUSTOMER_PAGES_MAX
from tests.stripe.scripted import ScriptedStripe, refuses, says
from tests.stripe.stripe_objects import (
    CREATED,
    customer,
    listing,
    session,
    subscription,
)

CREATED_AT = datetime.fromtimestamp(CREATED, UTC)
SUCCESS_URL = "https://app.example.com/done?session_id={CHECKOUT_SESSION_ID}"
CANCEL_URL = "https://app.example.com/plans"


async def test_every_request_names_the_version_and_sends_no_telemetry(
    service: StripeService, script: ScriptedStripe
) -> None:
    script.will(says(customer()), says(customer()))

    await service.retrieve_customer("cus_1")
    await service.retrieve_customer("cus_1")

    for request in script.asked:
        assert request.headers["Stripe-Version"] == "2026-10-28.endive"
        assert request.headers["Authorization"].startswith("Bearer sk_test_")
        assert "X-Stripe-Client-Telemetry" not in request.headers
        assert "telemetry_id" not in request.headers["X-Stripe-Client-User-Agent"]
        assert "Cookie" not in request.headers


async def test_a_new_customer_carries_the_subject(service: StripeService, script: ScriptedStripe) -> None:
    script.will(says(customer(email="ada@example.com")))

    made = await service.create_customer(customer_id="ada", email="ada@example.com", idempotency_key="customer:1")

    assert (script.last.method, script.last.path) == ("POST", "/v1/customers")
    assert script.last.params == {"metadata[gateway_customer]": "ada", "email": "ada@example.com"}
    assert script.last.idempotency_key == "customer:1"
    assert (made.stripe_customer_id, made.customer_id, made.deleted) == ("cus_1", "ada", False)
    assert made.created_at == CREATED_AT


async def test_a_deleted_customer_is_told_as_deleted(service: StripeService, script: ScriptedStripe) -> None:
    script.will(says({"id": "cus_1", "object": "customer", "deleted": True}))

    found = await service.retrieve_customer("cus_1")

    assert found is not None
    assert found.deleted
    assert found.customer_id is None


async def test_an_unknown_customer_is_none(service: StripeService, script: ScriptedStripe) -> None:
    script.will(refuses(404, code="resource_missing"))

    assert await service.retrieve_customer("cus_404") is None


async def test_another_404_is_not_taken_for_an_unknown_customer(service: StripeService, script: ScriptedStripe) -> None:
    script.will(refuses(404))

    with pytest.raises(ProviderRejected):
        await service.retrieve_customer("cus_1")


async def test_a_lost_customer_is_found_by_its_metadata_across_pages(
    service: StripeService, script: ScriptedStripe
) -> None:
    others = [customer(f"cus_{number}", metadata={"gateway_customer": f"bob{number}"}) for number in (9, 8)]
    script.will(says(listing(*others, has_more=True)), says(listing(customer("cus_7"))))

    found = await service.find_customer(created_after=CREATED_AT, customer_id="ada")

    assert found is not None
    assert found.stripe_customer_id == "cus_7"
    assert script.asked[0].params == {"created[gte]": str(CREATED), "limit": "100"}
    assert script.asked[1].params["starting_after"] == "cus_8"


async def test_no_lost_customer_is_none(service: StripeService, script: ScriptedStripe) -> None:
    script.will(says(listing(customer(metadata={}), customer(metadata={"gateway_customer": "adam"}))))

    assert await service.find_customer(created_after=CREATED_AT, customer_id="ada") is None


async def test_too_many_customers_to_look_through_is_no_answer_rather_than_none(
    service: StripeService, script: ScriptedStripe
) -> None:
    stranger = listing(customer(metadata={"gateway_customer": "bob"}), has_more=True)
    script.will(*[says(stranger)] * CUSTOMER_PAGES_MAX)

    with pytest.raises(ProviderUnavailable):
        await service.find_customer(created_after=CREATED_AT, customer_id="ada")
    assert len(script.asked) == CUSTOMER_PAGES_MAX


async def test_a_subscription_checkout_carries_our_names_everywhere(
    service: StripeService, script: ScriptedStripe
) -> None:
    script.will(says(session(mode="subscription")))

    made = await service.create_subscription_checkout(
        stripe_customer_id="cus_1",
        price_id="price_1",
        customer_id="ada",
        checkout_id="row-1",
        success_url=SUCCESS_URL,
        cancel_url=CANCEL_URL,
        expires_at=CREATED_AT + timedelta(hours=1),
        idempotency_key="checkout:row-1",
    )

    assert script.last.path == "/v1/checkout/sessions"
    assert script.last.params == {
        "mode": "subscription",
        "customer": "cus_1",
        "line_items[0][price]": "price_1",
        "line_items[0][quantity]": "1",
        "success_url": SUCCESS_URL,
        "cancel_url": CANCEL_URL,
        "client_reference_id": "ada",
        "metadata[gateway_customer]": "ada",
        "metadata[gateway_checkout]": "row-1",
        "subscription_data[metadata][gateway_customer]": "ada",
        "subscription_data[metadata][gateway_checkout]": "row-1",
        "expires_at": str(CREATED + 3600),
    }
    assert script.last.idempotency_key == "checkout:row-1"
    assert made.url == "https://checkout.stripe.com/c/pay/cs_test_a1"


async def test_a_deposit_checkout_carries_our_names_everywhere(service: StripeService, script: ScriptedStripe) -> None:
    script.will(says(session()))

    await service.create_deposit_checkout(
        stripe_customer_id="cus_1",
        amount_cents=2500,
        product_name="Wallet deposit",
        customer_id="ada",
        checkout_id="row-1",
        success_url=SUCCESS_URL,
        cancel_url=CANCEL_URL,
        idempotency_key="checkout:row-1",
    )

    assert script.last.params == {
        "mode": "payment",
        "customer": "cus_1",
        "line_items[0][price_data][currency]": "usd",
        "line_items[0][price_data][unit_amount]": "2500",
        "line_items[0][price_data][product_data][name]": "Wallet deposit",
        "line_items[0][quantity]": "1",
        "success_url": SUCCESS_URL,
        "cancel_url": CANCEL_URL,
        "client_reference_id": "ada",
        "metadata[gateway_customer]": "ada",
        "metadata[gateway_checkout]": "row-1",
        "payment_intent_data[metadata][gateway_customer]": "ada",
        "payment_intent_data[metadata][gateway_checkout]": "row-1",
    }


@pytest.mark.parametrize("key", ["", "x" * 256, "zwölf", "a\nb"])
async def test_a_write_without_a_usable_key_is_our_bug(
    service: StripeService, script: ScriptedStripe, key: str
) -> None:
    with pytest.raises(AssertionError):
        await service.create_customer(customer_id="ada", idempotency_key=key)
    assert script.asked == []


async def test_a_paid_deposit_is_read_with_its_charge(service: StripeService, script: ScriptedStripe) -> None:
    intent = {"id": "pi_1", "object": "payment_intent", "status": "succeeded", "latest_charge": "ch_1"}
    script.will(says(session(status="complete", payment_status="paid", url=None, payment_intent=intent)))

    found = await service.retrieve_session("cs_test_a1")

    assert script.last.path == "/v1/checkout/sessions/cs_test_a1"
    assert script.last.params == {"expand[0]": "payment_intent.latest_charge.balance_transaction"}
    assert found is not None
    assert found == CheckoutSession(
        session_id="cs_test_a1",
        url=None,
        mode="payment",
        status="complete",
        payment_status="paid",
        amount_total_cents=2500,
        currency="usd",
        stripe_customer_id="cus_1",
        client_reference_id="ada",
        metadata={"gateway_customer": "ada", "gateway_checkout": "row-1"},
        subscription_id=None,
        payment_intent_id="pi_1",
        payment_intent_status="succeeded",
        charge_id="ch_1",
        funds_available_at=None,
        livemode=False,
        created_at=CREATED_AT,
        expires_at=CREATED_AT + timedelta(days=1),
    )
    assert found.is_paid
    assert found.checkout_id == "row-1"


async def test_a_session_that_completed_unpaid_is_not_paid(service: StripeService, script: ScriptedStripe) -> None:
    script.will(says(session(status="complete", payment_status="unpaid", url=None, payment_intent="pi_1")))

    found = await service.retrieve_session("cs_test_a1")

    assert found is not None
    assert not found.is_paid
    assert (found.payment_intent_id, found.charge_id) == ("pi_1", None)


async def test_ids_are_found_whether_expanded_or_not(service: StripeService, script: ScriptedStripe) -> None:
    script.will(says(session(mode="subscription", customer=customer(), subscription=subscription())))

    found = await service.retrieve_session("cs_test_a1")

    assert found is not None
    assert (found.stripe_customer_id, found.subscription_id) == ("cus_1", "sub_1")


async def test_a_session_without_what_may_be_absent_is_read(service: StripeService, script: ScriptedStripe) -> None:
    bare = session()
    for name in (
        "amount_total",
        "client_reference_id",
        "currency",
        "customer",
        "payment_intent",
        "subscription",
        "url",
    ):
        del bare[name]
    bare["metadata"] = None
    bare["status"] = None
    script.will(says(bare))

    found = await service.retrieve_session("cs_test_a1")

    assert found is not None
    assert (found.amount_total_cents, found.stripe_customer_id, found.checkout_id) == (None, None, None)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "cs_test_",
        "cs_test_a/../b",
        "cs_test_a1\n",
        "cs_tést_a1",
        "cs_prod_a1",
        "pi_1",
        "cs_test_a1?x=1",
        "cs_test_" + "a" * 241,
    ],
)
async def test_a_text_that_is_no_session_id_never_reaches_stripe(
    service: StripeService, script: ScriptedStripe, text: str
) -> None:
    assert await service.retrieve_session(text) is None
    assert script.asked == []


async def test_an_unknown_session_is_none(service: StripeService, script: ScriptedStripe) -> None:
    script.will(refuses(404, code="resource_missing"))

    assert await service.retrieve_session("cs_test_404") is None


async def test_an_object_of_another_kind_is_no_session(service: StripeService, script: ScriptedStripe) -> None:
    script.will(says(listing(session())))

    with pytest.raises(ProviderUnavailable):
        await service.retrieve_session("cs_test_a1")


async def test_an_open_session_is_expired(service: StripeService, script: ScriptedStripe) -> None:
    script.will(says(session(status="expired", url=None)))

    expired = await service.expire_session(session_id="cs_test_a1", idempotency_key="expire:row-1")

    assert (script.last.method, script.last.path) == ("POST", "/v1/checkout/sessions/cs_test_a1/expire")
    assert script.last.idempotency_key == "expire:row-1"
    assert expired.status == "expired"
