"""Charges and disputes as they stand at Stripe now: what became of a deposit's money after it was paid."""

from collections.abc import Awaitable
from typing import Final

import stripe

from gateway.stripe_service.connection import PAGE_ENTRIES, Calls
from gateway.stripe_service.customers import is_object_id
from gateway.stripe_service.objects import StripeCharge, StripeDispute
from gateway.stripe_service.reading import read_charge, read_dispute

#: Banks contest a payment once, or a few times.
DISPUTE_PAGES_MAX: Final = 2


class ChargeCalls(Calls):
    """Calls about Charges and Disputes."""

    async def retrieve_charge(self, charge_id: str) -> StripeCharge | None:
        """The charge with its cumulative refunds, or None."""
        if not is_object_id(charge_id):
            return None
        request = self._stripe.v1.charges.retrieve_async(charge_id)
        return await self._stripe.ask_if_exists("charges.retrieve", request, read_charge)

    async def retrieve_dispute(self, dispute_id: str) -> StripeDispute | None:
        """The dispute with what the bank holds, or None."""
        if not is_object_id(dispute_id):
            return None
        request = self._stripe.v1.disputes.retrieve_async(dispute_id)
        return await self._stripe.ask_if_exists("disputes.retrieve", request, read_dispute)

    async def find_disputes(self, charge_id: str) -> tuple[StripeDispute, ...]:
        """Every dispute about a charge, newest first.

        Raises:
            ProviderUnavailable: no clear answer.
        """

        def fetch(after: str | None) -> Awaitable[stripe.StripeObject]:
            params: stripe.params.DisputeListParams = {"charge": charge_id, "limit": PAGE_ENTRIES}
            if after is not None:
                params["starting_after"] = after
            return self._stripe.v1.disputes.list_async(params)

        return await self._stripe.entries("disputes.list", fetch, read_dispute, pages_max=DISPUTE_PAGES_MAX)
