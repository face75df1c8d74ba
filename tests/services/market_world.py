"""A marketplace without HTTP: the real services on a real database, and of Stripe only what they ask about deposits."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Final
from uuid import UUID

from gateway.db import Connection, Database
from gateway.domain.charges import Call, Charged, ChargeOutcome
from gateway.domain.clock import Clock, ManualClock
from gateway.domain.ids import new_id
from gateway.domain.money import CENTS_PER_DOLLAR
from gateway.domain.plans import load_catalogue
from gateway.domain.redirects import Allowlist
from gateway.domain.tools import ToolKind
from gateway.services.billing import Billing, BillingRules, EventCount, PortalConfiguration, Prices
from gateway.services.customers import add_customer, customer_id_of
from gateway.services.jobs.table import JobTable
from gateway.services.marketplace.charging import charge_calls
from gateway.services.marketplace.releases import release_due
from gateway.services.marketplace.tools import publish_tool
from gateway.services.purchases.settle import settle_checkout
from gateway.services.taken_back.disputes import settle_dispute
from gateway.services.taken_back.refunds import settle_refund
from gateway.stripe_service import CheckoutSession, StripeCharge, StripeDispute, StripeService
from gateway.stripe_service.objects import METADATA_CHECKOUT, StripeCustomerRef
from models.checkout import Checkout, CheckoutMode, CheckoutState
from models.tool_charge import ToolCharge

START: Final = datetime(2026, 11, 2, 9, 0, tzinfo=UTC)
HOLD: Final = timedelta(days=7)
FEE_BPS: Final = 2_000
PLANS: Final = Path(__file__).parents[2] / "plans.toml"


class FakeStripe(StripeService):
    """Remembers payments of deposits and what became of them.

    `meanwhile` holds what happens, one a question about a charge or dispute, while its answer is on its way.
    """

    def __init__(self) -> None:
        self.sessions: dict[str, CheckoutSession] = {}
        self.charges: dict[str, StripeCharge] = {}
        self.disputes: dict[str, StripeDispute] = {}
        self.meanwhile: list[Callable[[], Awaitable[None]]] = []

    @property
    def livemode(self) -> bool:
        return False

    async def retrieve_session(self, session_id: str) -> CheckoutSession | None:
        return self.sessions.get(session_id)

    async def retrieve_charge(self, charge_id: str) -> StripeCharge | None:
        answer = self.charges.get(charge_id)
        await self._let_happen()
        return answer

    async def retrieve_dispute(self, dispute_id: str) -> StripeDispute | None:
        answer = self.disputes.get(dispute_id)
        await self._let_happen()
        return answer

    async def _let_happen(self) -> None:
        if self.meanwhile:
            await self.meanwhile.pop(0)()

    async def customer_of(self, *, object_type: str, object_id: str) -> StripeCustomerRef | None:
        assert object_type == "charge"
        charge = self.charges.get(object_id)
        if charge is None:
            return None
        paid = [one for one in self.sessions.values() if one.payment_intent_id == charge.payment_intent_id]
        return StripeCustomerRef("cus_1", paid[0].metadata if paid else {})

    def refund(self, charge_id: str, *, total_cents: int) -> None:
        self.charges[charge_id] = replace(self.charges[charge_id], amount_refunded_cents=total_cents)

    def dispute(self, dispute_id: str, charge_id: str, *, status: str, withdrawn_cents: int) -> None:
        charge = self.charges[charge_id]
        self.disputes[dispute_id] = StripeDispute(
            dispute_id=dispute_id,
            charge_id=charge_id,
            payment_intent_id=charge.payment_intent_id,
            status=status,
            amount_cents=charge.amount_cents,
            withdrawn_cents=withdrawn_cents,
            currency="usd",
            livemode=False,
        )


class Unwatched:
    """Nobody counts."""

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
class Deposit:
    """A deposit as Stripe knows it."""

    session_id: str
    charge_id: str
    checkout_id: UUID
    amount_cents: int


@dataclass(slots=True)
class Market:
    """The services, and short ways to say what happens. `names` keeps the ids of one market its own."""

    billing: Billing
    stripe: FakeStripe
    tag: str = field(default_factory=lambda: new_id(START).hex)

    @property
    def database(self) -> Database:
        return self.billing.database

    def beside(self, database: Database) -> "Market":
        """The same market seen by another node."""
        return Market(replace(self.billing, database=database), self.stripe, self.tag)

    def subject(self, name: str) -> str:
        return f"{name}-{self.tag}"

    def customer_id(self, name: str) -> UUID:
        return customer_id_of(self.subject(name))

    async def join(self, *names: str) -> None:
        """Make people known who have not bought anything."""

        async def work(connection: Connection) -> None:
            for name in names:
                await add_customer(connection, self.subject(name), self.billing.clock.now())

        await self.database.run(work)

    async def publish(self, tool: str, creator: str, *, price: Decimal | str, active: bool = True) -> None:
        await publish_tool(
            self.billing,
            creator=self.subject(creator),
            tool_id=f"{tool}-{self.tag}",
            name=tool,
            kind=ToolKind.TOOL,
            price_per_call=Decimal(price),
            active=active,
        )

    async def pay(self, name: str, cents: int, *, clears_at: datetime | None = None) -> Deposit:
        """Pay for a deposit at Stripe; nobody has told the gateway yet."""
        deposit = _new_deposit(self.billing.clock.now(), cents)
        checkout = _checkout_row(deposit, self.customer_id(name), self.billing.clock.now())

        async def work(connection: Connection) -> None:
            await add_customer(connection, self.subject(name), self.billing.clock.now())
            await checkout.save(using_db=connection.orm, force_create=True)

        await self.database.run(work)
        self.stripe.sessions[deposit.session_id] = _paid_session(deposit, self.billing.clock.now(), clears_at)
        self.stripe.charges[deposit.charge_id] = StripeCharge(
            charge_id=deposit.charge_id,
            payment_intent_id=f"pi_{deposit.charge_id}",
            amount_cents=cents,
            amount_refunded_cents=0,
            currency="usd",
            livemode=False,
        )
        return deposit

    async def deposit(self, name: str, cents: int, *, clears_at: datetime | None = None) -> Deposit:
        """Pay for a deposit, and have it in the wallet."""
        deposit = await self.pay(name, cents, clears_at=clears_at)
        await settle_checkout(self.billing, session_id=deposit.session_id)
        return deposit

    def call(self, name: str, tool: str, call_id: str) -> Call:
        return Call(call_id=call_id, tool_id=f"{tool}-{self.tag}", consumer_id=self.customer_id(name))

    async def charge(self, *calls: Call) -> Sequence[ChargeOutcome]:
        return await charge_calls(self.billing, calls)

    async def charged(self, name: str, tool: str, call_id: str) -> Charged:
        (outcome,) = await self.charge(self.call(name, tool, call_id))
        assert isinstance(outcome, Charged), outcome
        return outcome

    async def release_all(self) -> int:
        released = 0
        while now := await release_due(self.billing):
            released += now
        return released

    async def refund(self, deposit: Deposit, *, total_cents: int) -> None:
        self.stripe.refund(deposit.charge_id, total_cents=total_cents)
        assert await settle_refund(self.billing, charge_id=deposit.charge_id) is not None

    async def dispute(self, deposit: Deposit, *, status: str, withdrawn_cents: int, name: str = "one") -> None:
        dispute_id = f"dp_{deposit.charge_id}{name}"
        self.stripe.dispute(dispute_id, deposit.charge_id, status=status, withdrawn_cents=withdrawn_cents)
        assert await settle_dispute(self.billing, dispute_id=dispute_id) is not None

    async def balances(self, name: str) -> dict[str, int]:
        """What this person's accounts hold, empty ones left out."""
        rows = await self.database.fetch(
            "SELECT kind, balance_micros FROM ledger_account WHERE owner_id = $1 AND balance_micros <> 0",
            (self.customer_id(name),),
        )
        return {str(row["kind"]): int(str(row["balance_micros"])) for row in rows}

    async def states(self, name: str) -> dict[str, str]:
        """How each of this consumer's calls stands."""
        rows = await ToolCharge.filter(consumer_id=self.customer_id(name)).using_db(self.database.orm)
        return {row.call_id: row.state for row in rows}


