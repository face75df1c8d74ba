"""When Stripe lets us move a deposit's money: noted if it is known, assumed until it is, and put right then.

What a deposit paid for is not paid out before the deposit's own money may be moved. Stripe says when that is on the
charge's balance transaction, which may be missing for up to an hour after a payment; `charge.updated` tells of it.
"""

from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

import structlog

from gateway.db import Connection, Database, Row
from gateway.db.rows import identifier, integer, moment
from gateway.domain.errors import BillingError, ProviderUnavailable
from gateway.domain.ledger import wallet
from gateway.services.billing import Billing
from gateway.services.customers import lock_customer
from gateway.services.events.inbox import Alongside
from gateway.services.purchases.hosted import FIRST_LOOK
from gateway.services.taken_back.receivables import lock_accounts
from gateway.stripe_service import CheckoutSession
from models.checkout import Checkout

log = structlog.stdlib.get_logger()

#: So far from now money of which Stripe does not say when it clears is taken to clear, again at every look.
CLEARING_ASSUMED: Final = timedelta(days=7)
#: An assumption is moved on when this much of it has passed.
ASSUMED_AGAIN_AFTER: Final = timedelta(days=1)
#: Looks at a deposit whose clearing stays unknown are at most this far apart.
LOOKS_APART_MAX: Final = timedelta(days=1)
#: More doublings than lead to the longest pause.
_DOUBLINGS_MAX: Final = 10
#: Unknown after so many looks, half a day after the payment, is worth an alarm: Stripe promises an hour.
LOOKS_BEFORE_ALARM: Final = 6
#: Deposits looked at in one round, one after the other.
LOOKED_AT_MAX: Final = 10
#: How long a claimed deposit is left to its node.
CLAIM: Final = timedelta(minutes=10)
#: When to look again after Stripe did not answer.
SILENT: Final = timedelta(minutes=1)
#: Charges put right in one transaction.
CORRECTED_AT_ONCE_MAX: Final = 500

_CLAIM = (
    "UPDATE checkout SET clearing_looks = clearing_looks + 1, clearing_look_at = $2 WHERE id IN "
    "(SELECT id FROM checkout WHERE clearing_look_at IS NOT NULL AND clearing_look_at <= $1 "
    "ORDER BY clearing_look_at LIMIT $3 FOR UPDATE SKIP LOCKED) RETURNING id, clearing_looks"
)
#: Held because of an assumption: available at that very moment, and not by their own hold.
_HELD_BY_IT = (
    "SELECT id, created_at FROM tool_charge WHERE id IN ("
    "SELECT id FROM tool_charge WHERE state = 'pending' AND available_at = $2 AND consumer_id = $1 UNION ALL "
    "SELECT id FROM tool_charge WHERE dispute_id IS NOT NULL AND state = 'held' AND available_at = $2 "
    "AND consumer_id = $1) AND created_at <> $3 LIMIT $4"
)
#: Called since the deposit, and available before its money is. The wallet's history says what came first: the clock
#: of the node that charged may be two hours behind that of the one that settled.
_TOO_EARLY = """
    SELECT c.id, c.created_at FROM ledger_entry AS e
    JOIN posting AS got ON got.entry_id = e.id AND got.account_id = $2
    JOIN posting AS spent ON spent.account_id = got.account_id AND spent.seq > got.seq
    JOIN tool_charge AS c ON c.id = spent.entry_id
    WHERE e.idem = $1 AND c.state IN ('pending', 'held') AND c.available_at < $3 LIMIT $4"""


async def note_clearing(connection: Connection, checkout: Checkout, session: CheckoutSession, *, now: datetime) -> None:
    """Write down with a deposit when its money may be moved, or that this is not known yet."""
    clears_at = session.funds_available_at or now + CLEARING_ASSUMED
    look_at = now + FIRST_LOOK if session.funds_available_at is None else None
    await connection.execute(
        "UPDATE checkout SET clears_at = $2, clearing_look_at = $3 WHERE id = $1", (checkout.id, clears_at, look_at)
    )
    await connection.execute(
        "UPDATE customer SET funds_clear_at = $2 WHERE id = $1 AND (funds_clear_at IS NULL OR funds_clear_at < $2)",
        (checkout.customer_id, clears_at),
    )


async def uncleared_deposit(database: Database, payment_intent_id: str) -> UUID | None:
    """The deposit that a payment paid, if it is not known yet when its money clears."""
    row = await database.fetch_one(
        "SELECT id FROM checkout WHERE payment_intent_id = $1 AND clearing_look_at IS NOT NULL", (payment_intent_id,)
    )
    return None if row is None else identifier(row, "id")


async def settle_clearing(billing: Billing, *, checkout_id: UUID, alongside: Alongside | None = None) -> bool:
    """Ask Stripe when a deposit clears, and put right what was held by an assumption; True once it is known.

    `alongside` runs in the last transaction, whether or not Stripe knows by now.

    Raises:
        ProviderUnavailable: Stripe did not answer; nothing was changed.
    """
    deposit = await Checkout.get(id=checkout_id, using_db=billing.database.orm)
    session = await billing.stripe.retrieve_session(deposit.session_id or "")
    known = session.funds_available_at if session else None
    now = billing.clock.now()
    fresh = deposit.clears_at is not None and deposit.clears_at - now > CLEARING_ASSUMED - ASSUMED_AGAIN_AFTER
    if known is None and fresh:
        if alongside is not None:
            await billing.database.run(alongside)
        return False
    correction = _Correction(billing, deposit, clears_at=known or now + CLEARING_ASSUMED, known=known is not None)
    while not await correction.step(alongside):
        pass
    if known is not None:
        log.info("deposit.clearing_known", checkout_id=str(checkout_id), clears_at=known.isoformat())
    return known is not None


