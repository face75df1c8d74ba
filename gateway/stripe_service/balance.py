"""The lines of the platform's balance at Stripe, what they are about, and the transfers that were made."""

from collections.abc import AsyncIterator, Awaitable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import stripe

from gateway.domain.clock import unix
from gateway.domain.money import CURRENCY
from gateway.stripe_service.connection import PAGE_ENTRIES, Calls
from gateway.stripe_service.customers import is_object_id
from gateway.stripe_service.fields import Fields, MalformedAnswer
from gateway.stripe_service.objects import METADATA_CHECKOUT
from gateway.stripe_service.transfers import StripeTransfer, read_transfer

#: Lines about one object; refunds of one charge; transfers of one day.
SOURCE_PAGES_MAX: Final = 20
REFUND_PAGES_MAX: Final = 20
TRANSFER_PAGES_MAX: Final = 2_000

_WITH_SOURCE: Final = "source"


@dataclass(frozen=True, slots=True, kw_only=True)
class StripeBalanceLine:
    """One balance transaction of the platform: `amount_cents` less `fee_cents` is what the balance changed by.

    `source_type` is the type of the object that moved the money, None where Stripe shows no object. Its charge,
    payment and checkout (from the charge's metadata) are there as far as that object says them.
    """

    line_id: str
    type: str
    amount_cents: int
    fee_cents: int
    currency: str
    created_at: datetime
    available_at: datetime
    source_id: str | None
    source_type: str | None
    charge_id: str | None
    payment_intent_id: str | None
    checkout_id: str | None
    transfer_id: str | None


@dataclass(frozen=True, slots=True)
class BalancePage:
    """Some lines, newest first; `last_id` is what to go on after, None at the end."""

    lines: tuple[StripeBalanceLine, ...]
    last_id: str | None


class BalanceCalls(Calls):
    """Calls about the platform's balance; reads only."""

    async def balance_cents(self) -> int:
        """All that Stripe holds of the platform's in our currency, available and pending."""
        return await self._stripe.ask("balance.retrieve", self._stripe.v1.balance.retrieve_async(), _read_held)

    async def balance_page(self, *, since: datetime, before: datetime, after_id: str | None) -> BalancePage:
        """One page of the lines made in a span of time, so that a reader can stop and go on."""
        params: stripe.params.BalanceTransactionListParams = {
            "created": {"gte": unix(since), "lt": unix(before)},
            "limit": PAGE_ENTRIES,
            "expand": [f"data.{_WITH_SOURCE}"],
        }
        if after_id is not None:
            params["starting_after"] = after_id
        request = self._stripe.v1.balance_transactions.list_async(params)
        return await self._stripe.ask("balance_transactions.list", request, _read_page)

    async def balance_lines_of(self, source_id: str) -> tuple[StripeBalanceLine, ...]:
        """Every line that one object (a charge, refund, dispute, transfer, reversal, payout) made."""
        if not is_object_id(source_id):
            return ()

        def fetch(after: str | None) -> Awaitable[stripe.StripeObject]:
            params: stripe.params.BalanceTransactionListParams = {
                "source": source_id,
                "limit": PAGE_ENTRIES,
                "expand": [f"data.{_WITH_SOURCE}"],
            }
            if after is not None:
                params["starting_after"] = after
            return self._stripe.v1.balance_transactions.list_async(params)

        return await self._stripe.entries("balance_transactions.list", fetch, read_line, pages_max=SOURCE_PAGES_MAX)

    async def retrieve_balance_line(self, line_id: str) -> StripeBalanceLine | None:
        """The line, or None."""
        if not is_object_id(line_id):
            return None
        request = self._stripe.v1.balance_transactions.retrieve_async(line_id, {"expand": [_WITH_SOURCE]})
        return await self._stripe.ask_if_exists("balance_transactions.retrieve", request, read_line)

    async def refund_ids_of(self, charge_id: str) -> tuple[str, ...]:
        """The refunds of a charge, failed ones included."""

        def fetch(after: str | None) -> Awaitable[stripe.StripeObject]:
            params: stripe.params.RefundListParams = {"charge": charge_id, "limit": PAGE_ENTRIES}
            if after is not None:
                params["starting_after"] = after
            return self._stripe.v1.refunds.list_async(params)

        return await self._stripe.entries("refunds.list", fetch, _read_id, pages_max=REFUND_PAGES_MAX)

    async def session_of_payment(self, payment_intent_id: str) -> str | None:
        """The Checkout Session that a payment was made on, if it was made on one."""
        request = self._stripe.v1.checkout.sessions.list_async({"payment_intent": payment_intent_id, "limit": 1})
        return await self._stripe.ask("checkout.sessions.list", request, _read_first_id)

    async def subscriber_of_payment(self, payment_intent_id: str) -> str | None:
        """The Stripe Customer whose subscription a payment was for; None when it paid no subscription's invoice."""
        request = self._stripe.v1.invoice_payments.list_async(
            {
                "payment": {"type": "payment_intent", "payment_intent": payment_intent_id},
                "limit": 1,
                "expand": ["data.invoice"],
            }
        )
        return await self._stripe.ask("invoice_payments.list", request, _read_subscriber)

    async def transfers_made(self, *, since: datetime, before: datetime) -> AsyncIterator[Sequence[StripeTransfer]]:
        """Pages of the transfers made in a span of time, newest first, whoever asked for them.

        Raises:
            ProviderUnavailable: no clear answer, or more transfers than can be looked through.
        """

        def fetch(after: str | None) -> Awaitable[stripe.StripeObject]:
            params: stripe.params.TransferListParams = {
                "created": {"gte": unix(since), "lt": unix(before)},
                "limit": PAGE_ENTRIES,
            }
            if after is not None:
                params["starting_after"] = after
            return self._stripe.v1.transfers.list_async(params)

        async for page in self._stripe.pages("transfers.list", fetch, read_transfer, pages_max=TRANSFER_PAGES_MAX):
            yield page


