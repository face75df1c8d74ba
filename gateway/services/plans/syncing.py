"""The plan, synced from Stripe by tickets: whoever asked Stripe last writes, whoever asked earlier does not."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

import structlog

from gateway.db import Connection
from gateway.db.orm import OrmClient
from gateway.domain.errors import ProviderRejected
from gateway.domain.plans import BillingInterval, Catalogue, PlanPrice, PlanStatus, Tier
from gateway.domain.subscriptions import (
    ENDED_SUBSCRIPTIONS,
    FREE_PLAN,
    HeldPlan,
    Reduction,
    SubscriptionFacts,
    reduce_subscriptions,
)
from gateway.services.billing import Billing
from gateway.services.customers import lock_customer, stripe_customers_of
from gateway.services.events.inbox import Alongside
from gateway.stripe_service import StripeSubscription, SubscriptionItem
from models.plan import Plan
from models.subscription import Subscription

log = structlog.stdlib.get_logger()

#: A plan with a subscription is synced this often though nothing happens to it.
SYNCED_EVERY = timedelta(days=1)
#: What Stripe does at a moment is looked at this long after it; it also covers a clock of ours that is a bit ahead.
AFTER_A_MOMENT = timedelta(minutes=2)
#: A sync that was begun and not finished is begun again after this.
UNFINISHED = timedelta(minutes=10)

_INTERVALS = {"month": BillingInterval.MONTHLY, "year": BillingInterval.YEARLY}


async def sync_plan(billing: Billing, *, customer_id: UUID, alongside: Alongside | None = None) -> Reduction:
    """Make the plan what Stripe says it is now.

    A ticket is taken before Stripe is asked, and the answer is written only if no later ticket was written first: the
    change that came last caused an event whose ticket is later still, so the last write is the truth, without holding
    a lock while Stripe answers. `alongside` runs in the writing transaction, written or not.

    Raises:
        ProviderUnavailable: Stripe did not answer; nothing was changed.
    """
    ticket = await _take_ticket(billing, customer_id)
    subscriptions = await _all_subscriptions(billing, customer_id)

    async def work(connection: Connection) -> tuple[Reduction, bool]:
        await lock_customer(connection, customer_id)
        row = await Plan.get(customer_id=customer_id, using_db=connection.orm)
        now = billing.clock.now()
        seen = await last_seen(connection.orm, customer_id)
        reduction = reduce_subscriptions(
            [subscription_facts(item, billing.catalogue, seen.get(item.subscription_id)) for item in subscriptions],
            previous=held_plan(row),
            now=now,
            grace=billing.rules.past_due_grace,
        )
        written = row.applied_ticket < ticket
        if written:
            live = any(item.status not in ENDED_SUBSCRIPTIONS for item in subscriptions)
            overtaken = row.ticket > ticket  # whoever took the later ticket may yet fail
            due_at = now + UNFINISHED if overtaken else next_sync_at(reduction.plan, live=live, now=now)
            await _write_plan(connection, customer_id, reduction.plan, ticket=ticket, now=now, due_at=due_at)
            mirrored = [
                _mirrored(item, billing.catalogue, customer_id, seen.get(item.subscription_id), now)
                for item in subscriptions
            ]
            await _mirror(connection, customer_id, mirrored, now)
        if alongside is not None:
            await alongside(connection)
        return reduction, written

    reduction, written = await billing.database.run(work)
    if written:
        _tell(customer_id, reduction)
    return reduction


def next_sync_at(plan: HeldPlan, *, live: bool, now: datetime) -> datetime | None:
    """When Stripe is asked again if nothing is heard: a day from now, or when the next thing ends.

    None for a customer without a subscription that could still change.
    """
    if not live and plan.tier is Tier.FREE:
        return None
    moments = [moment + AFTER_A_MOMENT for moment in (plan.cancels_at, plan.current_period_end) if moment is not None]
    if plan.grace_ends_at is not None:  # by our own clock: what is held beside it counts from then on
        moments.append(plan.grace_ends_at)
    return min([now + SYNCED_EVERY, *(moment for moment in moments if moment > now)])


def held_plan(row: Plan) -> HeldPlan:
    """The stored plan as a value."""
    return HeldPlan(
        tier=Tier(row.tier),
        status=PlanStatus(row.status),
        interval=BillingInterval(row.interval) if row.interval else None,
        price_cents=row.price_cents,
        subscription_id=row.subscription_id,
        current_period_end=row.current_period_end,
        cancels_at=row.cancels_at,
        past_due_since=row.past_due_since,
        grace_ends_at=row.grace_ends_at,
    )


async def last_seen(orm: OrmClient, customer_id: UUID) -> dict[str, Subscription]:
    """Our rows about a customer's subscriptions: how each was when it was last seen."""
    return {row.id: row for row in await Subscription.filter(customer_id=customer_id).using_db(orm)}


def subscription_facts(
    subscription: StripeSubscription, catalogue: Catalogue, seen: Subscription | None
) -> SubscriptionFacts:
    """What the reduction needs of a Stripe Subscription, and of our row from when it was `seen` last."""
    best = _best_price(subscription, catalogue)
    gave = catalogue.price_of(seen.lookup_key) if seen else None
    item = best[1] if best else (subscription.items[0] if subscription.items else None)
    interval = _INTERVALS.get(item.interval or "") if item else None
    return SubscriptionFacts(
        subscription_id=subscription.subscription_id,
        status=subscription.status,
        tier=best[0].tier if best else None,
        interval=interval,
        price_cents=(item.unit_amount_cents or 0) if item else 0,
        current_period_end=item.period_end_at if item else None,
        cancels_at=subscription.cancels_at,
        created_at=subscription.created_at,
        past_due_since=seen.past_due_since if seen else None,
        gave=gave.tier if gave else None,
    )


