"""What an operator can do for a payout that does not get on."""

from uuid import UUID

import structlog

from gateway.db import Connection
from gateway.domain.payouts import UNDER_WAY, PayoutState
from gateway.services.billing import Billing
from gateway.services.jobs import NewJob
from gateway.services.payouts.answers import IDEMPOTENCY_ERROR
from gateway.services.payouts.outcomes import close_attempt, lock_payout, open_attempt_of, put_off
from gateway.services.payouts.reserve import PAYOUT_JOB
from models.payout_attempt import AttemptState

log = structlog.stdlib.get_logger()


async def retry_payout(billing: Billing, payout_id: UUID, *, new_key: bool = False) -> bool:
    """Have the next step of a payout under way done now; False when there is none to do.

    With `new_key` it is for a payout whose key Stripe says was used for another request, which only a person can
    judge: that attempt is put aside, and the next one has a key of its own. Before it is sent, Stripe is looked at for
    a transfer of the payout all the same, so one that is there is found and not made twice. False for every other
    payout, and while an attempt is being sent.
    """
    now = billing.clock.now()

    async def work(connection: Connection) -> bool:
        payout = await lock_payout(connection, payout_id)
        if payout is None or PayoutState(payout.state) not in UNDER_WAY:
            return False
        state = PayoutState(payout.state)
        if new_key:
            attempt = await open_attempt_of(connection, payout)
            if attempt is None or attempt.state != AttemptState.UNKNOWN or attempt.refusal_code != IDEMPOTENCY_ERROR:
                return False
            await close_attempt(
                connection, attempt, state=AttemptState.LAPSED, code=attempt.refusal_code, message=None, now=now
            )
            state = PayoutState.REQUESTED
        await put_off(connection, payout, state=state, waits_for=None, until=now, now=now)
        if not await billing.jobs.wake(connection, PAYOUT_JOB, str(payout_id)):
            await billing.jobs.enqueue(connection, NewJob(kind=PAYOUT_JOB, key=str(payout_id), run_at=now))
        return True

    woken = await billing.database.run(work)
    if woken:
        log.info("payout.retried", payout_id=str(payout_id), new_key=new_key)
    return woken
