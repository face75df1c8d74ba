"""The whole way through a checkout on the local Stripe, as a customer goes it."""

from datetime import timedelta
from pathlib import Path

import pytest

from gateway.domain.errors import ProviderRejected, ProviderUnavailable
from gateway.domain.plans import BillingInterval, Tier, load_catalogue
from gateway.stripe_service import CheckoutSession, StripeService, set_up_stripe
from tests.stripe.local_stripe import LOST_ANSWERS, START, LocalStripe

CATALOGUE = load_catalogue((Path(__file__).parents[2] / "plans.toml").read_text())
SUCCESS_URL = "https://app.example.com/done?session_id={CHECKOUT_SESSION_ID}"
CANCEL_URL = "https://app.example.com/plans"


async def new_customer(service: StripeService) -> str:
    made = await service.create_customer(customer_id="ada", idempotency_key="customer:ada")
    return made.stripe_customer_id


async def deposit(service: StripeService, stripe_customer_id: str, *, key: str = "checkout:1") -> CheckoutSession:
    return await service.create_deposit_checkout(
        stripe_customer_id=stripe_customer_id,
        amount_cents=2500,
        product_name="Wallet deposit",
        customer_id="ada",
        checkout_id="row-1",
        success_url=SUCCESS_URL,
        cancel_url=CANCEL_URL,
        idempotency_key=key,
    )


async def test_a_deposit_is_paid_and_read_back(local: LocalStripe, local_service: StripeService) -> None:
    customer = await new_customer(local_service)
    started = await deposit(local_service, customer)
    assert started.url is not None
    assert not started.is_paid

    await local.control("checkout/pay", checkout_session=started.session_id)
    paid = await local_service.retrieve_session(started.session_id)

    assert paid is not None
    assert paid.is_paid
    assert (paid.amount_total_cents, paid.currency, paid.livemode) == (2500, "usd", False)
    assert (paid.stripe_customer_id, paid.customer_id, paid.checkout_id) == (customer, "ada", "row-1")
    assert paid.client_reference_id == "ada"
    assert paid.payment_intent_status == "succeeded"
    assert paid.charge_id is not None
    assert paid.url is None
    for object_type, object_id in (
        ("charge", paid.charge_id),
        ("payment_intent", paid.payment_intent_id),
        ("checkout.session", paid.session_id),
        ("customer", customer),
    ):
        found = await local_service.customer_of(object_type=object_type, object_id=str(object_id))
        assert found is not None
        assert (found.stripe_customer_id, found.customer_id) == (customer, "ada")


async def test_a_disputed_deposit_leads_back_to_its_customer(local: LocalStripe, local_service: StripeService) -> None:
    customer = await new_customer(local_service)
    started = await deposit(local_service, customer)
    await local.control("checkout/pay", checkout_session=started.session_id)
    paid = await local_service.retrieve_session(started.session_id)
    assert paid is not None
    dispute = await local.control("disputes/open", charge=paid.charge_id)

    found = await local_service.customer_of(object_type="dispute", object_id=str(dispute["id"]))

    assert found is not None
    assert found.stripe_customer_id == customer


async def test_the_same_key_gives_the_same_session_and_other_content_is_refused(
    local: LocalStripe, local_service: StripeService
) -> None:
    customer = await new_customer(local_service)

    first = await deposit(local_service, customer)
    second = await deposit(local_service, customer)
    with pytest.raises(ProviderRejected) as caught:
        await local_service.create_customer(customer_id="bob", idempotency_key="checkout:1")

    assert second.session_id == first.session_id
    assert caught.value.provider_code == "idempotency_error"


@pytest.mark.parametrize("fault", LOST_ANSWERS)
async def test_a_lost_answer_still_makes_one_session(
    local: LocalStripe, hasty_local_service: StripeService, fault: str
) -> None:
    customer = await new_customer(hasty_local_service)
    await local.control("faults", path="/v1/checkout/sessions", kind=fault, count=2)

    started = await deposit(hasty_local_service, customer)

    assert (await hasty_local_service.retrieve_session(started.session_id)) is not None
    writes = [request for request in await local.requests() if request["path"] == "/v1/checkout/sessions"]
    assert {request["idempotency_key"] for request in writes} == {"checkout:1"}
    assert len(writes) == 3


