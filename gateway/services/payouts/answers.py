"""What an answer that is no transfer means for an attempt: nobody knows, our key is not let in, or a definite no.

Only a definite no that Stripe keeps under the key, or that came to the only request ever made, ends an attempt at once.
"""

from datetime import datetime
from typing import Final

import structlog

from gateway.db import Connection
from gateway.domain.errors import ProviderMisconfigured, ProviderRejected
from gateway.domain.payouts import PayoutState, WaitsFor
from gateway.services.jobs import JobOutcome, Later
from gateway.services.payouts.outcomes import backoff, close_attempt, put_off
from gateway.services.payouts.passes import PayoutPass
from gateway.services.payouts.pauses import (
    BALANCE_WAIT_FIRST,
    BALANCE_WAIT_LONGEST,
    MISSING_WAIT,
    OPERATOR_WAIT,
    UNKNOWN_WAIT_FIRST,
    UNKNOWN_WAIT_LONGEST,
)
from models.payout import Payout
from models.payout_attempt import AttemptState, PayoutAttempt

log = structlog.stdlib.get_logger()

BALANCE_INSUFFICIENT: Final = "balance_insufficient"
IDEMPOTENCY_ERROR: Final = "idempotency_error"
#: Refusals that come as 401 or 403 and are about the account all the same, not about our key.
_ACCOUNT_CODES: Final = frozenset({"account_invalid"})
_REFUSED: Final = "Stripe refused the transfer to the payout account; the money is available again."
_KEY_USED: Final = "Its key was used for another request."


async def note_unknown(one: PayoutPass, attempt: PayoutAttempt) -> JobOutcome:
    """Nobody can say whether the transfer was made: never failed, never given back, looked for before a re-send."""
    log.warning("payout.unknown", payout_id=str(one.payout_id), attempt=attempt.number, sends=attempt.sends)

    async def work(connection: Connection) -> JobOutcome:
        payout, current = await one.lock_open(connection, attempt)
        if payout is None or current is None:
            return one.moved()
        await _mark_unknown(connection, current)
        wait = backoff(current.sends, first=UNKNOWN_WAIT_FIRST, longest=UNKNOWN_WAIT_LONGEST)
        return await one.unknown_until(connection, payout, one.now() + wait, "Whether Stripe made it is unknown.")

    return await one.billing.database.run(work)


async def note_refusal(one: PayoutPass, attempt: PayoutAttempt, refusal: ProviderRejected) -> JobOutcome:
    """A definite no, which says nothing of what became of an earlier send."""
    code = refusal.provider_code
    if code == IDEMPOTENCY_ERROR:
        return await _note_key_used(one, attempt)
    if isinstance(refusal, ProviderMisconfigured) and code not in _ACCOUNT_CODES:
        return await _note_not_let_in(one, attempt, code)
    log.warning("payout.refused", payout_id=str(one.payout_id), attempt=attempt.number, code=code)

    async def work(connection: Connection) -> JobOutcome:
        payout, current = await one.lock_open(connection, attempt)
        if payout is None or current is None:
            return one.moved()
        if code == BALANCE_INSUFFICIENT:
            return await _wait_for_funds(one, connection, payout, current, refusal)
        await connection.execute(
            "UPDATE connected_account SET sync_due_at = $2 WHERE id = $1 AND closed_at IS NULL",
            (payout.connected_account_id, one.now()),
        )
        if current.sends > 1:
            return await _hold_refusal(one, connection, payout, current, refusal)
        return await _give_up(one, connection, payout, current, code=code, message=refusal.message)

    return await one.billing.database.run(work)


async def end_refused(
    one: PayoutPass, connection: Connection, payout: Payout, attempt: PayoutAttempt, now: datetime
) -> JobOutcome:
    """A re-send was refused, and Stripe was just seen to have no transfer of this payout: once more, and it is over."""
    since = attempt.missing_since or now
    if now - since < MISSING_WAIT:
        return await one.unknown_until(connection, payout, since + MISSING_WAIT, f"Stripe says {attempt.refusal_code}.")
    return await _give_up(one, connection, payout, attempt, code=attempt.refusal_code, message=attempt.refusal_message)


