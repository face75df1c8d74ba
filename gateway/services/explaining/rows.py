"""Our side of a purchase: its row, what the ledger booked, its disputes, its subscription, and its events."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from gateway.db import Database
from gateway.db.rows import integer, moment
from gateway.domain.ledger import STRIPE
from gateway.domain.verdicts import DisputeStanding, EventStanding
from gateway.services.events.review import StoredEvent, events_about
from models.checkout import Checkout, CheckoutMode
from models.deposit_dispute import DepositDispute, DisputeState
from models.stripe_event import EventState
from models.subscription import Subscription

#: Events shown of one purchase or customer.
EVENTS_SHOWN_MAX: Final = 40
#: Refunds of one deposit that are looked for in the ledger.
REFUNDS_SHOWN_MAX: Final = 40

_OPEN_STATES: Final = frozenset({EventState.NEW, EventState.DOING})


@dataclass(frozen=True, slots=True)
class BookedEntry:
    """What one ledger entry brought in from Stripe (a deposit), or sent back (a refund; negative)."""

    idem: str
    amount_micros: int
    at: datetime


@dataclass(frozen=True, slots=True)
class OurSide:
    """What our database holds about one purchase."""

    checkout: Checkout
    entries: Sequence[BookedEntry]
    disputes: Sequence[DepositDispute]
    subscription: Subscription | None
    events: Sequence[StoredEvent]

    @property
    def booked(self) -> bool:
        """Whether the wallet has what this deposit paid."""
        return self.checkout.mode != CheckoutMode.DEPOSIT or any(one.idem.startswith("dep:") for one in self.entries)

    @property
    def dispute(self) -> DisputeStanding:
        states = {one.state for one in self.disputes}
        if DisputeState.OPEN in states:
            return DisputeStanding.OPEN
        if DisputeState.LOST in states:
            return DisputeStanding.LOST
        return DisputeStanding.OVER if states else DisputeStanding.NONE

    @property
    def dispute_events(self) -> Sequence[StoredEvent]:
        """Those that tell of its disputes."""
        ids = {one.id for one in self.disputes}
        return [one for one in self.events if one.object_id in ids]

    @property
    def session_events(self) -> Sequence[StoredEvent]:
        """Those that tell of the payment itself."""
        return [one for one in self.events if one.object_id == self.checkout.session_id]


async def load_our_side(database: Database, checkout: Checkout, *, charge_id: str | None) -> OurSide:
    """Everything about one purchase; `charge_id` is the charge Stripe told of, else that of the last refund counts."""
    charge_id = charge_id or checkout.refund_charge_id
    disputes = await DepositDispute.filter(checkout_id=checkout.id).using_db(database.orm)
    subscription = None
    if checkout.subscription_id is not None:
        subscription = await Subscription.get_or_none(id=checkout.subscription_id, using_db=database.orm)
    ids = (checkout.session_id, checkout.subscription_id, checkout.payment_intent_id, charge_id)
    about = [one for one in (*ids, *(dispute.id for dispute in disputes)) if one is not None]
    return OurSide(
        checkout=checkout,
        entries=await _entries(database, checkout, charge_id),
        disputes=disputes,
        subscription=subscription,
        events=await events_about(database, about, limit=EVENTS_SHOWN_MAX),
    )


def standing_of(events: Sequence[StoredEvent]) -> EventStanding:
    """The worst that can be said of some events."""
    states = {one.state for one in events}
    if EventState.DEAD in states:
        return EventStanding.DEAD
    if states & _OPEN_STATES:
        return EventStanding.WAITING
    return EventStanding.FINISHED if states else EventStanding.NONE


async def _entries(database: Database, checkout: Checkout, charge_id: str | None) -> list[BookedEntry]:
    """The ledger's entries about this deposit, found by their names: no statement walks a long history."""
    if checkout.mode != CheckoutMode.DEPOSIT or checkout.session_id is None:
        return []
    names = [f"dep:{checkout.session_id}"]
    if charge_id is not None:
        names += [f"ref:{charge_id}:{n}" for n in range(1, min(checkout.refund_version, REFUNDS_SHOWN_MAX) + 1)]
    places = ", ".join(f"${place}" for place in range(2, len(names) + 2))
    rows = await database.fetch(
        "SELECT e.idem, p.amount_micros, e.created_at FROM ledger_entry AS e "
        f"JOIN posting AS p ON p.entry_id = e.id AND p.account_id = $1 WHERE e.idem IN ({places})",
        (STRIPE.id, *names),
    )
    return [
        BookedEntry(idem=str(row["idem"]), amount_micros=-integer(row, "amount_micros"), at=moment(row, "created_at"))
        for row in rows
    ]