def _best_price(subscription: StripeSubscription, catalogue: Catalogue) -> tuple[PlanPrice, SubscriptionItem] | None:
    """The dearest of its items that the catalogue knows, if it knows any."""
    priced = [(catalogue.price_of(item.price.plan_key), item) for item in subscription.items]
    known = [(price, item) for price, item in priced if price is not None]
    return max(known, key=lambda pair: pair[0].tier.rank, default=None)


async def _take_ticket(billing: Billing, customer_id: UUID) -> int:
    due_at = billing.clock.now() + UNFINISHED

    async def work(connection: Connection) -> int:
        row = await connection.fetch_one(
            "INSERT INTO plan (customer_id, tier, status, price_cents, ticket, applied_ticket, sync_due_at) "
            "VALUES ($1, $2, $3, 0, 1, 0, $4) ON CONFLICT (customer_id) DO UPDATE SET ticket = plan.ticket + 1, "
            "sync_due_at = COALESCE(plan.sync_due_at, $4) RETURNING ticket",
            (customer_id, FREE_PLAN.tier.value, FREE_PLAN.status.value, due_at),
        )
        assert row is not None, "an upsert returns its row"
        ticket = row["ticket"]
        assert isinstance(ticket, int), "tickets are whole numbers"
        return ticket

    return await billing.database.run(work)


async def _all_subscriptions(billing: Billing, customer_id: UUID) -> list[StripeSubscription]:
    """The subscriptions of every Stripe Customer this customer has or had."""
    found: list[StripeSubscription] = []
    for stripe_customer_id in await stripe_customers_of(billing.database, customer_id):
        found += await _subscriptions_of(billing, stripe_customer_id)
    return found


async def _subscriptions_of(billing: Billing, stripe_customer_id: str) -> Sequence[StripeSubscription]:
    """Those of one Stripe Customer; a deleted one has none, an unknown one is an error of ours."""
    try:
        return await billing.stripe.list_subscriptions(stripe_customer_id)
    except ProviderRejected:
        customer = await billing.stripe.retrieve_customer(stripe_customer_id)
        if customer is not None and customer.deleted:
            return ()
        raise


async def _write_plan(
    connection: Connection,
    customer_id: UUID,
    plan: HeldPlan,
    *,
    ticket: int,
    now: datetime,
    due_at: datetime | None,
) -> None:
    await connection.execute(
        "UPDATE plan SET tier = $2, interval = $3, status = $4, price_cents = $5, subscription_id = $6, "
        "current_period_end = $7, cancels_at = $8, past_due_since = $9, grace_ends_at = $10, applied_ticket = $11, "
        "synced_at = $12, sync_due_at = $13 WHERE customer_id = $1 AND applied_ticket < $11",
        (
            customer_id,
            plan.tier.value,
            plan.interval.value if plan.interval else None,
            plan.status.value,
            plan.price_cents,
            plan.subscription_id,
            plan.current_period_end,
            plan.cancels_at,
            plan.past_due_since,
            plan.grace_ends_at,
            ticket,
            now,
            due_at,
        ),
    )


async def _mirror(
    connection: Connection, customer_id: UUID, subscriptions: Sequence[Subscription], now: datetime
) -> None:
    """Keep our rows as Stripe lists them; what it lists no longer has ended."""
    listed = {row.id for row in subscriptions}
    for row in await Subscription.filter(customer_id=customer_id, ended_at=None).using_db(connection.orm):
        if row.id not in listed:
            await connection.execute(
                "UPDATE subscription SET status = 'canceled', past_due_since = NULL, ended_at = $2, synced_at = $2 "
                "WHERE id = $1",
                (row.id, now),
            )
    if subscriptions:
        await Subscription.bulk_create(
            subscriptions, on_conflict=["id"], update_fields=_MIRRORED_FIELDS, using_db=connection.orm
        )


_MIRRORED_FIELDS = [
    "status",
    "price_id",
    "lookup_key",
    "current_period_end",
    "cancels_at",
    "past_due_since",
    "ended_at",
    "synced_at",
]


def _mirrored(
    item: StripeSubscription, catalogue: Catalogue, customer_id: UUID, seen: Subscription | None, now: datetime
) -> Subscription:
    """The row about a subscription. A price that is not known leaves the key of the last one that was."""
    first = item.items[0] if item.items else None
    best = _best_price(item, catalogue)
    since = (seen.past_due_since if seen else None) or now
    return Subscription(
        id=item.subscription_id,
        customer_id=customer_id,
        status=item.status,
        price_id=first.price_id if first else None,
        lookup_key=best[0].lookup_key if best else (seen.lookup_key if seen else None),
        current_period_end=item.current_period_end_at,
        cancels_at=item.cancels_at,
        past_due_since=since if item.status == "past_due" else None,
        ended_at=item.ended_at,
        created_at=item.created_at,
        synced_at=now,
    )


def _tell(customer_id: UUID, reduction: Reduction) -> None:
    plan = reduction.plan
    log.info("plan.synced", customer_id=str(customer_id), tier=plan.tier.value, status=plan.status.value)
    if len(reduction.entitled_ids) > 1:
        log.error("plan.several_subscriptions", customer_id=str(customer_id), subscriptions=reduction.entitled_ids)
    if reduction.unmapped_ids:
        log.error("plan.unknown_price", customer_id=str(customer_id), subscriptions=reduction.unmapped_ids)
