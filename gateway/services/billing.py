"""What every use case needs, handed in once by the composition root."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from gateway.db import Database
from gateway.domain.clock import Clock
from gateway.domain.connecting import AccountsApi
from gateway.domain.errors import ProviderUnavailable
from gateway.domain.plans import Catalogue
from gateway.domain.redirects import Allowlist
from gateway.services.jobs import JobQueue
from gateway.stripe_service import PriceBook, StripeService

#: How long prices found by lookup key are believed before they are looked up again.
PRICES_FRESH_SECONDS = 300
#: How long the payload of a finished event is kept, where nothing else is set: as long as Stripe keeps its own.
EVENT_PAYLOAD_DAYS = 30


@dataclass(frozen=True, slots=True)
class BillingRules:
    """The numbers an operator may set."""

    deposit_minimum_cents: int
    deposit_maximum_cents: int
    past_due_grace: timedelta
    fee_bps: int
    earnings_hold: timedelta
    payout_minimum_cents: int
    accounts_api: AccountsApi = AccountsApi.V2
    event_payload_days: int = EVENT_PAYLOAD_DAYS


class Prices:
    """Stripe's Prices for the catalogue, checked, and looked up again from time to time."""

    def __init__(self, stripe: StripeService, catalogue: Catalogue, clock: Clock) -> None:
        self._stripe = stripe
        self._catalogue = catalogue
        self._clock = clock
        self._book: PriceBook | None = None
        self._checked_at: datetime | None = None
        self._lock = asyncio.Lock()

    async def book(self) -> PriceBook:
        """The prices to sell by, and which of them cannot be sold; while there is one, each look is afresh.

        Raises:
            ProviderUnavailable: Stripe did not answer and no earlier look-up is at hand.
        """
        if self._book is not None and not self._is_stale():
            return self._book
        async with self._lock:
            if self._book is None or self._is_stale():
                await self._look_up()
            assert self._book is not None, "looked up, or an exception was raised"
            return self._book

    async def _look_up(self) -> None:
        try:
            self._book = await self._stripe.price_book(self._catalogue)
        except ProviderUnavailable:
            if self._book is None:
                raise
        self._checked_at = None if self._book.problems else self._clock.now()

    def forget(self) -> None:
        """Look up afresh next time: a price was refused."""
        self._checked_at = None

    def _is_stale(self) -> bool:
        if self._checked_at is None:
            return True
        return self._clock.now() - self._checked_at > timedelta(seconds=PRICES_FRESH_SECONDS)


class PortalConfiguration:
    """Which portal configuration sessions are made with: the given one, else the one `gateway stripe-setup` made."""

    def __init__(self, stripe: StripeService, configuration_id: str | None) -> None:
        self._stripe = stripe
        self._id = configuration_id

    async def find(self) -> str | None:
        """Its id, looked up once; None leaves the choice to the Stripe account's default."""
        if self._id is None:
            self._id = await self._stripe.find_portal_configuration()
        return self._id


@dataclass(frozen=True, slots=True)
class EventCount:
    """How many stored events of one type are not done, and since when the oldest of those that will be tried waits."""

    type: str
    waiting: int
    dead: int
    oldest_at: datetime | None


class Watch(Protocol):
    """Told what happened; metrics listen here."""

    def checkout_settled(self, *, mode: str) -> None: ...

    def ledger_entry_recorded(self, *, kind: str) -> None: ...

    def calls_charged(self, *, charged: int, refused: int) -> None: ...

    def books_checked(self, *, faults: int, at: datetime) -> None: ...

    def oldest_release_waits(self, *, seconds: float) -> None: ...

    def differences_open(self, *, by_kind: Mapping[str, int]) -> None: ...

    def reconciled_until(self, *, at: datetime) -> None: ...

    def events_counted(self, counts: Sequence[EventCount], *, now: datetime) -> None: ...

    def event_gap_filled(self, *, event_type: str) -> None: ...


@dataclass(frozen=True, slots=True)
class Billing:
    """The parts of the gateway that use cases work with."""

    database: Database
    stripe: StripeService
    clock: Clock
    catalogue: Catalogue
    prices: Prices
    portal: PortalConfiguration
    redirects: Allowlist
    rules: BillingRules
    watch: Watch
    jobs: JobQueue