class _Correction:
    """From what was assumed of a deposit to what is known, or to a later assumption."""

    def __init__(self, billing: Billing, deposit: Checkout, *, clears_at: datetime, known: bool) -> None:
        self._database = billing.database
        self._hold = billing.rules.earnings_hold
        self._deposit = deposit
        self._clears_at = clears_at
        self._known = known

    async def step(self, alongside: Alongside | None) -> bool:
        """Put a batch of charges right, with the last one the deposit and its customer; True when all is done.

        The wallet is held, so that no call is being charged by what the customer's row said before.
        """

        async def work(connection: Connection) -> bool:
            await lock_customer(connection, self._deposit.customer_id)
            row = await Checkout.get(id=self._deposit.id, using_db=connection.orm)
            if row.clearing_look_at is not None and row.clears_at == self._deposit.clears_at:
                await lock_accounts(connection, (wallet(row.customer_id),))
                all_clear_at = await self._all_clear_at(connection)
                if await self._correct_charges(connection, all_clear_at) == CORRECTED_AT_ONCE_MAX:
                    return False
                await self._correct_deposit(connection, all_clear_at)
            if alongside is not None:
                await alongside(connection)
            return True

        return await self._database.run(work)

    async def _all_clear_at(self, connection: Connection) -> datetime:
        """When all the customer's deposits have cleared, by what is known or assumed of each."""
        row = await connection.fetch_one(
            "SELECT max(clears_at) AS clears_at FROM checkout WHERE customer_id = $1 AND id <> $2",
            (self._deposit.customer_id, self._deposit.id),
        )
        others = None if row is None or row["clears_at"] is None else moment(row, "clears_at")
        return self._clears_at if others is None else max(self._clears_at, others)

    async def _correct_charges(self, connection: Connection, all_clear_at: datetime) -> int:
        rows = await self._wrong_charges(connection, all_clear_at)
        await connection.execute_many(
            "UPDATE tool_charge SET available_at = $2 WHERE id = $1 AND state IN ('pending', 'held')",
            [(row["id"], max(moment(row, "created_at") + self._hold, all_clear_at)) for row in rows],
        )
        return len(rows)

    async def _wrong_charges(self, connection: Connection, all_clear_at: datetime) -> list[Row]:
        consumer_id, before = self._deposit.customer_id, self._deposit.clears_at
        if before is None or before < self._clears_at:
            place = f"dep:{self._deposit.session_id}", wallet(consumer_id).id
            return await connection.fetch(_TOO_EARLY, (*place, self._clears_at, CORRECTED_AT_ONCE_MAX))
        if before == all_clear_at:
            return []  # another deposit holds them for as long
        return await connection.fetch(_HELD_BY_IT, (consumer_id, before, before - self._hold, CORRECTED_AT_ONCE_MAX))

    async def _correct_deposit(self, connection: Connection, all_clear_at: datetime) -> None:
        await connection.execute(
            "UPDATE checkout SET clears_at = $2, clearing_look_at = CASE WHEN $3 THEN NULL ELSE clearing_look_at END "
            "WHERE id = $1",
            (self._deposit.id, self._clears_at, self._known),
        )
        await connection.execute(
            "UPDATE customer SET funds_clear_at = $2 WHERE id = $1", (self._deposit.customer_id, all_clear_at)
        )


async def look_at_uncleared(billing: Billing) -> bool:
    """Ask about the deposits whose clearing is unknown and whose time has come; True when more may be waiting."""
    now = billing.clock.now()
    rows = await billing.database.run(lambda connection: connection.fetch(_CLAIM, (now, now + CLAIM, LOOKED_AT_MAX)))
    for number, row in enumerate(rows):
        checkout_id, looks = identifier(row, "id"), integer(row, "clearing_looks")
        try:
            known = await settle_clearing(billing, checkout_id=checkout_id)
        except ProviderUnavailable as error:
            log.warning("deposits.clearing_not_asked", reason=str(error))
            await _plan_looks(billing, [checkout_id], pause_after(looks))
            await _plan_looks(billing, [identifier(left, "id") for left in rows[number + 1 :]], SILENT)
            return False
        except BillingError as refusal:
            log.error("deposit.clearing_failed", checkout_id=str(checkout_id), reason=str(refusal))  # noqa: TRY400 - a refusal says it all
            known = False
        except Exception:
            log.exception("deposit.clearing_failed", checkout_id=str(checkout_id))
            known = False
        if not known:
            await _plan_looks(billing, [checkout_id], pause_after(looks))
            if looks >= LOOKS_BEFORE_ALARM:
                log.error("deposit.clearing_unknown", checkout_id=str(checkout_id), looks=looks)
    return len(rows) == LOOKED_AT_MAX


def pause_after(looks: int) -> timedelta:
    """After the first look at ten minutes the next comes twenty later, then forty, and so on up to a day."""
    return min(FIRST_LOOK * 2 ** min(looks, _DOUBLINGS_MAX), LOOKS_APART_MAX)


async def _plan_looks(billing: Billing, checkout_ids: list[UUID], pause: timedelta) -> None:
    look_at = billing.clock.now() + pause

    async def work(connection: Connection) -> None:
        for checkout_id in checkout_ids:
            await connection.execute(
                "UPDATE checkout SET clearing_look_at = $2 WHERE id = $1 AND clearing_look_at IS NOT NULL",
                (checkout_id, look_at),
            )

    await billing.database.run(work)