def open_market(database: Database, *, clock: Clock | None = None, fee_bps: int = FEE_BPS) -> Market:
    """A marketplace on this database, with a clock that stands still unless one is given."""
    stripe, clock = FakeStripe(), clock or ManualClock(START)
    catalogue = load_catalogue(PLANS.read_text())
    rules = BillingRules(
        deposit_minimum_cents=500,
        deposit_maximum_cents=500 * CENTS_PER_DOLLAR,
        past_due_grace=timedelta(days=7),
        fee_bps=fee_bps,
        earnings_hold=HOLD,
        payout_minimum_cents=1_000,
    )
    billing = Billing(
        database=database,
        stripe=stripe,
        clock=clock,
        catalogue=catalogue,
        prices=Prices(stripe, catalogue, clock),
        portal=PortalConfiguration(stripe, None),
        redirects=Allowlist.parse(["https://app.aerostack.dev"]),
        rules=rules,
        watch=Unwatched(),
        jobs=JobTable(clock),
    )
    return Market(billing, stripe)


def _new_deposit(now: datetime, cents: int) -> Deposit:
    checkout_id = new_id(now)
    return Deposit(f"cs_test_{checkout_id.hex}", f"ch_{checkout_id.hex}", checkout_id, cents)


def _checkout_row(deposit: Deposit, customer_id: UUID, now: datetime) -> Checkout:
    return Checkout(
        id=deposit.checkout_id,
        customer_id=customer_id,
        mode=CheckoutMode.DEPOSIT.value,
        state=CheckoutState.OPEN.value,
        amount_cents=deposit.amount_cents,
        currency="usd",
        success_url="https://app.aerostack.dev/done",
        cancel_url="https://app.aerostack.dev/wallet",
        stripe_customer_id="cus_1",
        input_digest="0" * 64,
        stripe_key=deposit.session_id,
        asked_at=now,
        session_id=deposit.session_id,
        created_at=now,
    )


def _paid_session(deposit: Deposit, now: datetime, clears_at: datetime | None) -> CheckoutSession:
    return CheckoutSession(
        session_id=deposit.session_id,
        url=None,
        mode="payment",
        status="complete",
        payment_status="paid",
        amount_total_cents=deposit.amount_cents,
        currency="usd",
        stripe_customer_id="cus_1",
        client_reference_id=None,
        metadata={METADATA_CHECKOUT: str(deposit.checkout_id)},
        subscription_id=None,
        payment_intent_id=f"pi_{deposit.charge_id}",
        payment_intent_status="succeeded",
        charge_id=deposit.charge_id,
        funds_available_at=clears_at,
        livemode=False,
        created_at=now,
        expires_at=now + timedelta(hours=24),
    )
