"""Charging calls of paid tools: many in one transaction, each with an outcome of its own."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from gateway.db import Connection
from gateway.domain.charges import Call, Charged, ChargeOutcome, ChargeState, Listing, charge_draft
from gateway.domain.errors import IdempotencyConflict, InsufficientFunds, ToolNotFound
from gateway.domain.ledger import EntryConflict, FloorBroken, Recorded, wallet
from gateway.domain.money import format_usd_micros
from gateway.domain.tools import Split, split_price
from gateway.services.billing import Billing
from gateway.services.ledger import Outcome, record_many
from gateway.services.marketplace.statements import ChargeRow, NewCharge, charge_statements

#: Calls of one transaction.
CALLS_AT_ONCE_MAX: Final = 500


async def charge_calls(billing: Billing, calls: Sequence[Call]) -> list[ChargeOutcome]:
    """Charge calls in one transaction, and answer each, in order, after it is committed.

    One call's refusal leaves its neighbours alone. The same (consumer, callId) pays once for ever; what was answered
    first is answered again, and another tool under it is refused.

    Raises:
        DatabaseUnavailable: nothing can be said; the same calls may be sent again.
    """
    assert len(calls) <= CALLS_AT_ONCE_MAX, "the callers bound their batches"
    now = billing.clock.now()

    async def work(connection: Connection) -> list[ChargeOutcome]:
        return await _Group(billing, connection, calls, now).charge()

    outcomes = await billing.database.run(work)
    billing.watch.calls_charged(
        charged=sum(isinstance(outcome, Charged) and not outcome.replayed for outcome in outcomes),
        refused=sum(not isinstance(outcome, Charged) for outcome in outcomes),
    )
    return outcomes


@dataclass(frozen=True, slots=True)
class _Offer:
    """A call that can be charged: its listing and price of this moment."""

    call: Call
    listing: Listing
    split: Split


class _Group:
    """One transaction's worth of calls."""

    def __init__(self, billing: Billing, connection: Connection, calls: Sequence[Call], now: datetime) -> None:
        self._billing = billing
        self._connection = connection
        self._sql = charge_statements(connection.dialect)
        self._calls = calls
        self._now = now

    async def charge(self) -> list[ChargeOutcome]:
        listings = await self._sql.find_listings(self._connection, {call.tool_id for call in self._calls})
        offers = {
            number: self._offer(call, listings[call.tool_id])
            for number, call in enumerate(self._calls)
            if call.tool_id in listings
        }
        drafts = [charge_draft(offer.call, offer.listing, offer.split) for offer in offers.values()]
        recorded = dict(zip(offers, await record_many(self._connection, drafts, now=self._now), strict=True))
        await self._write(offers, recorded)
        known = await self._known(recorded)
        debts = await self._debts(recorded)
        return [
            self._outcome(call, offers.get(number), recorded.get(number), known, debts)
            for number, call in enumerate(self._calls)
        ]

    def _offer(self, call: Call, listing: Listing) -> _Offer:
        return _Offer(call, listing, split_price(listing.price_micros, fee_bps=self._billing.rules.fee_bps))

    async def _write(self, offers: Mapping[int, _Offer], recorded: Mapping[int, Outcome]) -> None:
        """The charges behind the entries that are new, and what their creators earned today."""
        new = [
            self._new_charge(offers[number], outcome)
            for number, outcome in recorded.items()
            if isinstance(outcome, Recorded) and outcome.created
        ]
        if new:
            clears_at = await self._sql.find_clearing(self._connection, {charge.call.consumer_id for charge in new})
            await self._sql.insert_charges(self._connection, new, clears_at=clears_at, now=self._now)
            await self._sql.add_to_days(self._connection, new, now=self._now)

    def _new_charge(self, offer: _Offer, entry: Recorded) -> NewCharge:
        own = offer.call.consumer_id == offer.listing.creator_id
        return NewCharge(
            entry_id=entry.entry_id,
            call=offer.call,
            creator_id=offer.listing.creator_id,
            split=offer.split,
            fee_bps=self._billing.rules.fee_bps,
            wallet_after_micros=entry.balances[wallet(offer.call.consumer_id)],
            state=ChargeState.OWN if own else ChargeState.PENDING,
            held_until=self._now + self._billing.rules.earnings_hold,
        )

    async def _known(self, recorded: Mapping[int, Outcome]) -> Mapping[tuple[UUID, str], ChargeRow]:
        """Charges of earlier requests under the same names: looked for where a call was not charged just now."""
        asked = [
            call
            for number, call in enumerate(self._calls)
            if not (isinstance(outcome := recorded.get(number), Recorded) and outcome.created)
        ]
        return await self._sql.find_charges(self._connection, asked) if asked else {}

    async def _debts(self, recorded: Mapping[int, Outcome]) -> Mapping[UUID, int]:
        """What is owed by those whose wallets did not hold what a call costs."""
        refused = {self._calls[number].consumer_id for number, one in recorded.items() if isinstance(one, FloorBroken)}
        return await self._sql.find_debts(self._connection, refused) if refused else {}

    def _outcome(
        self,
        call: Call,
        offer: _Offer | None,
        outcome: Outcome | None,
        known: Mapping[tuple[UUID, str], ChargeRow],
        debts: Mapping[UUID, int],
    ) -> ChargeOutcome:
        if isinstance(outcome, Recorded) and outcome.created:
            assert offer is not None, "only offers are recorded"
            balance = outcome.balances[wallet(call.consumer_id)]
            return Charged(outcome.entry_id, call.call_id, offer.split, balance, replayed=False)
        earlier = known.get((call.consumer_id, call.call_id))
        if earlier is not None:
            return _replay(call, earlier)
        if isinstance(outcome, FloorBroken):
            return _insufficient(outcome, owed_micros=debts.get(call.consumer_id, 0))
        assert not isinstance(outcome, Recorded | EntryConflict), "an entry under this name has its charge"
        return ToolNotFound(f"No active tool has the id {call.tool_id!r}.", path=("input", "toolId"))


def _replay(call: Call, earlier: ChargeRow) -> ChargeOutcome:
    if earlier.tool_id != call.tool_id:
        return IdempotencyConflict(
            f"Call {call.call_id!r} of this consumer was charged for the tool {earlier.tool_id!r}; "
            "a new call needs a new callId.",
            path=("input", "callId"),
        )
    return Charged(earlier.entry_id, call.call_id, earlier.split, earlier.wallet_after_micros, replayed=True)


def _insufficient(refusal: FloorBroken, *, owed_micros: int) -> InsufficientFunds:
    has, needs = format_usd_micros(refusal.balance_micros), format_usd_micros(refusal.required_micros)
    what_to_do = "deposit first."
    if owed_micros:
        owed, enough = format_usd_micros(owed_micros), format_usd_micros(owed_micros + refusal.required_micros)
        what_to_do = f"{owed} is owed for a deposit that was taken back, so it takes deposits of {enough}."
    return InsufficientFunds(
        f"The wallet holds {has} and the call costs {needs}; {what_to_do}",
        balance_micros=refusal.balance_micros,
        required_micros=refusal.required_micros,
    )
