"""From all of a customer's subscriptions to the one plan it holds."""

from dataclasses import replace
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
    payment_is_dead,
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
    interval: BillingInterval = BillingInterval.MONTHLY,
    price_cents: int = 2_900,
    past_due_since: datetime | None = None,
) -> SubscriptionFacts:
    return SubscriptionFacts(
        subscription_id=name,
        status=status,
        tier=tier,
        interval=interval,
        price_cents=price_cents,
        current_period_end=NOW + timedelta(days=ends_in_days),
        cancels_at=cancels_at,
        created_at=NOW - timedelta(days=age_days),
        past_due_since=past_due_since,
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
    again = reduce(facts(status="past_due", past_due_since=NOW), previous=first, now=NOW + timedelta(days=2)).plan

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


@pytest.mark.parametrize(("before", "after"), [(Tier.STARTER, Tier.BUSINESS), (Tier.BUSINESS, Tier.STARTER)])
def test_an_upgrade_and_a_downgrade_of_one_subscription_hold_at_once(before: Tier, after: Tier) -> None:
    plan = reduce(facts(tier=after), previous=reduce(facts(tier=before)).plan).plan

    assert (plan.tier, plan.status) == (after, PlanStatus.ACTIVE)


def test_a_switch_of_the_interval_takes_its_price_and_period_along() -> None:
    monthly = reduce(facts()).plan
    yearly = facts(interval=BillingInterval.YEARLY, price_cents=26_100, ends_in_days=365)
    plan = reduce(yearly, previous=monthly).plan

    assert (plan.interval, plan.price_cents) == (BillingInterval.YEARLY, 26_100)
    assert plan.current_period_end == NOW + timedelta(days=365)


def test_a_price_change_is_shown_and_changes_nothing_else() -> None:
    before = reduce(facts()).plan

    assert reduce(facts(price_cents=3_500), previous=before).plan == replace(before, price_cents=3_500)


def test_a_cancellation_is_shown_and_lifted_again() -> None:
    canceling = reduce(facts(cancels_at=NOW + timedelta(days=29))).plan
    resumed = reduce(facts(), previous=canceling).plan

    assert (canceling.tier, canceling.cancels_at) == (Tier.PRO, NOW + timedelta(days=29))
    assert (resumed.tier, resumed.cancels_at) == (Tier.PRO, None)


@pytest.mark.parametrize("status", ["paused", "unpaid", "incomplete"])
def test_what_comes_back_to_life_gives_its_tier_again(status: str) -> None:
    meanwhile = reduce(facts(status=status), previous=reduce(facts()).plan).plan
    again = reduce(facts(), previous=meanwhile).plan

    assert (meanwhile.tier, meanwhile.subscription_id) == (Tier.FREE, "sub_1")
    assert (again.tier, again.status) == (Tier.PRO, PlanStatus.ACTIVE)


def test_a_trial_gives_the_tier_and_turns_into_what_follows_it() -> None:
    trial = reduce(facts(status="trialing")).plan

    assert (trial.tier, trial.status) == (Tier.PRO, PlanStatus.TRIALING)
    assert reduce(facts(), previous=trial).plan.status is PlanStatus.ACTIVE
    assert reduce(facts(status="paused"), previous=trial).plan.tier is Tier.FREE
    assert reduce(facts(status="canceled"), previous=trial).plan == HeldPlan(Tier.FREE, PlanStatus.CANCELED)


def test_unpaid_after_the_grace_gives_nothing_and_has_no_grace_left() -> None:
    late = reduce(facts(status="past_due")).plan
    plan = reduce(facts(status="unpaid"), previous=late, now=NOW + timedelta(days=20)).plan

    assert (plan.tier, plan.status, plan.grace_ends_at) == (Tier.FREE, PlanStatus.UNPAID, None)


def test_a_grace_that_is_over_leaves_the_plan_to_a_lesser_subscription() -> None:
    late = facts("sub_late", status="past_due", tier=Tier.BUSINESS, past_due_since=NOW)
    previous = reduce(late).plan
    other = facts("sub_other", tier=Tier.STARTER)

    assert reduce(late, other, previous=previous, now=NOW + GRACE - timedelta(seconds=1)).plan.tier is Tier.BUSINESS
    assert reduce(late, other, previous=previous, now=NOW + GRACE).plan.tier is Tier.STARTER


def test_a_grace_that_is_over_stays_over_beside_another_subscription() -> None:
    late = facts("sub_late", status="past_due", tier=Tier.BUSINESS, past_due_since=NOW)
    other = facts("sub_other", tier=Tier.STARTER)

    previous, tiers = FREE_PLAN, list[Tier]()
    for day in range(30):
        previous = reduce(late, other, previous=previous, now=NOW + timedelta(days=day)).plan
        tiers.append(previous.tier)

    assert tiers == [Tier.BUSINESS] * 7 + [Tier.STARTER] * 23


def test_of_two_past_due_each_has_its_own_grace() -> None:
    better = facts("sub_better", status="past_due", tier=Tier.PRO, past_due_since=NOW)
    lesser = facts("sub_lesser", status="past_due", tier=Tier.STARTER, past_due_since=NOW + timedelta(days=3))

    previous, tiers = FREE_PLAN, list[Tier]()
    for day in range(12):
        now = NOW + timedelta(days=day)
        previous = reduce(better, lesser, previous=previous, now=now).plan
        tiers.append(previous.at(now).tier)

    assert tiers == [Tier.PRO] * 7 + [Tier.STARTER] * 3 + [Tier.FREE] * 2


def test_a_price_nobody_knows_inherits_nothing_from_another_subscription() -> None:
    previous = reduce(facts("sub_good", tier=Tier.BUSINESS)).plan
    reduction = reduce(
        facts("sub_good", tier=Tier.BUSINESS, status="canceled"), facts("sub_odd", tier=None), previous=previous
    )

    assert (reduction.plan.tier, reduction.plan.interval, reduction.plan.price_cents) == (Tier.FREE, None, 0)
    assert reduction.unmapped_ids == ("sub_odd",)


def test_a_first_payment_that_expired_leaves_nothing() -> None:
    began = reduce(facts(status="incomplete")).plan

    assert reduce(facts(status="incomplete_expired"), previous=began).plan == FREE_PLAN


def test_a_deleted_customer_has_no_subscription_and_no_plan() -> None:
    reduction = reduce(previous=reduce(facts(tier=Tier.BUSINESS)).plan)

    assert reduction.plan == FREE_PLAN
    assert not reduction.has_subscription


def test_an_unknown_price_beside_a_known_one_is_named_and_takes_nothing_away() -> None:
    reduction = reduce(facts("sub_known"), facts("sub_odd", tier=None))

    assert reduction.plan.tier is Tier.PRO
    assert reduction.unmapped_ids == ("sub_odd",)
    assert reduction.entitled_ids == ("sub_known", "sub_odd")


@pytest.mark.parametrize(
    "start",
    [
        datetime(2028, 2, 29, 12, tzinfo=UTC),
        datetime(2027, 1, 31, 12, tzinfo=UTC),
        datetime(2026, 12, 31, 23, tzinfo=UTC),
    ],
)
def test_the_grace_is_a_span_of_hours_on_leap_days_and_month_ends_too(start: datetime) -> None:
    plan = reduce(facts(status="past_due"), now=start).plan

    assert plan.grace_ends_at is not None
    assert plan.grace_ends_at - start == GRACE


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


@pytest.mark.parametrize(
    ("of_subscription", "payment_status", "subscription_status", "dead"),
    [
        (False, "requires_payment_method", None, True),
        (False, "canceled", None, True),
        (False, "processing", None, False),
        (False, None, "canceled", False),
        (True, None, "canceled", True),
        (True, None, "incomplete_expired", True),
        (True, "requires_payment_method", "incomplete", False),
        (True, "canceled", None, False),
    ],
)
def test_money_that_will_never_come_is_told_by_what_was_to_pay_it(
    of_subscription: bool,
    payment_status: str | None,
    subscription_status: str | None,
    dead: bool,
) -> None:
    told = payment_is_dead(
        of_subscription=of_subscription, payment_status=payment_status, subscription_status=subscription_status
    )

    assert told is dead
