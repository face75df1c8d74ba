"""From all of a customer's Stripe Subscriptions to the one plan it holds: a pure function."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from gateway.domain.clock import unix
from gateway.domain.plans import BillingInterval, PlanStatus, Tier

#: Stripe's words for a Subscription that gives its tier.
_ENTITLED = {"active": PlanStatus.ACTIVE, "trialing": PlanStatus.TRIALING, "past_due": PlanStatus.PAST_DUE}
#: Stripe's words for one that exists, can come back to life, and gives nothing meanwhile.
_DORMANT = {"unpaid": PlanStatus.UNPAID, "paused": PlanStatus.PAUSED, "incomplete": PlanStatus.INCOMPLETE}
#: Stripe's words for one that is over for good.
ENDED_SUBSCRIPTIONS: Final = frozenset({"canceled", "incomplete_expired"})
#: A payment of a completed session in one of these states will not come any more.
_DEAD_PAYMENTS: Final = frozenset({"canceled", "requires_payment_method"})
_STATUS_WORTH = {PlanStatus.ACTIVE: 2, PlanStatus.TRIALING: 1, PlanStatus.PAST_DUE: 0}


@dataclass(frozen=True, slots=True)
class SubscriptionFacts:
    """One Subscription, already read from Stripe; `tier` is None when its price is not in the catalogue.

    `past_due_since` is when this one was first seen past due, None if that is now; it says nothing in other states.
    `gave` is the tier of the last price of it that the catalogue knew, None if there was none.
    """

    subscription_id: str
    status: str
    tier: Tier | None
    interval: BillingInterval | None
    price_cents: int
    current_period_end: datetime | None
    cancels_at: datetime | None
    created_at: datetime
    past_due_since: datetime | None = None
    gave: Tier | None = None


@dataclass(frozen=True, slots=True)
class HeldPlan:
    """What a customer holds. `grace_ends_at` is set while PAST_DUE: until then the tier is kept."""

    tier: Tier
    status: PlanStatus
    interval: BillingInterval | None = None
    price_cents: int = 0
    subscription_id: str | None = None
    current_period_end: datetime | None = None
    cancels_at: datetime | None = None
    past_due_since: datetime | None = None
    grace_ends_at: datetime | None = None

    def at(self, now: datetime) -> "HeldPlan":
        """The plan as it stands at a moment: a grace period that is over leaves FREE."""
        if self.grace_ends_at is None or now < self.grace_ends_at:
            return self
        return replace(self, tier=Tier.FREE, interval=None, price_cents=0, current_period_end=None, cancels_at=None)


FREE_PLAN = HeldPlan(tier=Tier.FREE, status=PlanStatus.ACTIVE)


@dataclass(frozen=True, slots=True)
class Reduction:
    """The plan, whether a second purchase must be refused, and what an operator should be told."""

    plan: HeldPlan
    has_subscription: bool
    entitled_ids: tuple[str, ...]
    unmapped_ids: tuple[str, ...]


def blocks_purchase(status: str) -> bool:
    """Whether a Subscription in this state means: change it in the portal, do not buy another."""
    return status in _ENTITLED or status in {"unpaid", "paused"}


def reduce_subscriptions(
    subscriptions: Sequence[SubscriptionFacts], *, previous: HeldPlan, now: datetime, grace: timedelta
) -> Reduction:
    """The one plan of many Subscriptions: the best entitled one wins; a price nobody knows never takes a tier away.

    `previous` is asked only about a subscription whose price is not known any more.
    """
    entitled = [item for item in subscriptions if item.status in _ENTITLED]
    unmapped = tuple(item.subscription_id for item in entitled if item.tier is None)
    known = [_with_tier(item, previous) for item in _in_grace(entitled, now=now, grace=grace)]
    return Reduction(
        plan=_plan_of(known, subscriptions, now=now, grace=grace),
        has_subscription=any(blocks_purchase(item.status) for item in subscriptions),
        entitled_ids=tuple(item.subscription_id for item in entitled),
        unmapped_ids=unmapped,
    )


def _in_grace(entitled: Sequence[SubscriptionFacts], *, now: datetime, grace: timedelta) -> Sequence[SubscriptionFacts]:
    """Beside others, one whose grace period is over counts no longer; where all are over, they say how they stand."""
    rest = [item for item in entitled if (since := _past_due_since(item, now)) is None or since + grace > now]
    return rest or entitled


def _past_due_since(item: SubscriptionFacts, now: datetime) -> datetime | None:
    if item.status != "past_due":
        return None
    return item.past_due_since or now


def _with_tier(item: SubscriptionFacts, previous: HeldPlan) -> SubscriptionFacts:
    """A subscription whose price became unknown keeps the tier it gave; one that gave none gives none."""
    if item.tier is not None:
        return item
    held = item.subscription_id == previous.subscription_id
    tier = item.gave or (previous.tier if held else None)
    if tier is None:
        return replace(item, tier=Tier.FREE, interval=None, price_cents=0)
    return replace(item, tier=tier, interval=item.interval or (previous.interval if held else None))


def _plan_of(
    entitled: Sequence[SubscriptionFacts],
    everything: Sequence[SubscriptionFacts],
    *,
    now: datetime,
    grace: timedelta,
) -> HeldPlan:
    if not entitled:
        return _without_entitlement(everything)
    best = max(entitled, key=_worth)
    assert best.tier is not None, "every entitled subscription has a tier by now"
    since = _past_due_since(best, now)
    return HeldPlan(
        tier=best.tier,
        status=_ENTITLED[best.status],
        interval=best.interval,
        price_cents=best.price_cents,
        subscription_id=best.subscription_id,
        current_period_end=best.current_period_end,
        cancels_at=best.cancels_at,
        past_due_since=since,
        grace_ends_at=since + grace if since else None,
    )


def _without_entitlement(everything: Sequence[SubscriptionFacts]) -> HeldPlan:
    dormant = [item for item in everything if item.status in _DORMANT]
    if dormant:
        latest = max(dormant, key=lambda item: (item.created_at, item.subscription_id))
        status = _DORMANT[latest.status]
        return HeldPlan(tier=Tier.FREE, status=status, subscription_id=latest.subscription_id)
    if any(item.status == "canceled" for item in everything):
        return HeldPlan(tier=Tier.FREE, status=PlanStatus.CANCELED)
    return FREE_PLAN


def _worth(item: SubscriptionFacts) -> tuple[int, int, int, str]:
    assert item.tier is not None, "compared after every tier is known"
    period_end = unix(item.current_period_end) if item.current_period_end else 0
    return item.tier.rank, _STATUS_WORTH[_ENTITLED[item.status]], period_end, item.subscription_id


def payment_is_dead(*, of_subscription: bool, payment_status: str | None, subscription_status: str | None) -> bool:
    """Whether a completed session's money will never come: its payment ended, or its subscription did.

    A session of a subscription has no payment of its own. What Stripe does not know is None, and proves nothing.
    """
    if of_subscription:
        return subscription_status in ENDED_SUBSCRIPTIONS
    return payment_status in _DEAD_PAYMENTS
