"""Plans stay true though nothing is delivered: asked about once a day, and whenever something of them ends."""

from datetime import UTC, datetime, timedelta

import pytest

from gateway.db import Connection
from gateway.db.rows import moment_or_none
from gateway.domain.errors import ProviderUnavailable
from gateway.domain.plans import PlanStatus, Tier
from gateway.domain.subscriptions import FREE_PLAN, HeldPlan
from gateway.services.customers import add_customer, customer_id_of
from gateway.services.plans.due import SYNCED_AT_ONCE_MAX, sync_due_plans
from gateway.services.plans.syncing import next_sync_at, sync_plan
from gateway.services.unanswered import SILENCES_A_ROUND_MAX
from tests.support.gateway import Platform
from tests.support.person import Person
from tests.support.weather import Poison

NOW = datetime(2026, 11, 2, 9, 0, tzinfo=UTC)
DAY = timedelta(days=1)
LITTLE = timedelta(minutes=2)
SUBSCRIPTIONS = "/v1/subscriptions"


def held(
    *,
    current_period_end: datetime | None = None,
    cancels_at: datetime | None = None,
    grace_ends_at: datetime | None = None,
) -> HeldPlan:
    return HeldPlan(
        tier=Tier.PRO,
        status=PlanStatus.ACTIVE,
        current_period_end=current_period_end,
        cancels_at=cancels_at,
        grace_ends_at=grace_ends_at,
    )


@pytest.mark.parametrize(
    ("plan", "live", "expected"),
    [
        (FREE_PLAN, False, None),
        (FREE_PLAN, True, NOW + DAY),
        (held(), True, NOW + DAY),
        (held(), False, NOW + DAY),
        (held(current_period_end=NOW + timedelta(days=9)), True, NOW + DAY),
        (held(current_period_end=NOW + timedelta(hours=2)), True, NOW + timedelta(hours=2) + LITTLE),
        (held(cancels_at=NOW + timedelta(hours=3)), True, NOW + timedelta(hours=3) + LITTLE),
        (held(grace_ends_at=NOW + timedelta(hours=1), cancels_at=NOW + DAY), True, NOW + timedelta(hours=1)),
        (held(current_period_end=NOW), True, NOW + LITTLE),
        (held(current_period_end=NOW - timedelta(days=3)), True, NOW + DAY),
    ],
)
def test_the_next_look_is_in_a_day_or_just_after_the_next_end(
    plan: HeldPlan, live: bool, expected: datetime | None
) -> None:
    assert next_sync_at(plan, live=live, now=NOW) == expected


async def subscribed(platform: Platform, tier: str = "PRO") -> tuple[Person, str]:
    """Somebody with a plan, and its subscription; from now on nothing is delivered."""
    ann = platform.person()
    await platform.stripe.pay((await ann.checkout_page(tier)).url)
    await platform.settled()
    await platform.stripe.control("events/hold")
    return ann, (await platform.stripe.subscriptions())[0]["id"]


async def due_at(platform: Platform) -> list[datetime | None]:
    rows = await platform.database.fetch("SELECT sync_due_at FROM plan ORDER BY customer_id")
    return [moment_or_none(row, "sync_due_at") for row in rows]


async def test_a_subscription_that_ended_unheard_ends_the_plan_within_a_day(platform: Platform) -> None:
    ann, subscription = await subscribed(platform)
    await platform.stripe.control("subscriptions/cancel", subscription=subscription)
    await platform.advance(hours=23, minutes=59)
    await sync_due_plans(platform.billing)
    before = await ann.tier()
    await platform.advance(minutes=2)

    await sync_due_plans(platform.billing)

    assert (before, await ann.tier()) == ("PRO", "FREE")
    assert await due_at(platform) == [None]


@pytest.mark.parametrize("status", ["past_due", "unpaid", "paused", "incomplete"])
async def test_any_subscription_that_can_still_change_is_looked_at_daily(platform: Platform, status: str) -> None:
    ann, subscription = await subscribed(platform)
    await platform.stripe.control("subscriptions/status", subscription=subscription, status=status)
    await platform.advance(days=1)
    await sync_due_plans(platform.billing)
    meanwhile = (await ann.plan())["status"]
    await platform.stripe.control("subscriptions/status", subscription=subscription, status="active")
    await platform.advance(days=1)

    await sync_due_plans(platform.billing)

    assert meanwhile == status.upper()
    assert ((await ann.plan())["status"], await ann.tier()) == ("ACTIVE", "PRO")


async def test_a_renewal_nobody_told_of_is_seen_just_after_the_period(platform: Platform) -> None:
    ann, _ = await subscribed(platform)
    first = (await ann.plan())["currentPeriodEnd"]
    end = datetime.fromisoformat(first)
    while platform.clock.now() < end - timedelta(minutes=1):
        await platform.advance(seconds=min(86_400.0, (end - platform.clock.now()).total_seconds()))
        await sync_due_plans(platform.billing)
    await platform.advance(minutes=3)

    await sync_due_plans(platform.billing)

    assert datetime.fromisoformat((await ann.plan())["currentPeriodEnd"]) > end


