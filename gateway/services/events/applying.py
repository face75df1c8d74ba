"""What each kind of Stripe event means: a pointer to a thing that is then asked of Stripe itself."""

import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Final, cast
from uuid import UUID

import structlog

from gateway.db import Connection
from gateway.domain.errors import (
    BillingError,
    PaymentFailed,
    PaymentPending,
    ProviderUnavailable,
    SessionExpired,
    SessionNotFound,
)
from gateway.services.billing import Billing
from gateway.services.customers import find_customer_by_stripe_id, forget_stripe_customer
from gateway.services.events.accounts import apply_account
from gateway.services.events.inbox import ClaimedEvent, finish_event
from gateway.services.payouts import settle_bank_payout, settle_transfer, wake_for_balance
from gateway.services.plans.syncing import sync_plan
from gateway.services.purchases.clearing import settle_clearing, uncleared_deposit
from gateway.services.purchases.settle import CheckoutMismatch, PaymentOnTheWay, close_pages_of, settle_checkout
from gateway.services.taken_back.disputes import settle_dispute
from gateway.services.taken_back.refunds import settle_refund
from gateway.stripe_service import BANK_PAYOUT_EVENTS, CONNECT_ACCOUNT_EVENTS, THIN_EVENTS
from models.stripe_event import EventState

log = structlog.stdlib.get_logger()

#: What each event of a session may find instead of a payment. A delayed payment of a subscription that failed is
#: pending until its subscription ends.
_FITTING: Mapping[str, type[BillingError] | tuple[type[BillingError], ...]] = {
    "checkout.session.completed": (PaymentOnTheWay, PaymentFailed),
    "checkout.session.async_payment_succeeded": (),
    "checkout.session.async_payment_failed": (PaymentFailed, PaymentOnTheWay),
    "checkout.session.expired": SessionExpired,
}
_CHECKOUT_EVENTS = frozenset(_FITTING)
_PLAN_EVENTS = frozenset(
    {
        "customer.subscription.created",
        "customer.subscription.updated",
        "customer.subscription.deleted",
        "customer.subscription.paused",
        "customer.subscription.resumed",
        "invoice.paid",
        "invoice.payment_succeeded",
        "invoice.payment_failed",
    }
)


#: `refund.*` tell of refunds that fail later, which `charge.refunded` does not.
_REFUND_EVENTS = frozenset({"charge.refunded", "refund.created", "refund.updated", "refund.failed"})
_DISPUTE_EVENTS = frozenset(
    {
        "charge.dispute.created",
        "charge.dispute.updated",
        "charge.dispute.closed",
        "charge.dispute.funds_withdrawn",
        "charge.dispute.funds_reinstated",
    }
)


_TRANSFER_EVENTS = frozenset({"transfer.created", "transfer.updated", "transfer.reversed"})


async def apply_event(billing: Billing, event: ClaimedEvent) -> EventState:
    """Do what an event asks for, and close it in the same transaction.

    Raises:
        LeaseLost: another worker took the event over; nothing was written.
        ProviderUnavailable, DatabaseUnavailable: try again later.
        BillingError: it cannot be applied as things stand.
    """
    handlers = _HANDLERS if event.account is None else _CONNECT_HANDLERS
    handle = handlers.get(event.type, _ignore)
    return await handle(billing, event)


async def _ignore(billing: Billing, event: ClaimedEvent) -> EventState:
    """Kept, because somebody may want to know; nothing to do."""
    return await _close(billing, event, EventState.IGNORED)


#: What our rows know of the thing an event is about, by its id or by the payment it names.
_KNOWN: Final = (
    "SELECT 1 AS known FROM checkout WHERE session_id = $1 UNION ALL "
    "SELECT 1 FROM checkout WHERE payment_intent_id = $2 AND mode = 'deposit' UNION ALL "
    "SELECT 1 FROM payout WHERE transfer_id = $1 LIMIT 1"
)


