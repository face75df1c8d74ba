"""The saga: from reserved money to a transfer that is known, through any number of crashes, with one transfer.

Every step is repeatable. An attempt is committed with its key before Stripe is asked, so whoever finds one open knows
that Stripe may have been, and looks there before it sends again.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

import structlog

from gateway.db import Connection
from gateway.domain.charges import available
from gateway.domain.connecting import AccountStatus
from gateway.domain.errors import ProviderError, ProviderMisconfigured, ProviderRejected, ProviderUnavailable
from gateway.domain.ledger import EntryKind
from gateway.domain.payouts import UNDER_WAY, PayoutState, WaitsFor
from gateway.services.billing import Billing
from gateway.services.connecting import ConnectedAccountView, sync_account
from gateway.services.connecting.accounts import account_by_id
from gateway.services.events.inbox import Alongside
from gateway.services.jobs import Done, Job, JobOutcome, Later
from gateway.services.ledger import balance
from gateway.services.payouts.outcomes import (
    TransferMismatch,
    backoff,
    choose_transfer,
    close_attempt,
    give_back,
    lock_payout,
    open_attempt_of,
    open_next_attempt,
    put_off,
    record_transfer,
)
from gateway.services.payouts.transfers import settle_transfer
from gateway.stripe_service import StripeTransfer
from models.payout import Payout
from models.payout_attempt import AttemptState, PayoutAttempt

log = structlog.stdlib.get_logger()

#: How long an account that was looked at is believed to be ready.
ACCOUNT_FRESH: Final = timedelta(minutes=1)
#: How often an account that is not ready is looked at, and after how long the money is given back.
ACCOUNT_WAIT: Final = timedelta(minutes=15)
ACCOUNT_PATIENCE: Final = timedelta(days=7)
#: Pauses while Stripe gives no clear answer, and while the platform's balance there does not suffice.
UNKNOWN_WAIT_FIRST: Final = timedelta(seconds=15)
UNKNOWN_WAIT_LONGEST: Final = timedelta(hours=1)
BALANCE_WAIT_FIRST: Final = timedelta(minutes=5)
BALANCE_WAIT_LONGEST: Final = timedelta(hours=1)
OPERATOR_WAIT: Final = timedelta(minutes=15)
#: Stripe remembers keys for a day; ours is not used again when it is older than this.
KEY_TRUSTED: Final = timedelta(hours=20)
#: Between two looks for a transfer that find none, before another key is used: a listing may lag.
MISSING_WAIT: Final = timedelta(hours=1)

BALANCE_INSUFFICIENT: Final = "balance_insufficient"
IDEMPOTENCY_ERROR: Final = "idempotency_error"
EARNINGS_REVERSED: Final = "earnings_reversed"
#: Refusals that come as 401 or 403 and are about the account all the same, not about our key.
_ACCOUNT_CODES: Final = frozenset({"account_invalid"})
_REFUSED: Final = "Stripe refused the transfer to the payout account; the money is available again."
_NOT_READY: Final = "The payout account did not become ready; the money is available again."
_REVERSED: Final = (
    "Earnings were taken back before the payout was sent; its money is available again and covers them first."
)
_KEY_USED: Final = "Its key was used for another request."
_CLOSED: Final = "The payout account was closed; the money is available again."


async def do_payout_job(billing: Billing, job: Job) -> JobOutcome:
    """The handler of `payout.send`."""

    async def finish(connection: Connection) -> None:
        await billing.jobs.finish(connection, job)

    return await advance_payout(billing, UUID(job.key), alongside=finish)


async def advance_payout(billing: Billing, payout_id: UUID, *, alongside: Alongside | None = None) -> JobOutcome:
    """Bring a payout as far as it can be brought now; Done once its transfer is known, or will never be made.

    `alongside` runs in the transaction of an effect that ends the work. Any number of callers may do this at once,
    and each may die anywhere.

    Raises:
        LeaseLost: what `alongside` raises, when another worker took over; nothing was written.
    """
    return await _Saga(billing, payout_id, alongside).advance()


@dataclass(frozen=True, slots=True)
class _Send:
    """An attempt that is committed: Stripe may be asked."""

    payout: Payout
    attempt: PayoutAttempt


class _Saga:
    """One pass over one payout."""

    def __init__(self, billing: Billing, payout_id: UUID, alongside: Alongside | None) -> None:
        self._billing = billing
        self._id = payout_id
        self._alongside = alongside

    async def advance(self) -> JobOutcome:
        payout = await Payout.get_or_none(id=self._id, using_db=self._billing.database.orm)
        if payout is None or PayoutState(payout.state) not in UNDER_WAY:
            return Done()
        try:
            return await self._find_or_send(payout)
        except TransferMismatch as mismatch:
            self._call_a_person(mismatch.message)
            return await self._wait(OPERATOR_WAIT, WaitsFor.OPERATOR, "A transfer at Stripe does not fit.")
        except ProviderMisconfigured as error:
            log.warning("payout.stripe_away", payout_id=str(self._id), reason=error.message)
            return await self._wait(OPERATOR_WAIT, WaitsFor.OPERATOR, "Stripe does not let our key in.")
        except ProviderError as error:
            log.warning("payout.stripe_away", payout_id=str(self._id), reason=error.message)
            return await self._wait(UNKNOWN_WAIT_FIRST * 2, None, "Stripe gave no clear answer.")

    async def _find_or_send(self, payout: Payout) -> JobOutcome:
        """Only the very first send needs no look at Stripe."""
        if payout.attempts:
            own, others = choose_transfer(payout, await self._billing.stripe.transfers_of(str(self._id)))
            if others:
                self._tell_of_others(own, others)
            if own is not None:
                return await self._record(own)
        account: ConnectedAccountView | None = None
        if payout.state == PayoutState.REQUESTED:
            account = await self._fresh_account(payout.connected_account_id)
            if not account.is_ready:
                return await self._wait_for_account(account)
            if await balance(self._billing.database, available(payout.creator_id)) < 0:
                return await self._keep_for_what_is_owed()
        step = await self._billing.database.run(lambda connection: self._prepare(connection, account))
        return await self._send(step) if isinstance(step, _Send) else step

    async def _fresh_account(self, account_id: UUID) -> ConnectedAccountView:
        account = await account_by_id(self._billing.database, account_id)
        if account.synced_at is not None and abs(self._now() - account.synced_at) <= ACCOUNT_FRESH:
            return account
        return await sync_account(self._billing, account_id=account_id)

    async def _prepare(self, connection: Connection, account: ConnectedAccountView | None) -> _Send | JobOutcome:
        """Commit that Stripe is about to be asked, and under which key."""
        now = self._now()
        payout = await lock_payout(connection, self._id)
        if payout is None or PayoutState(payout.state) not in UNDER_WAY:
            return Done()
        attempt = await open_attempt_of(connection, payout)
        if attempt is None:
            if account is None or payout.state != PayoutState.REQUESTED:
                return Later(now, "Another worker has moved it meanwhile.")
            return _Send(payout, await open_next_attempt(connection, payout, now=now))
        if now - attempt.first_sent_at >= KEY_TRUSTED:
            return await self._outwait_key(connection, payout, attempt, now)
        await connection.execute(
            "UPDATE payout_attempt SET state = 'sending', sends = sends + 1, last_sent_at = $3, missing_since = NULL "
            "WHERE payout_id = $1 AND number = $2",
            (payout.id, attempt.number, now),
        )
        await put_off(connection, payout, state=PayoutState.PROCESSING, waits_for=None, until=now)
        attempt.sends += 1
        return _Send(payout, attempt)

    async def _outwait_key(
        self, connection: Connection, payout: Payout, attempt: PayoutAttempt, now: datetime
    ) -> JobOutcome:
        """The key is too old to be used again, and Stripe was just seen to have no transfer of this payout."""
        if attempt.refusal_code == IDEMPOTENCY_ERROR:
            self._call_a_person(_KEY_USED)
            return await self._unknown_until(connection, payout, now + MISSING_WAIT, "Its key was used before.")
        since = attempt.missing_since or now
        if now - since < MISSING_WAIT:
            await connection.execute(
                "UPDATE payout_attempt SET missing_since = $3 WHERE payout_id = $1 AND number = $2",
                (payout.id, attempt.number, since),
            )
            return await self._unknown_until(connection, payout, since + MISSING_WAIT, "Stripe has no transfer of it.")
        await close_attempt(connection, attempt, state=AttemptState.LAPSED, now=now)
        await put_off(connection, payout, state=PayoutState.REQUESTED, waits_for=None, until=now)
        log.warning("payout.attempt_lapsed", payout_id=str(payout.id), attempt=attempt.number)
        return Later(now, "Stripe never made the transfer; it is asked for anew.")

    async def _send(self, step: _Send) -> JobOutcome:
        payout, attempt = step.payout, step.attempt
        try:
            transfer = await self._billing.stripe.create_transfer(
                amount_cents=payout.amount_cents,
                destination=payout.destination,
                payout_id=str(payout.id),
                idempotency_key=attempt.stripe_key,
            )
        except ProviderUnavailable:
            return await self._note_unknown(attempt, code=None)
        except ProviderRejected as refusal:
            if refusal.provider_code == IDEMPOTENCY_ERROR:
                return await self._note_unknown(attempt, code=IDEMPOTENCY_ERROR)
            return await self._note_refusal(attempt, refusal)
        return await self._record(transfer)

    async def _record(self, transfer: StripeTransfer) -> JobOutcome:
        """The transfer is there; what of it came back already is asked for and booked with it."""
        if transfer.reversed_cents:
            await settle_transfer(self._billing, transfer_id=transfer.transfer_id, alongside=self._alongside)
            return Done()

        async def work(connection: Connection) -> bool:
            payout = await lock_payout(connection, self._id)
            assert payout is not None, "payouts are never deleted"
            new = await record_transfer(connection, payout, transfer, now=self._now())
            if self._alongside is not None:
                await self._alongside(connection)
            return new

        if await self._billing.database.run(work):
            self._billing.watch.ledger_entry_recorded(kind=EntryKind.PAYOUT_CONFIRMED)
            log.info(
                "payout.sent",
                payout_id=str(self._id),
                transfer_id=transfer.transfer_id,
                amount_cents=transfer.amount_cents,
            )
        return Done()

    async def _note_unknown(self, attempt: PayoutAttempt, *, code: str | None) -> JobOutcome:
        """Nobody can say whether the transfer was made: never failed, never given back, looked for before a re-send."""
        tell = log.error if code else log.warning
        tell("payout.unknown", payout_id=str(self._id), attempt=attempt.number, sends=attempt.sends, code=code)
        if code is not None:
            self._call_a_person(_KEY_USED)

        async def work(connection: Connection) -> JobOutcome:
            payout = await lock_payout(connection, self._id)
            if payout is None or not await self._is_open(connection, payout, attempt):
                return Later(self._now(), "Another worker has moved it meanwhile.")
            await connection.execute(
                "UPDATE payout_attempt SET state = 'unknown', refusal_code = $3 WHERE payout_id = $1 AND number = $2",
                (attempt.payout_id, attempt.number, code),
            )
            wait = backoff(attempt.sends, first=UNKNOWN_WAIT_FIRST, longest=UNKNOWN_WAIT_LONGEST)
            until = self._now() + (MISSING_WAIT if code else wait)
            return await self._unknown_until(connection, payout, until, "Whether Stripe made it is unknown.")

        return await self._billing.database.run(work)

    async def _note_refusal(self, attempt: PayoutAttempt, refusal: ProviderRejected) -> JobOutcome:
        """A definite no ends the attempt: what passes is waited for, everything else gives the money back."""
        code = refusal.provider_code
        waits_for = _passing(refusal)
        log.warning("payout.refused", payout_id=str(self._id), attempt=attempt.number, code=code, waits_for=waits_for)

        async def work(connection: Connection) -> JobOutcome:
            now = self._now()
            payout = await lock_payout(connection, self._id)
            if payout is None or not await self._is_open(connection, payout, attempt):
                return Later(now, "Another worker has moved it meanwhile.")
            await close_attempt(
                connection, attempt, state=AttemptState.REFUSED, code=code, message=refusal.message, now=now
            )
            if waits_for is None:
                await connection.execute(
                    "UPDATE connected_account SET sync_due_at = $2 WHERE id = $1 AND closed_at IS NULL",
                    (payout.connected_account_id, now),
                )
                return await self._fail(connection, payout, code=code, message=_REFUSED)
            wait = OPERATOR_WAIT
            if waits_for is WaitsFor.BALANCE:
                wait = backoff(payout.attempts, first=BALANCE_WAIT_FIRST, longest=BALANCE_WAIT_LONGEST)
            await put_off(connection, payout, state=PayoutState.REQUESTED, waits_for=waits_for, until=now + wait)
            return Later(now + wait, f"Stripe says {code}.")

        return self._tell_failed(await self._billing.database.run(work), code)

    async def _wait_for_account(self, account: ConnectedAccountView) -> JobOutcome:
        """Nothing of it is at Stripe, so it may wait for the account, for a week; a closed one is not waited for."""

        async def work(connection: Connection) -> JobOutcome:
            now = self._now()
            payout = await lock_payout(connection, self._id)
            if payout is None or payout.state != PayoutState.REQUESTED:
                return Later(now, "Another worker has moved it meanwhile.")
            if account.status is AccountStatus.CLOSED:
                return await self._fail(connection, payout, code="account_closed", message=_CLOSED)
            if now - payout.requested_at >= ACCOUNT_PATIENCE:
                return await self._fail(connection, payout, code="account_not_ready", message=_NOT_READY)
            until = now + ACCOUNT_WAIT
            await put_off(connection, payout, state=PayoutState.REQUESTED, waits_for=WaitsFor.ACCOUNT, until=until)
            return Later(until, f"The payout account is {account.status.value}.")

        return self._tell_failed(await self._billing.database.run(work), account.status.value)

    async def _keep_for_what_is_owed(self) -> JobOutcome:
        """Sales were reversed while it waited, so that its creator owes: what is reserved covers that first."""

        async def work(connection: Connection) -> JobOutcome:
            payout = await lock_payout(connection, self._id)
            if payout is None or payout.state != PayoutState.REQUESTED:
                return Later(self._now(), "Another worker has moved it meanwhile.")
            return await self._fail(connection, payout, code=EARNINGS_REVERSED, message=_REVERSED)

        return self._tell_failed(await self._billing.database.run(work), EARNINGS_REVERSED)

    async def _fail(self, connection: Connection, payout: Payout, *, code: str | None, message: str) -> JobOutcome:
        await give_back(
            connection, payout, state=PayoutState.FAILED, code=code or "refused", message=message, now=self._now()
        )
        if self._alongside is not None:
            await self._alongside(connection)
        return Done()

    def _tell_failed(self, outcome: JobOutcome, code: str | None) -> JobOutcome:
        if isinstance(outcome, Done):
            self._billing.watch.ledger_entry_recorded(kind=EntryKind.PAYOUT_RETURNED)
            log.warning("payout.failed", payout_id=str(self._id), code=code)
        return outcome

    async def _wait(self, wait: timedelta, waits_for: WaitsFor | None, reason: str) -> JobOutcome:
        """As it was, but later."""

        async def work(connection: Connection) -> JobOutcome:
            until = self._now() + wait
            payout = await lock_payout(connection, self._id)
            if payout is None or PayoutState(payout.state) not in UNDER_WAY:
                return Done()
            await put_off(connection, payout, state=PayoutState(payout.state), waits_for=waits_for, until=until)
            return Later(until, reason)

        return await self._billing.database.run(work)

    async def _unknown_until(self, connection: Connection, payout: Payout, until: datetime, reason: str) -> JobOutcome:
        await put_off(connection, payout, state=PayoutState.UNKNOWN, waits_for=None, until=until)
        return Later(until, reason)

    async def _is_open(self, connection: Connection, payout: Payout, attempt: PayoutAttempt) -> bool:
        """Whether this attempt is still the one whose end is not known."""
        current = await open_attempt_of(connection, payout)
        return PayoutState(payout.state) in UNDER_WAY and current is not None and current.number == attempt.number

    def _tell_of_others(self, own: StripeTransfer | None, others: tuple[StripeTransfer, ...]) -> None:
        """More went out in the payout's name than it is."""
        log.error(
            "payout.transferred_twice",
            payout_id=str(self._id),
            booked=None if own is None else own.transfer_id,
            others=[transfer.transfer_id for transfer in others],
        )

    def _call_a_person(self, reason: str) -> None:
        """Going on by itself could pay twice."""
        log.error("payout.needs_a_person", payout_id=str(self._id), reason=reason)

    def _now(self) -> datetime:
        return self._billing.clock.now()


def _passing(refusal: ProviderRejected) -> WaitsFor | None:
    """What a definite no waits for, if it can turn into a yes by itself."""
    if refusal.provider_code == BALANCE_INSUFFICIENT:
        return WaitsFor.BALANCE
    if isinstance(refusal, ProviderMisconfigured) and refusal.provider_code not in _ACCOUNT_CODES:
        return WaitsFor.OPERATOR
    return None
