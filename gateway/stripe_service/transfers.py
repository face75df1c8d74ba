"""Transfers to connected accounts: made under a key, found again by their group, and what of them came back."""

from collections.abc import Awaitable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

import stripe

from gateway.domain.money import CURRENCY
from gateway.stripe_service.connection import PAGE_ENTRIES, Calls, keyed
from gateway.stripe_service.customers import is_object_id
from gateway.stripe_service.fields import Fields, MalformedAnswer

#: Metadata on our Transfers: the id of our payout row, which is their transfer group too.
METADATA_PAYOUT: Final = "gateway_payout"
#: A group holds one transfer when all is well; a listing longer than this is not one of ours.
TRANSFER_PAGES_MAX: Final = 10
REVERSAL_PAGES_MAX: Final = 50


@dataclass(frozen=True, slots=True)
class StripeTransferReversal:
    """A part of a transfer, or all of it, that came back to the platform. It is final."""

    reversal_id: str
    amount_cents: int
    created_at: datetime


@dataclass(frozen=True, slots=True)
class StripeTransfer:
    """Money moved from the platform's balance to a connected account's.

    `reversals` are all there are where the transfer was fetched with `retrieve_transfer`, and empty where it was
    made or listed; `reversed_cents` is always their sum.
    """

    transfer_id: str
    amount_cents: int
    reversed_cents: int
    currency: str
    destination: str | None
    destination_payment_id: str | None
    transfer_group: str | None
    payout_id: str | None
    livemode: bool
    created_at: datetime
    reversals: tuple[StripeTransferReversal, ...] = ()


class TransferCalls(Calls):
    """Calls about Transfers."""

    async def create_transfer(
        self, *, amount_cents: int, destination: str, payout_id: str, idempotency_key: str
    ) -> StripeTransfer:
        """Move money to a connected account, in the group of its payout: one request, which the client never repeats.

        A repeat would be a send of which the caller knows nothing, and its refusal says nothing of the first.

        Raises:
            ProviderRejected: a definite no; `provider_code` balance_insufficient means: not enough is there yet.
            ProviderUnavailable: it may have been made; look in the group before asking again.
        """
        params: stripe.params.TransferCreateParams = {
            "amount": amount_cents,
            "currency": CURRENCY,
            "destination": destination,
            "transfer_group": payout_id,
            "metadata": {METADATA_PAYOUT: payout_id},
        }
        once: stripe.RequestOptions = {**keyed(idempotency_key), "max_network_retries": 0}
        request = self._stripe.v1.transfers.create_async(params, once)
        return await self._stripe.ask("transfers.create", request, read_transfer)

    async def transfers_of(self, payout_id: str) -> tuple[StripeTransfer, ...]:
        """Every transfer in the group of a payout, to whomever it went, oldest first.

        Raises:
            ProviderUnavailable: no clear answer, or more transfers than can be looked through.
        """

        def fetch(after: str | None) -> Awaitable[stripe.StripeObject]:
            params: stripe.params.TransferListParams = {"transfer_group": payout_id, "limit": PAGE_ENTRIES}
            if after is not None:
                params["starting_after"] = after
            return self._stripe.v1.transfers.list_async(params)

        found = await self._stripe.entries("transfers.list", fetch, read_transfer, pages_max=TRANSFER_PAGES_MAX)
        return tuple(reversed(found))

    async def retrieve_transfer(self, transfer_id: str) -> StripeTransfer | None:
        """The transfer with all its reversals, or None."""
        if not is_object_id(transfer_id):
            return None
        request = self._stripe.v1.transfers.retrieve_async(transfer_id)
        whole = await self._stripe.ask_if_exists("transfers.retrieve", request, _read_with_reversals)
        if whole is None or whole.complete:
            return whole.transfer if whole else None
        return _with_reversals(whole.transfer, await self._reversals_of(transfer_id))

    async def _reversals_of(self, transfer_id: str) -> tuple[StripeTransferReversal, ...]:
        """A transfer brings its newest ten reversals; the rest is listed."""

        def fetch(after: str | None) -> Awaitable[stripe.StripeObject]:
            params: stripe.params.TransferReversalListParams = {"limit": PAGE_ENTRIES}
            if after is not None:
                params["starting_after"] = after
            return self._stripe.v1.transfers.reversals.list_async(transfer_id, params)

        return await self._stripe.entries(
            "transfers.reversals.list", fetch, _read_reversal, pages_max=REVERSAL_PAGES_MAX
        )


@dataclass(frozen=True, slots=True)
class _Whole:
    transfer: StripeTransfer
    complete: bool


def read_transfer(fields: Fields) -> StripeTransfer:
    """A transfer without its reversals."""
    _expect(fields, "transfer")
    return StripeTransfer(
        transfer_id=fields.text("id"),
        amount_cents=fields.whole("amount"),
        reversed_cents=fields.whole("amount_reversed"),
        currency=fields.text("currency"),
        destination=fields.maybe_ref("destination"),
        destination_payment_id=fields.maybe_ref("destination_payment"),
        transfer_group=fields.maybe_text("transfer_group"),
        payout_id=fields.metadata().get(METADATA_PAYOUT),
        livemode=fields.flag("livemode"),
        created_at=fields.moment("created"),
    )


def _read_with_reversals(fields: Fields) -> _Whole:
    """A transfer and as many of its reversals as came with it; complete when those explain what was reversed."""
    reversals = tuple(_read_reversal(entry) for entry in fields.child("reversals").children())
    transfer = read_transfer(fields)
    complete = sum(reversal.amount_cents for reversal in reversals) == transfer.reversed_cents
    return _Whole(_with_reversals(transfer, reversals), complete=complete)


def _with_reversals(transfer: StripeTransfer, reversals: tuple[StripeTransferReversal, ...]) -> StripeTransfer:
    in_order = tuple(sorted(reversals, key=lambda one: (one.created_at, one.reversal_id)))
    return replace(transfer, reversals=in_order, reversed_cents=sum(one.amount_cents for one in in_order))


def _read_reversal(fields: Fields) -> StripeTransferReversal:
    _expect(fields, "transfer_reversal")
    return StripeTransferReversal(
        reversal_id=fields.text("id"), amount_cents=fields.whole("amount"), created_at=fields.moment("created")
    )


def _expect(fields: Fields, kind: str) -> None:
    if fields.maybe_text("object") != kind:
        raise MalformedAnswer(f"object is not {kind}")
