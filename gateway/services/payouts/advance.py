"""The saga: from reserved money to a transfer that is known, through any number of crashes, with one transfer.

Every step is repeatable. An attempt is committed with its key before Stripe is asked, so whoever finds one open knows
that Stripe may have been, and looks there before it sends again.
"""

from dataclasses import dataclass
from uuid import UUID

import structlog

from gateway.db import Connection
from gateway.domain.charges import available
from gateway.domain.errors import ProviderError, ProviderMisconfigured, ProviderRejected, ProviderUnavailable
from gateway.domain.ledger import EntryKind
from gateway.domain.payouts import UNDER_WAY, PayoutState
from gateway.services.billing import Billing
from gateway.services.connecting import ConnectedAccountView
from gateway.services.events.inbox import Alongside
from gateway.services.jobs import Done, Job, JobOutcome
from gateway.services.ledger import balance
from gateway.services.payouts.answers import IDEMPOTENCY_ERROR, end_refused, note_refusal, note_unknown, outwait_key
from gateway.services.payouts.line import wake_first
from gateway.services.payouts.outcomes import (
    TransferMismatch,
    choose_transfer,
    lock_payout,
    open_attempt_of,
    open_next_attempt,
    put_off,
    record_transfer,
)
from gateway.services.payouts.passes import PayoutPass
from gateway.services.payouts.pauses import KEY_TRUSTED
from gateway.services.payouts.transfers import settle_transfer, tell_of_others
from gateway.services.payouts.waiting import account_or_wait, keep_for_what_is_owed, stand_in_line
from gateway.stripe_service import StripeTransfer
from models.payout import Payout
from models.payout_attempt import PayoutAttempt

log = structlog.stdlib.get_logger()


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
    return await _Saga(PayoutPass(billing, payout_id, alongside)).advance()


@dataclass(frozen=True, slots=True)
class _Send:
    """An attempt that is committed: Stripe may be asked."""

    payout: Payout
    attempt: PayoutAttempt


class _Saga:
    """One pass over one payout."""

    def __init__(self, one: PayoutPass) -> None:
        self._pass = one
        self._billing = one.billing
        self._id = one.payout_id

    async def advance(self) -> JobOutcome:
        payout = await Payout.get_or_none(id=self._id, using_db=self._billing.database.orm)
        if payout is None or PayoutState(payout.state) not in UNDER_WAY:
            return Done()
        try:
            return self._pass.tell(await self._find_or_send(payout))
        except TransferMismatch as mismatch:
            self._pass.call_a_person(mismatch.message)
            return await self._pass.wait("A transfer at Stripe does not fit.", for_operator=True)
        except ProviderMisconfigured as error:
            log.warning("payout.stripe_away", payout_id=str(self._id), reason=error.message)
            return await self._pass.wait("Stripe does not let our key in.", for_operator=True)
        except ProviderError as error:
            log.warning("payout.stripe_away", payout_id=str(self._id), reason=error.message)
            return await self._pass.wait("Stripe gave no clear answer.")

    async def _find_or_send(self, payout: Payout) -> JobOutcome:
        """Only the very first send needs no look at Stripe."""
        if payout.attempts:
            own, others = choose_transfer(payout, await self._billing.stripe.transfers_of(str(self._id)))
            if others:
                tell_of_others(self._id, booked=None if own is None else own.transfer_id, others=others)
            if own is not None:
                return await self._record(own)
        account: ConnectedAccountView | None = None
        if payout.state == PayoutState.REQUESTED:
            found = await account_or_wait(self._pass, payout.connected_account_id)
            if not isinstance(found, ConnectedAccountView):
                return found
            account = found
            if await balance(self._billing.database, available(payout.creator_id)) < 0:
                return await keep_for_what_is_owed(self._pass)
        step = await self._billing.database.run(lambda connection: self._prepare(connection, account))
        return await self._send(step) if isinstance(step, _Send) else step

    async def _prepare(self, connection: Connection, account: ConnectedAccountView | None) -> _Send | JobOutcome:
        """Commit that Stripe is about to be asked, and under which key."""
        now = self._pass.now()
        payout = await lock_payout(connection, self._id)
        if payout is None or PayoutState(payout.state) not in UNDER_WAY:
            return Done()
        attempt = await open_attempt_of(connection, payout)
        if attempt is None:
            if account is None or payout.state != PayoutState.REQUESTED:
                return self._pass.moved()
            turn = await stand_in_line(self._pass, connection, payout, now)
            return turn or _Send(payout, await open_next_attempt(connection, payout, now=now))
        if attempt.refusal_code not in {None, IDEMPOTENCY_ERROR}:
            return await end_refused(self._pass, connection, payout, attempt, now)
        if now - attempt.first_sent_at >= KEY_TRUSTED:
            return await outwait_key(self._pass, connection, payout, attempt, now)
        await connection.execute(
            "UPDATE payout_attempt SET state = 'sending', sends = sends + 1, last_sent_at = $3, missing_since = NULL "
            "WHERE payout_id = $1 AND number = $2",
            (payout.id, attempt.number, now),
        )
        await put_off(connection, payout, state=PayoutState.PROCESSING, waits_for=None, until=now, now=now)
        attempt.sends += 1
        return _Send(payout, attempt)

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
            return await note_unknown(self._pass, attempt)
        except ProviderRejected as refusal:
            return await note_refusal(self._pass, attempt, refusal)
        return await self._record(transfer)

    async def _record(self, transfer: StripeTransfer) -> JobOutcome:
        """The transfer is there; what of it came back already is asked for and booked with it."""
        alongside = self._pass.alongside
        if transfer.reversed_cents:
            booked = await settle_transfer(
                self._billing, transfer_id=transfer.transfer_id, payout_id=self._id, alongside=alongside
            )
            return Done() if booked else await self._pass.wait("Stripe lists a transfer and does not show it.")

        async def work(connection: Connection) -> bool:
            payout = await lock_payout(connection, self._id)
            assert payout is not None, "payouts are never deleted"
            new = await record_transfer(connection, payout, transfer, now=self._pass.now())
            if alongside is not None:
                await alongside(connection)
            return new

        if await self._billing.database.run(work):
            self._billing.watch.ledger_entry_recorded(kind=EntryKind.PAYOUT_CONFIRMED)
            log.info(
                "payout.sent",
                payout_id=str(self._id),
                transfer_id=transfer.transfer_id,
                amount_cents=transfer.amount_cents,
            )
            await wake_first(self._billing)
        return Done()
