"""How a payout moves: each function is a step inside the caller's transaction, with the payout's row held."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from gateway.db import Connection
from gateway.domain.errors import ProviderRejected
from gateway.domain.ledger import EntryDraft
from gateway.domain.payouts import UNDER_WAY, PayoutState, WaitsFor
from gateway.services.ledger import record
from gateway.services.marketplace.earning_events import add_payout_event
from gateway.services.payouts.reserve import money_of
from gateway.stripe_service import StripeTransfer
from models.payout import Payout
from models.payout_attempt import AttemptState, PayoutAttempt

_OPEN: Final = ("sending", "unknown")


class TransferMismatch(ProviderRejected):
    """A transfer bears a payout's name and is not of its kind: nothing is booked until somebody has looked."""


async def lock_payout(connection: Connection, payout_id: UUID) -> Payout | None:
    """The payout as it is now, held until the end of the transaction."""
    row = await connection.fetch_one("SELECT id FROM payout WHERE id = $1 FOR NO KEY UPDATE", (payout_id,))
    return None if row is None else await Payout.get(id=payout_id, using_db=connection.orm)


async def open_attempt_of(connection: Connection, payout: Payout) -> PayoutAttempt | None:
    """The attempt that may have reached Stripe and whose end is not known."""
    return await PayoutAttempt.get_or_none(payout_id=payout.id, state__in=_OPEN, using_db=connection.orm)


async def put_aside_last(connection: Connection, payout: Payout) -> bool:
    """Whether the last attempt was put aside by hand: Stripe has not been looked at since, and may have a transfer.

    One that lapsed by itself was looked for, and Stripe gave no reason.
    """
    last = await PayoutAttempt.filter(payout_id=payout.id).using_db(connection.orm).order_by("-number").first()
    return last is not None and last.state == AttemptState.LAPSED and last.refusal_code is not None


async def record_transfer(connection: Connection, payout: Payout, transfer: StripeTransfer, *, now: datetime) -> bool:
    """The transfer is the payout's: the money has left. False, and nothing done, when it was recorded before.

    One that turns up after the money was given back is booked as what it is: money that left all the same. When it was
    made, Stripe says: its money may be at the bank before we know of it.

    Raises:
        TransferMismatch: amount, currency or destination are not the payout's, or it has another transfer already.
    """
    if payout.transfer_id == transfer.transfer_id:
        return False
    _check(payout, transfer)
    money = money_of(payout)
    late = PayoutState(payout.state) not in UNDER_WAY
    draft = money.confirmed_late(transfer.transfer_id) if late else money.confirmed(transfer.transfer_id)
    recorded = await record(connection, draft, now=now)
    if late:
        await add_payout_event(
            connection,
            payout.creator_id,
            kind="PAYOUT",
            entry_id=recorded.entry_id,
            net_micros=-money.micros,
            now=now,
        )
    await connection.execute(
        "UPDATE payout SET state = 'in_transit', transfer_id = $2, destination_payment_id = $3, transferred_at = $4, "
        "waits_for = NULL, due_at = NULL, ended_at = NULL, failure_code = NULL, failure_message = NULL WHERE id = $1",
        (payout.id, transfer.transfer_id, transfer.destination_payment_id, transfer.created_at),
    )
    await connection.execute(
        "UPDATE payout_attempt SET state = 'made', transfer_id = $2, ended_at = $3 "
        "WHERE payout_id = $1 AND state IN ('sending', 'unknown')",
        (payout.id, transfer.transfer_id, now),
    )
    return True


async def give_back(
    connection: Connection, payout: Payout, *, state: PayoutState, code: str | None, message: str | None, now: datetime
) -> None:
    """Nothing was sent and nothing will be: the payout ends and the creator has the money again."""
    assert await open_attempt_of(connection, payout) is None, "what may have been sent is not given back"
    money = money_of(payout)
    await return_money(connection, payout, money.given_back(), micros=money.micros, now=now)
    await connection.execute(
        "UPDATE payout SET state = $2, failure_code = $3, failure_message = $4, waits_for = NULL, due_at = NULL, "
        "ended_at = $5 WHERE id = $1",
        (payout.id, state.value, code, message, now),
    )


