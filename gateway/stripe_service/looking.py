"""Looking, for people: one call that tells how a whole purchase stands, and one event by its id."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from gateway.stripe_service.checkouts import is_session_id
from gateway.stripe_service.connection import Calls
from gateway.stripe_service.customers import is_object_id
from gateway.stripe_service.fields import Fields
from gateway.stripe_service.objects import CheckoutSession, StripeSubscription, WebhookEvent
from gateway.stripe_service.reading import read_event, read_session, read_subscription

#: From a session to its money and to its subscription; Stripe takes several paths in one call.
_PATHS: Final = ("payment_intent.latest_charge", "subscription")


@dataclass(frozen=True, slots=True)
class ChargeLook:
    """The last try to take a session's money. `status` is succeeded, pending or failed."""

    charge_id: str
    status: str
    amount_cents: int
    refunded_cents: int
    disputed: bool
    failure_code: str | None
    created_at: datetime


@dataclass(frozen=True, slots=True)
class SessionLook:
    """A session with what came of it, as Stripe has it at one moment."""

    session: CheckoutSession
    charge: ChargeLook | None
    subscription: StripeSubscription | None


class LookingCalls(Calls):
    """Reads that nothing is decided by: they are shown to people."""

    async def look_at_session(self, session_id: str) -> SessionLook | None:
        """The session, its charge and its subscription in one call; None for an unknown id and for a text that is none.

        Raises:
            ProviderUnavailable: Stripe did not answer.
        """
        if not is_session_id(session_id):
            return None
        request = self._stripe.v1.checkout.sessions.retrieve_async(session_id, {"expand": list(_PATHS)})
        return await self._stripe.ask_if_exists("checkout.sessions.look", request, _read_look)

    async def retrieve_event(self, event_id: str) -> WebhookEvent | None:
        """An event of the last thirty days, or None.

        Raises:
            ProviderUnavailable: Stripe did not answer.
        """
        if not is_object_id(event_id):
            return None
        request = self._stripe.v1.events.retrieve_async(event_id)
        return await self._stripe.ask_if_exists("events.retrieve", request, read_event)


def _read_look(fields: Fields) -> SessionLook:
    intent = fields.maybe_child("payment_intent")
    charge = intent.maybe_child("latest_charge") if intent else None
    subscription = fields.maybe_child("subscription")
    return SessionLook(
        session=read_session(fields),
        charge=_read_charge(charge) if charge else None,
        subscription=read_subscription(subscription) if subscription else None,
    )


def _read_charge(fields: Fields) -> ChargeLook:
    return ChargeLook(
        charge_id=fields.text("id"),
        status=fields.text("status"),
        amount_cents=fields.whole("amount"),
        refunded_cents=fields.whole("amount_refunded"),
        disputed=fields.maybe_flag("disputed") or False,
        failure_code=fields.maybe_text("failure_code"),
        created_at=fields.moment("created"),
    )
