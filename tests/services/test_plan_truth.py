"""Whatever happens to a customer's subscriptions at Stripe, the plan is what they say together."""

import pytest
import structlog

from gateway.services.customers import customer_id_of
from gateway.services.plans.due import sync_due_plans
from gateway.services.plans.syncing import sync_plan
from tests.support.gateway import Platform
from tests.support.person import Person


async def subscribed(platform: Platform, tier: str = "PRO") -> tuple[Person, str, str]:
    """Somebody with a plan, its subscription and the Stripe Customer."""
    ann = platform.person()
    await platform.stripe.pay((await ann.checkout_page(tier)).url)
    await platform.settled()
    (row,) = await platform.stripe.subscriptions()
    return ann, row["id"], row["customer"]


async def test_of_two_subscriptions_the_best_plan_wins_with_an_alarm_and_none_is_cancelled(platform: Platform) -> None:
    ann, first, customer = await subscribed(platform, "STARTER")

    with structlog.testing.capture_logs() as logs:
        await platform.stripe.control("subscriptions/create", customer=customer, lookup_key="business_monthly")
        await platform.settled()

    alarms = [line for line in logs if line["event"] == "plan.several_subscriptions"]
    assert alarms[0]["log_level"] == "error"
    assert first in alarms[0]["subscriptions"]
    assert await ann.tier() == "BUSINESS"
    assert [row["status"] for row in await platform.stripe.subscriptions()] == ["active", "active"]


async def test_when_the_better_of_two_ends_the_other_one_is_held(platform: Platform) -> None:
    ann, _, customer = await subscribed(platform, "STARTER")
    better = await platform.stripe.control("subscriptions/create", customer=customer, lookup_key="business_monthly")
    await platform.settled()

    await platform.stripe.control("subscriptions/cancel", subscription=better["id"])
    await platform.settled()

    assert await ann.tier() == "STARTER"


async def test_a_subscription_to_an_unknown_price_is_an_alarm_and_takes_no_tier_away(platform: Platform) -> None:
    ann, _, customer = await subscribed(platform)
    product = await platform.stripe.api("POST", "/v1/products", name="Something else")
    price = await platform.stripe.api(
        "POST",
        "/v1/prices",
        **{"product": product["id"], "currency": "usd", "unit_amount": "100", "recurring[interval]": "month"},
    )

    with structlog.testing.capture_logs() as logs:
        await platform.stripe.control("subscriptions/create", customer=customer, price=price["id"])
        await platform.settled()

    assert "error" in {line["log_level"] for line in logs if line["event"] == "plan.unknown_price"}
    assert await ann.tier() == "PRO"


async def test_a_price_whose_lookup_key_moved_on_still_gives_its_tier(platform: Platform) -> None:
    ann, _, _ = await subscribed(platform)
    (old,) = (await platform.stripe.api("GET", "/v1/prices?lookup_keys[0]=pro_monthly"))["data"]
    await platform.stripe.api(
        "POST",
        "/v1/prices",
        **{
            "product": old["product"],
            "currency": "usd",
            "unit_amount": "3500",
            "recurring[interval]": "month",
            "lookup_key": "pro_monthly",
            "transfer_lookup_key": "true",
        },
    )

    await sync_plan(platform.billing, customer_id=customer_id_of(ann.subject))

    plan = await ann.plan()
    assert (plan["tier"], plan["price"]["amountCents"]) == ("PRO", "2900")


@pytest.mark.parametrize(
    ("status", "tier", "shown"),
    [
        ("trialing", "PRO", "TRIALING"),
        ("past_due", "PRO", "PAST_DUE"),
        ("unpaid", "FREE", "UNPAID"),
        ("paused", "FREE", "PAUSED"),
        ("incomplete", "FREE", "INCOMPLETE"),
        ("canceled", "FREE", "CANCELED"),
    ],
)
async def test_every_status_of_stripe_becomes_a_plan(platform: Platform, status: str, tier: str, shown: str) -> None:
    ann, subscription, _ = await subscribed(platform)

    await platform.stripe.control("subscriptions/status", subscription=subscription, status=status)
    await platform.settled()

    plan = await ann.plan()
    assert (plan["tier"], plan["status"]) == (tier, shown)


async def test_a_paused_subscription_that_goes_on_gives_its_tier_again(platform: Platform) -> None:
    ann, subscription, _ = await subscribed(platform)
    await platform.stripe.control("subscriptions/pause", subscription=subscription)
    await platform.settled()
    meanwhile = await ann.tier()

    await platform.stripe.control("subscriptions/resume", subscription=subscription)
    await platform.settled()

    assert (meanwhile, await ann.tier()) == ("FREE", "PRO")


async def moved_to_a_price_of_its_own(platform: Platform, subscription_id: str) -> None:
    """What staff does at Stripe for a customer who gets a price that is in no catalogue."""
    product = await platform.stripe.api("POST", "/v1/products", name="As agreed")
    price = await platform.stripe.api(
        "POST",
        "/v1/prices",
        **{"product": product["id"], "currency": "usd", "unit_amount": "1900", "recurring[interval]": "month"},
    )
    subscription = await platform.stripe.api("GET", f"/v1/subscriptions/{subscription_id}")
    item = {"items[0][id]": subscription["items"]["data"][0]["id"], "items[0][price]": price["id"]}
    await platform.stripe.api("POST", f"/v1/subscriptions/{subscription_id}", **item)
    await platform.settled()


