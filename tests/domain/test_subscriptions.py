"""From all of a customer's subscriptions to the one plan it holds."""

from datetime import UTC, datetime, timedelta
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.plans import BillingInterval, PlanStatus, Tier
from gateway.domain.subscriptions import (
    FREE_PLAN,
    HeldPlan,
    Reduction,
    SubscriptionFacts,
    blocks_purchase,
    reduce_subscriptions,
)

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
GRACE = timedelta(hours=168)
STATUSES = ("active", "trialing", "past_due", "unpaid", "paused", "incomplete", "incomplete_expired", "canceled")


def facts(
    name: str = "sub_1",
    *,
    status: str = "active",
    tier: Tier | None = Tier.PRO,
    age_days: int = 1,
    ends_in_days: int = 29,
    cancels_at: datetime | None = None,
) -> SubscriptionFacts:
    return SubscriptionFacts(
        subscription_id=name,
        status=status,
        tier=tier,
        interval=BillingInterval.MONTHLY,
        price_cents=2_900,
        current_period_end=NOW + timedelta(days=ends_in_days),
        cancels_at=cancels_at,
        created_at=NOW - timedelta(days=age_days),
    )


def reduce(*subscriptions: SubscriptionFacts, previous: HeldPlan = FREE_PLAN, now: datetime = NOW) -> Reduction:
    return reduce_subscriptions(subscriptions, previous=previous, now=now, grace=GRACE)


def test_nobody_who_never_bought_holds_anything_but_free() -> None:
    reduction = reduce()

    assert reduction.plan == FREE_PLAN
    assert not reduction.has_subscription


def test_an_active_subscription_gives_its_tier() -> None:
    ends = NOW + timedelta(days=3)
    reduction = reduce(facts(cancels_at=ends))

    assert (reduction.plan.tier, reduction.plan.status) == (Tier.PRO, PlanStatus.ACTIVE)
    assert reduction.plan.cancels_at == ends
    assert reduction.plan.price_cents == 2_900
    assert reduction.has_subscription


def test_a_late_end_of_an_old_subscription_does_not_end_a_newer_one() -> None:
    reduction = reduce(facts("sub_old", status="canceled", tier=Tier.BUSINESS), facts("sub_new"))

    assert reduction.plan.tier is Tier.PRO
    assert reduction.plan.subscription_id == "sub_new"


def test_of_two_live_subscriptions_the_better_plan_wins_and_both_are_named() -> None:
    reduction = reduce(facts("sub_a"), facts("sub_b", tier=Tier.BUSINESS, status="past_due"))

    assert reduction.plan.tier is Tier.BUSINESS
    assert reduction.entitled_ids == ("sub_a", "sub_b")


def test_of_two_alike_the_one_in_better_standing_wins() -> None:
    reduction = reduce(facts("sub_a", status="past_due"), facts("sub_b"))

    assert reduction.plan.subscription_id == "sub_b"
    assert reduction.plan.grace_ends_at is None


def test_past_due_keeps_the_tier_for_the_grace_period_counted_from_when_it_was_first_seen() -> None:
    first = reduce(facts(status="past_due")).plan
    again = reduce(facts(status="past_due"), previous=first, now=NOW + timedelta(days=2)).plan

    assert first.grace_ends_at == again.grace_ends_at == NOW + GRACE
    assert again.at(NOW + GRACE - timedelta(seconds=1)).tier is Tier.PRO
    over = again.at(NOW + GRACE)
    assert (over.tier, over.status, over.interval) == (Tier.FREE, PlanStatus.PAST_DUE, None)


def test_a_new_failure_after_a_payment_begins_a_new_grace_period() -> None:
    first = reduce(facts(status="past_due")).plan
    paid = reduce(facts(), previous=first).plan
    later = NOW + timedelta(days=30)

    assert reduce(facts(status="past_due"), previous=paid, now=later).plan.grace_ends_at == later + GRACE


def test_a_price_nobody_knows_never_takes_a_tier_away() -> None:
    previous = reduce(facts(tier=Tier.BUSINESS)).plan
    reduction = reduce(facts(tier=None), previous=previous)

    assert reduction.plan.tier is Tier.BUSINESS
    assert reduction.unmapped_ids == ("sub_1",)


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ("unpaid", PlanStatus.UNPAID),
        ("paused", PlanStatus.PAUSED),
        ("incomplete", PlanStatus.INCOMPLETE),
        ("canceled", PlanStatus.CANCELED),
        ("incomplete_expired", PlanStatus.ACTIVE),
    ],
)
def test_what_gives_no_tier_still_says_how_it_stands(status: str, expected: PlanStatus) -> None:
    plan = reduce(facts(status=status)).plan

    assert (plan.tier, plan.status) == (Tier.FREE, expected)


@pytest.mark.parametrize("status", STATUSES)
def test_a_second_purchase_is_refused_while_the_first_could_come_back(status: str) -> None:
    expected = status in {"active", "trialing", "past_due", "unpaid", "paused"}

    assert blocks_purchase(status) is expected
    assert reduce(facts(status=status)).has_subscription is expected


@st.composite
def some_subscription(draw: st.DrawFn) -> SubscriptionFacts:
    return facts(
        f"sub_{draw(st.integers(min_value=0, max_value=10**6))}",
        status=draw(st.sampled_from(STATUSES)),
        tier=draw(st.sampled_from([None, Tier.STARTER, Tier.PRO, Tier.BUSINESS])),
        age_days=draw(st.integers(min_value=0, max_value=400)),
        ends_in_days=draw(st.integers(min_value=1, max_value=400)),
    )


subscriptions = st.lists(some_subscription(), max_size=6, unique_by=lambda item: item.subscription_id)


@given(subscriptions, st.randoms(use_true_random=False))
def test_the_order_in_which_stripe_lists_subscriptions_does_not_matter(
    items: list[SubscriptionFacts], randomness: Random
) -> None:
    shuffled = list(items)
    randomness.shuffle(shuffled)

    assert reduce(*shuffled).plan == reduce(*items).plan


@given(subscriptions)
def test_a_paid_tier_is_held_exactly_while_something_entitles_to_it(items: list[SubscriptionFacts]) -> None:
    entitled = [item for item in items if item.status in {"active", "trialing", "past_due"}]
    best = max((item.tier.rank for item in entitled if item.tier), default=0)

    assert reduce(*items).plan.tier.rank == best
