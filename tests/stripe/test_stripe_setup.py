"""`gateway stripe-setup` against the local Stripe: everything made once, repaired when broken, else left alone."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import cast

import pytest

from gateway.domain.errors import ProviderUnavailable
from gateway.domain.plans import BillingInterval, Catalogue, Tier, load_catalogue
from gateway.stripe_service import (
    ACCOUNT_EVENTS,
    API_VERSION,
    CONNECT_EVENTS,
    SetupReport,
    StripeService,
    set_up_stripe,
)
from gateway.stripe_service.setup_journal import covers
from tests.stripe.local_stripe import LOST_ANSWERS, JsonObject, LocalStripe

CATALOGUE = load_catalogue((Path(__file__).parents[2] / "plans.toml").read_text())
WEBHOOK_URL = "https://billing.example.com/api/billing/webhook"
RETURN_URL = "https://app.example.com/plan"
PRO_MONTHLY = CATALOGUE.offer(Tier.PRO).price(BillingInterval.MONTHLY)


async def set_up(
    service: StripeService,
    local: LocalStripe,
    *,
    catalogue: Catalogue = CATALOGUE,
    webhook_url: str | None = WEBHOOK_URL,
    return_url: str = RETURN_URL,
) -> SetupReport:
    return await set_up_stripe(
        service, catalogue, webhook_url=webhook_url, portal_return_url=return_url, clock=local.clock
    )


async def run_again(service: StripeService, local: LocalStripe, **changes: str | Catalogue | None) -> list[str]:
    """Another run an hour later; what it wrote to."""
    local.clock.advance(timedelta(hours=1))
    await local.control("requests/clear")
    await set_up(service, local, **changes)  # pyright: ignore[reportArgumentType]  # each test gives one of the two
    return await local.writes()


async def ask(service: StripeService, method: str, path: str, **params: object) -> JsonObject:
    """Ask the local Stripe what no call of ours asks."""
    answer = await service.connection.client.raw_request_async(method, path, **params)
    return cast("JsonObject", answer.data)


def dearer(catalogue: Catalogue, *, monthly_cents: int) -> Catalogue:
    """The catalogue with another monthly price for PRO."""
    offers = [
        replace(offer, monthly_cents=monthly_cents) if offer.tier is Tier.PRO else offer for offer in catalogue.offers
    ]
    return Catalogue(offers=tuple(offers))


async def test_the_first_run_makes_everything(local: LocalStripe, local_service: StripeService) -> None:
    report = await set_up(local_service, local)

    assert [str(line).split(" (")[0] for line in report.lines][:-4] == [
        "created product gateway_starter",
        "created product gateway_pro",
        "created product gateway_business",
        "created price starter_monthly",
        "created price starter_yearly",
        "created price pro_monthly",
        "created price pro_yearly",
        "created price business_monthly",
        "created price business_yearly",
    ]
    assert str(report.lines[5]) == "created price pro_monthly ($29.00 every month)"
    assert str(report.lines[-4]) == f"created portal configuration ({report.portal_configuration_id})"
    assert str(report.lines[-3]).startswith("created webhook endpoint we_")
    assert str(report.lines[-2]).startswith("created webhook endpoint for connected accounts we_")
    assert str(report.lines[-1]).startswith("skipped event destination for thin events (Stripe refused: not_found;")
    assert report.changed
    assert len(set(report.webhook_secrets)) == 2
    assert all(secret.startswith("whsec_") and secret not in repr(report) for secret in report.webhook_secrets)
    assert (await local_service.check_prices(CATALOGUE)).price_ids == report.prices.price_ids
    assert await local_service.find_portal_configuration() == report.portal_configuration_id


async def test_a_second_run_writes_nothing(local: LocalStripe, local_service: StripeService) -> None:
    first = await set_up(local_service, local)
    local.clock.advance(timedelta(hours=1))
    await local.control("requests/clear")

    second = await set_up(local_service, local)

    assert await local.writes() == []
    assert {request["method"] for request in await local.requests()} == {"GET"}
    assert not second.changed
    assert {line.outcome for line in second.lines[:-1]} == {"unchanged"}
    assert second.webhook_secrets == ()
    assert second.prices == first.prices
    assert second.portal_configuration_id == first.portal_configuration_id


async def test_every_write_has_a_key_of_ours_and_no_two_share_one(
    local: LocalStripe, local_service: StripeService
) -> None:
    await set_up(local_service, local)

    keys = [str(request["idempotency_key"]) for request in await local.requests() if request["method"] == "POST"]

    assert len(keys) == 12
    assert len(set(keys)) == 12
    assert all(key.startswith("setup:") for key in keys)


async def test_two_runs_side_by_side_make_everything_once(local: LocalStripe, local_service: StripeService) -> None:
    await asyncio.gather(set_up(local_service, local), set_up(local_service, local), return_exceptions=True)
    report = await set_up(local_service, local)

    for path in ("/v1/products", "/v1/prices", "/v1/webhook_endpoints"):
        assert len((await ask(local_service, "get", path, limit=100))["data"]) == {
            "/v1/products": 3,
            "/v1/prices": 6,
        }.get(path, 2)
    assert not report.changed


async def test_the_endpoint_hears_what_we_live_by_in_our_version(
    local: LocalStripe, local_service: StripeService
) -> None:
    await set_up(local_service, local)

    endpoints: list[JsonObject] = (await ask(local_service, "get", "/v1/webhook_endpoints"))["data"]

    assert {endpoint["url"] for endpoint in endpoints} == {WEBHOOK_URL}
    assert {endpoint["api_version"] for endpoint in endpoints} == {API_VERSION}
    heard = {endpoint["metadata"]["gateway_setup"]: sorted(endpoint["enabled_events"]) for endpoint in endpoints}
    assert heard == {"account_endpoint": sorted(ACCOUNT_EVENTS), "connect_endpoint": sorted(CONNECT_EVENTS)}
    for events in (ACCOUNT_EVENTS, CONNECT_EVENTS):
        assert len(set(events)) == len(events)
    made = [row for row in await local.requests() if row["path"] == "/v1/webhook_endpoints" and row["method"] == "POST"]
    assert [row["params"]["connect"] for row in made] == ["false", "true"]


async def test_the_portal_offers_every_price(local: LocalStripe, local_service: StripeService) -> None:
    report = await set_up(local_service, local)

    found = await ask(local_service, "get", f"/v1/billing_portal/configurations/{report.portal_configuration_id}")

    features: JsonObject = found["features"]
    assert found["default_return_url"] == RETURN_URL
    assert all(
        features[name]["enabled"]
        for name in ("customer_update", "invoice_history", "payment_method_update", "subscription_cancel")
    )
    assert features["subscription_cancel"]["mode"] == "at_period_end"
    assert features["subscription_update"]["default_allowed_updates"] == ["price"]
    offered = {product["product"]: set(product["prices"]) for product in features["subscription_update"]["products"]}
    assert offered == {
        f"gateway_{tier}": {report.prices.price_ids[f"{tier}_{interval}"] for interval in ("monthly", "yearly")}
        for tier in ("starter", "pro", "business")
    }


async def test_without_an_address_no_endpoint_is_made(local: LocalStripe, local_service: StripeService) -> None:
    report = await set_up(local_service, local, webhook_url=None)

    assert str(report.lines[-1]) == "skipped webhook endpoint (no address given)"
    assert report.webhook_secrets == ()
    assert (await ask(local_service, "get", "/v1/webhook_endpoints"))["data"] == []


async def test_a_new_price_takes_the_key_and_the_old_one_is_sold_no_more(
    local: LocalStripe, local_service: StripeService
) -> None:
    old_id = (await set_up(local_service, local)).prices.price_id(PRO_MONTHLY)
    local.clock.advance(timedelta(hours=1))
    changed = dearer(CATALOGUE, monthly_cents=3900)

    report = await set_up(local_service, local, catalogue=changed)

    new_id = report.prices.price_id(changed.offer(Tier.PRO).price(BillingInterval.MONTHLY))
    assert [str(line) for line in report.lines if line.outcome == "repaired"] == [
        f"repaired price pro_monthly ({new_id} at $39.00 instead of {old_id} at $29.00)",
        f"repaired old price {old_id} (sold no more; who has it keeps it)",
        f"repaired portal configuration ({report.portal_configuration_id})",
    ]
    old = await ask(local_service, "get", f"/v1/prices/{old_id}")
    assert (old["active"], old["lookup_key"], old["metadata"]) == (False, None, {"gateway_price": "pro_monthly"})
    assert await run_again(local_service, local, catalogue=changed) == []


async def test_a_price_set_back_within_a_day_is_a_new_price_again(
    local: LocalStripe, local_service: StripeService
) -> None:
    first_id = (await set_up(local_service, local)).prices.price_id(PRO_MONTHLY)
    local.clock.advance(timedelta(hours=1))
    await set_up(local_service, local, catalogue=dearer(CATALOGUE, monthly_cents=3900))
    local.clock.advance(timedelta(hours=1))

    back = await set_up(local_service, local)

    assert back.prices.price_id(PRO_MONTHLY) != first_id
    assert (await local_service.check_prices(CATALOGUE)).price_ids == back.prices.price_ids


@pytest.mark.parametrize("times", [1, 2])
@pytest.mark.parametrize(
    ("path", "breakage"),
    [
        ("/v1/products/gateway_pro", {"active": False}),
        ("/v1/products/gateway_pro", {"name": "Professional"}),
        ("/v1/prices/{price}", {"active": False}),
        ("/v1/prices/{price}", {"metadata": {"gateway_price": ""}}),
        ("/v1/billing_portal/configurations/{portal}", {"features": {"subscription_cancel": {"enabled": False}}}),
        ("/v1/billing_portal/configurations/{portal}", {"default_return_url": "https://elsewhere.example.com"}),
        ("/v1/webhook_endpoints/{endpoint}", {"disabled": True}),
        ("/v1/webhook_endpoints/{endpoint}", {"url": "https://elsewhere.example.com/hook"}),
        ("/v1/webhook_endpoints/{endpoint}", {"enabled_events": ["charge.refunded"]}),
    ],
)
async def test_what_was_changed_by_hand_is_repaired_each_time(
    local: LocalStripe, local_service: StripeService, path: str, breakage: JsonObject, times: int
) -> None:
    report = await set_up(local_service, local)
    endpoint_id = report.lines[-3].what.split()[-1]
    address = path.format(
        price=report.prices.price_id(PRO_MONTHLY), portal=report.portal_configuration_id, endpoint=endpoint_id
    )

    for _ in range(times):
        await ask(local_service, "post", address, **breakage)
        assert await run_again(local_service, local) == [address]

    assert await run_again(local_service, local) == []


async def test_a_price_under_a_foreign_product_is_taken_as_it_is(
    local: LocalStripe, local_service: StripeService
) -> None:
    product = await ask(local_service, "post", "/v1/products", name="Pro, by hand")
    made = await ask(
        local_service,
        "post",
        "/v1/prices",
        product=product["id"],
        currency="usd",
        unit_amount=2900,
        recurring={"interval": "month"},
        lookup_key="pro_monthly",
    )
    await ask(local_service, "post", f"/v1/products/{product['id']}", active=False)

    report = await set_up(local_service, local)

    assert report.prices.price_id(PRO_MONTHLY) == made["id"]
    assert f"repaired product {product['id']} (active again)" in [str(line) for line in report.lines]
    assert await run_again(local_service, local) == []


async def test_an_endpoint_of_another_version_gets_a_successor_beside_it(
    local: LocalStripe, local_service: StripeService
) -> None:
    old = await ask(
        local_service,
        "post",
        "/v1/webhook_endpoints",
        url=WEBHOOK_URL,
        enabled_events=["*"],
        api_version="2025-09-30.clover",
        metadata={"gateway_setup": "account_endpoint"},
    )

    report = await set_up(local_service, local)

    assert len(report.webhook_secrets) == 2
    assert f"skipped webhook endpoint {old['id']}" in [str(line).split(" (")[0] for line in report.lines]
    assert await run_again(local_service, local) == []


async def test_a_foreign_endpoint_and_configuration_are_left_alone(
    local: LocalStripe, local_service: StripeService
) -> None:
    foreign = await ask(
        local_service, "post", "/v1/webhook_endpoints", url="https://x.example.com", enabled_events=["*"]
    )

    await set_up(local_service, local)

    endpoints: list[JsonObject] = (await ask(local_service, "get", "/v1/webhook_endpoints"))["data"]
    assert [(e["url"], e["enabled_events"]) for e in endpoints if e["id"] == foreign["id"]] == [
        ("https://x.example.com", ["*"])
    ]
    assert len(endpoints) == 3


@pytest.mark.parametrize("written", range(12))
async def test_a_run_that_stops_half_way_is_finished_by_the_next(
    local: LocalStripe, local_service: StripeService, written: int
) -> None:
    await local.control("faults", path="/v1/", method="POST", kind="status_429", skip=written)
    with pytest.raises(ProviderUnavailable):
        await set_up(local_service, local)

    local.clock.advance(timedelta(minutes=1))
    report = await set_up(local_service, local)

    assert len([line for line in report.lines if line.outcome == "created"]) == 12 - written
    assert await run_again(local_service, local) == []


@pytest.mark.parametrize("fault", LOST_ANSWERS)
async def test_a_lost_answer_makes_nothing_twice(
    local: LocalStripe, hasty_local_service: StripeService, fault: str
) -> None:
    await local.control("faults", path="/v1/prices", method="POST", kind=fault, count=2)

    report = await set_up(hasty_local_service, local)

    prices: list[JsonObject] = (await ask(hasty_local_service, "get", "/v1/prices", limit=100))["data"]
    assert sorted(price["id"] for price in prices) == sorted(report.prices.price_ids.values())


async def test_a_price_replaced_only_half_way_is_retired_by_the_next_run(
    local: LocalStripe, local_service: StripeService
) -> None:
    old_id = (await set_up(local_service, local)).prices.price_id(PRO_MONTHLY)
    local.clock.advance(timedelta(hours=1))
    changed = dearer(CATALOGUE, monthly_cents=3900)
    await local.control("faults", path=f"/v1/prices/{old_id}", method="POST", kind="status_429")
    with pytest.raises(ProviderUnavailable):
        await set_up(local_service, local, catalogue=changed)

    await set_up(local_service, local, catalogue=changed)

    assert (await ask(local_service, "get", f"/v1/prices/{old_id}"))["active"] is False


@pytest.mark.parametrize(
    ("actual", "wanted", "same"),
    [
        ({"a": 1, "b": 2}, {"a": 1}, True),
        ({"a": 1}, {"a": 1, "b": None}, True),
        ({"a": 1}, {"a": 2}, False),
        (["x", "y"], ["y", "x"], True),
        (["x", "x"], ["x", "y"], False),
        (["x", "y", "z"], ["x", "y"], False),
        ([{"p": 1, "q": 0}], [{"p": 1}], True),
        (None, {"a": 1}, False),
        ({"a": 1}, [], False),
        (True, 1, True),
    ],
)
def test_an_object_covers_what_is_wanted_of_it(actual: object, wanted: object, *, same: bool) -> None:
    assert covers(actual, wanted) is same
