"""How a customer stands now: the plan and the wallet here, and whether Stripe's subscriptions say the same."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from uuid import UUID

from gateway.domain.errors import ProviderError
from gateway.domain.ledger import Account, AccountKind, wallet
from gateway.domain.money import format_usd, format_usd_micros
from gateway.domain.subscriptions import FREE_PLAN, HeldPlan, reduce_subscriptions
from gateway.services.billing import Billing
from gateway.services.customers import stripe_customers_of
from gateway.services.ledger import balance
from gateway.services.plans.syncing import held_plan, last_seen, subscription_facts
from gateway.stripe_service import StripeSubscription
from models.checkout import Checkout
from models.plan import Plan


def checkout_standing(checkout: Checkout) -> tuple[str, ...]:
    refunded = f", {format_usd(checkout.refunded_cents)} refunded" if checkout.refunded_cents else ""
    return (f"Our row of the purchase is {checkout.state}{refunded}.",)


async def customer_standing(billing: Billing, customer_id: UUID) -> tuple[str, ...]:
    """The plan and the wallet as they are now."""
    now = billing.clock.now()
    row = await Plan.get_or_none(customer_id=customer_id, using_db=billing.database.orm)
    plan_text = "The plan is FREE and was never synced."
    if row is not None:
        plan = held_plan(row).at(now)
        synced = f", last synced {row.synced_at:%Y-%m-%d %H:%M:%S} UTC" if row.synced_at else ""
        until = f" until {plan.cancels_at:%Y-%m-%d}" if plan.cancels_at else ""
        plan_text = f"The plan is {plan.tier}, {plan.status.lower().replace('_', ' ')}{until}{synced}."
    wallet_micros = await balance(billing.database, wallet(customer_id))
    owed_micros = -await balance(billing.database, Account(AccountKind.RECEIVABLE, customer_id))
    owed = f"; {format_usd_micros(owed_micros)} is owed" if owed_micros else ""
    return (plan_text, f"The wallet holds {format_usd_micros(wallet_micros)}{owed}.")


async def subscriptions_of(billing: Billing, customer_id: UUID) -> Sequence[StripeSubscription] | None:
    """All that Stripe lists for the customer; None when it does not answer."""
    found: list[StripeSubscription] = []
    for stripe_customer_id in await stripe_customers_of(billing.database, customer_id):
        try:
            found += await billing.stripe.list_subscriptions(stripe_customer_id)
        except ProviderError as error:
            if not await _is_deleted(billing, stripe_customer_id, error):
                return None
    return found


async def _is_deleted(billing: Billing, stripe_customer_id: str, error: ProviderError) -> bool:
    """Of a deleted customer nothing is listed, and nothing is left to be behind of."""
    if error.provider_code != "resource_missing":
        return False
    try:
        customer = await billing.stripe.retrieve_customer(stripe_customer_id)
    except ProviderError:
        return False
    return customer is None or customer.deleted


async def plan_fits(billing: Billing, customer_id: UUID, subscriptions: Sequence[StripeSubscription]) -> bool:
    """Whether the plan held is the one that a sync would make of what Stripe lists now.

    When a grace period began is known to us alone, so about that we cannot be behind.
    """
    orm, now = billing.database.orm, billing.clock.now()
    row = await Plan.get_or_none(customer_id=customer_id, using_db=orm)
    held = FREE_PLAN if row is None else held_plan(row)
    seen = await last_seen(orm, customer_id)
    true = reduce_subscriptions(
        [subscription_facts(one, billing.catalogue, seen.get(one.subscription_id)) for one in subscriptions],
        previous=held,
        now=now,
        grace=billing.rules.past_due_grace,
    ).plan
    return _shown(held, now) == _shown(true, now)


def _shown(plan: HeldPlan, now: datetime) -> HeldPlan:
    return replace(plan.at(now), past_due_since=None, grace_ends_at=None)