async def _set_aside(billing: Billing, event: ClaimedEvent) -> EventState:
    """What is a stranger's is nothing of ours. What our own rows know is none, whatever Stripe shows to our key.

    Raises:
        ProviderUnavailable: it is ours; it is looked at again until the key is the right one.
    """
    payment = _pointer(event.payload, "payment_intent")
    if await billing.database.fetch_one(_KNOWN, (event.object_id, payment)) is not None:
        raise ProviderUnavailable(f"Stripe does not show {event.object_id} of ours; is the key another account's?")
    log.info("event.not_ours", event_id=event.event_id, type=event.type)
    return await _close(billing, event, EventState.IGNORED)


async def _apply_checkout(billing: Billing, event: ClaimedEvent) -> EventState:
    """Settle the session. What Stripe says now must fit what the event tells of, else it is looked at again later."""
    try:
        await settle_checkout(billing, session_id=event.object_id or "", alongside=_closing(billing, event))
    except CheckoutMismatch:
        raise
    except SessionNotFound:
        return await _set_aside(billing, event)
    except (PaymentPending, PaymentFailed, SessionExpired) as outcome:
        if not isinstance(outcome, _FITTING[event.type]):
            raise ProviderUnavailable(f"Stripe's answer does not fit {event.type} yet: {outcome}") from outcome
        return await _close(billing, event, EventState.DONE)
    await _close_if_open(billing, event)
    return EventState.DONE


async def _apply_plan(billing: Billing, event: ClaimedEvent) -> EventState:
    customer_id = await _customer_of(billing, event)
    if customer_id is None:
        log.info("event.not_ours", event_id=event.event_id, type=event.type)
        return await _close(billing, event, EventState.IGNORED)
    await sync_plan(billing, customer_id=customer_id, alongside=_closing(billing, event))
    return EventState.DONE


async def _apply_refund(billing: Billing, event: ClaimedEvent) -> EventState:
    ours = await settle_refund(billing, charge_id=_charge_of(event), alongside=_closing(billing, event))
    return EventState.DONE if ours else await _set_aside(billing, event)


async def _apply_charge_change(billing: Billing, event: ClaimedEvent) -> EventState:
    """A charge has got its balance transaction, perhaps: of interest only where that was missing."""
    payment_intent_id = _pointer(event.payload, "payment_intent")
    if payment_intent_id is None:
        return await _ignore(billing, event)
    checkout_id = await uncleared_deposit(billing.database, payment_intent_id)
    if checkout_id is None:
        return await _ignore(billing, event)
    await settle_clearing(billing, checkout_id=checkout_id, alongside=_closing(billing, event))
    return EventState.DONE


async def _apply_dispute(billing: Billing, event: ClaimedEvent) -> EventState:
    ours = await settle_dispute(billing, dispute_id=event.object_id or "", alongside=_closing(billing, event))
    return EventState.DONE if ours else await _set_aside(billing, event)


async def _apply_transfer(billing: Billing, event: ClaimedEvent) -> EventState:
    ours = await settle_transfer(billing, transfer_id=event.object_id or "", alongside=_closing(billing, event))
    return EventState.DONE if ours else await _set_aside(billing, event)


async def _apply_balance(billing: Billing, event: ClaimedEvent) -> EventState:
    async def work(connection: Connection) -> None:
        await wake_for_balance(billing, connection)
        await finish_event(connection, event, now=billing.clock.now())

    await billing.database.run(work)
    return EventState.DONE


async def _apply_bank_payout(billing: Billing, event: ClaimedEvent) -> EventState:
    ours = await settle_bank_payout(
        billing,
        stripe_account_id=event.account or "",
        bank_payout_id=event.object_id or "",
        alongside=_closing(billing, event),
    )
    return EventState.DONE if ours else await _ignore(billing, event)


def _charge_of(event: ClaimedEvent) -> str:
    """The charge of a `charge.*` event is its object; a refund points to its own."""
    if event.type.startswith("charge."):
        return event.object_id or ""
    return _pointer(event.payload, "charge") or ""