def read_line(fields: Fields) -> StripeBalanceLine:
    """A balance transaction whose source was asked for."""
    if fields.maybe_text("object") != "balance_transaction":
        raise MalformedAnswer("object is not balance_transaction")
    source = fields.maybe_child("source") or Fields({})
    is_charge = source.maybe_text("object") == "charge"
    return StripeBalanceLine(
        line_id=fields.text("id"),
        type=fields.text("type"),
        amount_cents=fields.whole("amount"),
        fee_cents=fields.whole("fee"),
        currency=fields.text("currency"),
        created_at=fields.moment("created"),
        available_at=fields.moment("available_on"),
        source_id=fields.maybe_ref("source"),
        source_type=source.maybe_text("object"),
        charge_id=source.maybe_text("id") if is_charge else source.maybe_ref("charge"),
        payment_intent_id=source.maybe_ref("payment_intent"),
        checkout_id=source.metadata().get(METADATA_CHECKOUT) if is_charge else None,
        transfer_id=source.maybe_ref("transfer"),
    )


def _read_held(fields: Fields) -> int:
    parts = [part for name in ("available", "pending") for part in fields.children(name)]
    return sum(part.whole("amount") for part in parts if part.text("currency") == CURRENCY)


def _read_page(fields: Fields) -> BalancePage:
    lines = tuple(read_line(entry) for entry in fields.children())
    return BalancePage(lines, lines[-1].line_id if lines and fields.flag("has_more") else None)


def _read_id(fields: Fields) -> str:
    return fields.text("id")


def _read_first_id(fields: Fields) -> str | None:
    found = fields.children()
    return found[0].text("id") if found else None


def _read_subscriber(fields: Fields) -> str | None:
    for payment in fields.children():
        invoice = payment.maybe_child("invoice")
        parent = invoice.maybe_child("parent") if invoice is not None else None
        if invoice is not None and parent is not None and parent.maybe_child("subscription_details") is not None:
            return invoice.maybe_ref("customer")
    return None
