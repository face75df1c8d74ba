"""`plan` and `plans`: what is held, and what is for sale."""

from datetime import datetime

import strawberry

from gateway.domain.plans import BillingInterval, PlanStatus, Tier
from gateway.domain.plans import PlanOffer as Offer
from gateway.domain.subscriptions import HeldPlan
from resolvers.context import Info
from resolvers.enums import publish_enum
from resolvers.money import Money, money_of_cents

publish_enum(
    Tier,
    description="What a customer holds, from the least to the most.",
    values={
        Tier.FREE: "What everybody has without paying.",
        Tier.STARTER: "The smallest plan for sale.",
        Tier.PRO: "The plan in the middle.",
        Tier.BUSINESS: "The largest plan for sale.",
    },
)
publish_enum(
    BillingInterval,
    description="How often a plan is paid for.",
    values={
        BillingInterval.MONTHLY: "Every month.",
        BillingInterval.YEARLY: "Every year, at a discount.",
    },
)
publish_enum(
    PlanStatus,
    description="How the plan stands, in Stripe's words for a Subscription.",
    values={
        PlanStatus.ACTIVE: "Paid for; FREE is always ACTIVE.",
        PlanStatus.TRIALING: "In a trial that costs nothing yet.",
        PlanStatus.PAST_DUE: "The last renewal was not paid; the tier is kept until graceEndsAt.",
        PlanStatus.INCOMPLETE: "The first payment has not come; there is no tier yet.",
        PlanStatus.UNPAID: "Renewals were not paid and are not tried any more; the tier is gone until they are.",
        PlanStatus.PAUSED: "On hold, without a tier, until it is resumed.",
        PlanStatus.CANCELED: "Over; the tier is gone.",
    },
)


@strawberry.type(description="The plan a customer holds; FREE when none was bought.")
class Plan:
    tier: Tier = strawberry.field(description="What the customer may use now.")
    interval: BillingInterval | None = strawberry.field(description="How often it is paid for; null on FREE.")
    status: PlanStatus = strawberry.field(description="How the subscription behind it stands.")
    price: Money = strawberry.field(description="What one interval costs this customer.")
    current_period_end: datetime | None = strawberry.field(description="Until when it is paid for; null on FREE.")
    cancels_at: datetime | None = strawberry.field(
        description="Set when the plan ends at a known time, whichever way Stripe says so."
    )
    grace_ends_at: datetime | None = strawberry.field(description="PAST_DUE keeps the tier until this time.")


@strawberry.type(description="One tier as it is offered.")
class PlanOffer:
    tier: Tier = strawberry.field(description="What the customer would hold.")
    name: str = strawberry.field(description="The name shown to people.")
    monthly: Money = strawberry.field(description="The price of a month, paid monthly.")
    yearly: Money = strawberry.field(description="The price of a year, paid yearly.")
    yearly_discount_percent: int = strawberry.field(description="25 for 25 %.")
    purchasable: bool = strawberry.field(description="False on FREE, which everybody has.")


def plan_type(held: HeldPlan, now: datetime) -> Plan:
    """The stored plan as it stands now: a grace period that is over leaves FREE."""
    plan = held.at(now)
    return Plan(
        tier=plan.tier,
        interval=plan.interval,
        status=plan.status,
        price=money_of_cents(plan.price_cents),
        current_period_end=plan.current_period_end,
        cancels_at=plan.cancels_at,
        grace_ends_at=plan.grace_ends_at,
    )


def resolve_plan(info: Info) -> Plan | None:
    return plan_type(info.context.snapshot.plan, info.context.billing.clock.now())


def resolve_plans(info: Info) -> list[PlanOffer] | None:
    return [_offer_type(offer) for offer in info.context.billing.catalogue.offers]


def _offer_type(offer: Offer) -> PlanOffer:
    return PlanOffer(
        tier=offer.tier,
        name=offer.name,
        monthly=money_of_cents(offer.monthly_cents),
        yearly=money_of_cents(offer.yearly_cents),
        yearly_discount_percent=offer.yearly_discount_percent,
        purchasable=offer.purchasable,
    )
