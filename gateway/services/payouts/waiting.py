"""While nothing of a payout is at Stripe: it waits for its account and for its turn, or covers what is owed."""

from datetime import datetime
from typing import Final
from uuid import UUID

from gateway.db import Connection
from gateway.domain.connecting import AccountStatus
from gateway.domain.errors import ProviderMisconfigured, ProviderRejected
from gateway.domain.payouts import PayoutState, WaitsFor
from gateway.services.connecting import ConnectedAccountView, sync_account
from gateway.services.connecting.accounts import account_by_id
from gateway.services.jobs import JobOutcome, Later
from gateway.services.payouts.line import somebody_goes_first
from gateway.services.payouts.outcomes import put_off
from gateway.services.payouts.passes import PayoutPass
from gateway.services.payouts.pauses import ACCOUNT_FRESH, ACCOUNT_PATIENCE, ACCOUNT_WAIT, LINE_WAIT
from models.payout import Payout

EARNINGS_REVERSED: Final = "earnings_reversed"
_NOT_READY: Final = "The payout account did not become ready; the money is available again."
_REVERSED: Final = (
    "Earnings were taken back before the payout was sent; its money is available again and covers them first."
)
_CLOSED: Final = "The payout account was closed; the money is available again."


async def account_or_wait(one: PayoutPass, account_id: UUID) -> ConnectedAccountView | JobOutcome:
    """The account, if transfers arrive there; else what comes of waiting for it.

    Raises:
        ProviderUnavailable, ProviderMisconfigured: nothing is known of it.
    """
    try:
        account = await _fresh_account(one, account_id)
    except ProviderMisconfigured:
        raise
    except ProviderRejected as refusal:
        return await _wait_for_account(one, closed=False, reason=f"Stripe says {refusal.provider_code} of the account.")
    if account.is_ready:
        return account
    closed = account.status is AccountStatus.CLOSED
    return await _wait_for_account(one, closed=closed, reason=f"The payout account is {account.status.value}.")


async def keep_for_what_is_owed(one: PayoutPass) -> JobOutcome:
    """Sales were reversed while it waited, so that its creator owes: what is reserved covers that first."""

    async def work(connection: Connection) -> JobOutcome:
        payout = await one.lock_requested(connection)
        if payout is None:
            return one.moved()
        return await one.fail(connection, payout, code=EARNINGS_REVERSED, message=_REVERSED)

    return await one.billing.database.run(work)


async def stand_in_line(one: PayoutPass, connection: Connection, payout: Payout, now: datetime) -> Later | None:
    """Wait behind the payout that has waited longer for the platform's balance; None when it is this one's turn."""
    if not await somebody_goes_first(connection, payout, now=now):
        return None
    until = now + LINE_WAIT
    await put_off(connection, payout, state=PayoutState.REQUESTED, waits_for=WaitsFor.BALANCE, until=until, now=now)
    return Later(until, "Another payout waits longer for the platform's balance.")


async def _fresh_account(one: PayoutPass, account_id: UUID) -> ConnectedAccountView:
    account = await account_by_id(one.billing.database, account_id)
    if account.synced_at is not None and abs(one.now() - account.synced_at) <= ACCOUNT_FRESH:
        return account
    return await sync_account(one.billing, account_id=account_id)


async def _wait_for_account(one: PayoutPass, *, closed: bool, reason: str) -> JobOutcome:
    """Nothing of it is at Stripe, so it may wait for the account, for a week; a closed one is not waited for."""

    async def work(connection: Connection) -> JobOutcome:
        now = one.now()
        payout = await one.lock_requested(connection)
        if payout is None:
            return one.moved()
        if closed:
            return await one.fail(connection, payout, code="account_closed", message=_CLOSED)
        since = payout.account_awaited_since
        if since is not None and now - since >= ACCOUNT_PATIENCE:
            return await one.fail(connection, payout, code="account_not_ready", message=_NOT_READY)
        until = now + ACCOUNT_WAIT
        await put_off(connection, payout, state=PayoutState.REQUESTED, waits_for=WaitsFor.ACCOUNT, until=until, now=now)
        return Later(until, reason)

    return await one.billing.database.run(work)