async def return_money(
    connection: Connection, payout: Payout, draft: EntryDraft, *, micros: int, now: datetime
) -> None:
    """Book what comes back to what is available, and tell the creator's statement."""
    recorded = await record(connection, draft, now=now)
    await add_payout_event(
        connection,
        payout.creator_id,
        kind="PAYOUT_RETURNED",
        entry_id=recorded.entry_id,
        net_micros=micros,
        now=now,
    )


async def open_next_attempt(connection: Connection, payout: Payout, *, now: datetime) -> PayoutAttempt:
    """A new attempt under a new key; the caller made sure that no earlier one can still become a transfer."""
    number = payout.attempts + 1
    await connection.execute(
        "UPDATE payout SET state = 'processing', attempts = $2, waits_for = NULL, due_at = $3, silences = 0, "
        "account_awaited_since = NULL WHERE id = $1",
        (payout.id, number, now),
    )
    return await PayoutAttempt.create(
        payout_id=payout.id,
        number=number,
        stripe_key=f"po:{payout.id}:{number}",
        state=AttemptState.SENDING.value,
        first_sent_at=now,
        last_sent_at=now,
        sends=1,
        using_db=connection.orm,
    )


async def close_attempt(
    connection: Connection,
    attempt: PayoutAttempt,
    *,
    state: AttemptState,
    code: str | None = None,
    message: str | None = None,
    now: datetime,
) -> None:
    await connection.execute(
        "UPDATE payout_attempt SET state = $3, refusal_code = $4, refusal_message = $5, ended_at = $6 "
        "WHERE payout_id = $1 AND number = $2",
        (attempt.payout_id, attempt.number, state.value, code, message, now),
    )


async def put_off(
    connection: Connection,
    payout: Payout,
    *,
    state: PayoutState,
    waits_for: WaitsFor | None,
    until: datetime,
    now: datetime,
    silences: int = 0,
) -> None:
    """Nothing can be done now; the next step is expected at `until`.

    Since when it waits for its account, or for the platform's balance, is kept through everything that comes between,
    until the account is ready, or the payout is over. `silences`: so often in a row Stripe gave no clear answer.
    """
    account_since, funds_since = payout.account_awaited_since, payout.funds_awaited_since
    if waits_for is WaitsFor.ACCOUNT:
        account_since = account_since or now
    elif waits_for is WaitsFor.BALANCE:
        account_since, funds_since = None, funds_since or now
    await connection.execute(
        "UPDATE payout SET state = $2, waits_for = $3, due_at = $4, silences = $5, account_awaited_since = $6, "
        "funds_awaited_since = $7 WHERE id = $1",
        (
            payout.id,
            state.value,
            None if waits_for is None else waits_for.value,
            until,
            silences,
            account_since,
            funds_since,
        ),
    )


def backoff(tries: int, *, first: timedelta, longest: timedelta) -> timedelta:
    """Twice as long each time, up to the longest."""
    doublings = min(max(tries - 1, 0), 30)
    return min(first * 2**doublings, longest)


def choose_transfer(
    payout: Payout, found: Sequence[StripeTransfer]
) -> tuple[StripeTransfer | None, tuple[StripeTransfer, ...]]:
    """The payout's own among the transfers of its group, and what else there still holds money.

    One that stands goes before one that was reversed whole: booking the latter as come back would pay the other on
    top. What does not fit is passed by once it is reversed whole, which is how a person lets the payout go on.

    Raises:
        TransferMismatch: money went out in the payout's name, and not as it asked for.
    """
    standing = [transfer for transfer in found if transfer.reversed_cents < transfer.amount_cents]
    returned = [transfer for transfer in found if transfer.reversed_cents >= transfer.amount_cents]
    own = next((transfer for transfer in (*standing, *returned) if _fits(payout, transfer)), None)
    if own is None and standing:
        raise TransferMismatch(f"Transfer {standing[0].transfer_id} is not what payout {payout.id} asked for.")
    return own, tuple(transfer for transfer in standing if transfer is not own)


def _check(payout: Payout, transfer: StripeTransfer) -> None:
    if payout.transfer_id is not None:
        raise TransferMismatch(f"Payout {payout.id} has a transfer already; {transfer.transfer_id} is a second one.")
    if not _fits(payout, transfer):
        raise TransferMismatch(f"Transfer {transfer.transfer_id} is not what payout {payout.id} asked for.")


def _fits(payout: Payout, transfer: StripeTransfer) -> bool:
    theirs = (transfer.amount_cents, transfer.currency, transfer.destination)
    return theirs == (payout.amount_cents, payout.currency, payout.destination)