async def test_a_paused_subscription_with_a_price_of_its_own_gives_its_tier_again(platform: Platform) -> None:
    ann, subscription, _ = await subscribed(platform)
    await moved_to_a_price_of_its_own(platform, subscription)
    agreed = await ann.plan()
    await platform.stripe.control("subscriptions/pause", subscription=subscription)
    await platform.settled()
    meanwhile = await ann.tier()

    await platform.stripe.control("subscriptions/resume", subscription=subscription)
    await platform.settled()

    again = await ann.plan()
    assert (agreed["tier"], meanwhile, again["tier"]) == ("PRO", "FREE", "PRO")
    assert agreed["price"]["amountCents"] == again["price"]["amountCents"] == "1900"


async def test_a_price_of_its_own_gives_its_tier_when_the_better_plan_beside_it_ends(platform: Platform) -> None:
    ann, subscription, customer = await subscribed(platform, "PRO")
    better = await platform.stripe.control("subscriptions/create", customer=customer, lookup_key="business_monthly")
    await platform.settled()
    await moved_to_a_price_of_its_own(platform, subscription)

    await platform.stripe.control("subscriptions/cancel", subscription=better["id"])
    await platform.settled()

    assert await ann.tier() == "PRO"


@pytest.mark.parametrize("signal", ["cancel_at_period_end", "cancel_at"])
async def test_a_cancellation_is_seen_by_either_of_its_signals_and_lifted_again(
    platform: Platform, signal: str
) -> None:
    ann, subscription, _ = await subscribed(platform)
    end = (await ann.plan())["currentPeriodEnd"]
    path = f"/v1/subscriptions/{subscription}"
    when = {"cancel_at_period_end": "true", "cancel_at": str(await period_end(platform, path))}[signal]
    await platform.stripe.api("POST", path, **{signal: when})
    await platform.settled()
    canceling = await ann.plan()

    lifted = {"cancel_at_period_end": "false", "cancel_at": ""}[signal]
    await platform.stripe.api("POST", path, **{signal: lifted})
    await platform.settled()

    assert (canceling["tier"], canceling["cancelsAt"]) == ("PRO", end)
    assert (await ann.plan())["cancelsAt"] is None


async def period_end(platform: Platform, path: str) -> int:
    return (await platform.stripe.api("GET", path))["items"]["data"][0]["current_period_end"]


async def with_a_better_plan_past_due(platform: Platform) -> Person:
    """Who pays for a small plan, and has just failed to pay for a large one."""
    ann, _, customer = await subscribed(platform, "STARTER")
    better = await platform.stripe.control("subscriptions/create", customer=customer, lookup_key="business_yearly")
    await platform.settled()
    await platform.stripe.control("subscriptions/status", subscription=better["id"], status="past_due")
    await platform.settled()
    return ann


async def test_beside_another_subscription_a_grace_period_ends_once(platform: Platform) -> None:
    ann = await with_a_better_plan_past_due(platform)

    tiers: list[str] = []
    for _ in range(20):
        await platform.advance(days=1)
        await sync_due_plans(platform.billing)
        tiers.append(await ann.tier())

    assert tiers == ["BUSINESS"] * 6 + ["STARTER"] * 14


async def test_the_plan_beside_it_is_held_as_soon_as_a_grace_period_is_over(platform: Platform) -> None:
    ann = await with_a_better_plan_past_due(platform)
    await platform.advance(days=6, hours=23)
    await sync_due_plans(platform.billing)
    last_hour = await ann.tier()

    await platform.advance(hours=1)
    await sync_due_plans(platform.billing)

    assert (last_hour, await ann.tier()) == ("BUSINESS", "STARTER")


async def test_a_grace_period_begins_anew_when_what_was_due_is_paid(platform: Platform) -> None:
    ann, subscription, _ = await subscribed(platform, "PRO")
    for status in ("past_due", "active", "past_due"):
        await platform.stripe.control("subscriptions/status", subscription=subscription, status=status)
        await platform.settled()
        await platform.advance(days=4)

    assert await ann.tier() == "PRO"
    await platform.advance(days=3)
    assert await ann.tier() == "FREE"


async def test_an_unknown_price_gives_nothing_when_the_plan_beside_it_ends(platform: Platform) -> None:
    ann, good, customer = await subscribed(platform, "BUSINESS")
    product = await platform.stripe.api("POST", "/v1/products", name="Something else")
    price = await platform.stripe.api(
        "POST",
        "/v1/prices",
        **{"product": product["id"], "currency": "usd", "unit_amount": "100", "recurring[interval]": "month"},
    )
    await platform.stripe.control("subscriptions/create", customer=customer, price=price["id"])
    await platform.settled()

    with structlog.testing.capture_logs() as logs:
        await platform.stripe.control("subscriptions/cancel", subscription=good)
        await platform.settled()

    assert "error" in {line["log_level"] for line in logs if line["event"] == "plan.unknown_price"}
    plan = await ann.plan()
    assert (plan["tier"], plan["price"]["amountCents"]) == ("FREE", "0")