async def _apply_customer_deleted(billing: Billing, event: ClaimedEvent) -> EventState:
    """Its subscriptions ended with it, its pages lead nowhere; the next purchase makes a new Stripe Customer."""
    stripe_customer_id = event.object_id or ""
    customer_id = await find_customer_by_stripe_id(billing.database, stripe_customer_id)
    if customer_id is None:
        return await _close(billing, event, EventState.IGNORED)
    owner = customer_id

    async def alongside(connection: Connection) -> None:
        await forget_stripe_customer(connection, owner, stripe_customer_id)
        await close_pages_of(connection, stripe_customer_id)
        await finish_event(connection, event, now=billing.clock.now())

    await sync_plan(billing, customer_id=customer_id, alongside=alongside)
    return EventState.DONE


async def _customer_of(billing: Billing, event: ClaimedEvent) -> UUID | None:
    """Whose object the event is about: the payload's own pointer, else Stripe is asked."""
    stripe_customer_id = _pointer(event.payload, "customer")
    if stripe_customer_id is None:
        kind = "invoice" if event.type.startswith("invoice.") else "subscription"
        ref = await billing.stripe.customer_of(object_type=kind, object_id=event.object_id or "")
        stripe_customer_id = ref.stripe_customer_id if ref else None
    if stripe_customer_id is None:
        return None
    return await find_customer_by_stripe_id(billing.database, stripe_customer_id)


def _pointer(payload: str, name: str) -> str | None:
    """An id in the event's object, whether it is expanded or not; ids never change, so an old payload is as good."""
    event = cast("Mapping[str, Mapping[str, Mapping[str, object]]]", json.loads(payload))
    value = event.get("data", {}).get("object", {}).get(name)
    if isinstance(value, Mapping):
        value = cast("Mapping[str, object]", value).get("id")
    return value if isinstance(value, str) else None


def _closing(billing: Billing, event: ClaimedEvent) -> Callable[[Connection], Awaitable[None]]:
    async def close(connection: Connection) -> None:
        await finish_event(connection, event, now=billing.clock.now())

    return close


async def _close(billing: Billing, event: ClaimedEvent, state: EventState) -> EventState:
    async def work(connection: Connection) -> None:
        await finish_event(connection, event, now=billing.clock.now(), state=state)

    await billing.database.run(work)
    return state


async def _close_if_open(billing: Billing, event: ClaimedEvent) -> None:
    """A session that was settled before had no transaction to close the event in."""

    async def work(connection: Connection) -> None:
        row = await connection.fetch_one("SELECT state FROM stripe_event WHERE id = $1 FOR UPDATE", (event.event_id,))
        if row is not None and row["state"] == EventState.DOING:
            await finish_event(connection, event, now=billing.clock.now())

    await billing.database.run(work)


Handler = Callable[[Billing, ClaimedEvent], Awaitable[EventState]]

_HANDLERS: Mapping[str, Handler] = {
    **dict.fromkeys(_CHECKOUT_EVENTS, _apply_checkout),
    **dict.fromkeys(_PLAN_EVENTS, _apply_plan),
    **dict.fromkeys(_REFUND_EVENTS, _apply_refund),
    **dict.fromkeys(_DISPUTE_EVENTS, _apply_dispute),
    **dict.fromkeys(_TRANSFER_EVENTS, _apply_transfer),
    "charge.updated": _apply_charge_change,
    "customer.deleted": _apply_customer_deleted,
    "balance.available": _apply_balance,
}

#: Events of a connected account, which name it in `account`; none of them says anything about our own.
_CONNECT_HANDLERS: Mapping[str, Handler] = {
    **dict.fromkeys((*CONNECT_ACCOUNT_EVENTS, *THIN_EVENTS), apply_account),
    **dict.fromkeys(BANK_PAYOUT_EVENTS, _apply_bank_payout),
}

#: Every event that does something here.
HANDLED_EVENTS = frozenset(_HANDLERS) | frozenset(_CONNECT_HANDLERS)