async def test_a_cancellation_takes_effect_just_after_its_moment(platform: Platform) -> None:
    ann, subscription = await subscribed(platform)
    await platform.stripe.control("subscriptions/cancel", subscription=subscription, at_period_end=True)
    await platform.advance(days=1)
    await sync_due_plans(platform.billing)
    end = datetime.fromisoformat((await ann.plan())["cancelsAt"])
    while (left := end - platform.clock.now()) > timedelta(0):
        await platform.advance(seconds=min(86_400.0, left.total_seconds()))
        await sync_due_plans(platform.billing)
    await platform.advance(minutes=3)

    await sync_due_plans(platform.billing)

    assert ((await ann.plan())["status"], await ann.tier()) == ("CANCELED", "FREE")


async def test_nobody_without_a_subscription_is_asked_about(platform: Platform) -> None:
    ann = platform.person()
    await platform.stripe.pay((await ann.deposit_page("2500")).url)
    await platform.settled()
    await platform.database.run(
        lambda connection: connection.execute("UPDATE plan SET sync_due_at = NULL WHERE tier = 'FREE'")
    )
    await platform.stripe.forget_requests()
    await platform.advance(days=3)

    await sync_due_plans(platform.billing)

    assert await platform.stripe.requests(SUBSCRIPTIONS) == []


async def test_a_sync_that_was_cut_off_is_done_again(platform: Platform) -> None:
    ann, subscription = await subscribed(platform)
    await platform.stripe.control("subscriptions/cancel", subscription=subscription)
    await platform.advance(days=1, minutes=1)
    await sync_due_plans(platform.billing)
    assert await due_at(platform) == [None]
    stripe_customer = (await platform.checkouts(ann.subject))[0]["stripe_customer_id"]
    await platform.stripe.control("subscriptions/create", customer=stripe_customer, lookup_key="starter_monthly")
    await platform.stripe.fault(SUBSCRIPTIONS, "status_500", count=100)
    with pytest.raises(ProviderUnavailable):
        await sync_plan(platform.billing, customer_id=customer_id_of(ann.subject))
    await platform.stripe.control("faults/clear")
    await platform.advance(minutes=10)

    await sync_due_plans(platform.billing)

    assert await ann.tier() == "STARTER"


async def ended_unheard(platform: Platform, count: int) -> list[Person]:
    """People with plans whose subscriptions have ended; nobody has told, and their day is over."""
    people = [platform.person() for _ in range(count)]
    for person in people:
        await platform.stripe.pay((await person.checkout_page("PRO")).url)
    await platform.settled()
    await platform.stripe.control("events/hold")
    for row in await platform.stripe.subscriptions():
        await platform.stripe.control("subscriptions/cancel", subscription=row["id"])
    await platform.stripe.forget_requests()
    await platform.advance(days=1)
    return people


async def test_a_silent_stripe_ends_the_round_and_everybody_is_asked_about_a_minute_later(platform: Platform) -> None:
    people = await ended_unheard(platform, SILENCES_A_ROUND_MAX + 2)
    await platform.stripe.fault(SUBSCRIPTIONS, "status_500", count=1000)
    now = platform.clock.now()

    await sync_due_plans(platform.billing)
    asked = len(await platform.stripe.requests(SUBSCRIPTIONS))
    due = sorted(at for at in await due_at(platform) if at is not None)
    await platform.stripe.control("faults/clear")
    await platform.advance(minutes=1)
    await sync_due_plans(platform.billing)

    assert asked == 3 * SILENCES_A_ROUND_MAX  # each question is asked three times
    assert due == [now, now, *[now + timedelta(minutes=1)] * SILENCES_A_ROUND_MAX]
    assert [await one.tier() for one in people] == ["FREE"] * len(people)


@pytest.mark.parametrize("status", [500, 401])
async def test_a_plan_that_stripe_never_answers_about_keeps_nobody_else_waiting(
    platform: Platform, poison: Poison, status: int
) -> None:
    people = await ended_unheard(platform, 4)
    poison.status = status
    poison.about.add(f"customer={(await platform.checkouts(people[0].subject))[0]['stripe_customer_id']}")
    await sync_due_plans(platform.billing)
    tiers = [await one.tier() for one in people]
    looked_after_minutes: list[int] = []
    for minute in range(1, 61):
        poison.asked.clear()
        await platform.advance(minutes=1)
        await sync_due_plans(platform.billing)
        if poison.asked:
            looked_after_minutes.append(minute)
    poison.cured()
    await platform.advance(minutes=15)
    await sync_due_plans(platform.billing)

    assert tiers == ["PRO", "FREE", "FREE", "FREE"]
    assert looked_after_minutes == [1, 3, 7, 15, 30, 45, 60]
    assert await people[0].tier() == "FREE"
    assert [row["silences"] for row in await platform.database.fetch("SELECT silences FROM plan")] == [0] * 4


async def test_a_round_is_bounded(platform: Platform) -> None:
    await subscribed(platform)
    due = platform.clock.now()

    async def many(connection: Connection) -> None:
        for number in range(SYNCED_AT_ONCE_MAX + 3):
            customer_id = await add_customer(connection, f"many-{number}", due)
            await connection.execute(
                "INSERT INTO plan (customer_id, tier, status, price_cents, ticket, applied_ticket, sync_due_at) "
                "VALUES ($1, 'FREE', 'ACTIVE', 0, 1, 0, $2)",
                (customer_id, due),
            )

    await platform.database.run(many)

    await sync_due_plans(platform.billing)
    left = await platform.database.fetch("SELECT customer_id FROM plan WHERE sync_due_at <= $1", (due,))
    await sync_due_plans(platform.billing)

    assert len(left) == 3
    assert await platform.database.fetch("SELECT customer_id FROM plan WHERE sync_due_at <= $1", (due,)) == []