async def outwait_key(
    one: PayoutPass, connection: Connection, payout: Payout, attempt: PayoutAttempt, now: datetime
) -> JobOutcome:
    """The key is too old to be used again, and Stripe was just seen to have no transfer of this payout."""
    if attempt.refusal_code == IDEMPOTENCY_ERROR:
        one.call_a_person(_KEY_USED)
        return await one.unknown_until(connection, payout, now + MISSING_WAIT, "Its key was used before.")
    since = attempt.missing_since or now
    if now - since < MISSING_WAIT:
        await connection.execute(
            "UPDATE payout_attempt SET missing_since = $3 WHERE payout_id = $1 AND number = $2",
            (payout.id, attempt.number, since),
        )
        return await one.unknown_until(connection, payout, since + MISSING_WAIT, "Stripe has no transfer of it.")
    await close_attempt(connection, attempt, state=AttemptState.LAPSED, now=now)
    await put_off(connection, payout, state=PayoutState.REQUESTED, waits_for=None, until=now, now=now)
    log.warning("payout.attempt_lapsed", payout_id=str(payout.id), attempt=attempt.number)
    return Later(now, "Stripe never made the transfer; it is asked for anew.")


async def _note_key_used(one: PayoutPass, attempt: PayoutAttempt) -> JobOutcome:
    log.error("payout.unknown", payout_id=str(one.payout_id), attempt=attempt.number, code=IDEMPOTENCY_ERROR)
    one.call_a_person(_KEY_USED)

    async def work(connection: Connection) -> JobOutcome:
        payout, current = await one.lock_open(connection, attempt)
        if payout is None or current is None:
            return one.moved()
        await _mark_unknown(connection, current, code=IDEMPOTENCY_ERROR)
        return await one.unknown_until(connection, payout, one.now() + MISSING_WAIT, "Its key was used before.")

    return await one.billing.database.run(work)


async def _note_not_let_in(one: PayoutPass, attempt: PayoutAttempt, code: str | None) -> JobOutcome:
    """A 401 or 403 is not kept under the key and comes before it: an earlier send may have been made all the same."""
    log.warning("payout.not_let_in", payout_id=str(one.payout_id), attempt=attempt.number, code=code)

    async def work(connection: Connection) -> JobOutcome:
        payout, current = await one.lock_open(connection, attempt)
        if payout is None or current is None:
            return one.moved()
        await _mark_unknown(connection, current)
        until = one.now() + OPERATOR_WAIT
        return await one.unknown_until(
            connection, payout, until, "Stripe does not let our key in.", waits_for=WaitsFor.OPERATOR
        )

    return await one.billing.database.run(work)


async def _mark_unknown(connection: Connection, attempt: PayoutAttempt, *, code: str | None = None) -> None:
    await connection.execute(
        "UPDATE payout_attempt SET state = 'unknown', refusal_code = $3 WHERE payout_id = $1 AND number = $2",
        (attempt.payout_id, attempt.number, code),
    )


async def _wait_for_funds(
    one: PayoutPass, connection: Connection, payout: Payout, attempt: PayoutAttempt, refusal: ProviderRejected
) -> JobOutcome:
    """Stripe keeps this no under the key, so the next try has another."""
    now = one.now()
    await close_attempt(
        connection, attempt, state=AttemptState.REFUSED, code=refusal.provider_code, message=refusal.message, now=now
    )
    until = now + backoff(payout.attempts, first=BALANCE_WAIT_FIRST, longest=BALANCE_WAIT_LONGEST)
    await put_off(connection, payout, state=PayoutState.REQUESTED, waits_for=WaitsFor.BALANCE, until=until, now=now)
    return Later(until, f"Stripe says {refusal.provider_code}.")


async def _hold_refusal(
    one: PayoutPass, connection: Connection, payout: Payout, attempt: PayoutAttempt, refusal: ProviderRejected
) -> JobOutcome:
    """An earlier send may have been made, and the look before this one too early: the money waits for another look."""
    now = one.now()
    await connection.execute(
        "UPDATE payout_attempt SET state = 'unknown', refusal_code = $3, refusal_message = $4, missing_since = $5 "
        "WHERE payout_id = $1 AND number = $2",
        (attempt.payout_id, attempt.number, refusal.provider_code or "refused", refusal.message, now),
    )
    return await one.unknown_until(connection, payout, now + MISSING_WAIT, f"Stripe says {refusal.provider_code}.")


async def _give_up(
    one: PayoutPass,
    connection: Connection,
    payout: Payout,
    attempt: PayoutAttempt,
    *,
    code: str | None,
    message: str | None,
) -> JobOutcome:
    await close_attempt(connection, attempt, state=AttemptState.REFUSED, code=code, message=message, now=one.now())
    return await one.fail(connection, payout, code=code or "refused", message=_REFUSED)
