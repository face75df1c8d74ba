"""Asking Stripe again because somebody wants it now: the settling and syncing of every other door, and what changed."""

from dataclasses import dataclass
from uuid import UUID

from gateway.domain.errors import PaymentFailed, PaymentPending, SessionExpired, SessionNotFound
from gateway.domain.ledger import wallet
from gateway.domain.subscriptions import HeldPlan
from gateway.services.billing import Billing
from gateway.services.explaining.target import find_adopted
from gateway.services.ledger import balance
from gateway.services.plans.syncing import held_plan, sync_plan
from gateway.services.purchases.settle import settle_checkout
from gateway.services.taken_back.disputes import settle_dispute
from gateway.services.taken_back.refunds import settle_refund
from models.checkout import Checkout, CheckoutMode
from models.plan import Plan


@dataclass(frozen=True, slots=True)
class Standing:
    """What a sync may change: of a purchase its state and refunds, of its customer the plan and the wallet."""

    checkout_state: str | None
    refunded_cents: int
    plan: HeldPlan | None
    wallet_micros: int


@dataclass(frozen=True, slots=True)
class Synced:
    """How things stood before and after. `outcome` is why a purchase was not handed over, if it was not."""

    before: Standing
    after: Standing
    outcome: str | None = None


async def sync_customer(billing: Billing, customer_id: UUID) -> Synced:
    """Make the plan what Stripe says.

    Raises:
        ProviderError: Stripe did not answer or refused; nothing was changed.
    """
    before = await _standing(billing, customer_id, None)
    await sync_plan(billing, customer_id=customer_id)
    return Synced(before, await _standing(billing, customer_id, None))


async def sync_checkout(billing: Billing, checkout: Checkout | None, session_id: str) -> Synced:
    """Make a purchase what Stripe says: settled once if it is paid, its refunds and disputes booked.

    Without a `checkout` the session may still be one that we did not live to write down; its metadata says so.

    Raises:
        SessionNotFound: Stripe does not know the session, or it is not what our row asked for.
        ProviderError: Stripe did not answer or refused; nothing was changed.
    """
    if checkout is None:
        session = await billing.stripe.retrieve_session(session_id)
        checkout = await find_adopted(billing, session.checkout_id if session else None)
    if checkout is None:
        raise SessionNotFound(f"No purchase here has the session {session_id}.")
    before = await _standing(billing, checkout.customer_id, checkout.id)
    outcome = None
    try:
        await settle_checkout(billing, session_id=session_id)
    except (PaymentPending, PaymentFailed, SessionExpired) as unpaid:
        outcome = unpaid.message
    else:
        await _follow_on(billing, checkout, session_id)
    return Synced(before, await _standing(billing, checkout.customer_id, checkout.id), outcome)


async def _follow_on(billing: Billing, checkout: Checkout, session_id: str) -> None:
    """What may have happened to a purchase since it was settled: refunds, disputes, or a change of its subscription."""
    if checkout.mode == CheckoutMode.SUBSCRIPTION:
        await sync_plan(billing, customer_id=checkout.customer_id)
        return
    session = await billing.stripe.retrieve_session(session_id)
    if session is not None and session.charge_id is not None:
        await settle_refund(billing, charge_id=session.charge_id)
        for dispute in reversed(await billing.stripe.find_disputes(session.charge_id)):
            await settle_dispute(billing, dispute_id=dispute.dispute_id)


async def _standing(billing: Billing, customer_id: UUID, checkout_id: UUID | None) -> Standing:
    orm = billing.database.orm
    checkout = None if checkout_id is None else await Checkout.get(id=checkout_id, using_db=orm)
    plan = await Plan.get_or_none(customer_id=customer_id, using_db=orm)
    return Standing(
        checkout_state=None if checkout is None else checkout.state,
        refunded_cents=0 if checkout is None else checkout.refunded_cents,
        plan=None if plan is None else held_plan(plan),
        wallet_micros=await balance(billing.database, wallet(customer_id)),
    )
