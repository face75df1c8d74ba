"""`gateway sync`: ask Stripe about a customer, a purchase or a subscription now, and say what changed here."""

import argparse
from collections.abc import Iterator

from gateway.cli import serving
from gateway.cli.opening import opened, quiet_logs
from gateway.cli.output import Refusal, say
from gateway.domain.errors import SessionNotFound
from gateway.domain.money import format_usd, format_usd_micros
from gateway.domain.subscriptions import HeldPlan
from gateway.services.billing import Billing
from gateway.services.explaining import Target, find_target
from gateway.services.syncing import Standing, Synced, sync_checkout, sync_customer
from gateway.settings import Settings


def sync(settings: Settings, options: argparse.Namespace) -> int:
    """One sync of what the id means."""
    quiet_logs(settings)
    return serving.run(_sync(settings, options.kind, options.id))


async def _sync(settings: Settings, kind: str, given: str) -> int:
    async with opened(settings) as gateway:
        target = await find_target(gateway.billing, given)
        synced = await (_checkout if kind == "checkout" else _customer)(gateway.billing, target)
    changes = list(_changes(synced.before, synced.after))
    say(*(changes or ["Nothing changed: Stripe says what is stored here."]))
    if synced.outcome is not None:
        say(synced.outcome)
    return 0


async def _customer(billing: Billing, target: Target) -> Synced:
    """A customer, or whose subscription it is: the plan is made of all of a customer's subscriptions."""
    if target.customer_id is None:
        raise _unknown(target)
    return await sync_customer(billing, target.customer_id)


async def _checkout(billing: Billing, target: Target) -> Synced:
    checkout = target.checkout
    if checkout is None and not target.is_session:
        if target.customer_id is not None:
            raise Refusal(f"{target.given} is a customer, not a purchase; run `gateway sync customer {target.given}`.")
        raise _unknown(target)
    session_id = checkout.session_id if checkout else target.given
    if session_id is None:
        raise Refusal(f"The purchase {target.given} has no payment page yet, so nothing can have been paid.")
    try:
        return await sync_checkout(billing, checkout, session_id)
    except SessionNotFound:
        raise Refusal(
            f"{session_id} is not a purchase of this gateway, or not what was asked for; "
            f"`gateway explain {session_id}` says which."
        ) from None


def _unknown(target: Target) -> Refusal:
    if target.silent:
        return Refusal(f"{target.given} is not in our rows, and Stripe did not answer whose it is; try again later.")
    given = target.given[:80]
    return Refusal(f"Neither our rows nor Stripe show a purchase or a customer of ours under {given!r}; is it whole?")


def _changes(before: Standing, after: Standing) -> Iterator[str]:
    if before.checkout_state != after.checkout_state:
        yield f"purchase  {before.checkout_state or 'unknown'} -> {after.checkout_state}"
    if before.refunded_cents != after.refunded_cents:
        yield f"refunded  {format_usd(before.refunded_cents)} -> {format_usd(after.refunded_cents)}"
    if before.plan != after.plan:
        yield f"plan      {_plan(before.plan)} -> {_plan(after.plan)}"
    if before.wallet_micros != after.wallet_micros:
        yield f"wallet    {format_usd_micros(before.wallet_micros)} -> {format_usd_micros(after.wallet_micros)}"


def _plan(plan: HeldPlan | None) -> str:
    if plan is None:
        return "never synced"
    interval = f" {plan.interval.lower()}" if plan.interval else ""
    until = f" until {plan.current_period_end:%Y-%m-%d}" if plan.current_period_end else ""
    ends = f", ends {plan.cancels_at:%Y-%m-%d}" if plan.cancels_at else ""
    return f"{plan.tier}{interval} {plan.status.lower().replace('_', ' ')}{until}{ends}"
