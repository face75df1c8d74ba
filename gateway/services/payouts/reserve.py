"""Reserving: the money leaves what is available in the transaction that makes the payout and promises its sending."""

import hashlib
import json
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

import structlog

from gateway.db import Connection
from gateway.domain.charges import available
from gateway.domain.errors import (
    AmountOutOfRange,
    BelowMinimumPayout,
    BillingError,
    ErrorCode,
    IdempotencyConflict,
    PayoutInProgress,
    PayoutsNotReady,
)
from gateway.domain.ids import new_id
from gateway.domain.ledger import EntryKind
from gateway.domain.money import CURRENCY, cents_to_micros, format_usd
from gateway.domain.payouts import PayoutMoney, PayoutStanding, PayoutState, blockers, transit
from gateway.services.billing import Billing
from gateway.services.customers import customer_id_of, lock_customer
from gateway.services.jobs import NewJob
from gateway.services.ledger import record
from gateway.services.marketplace.earning_events import add_payout_event
from gateway.services.marketplace.releases import release_before_payout
from gateway.services.payouts.reading import PayoutView, payout_view
from gateway.services.payouts.standing import CreatorStanding, load_standing
from gateway.services.purchases.hosted import checked_client_key
from gateway.services.taken_back.receivables import lock_accounts
from models.payout import Payout

log = structlog.stdlib.get_logger()

#: The job that sees a payout through; its key is the payout's id.
PAYOUT_JOB: Final = "payout.send"

_AMOUNT_PATH: Final = ("input", "amountCents")
_REFUSALS: Final[dict[ErrorCode, type[BillingError]]] = {
    ErrorCode.PAYOUTS_NOT_READY: PayoutsNotReady,
    ErrorCode.PAYOUT_IN_PROGRESS: PayoutInProgress,
    ErrorCode.BELOW_MINIMUM_PAYOUT: BelowMinimumPayout,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class PayoutOrder:
    """Why there is a payout: somebody asked for it (`client_key`, if given), or a period of a schedule began."""

    client_key: str | None = None
    period: str | None = None
    amount_cents: int | None = None

    @property
    def digest(self) -> str:
        """Of what was asked for: two requests under one key are the same, or they are not."""
        asked = {"amountCents": self.amount_cents, "period": self.period}
        return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()


async def request_payout(
    billing: Billing, *, subject: str, amount_cents: int | None = None, client_key: str | None = None
) -> PayoutView:
    """Pay a creator: as many cents, or all that is available. The same key and input again is the same payout.

    The answer comes before the money moves: the payout is REQUESTED, its job sends it.

    Raises:
        PayoutsNotReady: there is no account at Stripe that can be paid.
        PayoutInProgress: another payout of the creator is being made.
        BelowMinimumPayout: what is available is less than a payout may be.
        AmountOutOfRange: the amount is below the minimum or above what is available.
        IdempotencyConflict: the key was used for another amount.
        InvalidInput: the key is not of the form it must have.
    """
    creator_id = customer_id_of(subject)
    order = PayoutOrder(client_key=checked_client_key(client_key), amount_cents=amount_cents)
    await release_before_payout(billing, creator_id)

    async def work(connection: Connection) -> tuple[Payout, bool]:
        await hold_creator(connection, creator_id)
        earlier = await _find_earlier(connection, creator_id, order)
        if earlier is not None:
            return earlier, False
        found = await load_standing(connection, creator_id, minimum_cents=billing.rules.payout_minimum_cents)
        _refuse(found.standing)
        cents = checked_amount(found.standing, amount_cents)
        return await reserve(billing, connection, creator_id, found, order, amount_cents=cents), True

    payout, new = await billing.database.run(work)
    if new:
        tell_reserved(billing, payout)
    return payout_view(payout)


async def hold_creator(connection: Connection, creator_id: UUID) -> None:
    """Whoever decides about a creator's payouts does so one at a time, and what is available stands still."""
    await lock_customer(connection, creator_id)
    await lock_accounts(connection, (available(creator_id), transit(creator_id)))


async def reserve(
    billing: Billing,
    connection: Connection,
    creator_id: UUID,
    found: CreatorStanding,
    order: PayoutOrder,
    *,
    amount_cents: int,
) -> Payout:
    """Make the payout; the caller holds the creator, found no blocker, and has checked the amount."""
    assert found.account_id is not None, "an account that is ready has a row"
    assert found.destination is not None, "and an id at Stripe"
    now = billing.clock.now()
    payout = await Payout.create(
        id=new_id(now),
        creator_id=creator_id,
        connected_account_id=found.account_id,
        destination=found.destination,
        amount_cents=amount_cents,
        currency=CURRENCY,
        state=PayoutState.REQUESTED.value,
        manual=order.period is None,
        period=order.period,
        client_key=order.client_key,
        input_digest=order.digest,
        due_at=now,
        requested_at=now,
        using_db=connection.orm,
    )
    await _book(connection, payout, now)
    await billing.jobs.enqueue(connection, NewJob(kind=PAYOUT_JOB, key=str(payout.id), run_at=now))
    return payout


def tell_reserved(billing: Billing, payout: Payout) -> None:
    """Once it is committed."""
    billing.watch.ledger_entry_recorded(kind=EntryKind.PAYOUT)
    log.info(
        "payout.reserved", payout_id=str(payout.id), creator_id=str(payout.creator_id), amount_cents=payout.amount_cents
    )


def money_of(payout: Payout) -> PayoutMoney:
    return PayoutMoney(payout.id, payout.creator_id, payout.amount_cents)


def checked_amount(standing: PayoutStanding, amount_cents: int | None) -> int:
    """The cents to pay: those asked for, or all.

    Raises:
        AmountOutOfRange: it is not between the minimum and what is available.
    """
    if amount_cents is None or standing.minimum_cents <= amount_cents <= standing.payable_cents:
        return standing.payable_cents if amount_cents is None else amount_cents
    lowest, highest = format_usd(standing.minimum_cents), format_usd(standing.payable_cents)
    raise AmountOutOfRange(
        f"A payout is between {lowest} and the {highest} that is available; got {format_usd(amount_cents)}.",
        minimum_micros=cents_to_micros(standing.minimum_cents),
        maximum_micros=cents_to_micros(standing.payable_cents),
        path=_AMOUNT_PATH,
    )


def _refuse(standing: PayoutStanding) -> None:
    found = blockers(standing)
    if found:
        first = found[0]
        raise _REFUSALS[first.code](" ".join(one.message for one in found if one.code is first.code))


async def _find_earlier(connection: Connection, creator_id: UUID, order: PayoutOrder) -> Payout | None:
    if order.client_key is None:
        return None
    earlier = await Payout.get_or_none(creator_id=creator_id, client_key=order.client_key, using_db=connection.orm)
    if earlier is not None and earlier.input_digest != order.digest:
        raise IdempotencyConflict(
            "This idempotency key was used before for a payout of another amount.", path=("input", "idempotencyKey")
        )
    return earlier


async def _book(connection: Connection, payout: Payout, now: datetime) -> None:
    money = money_of(payout)
    recorded = await record(connection, money.reserved(), now=now)
    await add_payout_event(
        connection,
        payout.creator_id,
        kind="PAYOUT",
        entry_id=recorded.entry_id,
        net_micros=-money.micros,
        now=now,
    )
