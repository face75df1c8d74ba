"""Whom or what an id means: any id that a customer, a log line or Stripe's dashboard shows."""

import re
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from gateway.domain.errors import ProviderError
from gateway.services.billing import Billing
from gateway.services.customers import customer_id_of, find_customer_by_stripe_id
from gateway.services.events.review import StoredEvent, find_event
from gateway.stripe_service import METADATA_CHECKOUT, METADATA_CUSTOMER, is_session_id
from models.checkout import Checkout, CheckoutMode
from models.customer import Customer
from models.deposit_dispute import DepositDispute
from models.subscription import Subscription

#: As long as any id of Stripe's and any subject may be.
ID_CHARACTERS_MAX: Final = 255
#: What Stripe can be asked whose it is.
_ASKED: Final = {
    "cus_": "customer",
    "sub_": "subscription",
    "in_": "invoice",
    "ch_": "charge",
    "py_": "charge",
    "pi_": "payment_intent",
    "du_": "dispute",
    "dp_": "dispute",
}
_EVENT: Final = re.compile(r"evt_[A-Za-z0-9_]+", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What was found under an id. Nothing of it set: unknown to us. `silent`: Stripe was asked too and said nothing."""

    given: str
    checkout: Checkout | None = None
    customer_id: UUID | None = None
    event: StoredEvent | None = None
    silent: bool = False

    @property
    def is_session(self) -> bool:
        return is_session_id(self.given)

    @property
    def kind_at_stripe(self) -> str | None:
        """What Stripe can be asked for whose this is, None where it cannot."""
        return next((kind for prefix, kind in _ASKED.items() if self.given.startswith(prefix)), None)

    @property
    def is_event(self) -> bool:
        return _EVENT.fullmatch(self.given) is not None


async def find_target(billing: Billing, given: str) -> Target:
    """Look an id up: first in our rows; what they do not have, Stripe is asked about once.

    Knows sessions, customers, subscriptions, invoices, charges, payment intents, disputes and events of Stripe's, the
    ids of our checkout and customer rows, and subjects.
    """
    text = given.strip()
    if not text or len(text) > ID_CHARACTERS_MAX or not text.isprintable():
        return Target(given=text[:ID_CHARACTERS_MAX])
    if is_session_id(text):
        return _of_checkout(text, await Checkout.get_or_none(session_id=text, using_db=billing.database.orm))
    if _EVENT.fullmatch(text):
        return await _event_target(billing, text)
    found = await _our_row(billing, text)
    if found is not None:
        return found
    unknown = Target(given=text)
    return unknown if unknown.kind_at_stripe is None else await _ask_whose(billing, text, unknown.kind_at_stripe)


async def find_adopted(billing: Billing, checkout_id: str | None) -> Checkout | None:
    """The row a session's metadata names, when we did not live to write the session down."""
    try:
        row_id = UUID(checkout_id or "")
    except ValueError:
        return None
    return await Checkout.get_or_none(id=row_id, using_db=billing.database.orm)


def _of_checkout(given: str, checkout: Checkout | None, event: StoredEvent | None = None) -> Target:
    customer_id = None if checkout is None else checkout.customer_id
    return Target(given=given, checkout=checkout, customer_id=customer_id, event=event)


async def _event_target(billing: Billing, event_id: str) -> Target:
    event = await find_event(billing.database, event_id)
    if event is None or event.object_id is None or event.object_id.startswith("evt_"):
        return Target(given=event_id, event=event)
    about = await find_target(billing, event.object_id)
    return Target(
        given=event_id, checkout=about.checkout, customer_id=about.customer_id, event=event, silent=about.silent
    )


async def _our_row(billing: Billing, text: str) -> Target | None:
    row_id = _as_uuid(text)
    found = await _stripe_row(billing, text) if row_id is None else await _row_of(billing, text, row_id)
    if found is not None:
        return found
    subject = await Customer.get_or_none(id=customer_id_of(text), using_db=billing.database.orm)
    return None if subject is None else Target(given=text, customer_id=subject.id)


async def _row_of(billing: Billing, text: str, row_id: UUID) -> Target | None:
    """A purchase or a customer by our own id."""
    checkout = await Checkout.get_or_none(id=row_id, using_db=billing.database.orm)
    if checkout is not None:
        return _of_checkout(text, checkout)
    customer = await Customer.get_or_none(id=row_id, using_db=billing.database.orm)
    return None if customer is None else Target(given=text, customer_id=customer.id)


async def _stripe_row(billing: Billing, text: str) -> Target | None:
    """What we wrote down about an object of Stripe's."""
    orm = billing.database.orm
    if text.startswith("pi_"):
        paid = await Checkout.get_or_none(payment_intent_id=text, using_db=orm)
        return None if paid is None else _of_checkout(text, paid)
    if text.startswith("sub_"):
        return await _subscription_target(billing, text)
    if text.startswith(("du_", "dp_")):
        dispute = await DepositDispute.get_or_none(id=text, using_db=orm)
        if dispute is not None:
            return _of_checkout(text, await Checkout.get_or_none(id=dispute.checkout_id, using_db=orm))
    if text.startswith("cus_"):
        customer_id = await find_customer_by_stripe_id(billing.database, text)
        return None if customer_id is None else Target(given=text, customer_id=customer_id)
    return None


async def _subscription_target(billing: Billing, subscription_id: str) -> Target | None:
    """The purchase that began it, else its customer: a subscription outlives its checkout."""
    orm = billing.database.orm
    row = await Subscription.get_or_none(id=subscription_id, using_db=orm)
    bought = await Checkout.filter(customer_id=row.customer_id).using_db(orm) if row else []
    checkout = next((one for one in bought if one.subscription_id == subscription_id), None)
    if checkout is not None:
        return _of_checkout(subscription_id, checkout)
    return None if row is None else Target(given=subscription_id, customer_id=row.customer_id)


async def _ask_whose(billing: Billing, object_id: str, kind: str) -> Target:
    try:
        ref = await billing.stripe.customer_of(object_type=kind, object_id=object_id)
    except ProviderError:
        return Target(given=object_id, silent=True)
    if ref is None:
        return Target(given=object_id)
    checkout = await find_adopted(billing, ref.metadata.get(METADATA_CHECKOUT))
    if checkout is not None and checkout.mode == CheckoutMode.DEPOSIT:
        return _of_checkout(object_id, checkout)
    customer_id = await find_customer_by_stripe_id(billing.database, ref.stripe_customer_id)
    subject = ref.metadata.get(METADATA_CUSTOMER)
    if customer_id is None and subject is not None:
        known = await Customer.get_or_none(id=customer_id_of(subject), using_db=billing.database.orm)
        customer_id = None if known is None else known.id
    return Target(given=object_id, checkout=checkout, customer_id=customer_id)


def _as_uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None