async def test_an_answer_lost_for_good_is_unknown_and_found_by_the_same_key_later(
    local: LocalStripe, hasty_local_service: StripeService
) -> None:
    customer = await new_customer(hasty_local_service)
    await local.control("faults", path="/v1/checkout/sessions", kind="timeout_after", count=3)

    with pytest.raises(ProviderUnavailable):
        await deposit(hasty_local_service, customer)
    again = await deposit(hasty_local_service, customer)

    rows = [request for request in await local.requests() if request["path"] == "/v1/checkout/sessions"]
    assert again.checkout_id == "row-1"
    assert rows[-1]["replayed"] is True


async def test_a_lost_customer_is_found(local: LocalStripe, local_service: StripeService) -> None:
    customer = await new_customer(local_service)

    found = await local_service.find_customer(created_after=START - timedelta(minutes=10), customer_id="ada")

    assert found is not None
    assert found.stripe_customer_id == customer
    assert await local_service.find_customer(created_after=START, customer_id="bob") is None


async def test_a_subscription_is_taken_out_and_listed(local: LocalStripe, local_service: StripeService) -> None:
    report = await set_up_stripe(
        local_service, CATALOGUE, webhook_url=None, portal_return_url=CANCEL_URL, clock=local.clock
    )
    plan = CATALOGUE.offer(Tier.PRO).price(BillingInterval.YEARLY)
    customer = await new_customer(local_service)
    started = await local_service.create_subscription_checkout(
        stripe_customer_id=customer,
        price_id=report.prices.price_id(plan),
        customer_id="ada",
        checkout_id="row-2",
        success_url=SUCCESS_URL,
        cancel_url=CANCEL_URL,
        expires_at=START + timedelta(hours=1),
        idempotency_key="checkout:2",
    )
    assert started.expires_at == START + timedelta(hours=1)
    assert await local_service.list_subscriptions(customer) == ()

    await local.control("checkout/pay", checkout_session=started.session_id)

    paid = await local_service.retrieve_session(started.session_id)
    assert paid is not None
    assert paid.is_paid
    [subscription] = await local_service.list_subscriptions(customer)
    assert subscription.subscription_id == paid.subscription_id
    assert (subscription.status, subscription.customer_id) == ("active", "ada")
    assert subscription.metadata["gateway_checkout"] == "row-2"
    [item] = subscription.items
    assert (item.lookup_key, item.interval, item.unit_amount_cents) == ("pro_yearly", "year", plan.amount_cents)
    assert report.prices.plan_of(item.price) == plan
    assert item.period_start_at == START
    assert await local_service.retrieve_subscription(subscription.subscription_id) == subscription
    for object_type, object_id in (
        ("subscription", subscription.subscription_id),
        ("invoice", str(subscription.latest_invoice_id)),
    ):
        found = await local_service.customer_of(object_type=object_type, object_id=object_id)
        assert found is not None
        assert found.stripe_customer_id == customer

    portal = await local_service.create_portal_session(
        stripe_customer_id=customer,
        return_url=CANCEL_URL,
        configuration_id=await local_service.find_portal_configuration(),
        idempotency_key="portal:1",
    )
    assert portal.url.startswith("http")


async def test_what_happened_is_listed_as_events(local: LocalStripe, local_service: StripeService) -> None:
    started = await deposit(local_service, await new_customer(local_service))
    await local.control("checkout/pay", checkout_session=started.session_id)

    found = [one async for one in local_service.list_events(since=START)]

    assert [(one.type, one.object_id) for one in found] == [("checkout.session.completed", started.session_id)]


async def test_an_unused_session_is_closed_once(local: LocalStripe, local_service: StripeService) -> None:
    started = await deposit(local_service, await new_customer(local_service))

    expired = await local_service.expire_session(session_id=started.session_id, idempotency_key="expire:1")

    assert (expired.status, expired.url) == ("expired", None)
    with pytest.raises(ProviderRejected):
        await local_service.expire_session(session_id=started.session_id, idempotency_key="expire:2")
