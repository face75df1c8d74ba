"""Stripe's payouts from a connected account to its bank, and which of our transfers each of them carries."""

from collections.abc import Awaitable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import stripe

from gateway.domain.clock import unix
from gateway.stripe_service.connection import PAGE_ENTRIES, Calls
from gateway.stripe_service.customers import is_object_id
from gateway.stripe_service.fields import Fields, MalformedAnswer

#: What one payout carries, and the payouts of one account since a transfer: more than this is not ours to follow.
CONTENT_PAGES_MAX: Final = 50
LIST_PAGES_MAX: Final = 20

#: Balance lines of a connected account: a transfer arrived, or an earlier payout came back.
_ARRIVED: Final = "payment"
_CAME_BACK: Final = frozenset({"payout_failure", "payout_cancel"})


@dataclass(frozen=True, slots=True)
class StripeBankPayout:
    """Money on its way from a connected account's balance to its bank; `amount_minor` is in `currency`.

    `status` is pending, in_transit, paid, failed or canceled. A paid one can fail later (facts of the API reference:
    the status `paid` may change to `failed` within some days).
    """

    payout_id: str
    status: str
    amount_minor: int
    currency: str
    automatic: bool
    arrival_at: datetime | None
    failure_code: str | None
    failure_message: str | None
    livemode: bool
    created_at: datetime


@dataclass(frozen=True, slots=True)
class BankPayoutContents:
    """What an automatic payout carries: payments (`py_…`, where transfers arrived) and payouts that came back."""

    payments: tuple[str, ...]
    came_back: tuple[str, ...]


class BankPayoutCalls(Calls):
    """Calls about connected accounts' payouts; each is made as that account."""

    async def retrieve_bank_payout(self, payout_id: str, *, account: str) -> StripeBankPayout | None:
        """The payout of this account, or None."""
        if not is_object_id(payout_id):
            return None
        request = self._stripe.v1.payouts.retrieve_async(payout_id, options={"stripe_account": account})
        return await self._stripe.ask_if_exists("payouts.retrieve", request, read_bank_payout)

    async def list_bank_payouts(self, *, account: str, since: datetime) -> tuple[StripeBankPayout, ...]:
        """Every payout of this account since then, oldest first.

        Raises:
            ProviderUnavailable: no clear answer, or more payouts than can be looked through.
        """

        def fetch(after: str | None) -> Awaitable[stripe.StripeObject]:
            params: stripe.params.PayoutListParams = {"created": {"gte": unix(since)}, "limit": PAGE_ENTRIES}
            if after is not None:
                params["starting_after"] = after
            return self._stripe.v1.payouts.list_async(params, {"stripe_account": account})

        found = await self._stripe.entries("payouts.list", fetch, read_bank_payout, pages_max=LIST_PAGES_MAX)
        return tuple(reversed(found))

    async def contents_of_bank_payout(self, payout_id: str, *, account: str) -> BankPayoutContents:
        """What an automatic payout carries; Stripe does not say it of one that was made by hand.

        Raises:
            ProviderUnavailable: no clear answer, or more lines than can be looked through.
        """

        def fetch(after: str | None) -> Awaitable[stripe.StripeObject]:
            params: stripe.params.BalanceTransactionListParams = {"payout": payout_id, "limit": PAGE_ENTRIES}
            if after is not None:
                params["starting_after"] = after
            return self._stripe.v1.balance_transactions.list_async(params, {"stripe_account": account})

        lines = await self._stripe.entries("balance_transactions.list", fetch, _read_line, pages_max=CONTENT_PAGES_MAX)
        return BankPayoutContents(
            payments=tuple(source for kind, source in lines if kind == _ARRIVED and source is not None),
            came_back=tuple(source for kind, source in lines if kind in _CAME_BACK and source is not None),
        )


def read_bank_payout(fields: Fields) -> StripeBankPayout:
    """A payout as Stripe shows it."""
    if fields.maybe_text("object") != "payout":
        raise MalformedAnswer("object is not payout")
    return StripeBankPayout(
        payout_id=fields.text("id"),
        status=fields.text("status"),
        amount_minor=fields.whole("amount"),
        currency=fields.text("currency"),
        automatic=fields.flag("automatic"),
        arrival_at=fields.maybe_moment("arrival_date"),
        failure_code=fields.maybe_text("failure_code"),
        failure_message=fields.maybe_text("failure_message"),
        livemode=fields.flag("livemode"),
        created_at=fields.moment("created"),
    )


def _read_line(fields: Fields) -> tuple[str, str | None]:
    return fields.text("type"), fields.maybe_ref("source")
