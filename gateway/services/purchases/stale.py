"""Purchases nobody told us the end of: each unsettled one is looked at again, ever less often, until it has one."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

import structlog

from gateway.db import Connection, Row
from gateway.db.rows import identifier, integer, moment, moment_or_none, text_or_none
from gateway.domain.clock import CLOCKS_DIFFER_MAX
from gateway.domain.errors import (
    BillingError,
    PaymentFailed,
    PaymentPending,
    ProviderRejected,
    SessionExpired,
    SessionNotFound,
)
from gateway.services.billing import Billing
from gateway.services.purchases.hosted import FIRST_LOOK
from gateway.services.purchases.settle import CheckoutMismatch, PageStillOpen, close_unmade, settle_checkout
from gateway.services.unanswered import SILENCE, SILENCES_A_ROUND_MAX, pause_after_silence
from gateway.stripe_service import CheckoutSession

log = structlog.stdlib.get_logger()

#: Looks at a purchase that stays unsettled are at most this far apart, for as long as it is.
LOOKS_APART_MAX: Final = timedelta(hours=4)
#: More doublings than lead to the longest pause.
_DOUBLINGS_MAX: Final = 10
#: Purchases looked at in one round, one after the other.
LOOKED_AT_MAX: Final = 10
#: How long a claimed purchase is left to its node.
CLAIM: Final = timedelta(minutes=10)
#: So long after its end a page that Stripe still calls open is worth an alarm.
PAST_END: Final = timedelta(hours=1) + CLOCKS_DIFFER_MAX

_CLAIM = (
    "WITH due AS MATERIALIZED (SELECT id FROM checkout WHERE state IN ('creating', 'open', 'pending') "
    "AND look_at <= $1 ORDER BY look_at LIMIT $3 FOR UPDATE SKIP LOCKED) "
    "UPDATE checkout SET looks = looks + 1, look_at = $2 WHERE id IN (SELECT id FROM due) "
    "RETURNING id, session_id, stripe_customer_id, expires_at, created_at, looks, silences"
)


@dataclass(frozen=True, slots=True)
class _Stale:
    """A claimed purchase. `looks` counts this look too, and proves the claim; `silences` those that had no answer."""

    checkout_id: UUID
    session_id: str | None
    stripe_customer_id: str
    expires_at: datetime | None
    created_at: datetime
    looks: int
    silences: int


async def sweep_checkouts(billing: Billing) -> bool:
    """Look at the unsettled purchases whose time has come; True when more may be waiting.

    Whatever a look finds, the next one is planned: nothing is given up while money may arrive, and one that cannot be
    understood is an alarm at every look and is in nobody's way. Neither is one that Stripe does not answer about: it is
    put off alone. Some of them end the round, and the rest is due for the next.
    """
    now = billing.clock.now()
    rows = await billing.database.run(lambda connection: connection.fetch(_CLAIM, (now, now + CLAIM, LOOKED_AT_MAX)))
    claimed = [_stale(row) for row in rows]
    silent = 0
    for number, stale in enumerate(claimed, start=1):
        silent += not await _see_to(billing, stale)
        if silent == SILENCES_A_ROUND_MAX:
            for left in claimed[number:]:
                await _plan_look(billing, left, timedelta(0), looks=left.looks - 1, silences=left.silences)
            return False
    return len(claimed) == LOOKED_AT_MAX


async def _see_to(billing: Billing, stale: _Stale) -> bool:
    """Look at one purchase and plan the next look; False when Stripe did not answer, which counts as no look."""
    try:
        await _look(billing, stale)
    except SILENCE as error:
        silences = stale.silences + 1
        log.warning("checkout.not_looked_at", checkout_id=str(stale.checkout_id), reason=str(error))
        await _plan_look(billing, stale, pause_after_silence(silences), looks=stale.looks - 1, silences=silences)
        return False
    except BillingError as refusal:
        log.error("checkout.look_failed", checkout_id=str(stale.checkout_id), reason=str(refusal))  # noqa: TRY400 - a refusal says it all
    except Exception:
        log.exception("checkout.look_failed", checkout_id=str(stale.checkout_id))
    await _plan_look(billing, stale, pause_after(stale.looks), looks=stale.looks, silences=0)
    return True


def pause_after(looks: int) -> timedelta:
    """After the first look at ten minutes the next comes twenty later, then forty, and so on up to some hours."""
    return min(FIRST_LOOK * 2 ** min(looks, _DOUBLINGS_MAX), LOOKS_APART_MAX)


async def _look(billing: Billing, stale: _Stale) -> None:
    session_id = stale.session_id or await _find_session(billing, stale)
    if session_id is None:
        return
    try:
        await settle_checkout(billing, session_id=session_id)
    except CheckoutMismatch:
        return  # settling has raised the alarm
    except PageStillOpen:
        if stale.expires_at is not None and billing.clock.now() - stale.expires_at > PAST_END:
            log.error("checkout.open_past_its_end", checkout_id=str(stale.checkout_id), session_id=session_id)  # noqa: TRY400 - no failure of ours
    except (PaymentPending, PaymentFailed, SessionExpired):
        return  # as it should be, or written down just now
    except SessionNotFound:
        log.error("checkout.session_missing", checkout_id=str(stale.checkout_id), session_id=session_id)  # noqa: TRY400 - no failure of ours
    else:
        log.warning("checkout.swept", checkout_id=str(stale.checkout_id), session_id=session_id)


async def _find_session(billing: Billing, stale: _Stale) -> str | None:
    """The session of a row that never got one, if Stripe has one after all; else the row is closed.

    Stripe is asked what there is. Asking it again to make the session, under the stored key, could make one: a page
    that nobody is shown and that somebody would have to close.
    """
    try:
        sessions = await billing.stripe.find_sessions(
            stripe_customer_id=stale.stripe_customer_id,
            checkout_id=str(stale.checkout_id),
            created_after=stale.created_at - CLOCKS_DIFFER_MAX,
        )
    except ProviderRejected:
        customer = await billing.stripe.retrieve_customer(stale.stripe_customer_id)
        if customer is None or not customer.deleted:
            raise
        sessions = []
    if sessions:
        return max(sessions, key=_promise).session_id
    await close_unmade(billing, stale.checkout_id)
    log.info("checkout.never_made", checkout_id=str(stale.checkout_id))
    return None


def _promise(session: CheckoutSession) -> tuple[bool, bool, bool, datetime]:
    """Of several sessions of one purchase the paid one counts, else one being paid, else one that can be."""
    return session.is_paid, session.status == "complete", session.status == "open", session.created_at


async def _plan_look(billing: Billing, stale: _Stale, pause: timedelta, *, looks: int, silences: int) -> None:
    now = billing.clock.now()

    async def work(connection: Connection) -> None:
        await connection.execute(
            "UPDATE checkout SET look_at = $3, looks = $4, silences = $5 WHERE id = $1 AND looks = $2",
            (stale.checkout_id, stale.looks, now + pause, looks, silences),
        )

    await billing.database.run(work)


def _stale(row: Row) -> _Stale:
    return _Stale(
        checkout_id=identifier(row, "id"),
        session_id=text_or_none(row, "session_id"),
        stripe_customer_id=str(row["stripe_customer_id"]),
        expires_at=moment_or_none(row, "expires_at"),
        created_at=moment(row, "created_at"),
        looks=integer(row, "looks"),
        silences=integer(row, "silences"),
    )
