"""What became of a payout's transfer: recorded if it is not known yet, and what of it came back, booked once."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

import structlog

from gateway.db import Connection
from gateway.db.rows import identifier
from gateway.domain.errors import ProviderRejected
from gateway.domain.ledger import EntryKind
from gateway.domain.money import cents_to_micros
from gateway.domain.payouts import PayoutState
from gateway.services.billing import Billing
from gateway.services.events.inbox import Alongside
from gateway.services.payouts.outcomes import lock_payout, record_transfer, return_money
from gateway.services.payouts.reserve import money_of
from gateway.stripe_service import StripeTransfer, StripeTransferReversal
from models.payout import Payout

log = structlog.stdlib.get_logger()

#: The code and the words of a payout whose whole transfer came back before it reached the bank, or from there.
REVERSED_CODE = "transfer_reversed"
_REVERSED = "The payment was taken back before it reached the bank; the money is available again."


@dataclass(frozen=True, slots=True, kw_only=True)
class _Settled:
    """What was booked; `second_of` is the payout's own transfer where this is another one."""

    new: bool = False
    returned_cents: int = 0
    second_of: str | None = None


async def settle_transfer(
    billing: Billing, *, transfer_id: str, payout_id: UUID | None = None, alongside: Alongside | None = None
) -> bool:
    """Make the books agree with a transfer and its reversals; False when it is not of a payout of ours.

    `payout_id` is of whose group it was found in; without it the transfer must bear the payout's name.

    Stripe is asked what there is, so it does not matter which event tells of it, how often, or in which order. A
    reversal is final and has an id of its own, under which it is booked once. A transfer whose answer was lost, and
    that nobody has looked up yet, is recorded here. A second one of a payout is only told of: no entry is about it.

    Raises:
        ProviderUnavailable: Stripe did not answer; nothing was changed.
        TransferMismatch: it bears the name of a payout and is not what that asked for.
    """
    transfer = await billing.stripe.retrieve_transfer(transfer_id)
    owner_id = payout_id if transfer is None or payout_id is not None else await _payout_of(billing, transfer)
    if transfer is None or owner_id is None:
        return False
    if transfer.livemode is not billing.stripe.livemode:
        raise ProviderRejected("The transfer is of the other mode.")

    async def work(connection: Connection) -> _Settled:
        payout = await lock_payout(connection, owner_id)
        assert payout is not None, "payouts are never deleted"
        settled = await _settle(billing, connection, payout, transfer)
        if alongside is not None:
            await alongside(connection)
        return settled

    _tell(billing, owner_id, transfer, await billing.database.run(work))
    return True


def tell_of_others(payout_id: UUID, *, booked: str | None, others: Sequence[StripeTransfer]) -> None:
    """More went out in the payout's name than it is."""
    log.error(
        "payout.transferred_twice",
        payout_id=str(payout_id),
        booked=booked,
        others=[transfer.transfer_id for transfer in others],
    )


async def _settle(billing: Billing, connection: Connection, payout: Payout, transfer: StripeTransfer) -> _Settled:
    if payout.transfer_id is not None and payout.transfer_id != transfer.transfer_id:
        return _Settled(second_of=payout.transfer_id)
    new = await record_transfer(connection, payout, transfer, now=billing.clock.now())
    cents = sum([await _book(connection, billing, payout, reversal) for reversal in transfer.reversals])
    return _Settled(new=new, returned_cents=cents)


async def _payout_of(billing: Billing, transfer: StripeTransfer) -> UUID | None:
    """The payout a transfer was made for: by its own id, else by the name it bears."""
    row = await billing.database.fetch_one("SELECT id FROM payout WHERE transfer_id = $1", (transfer.transfer_id,))
    if row is not None:
        return identifier(row, "id")
    try:
        named = UUID(transfer.payout_id or "")
    except ValueError:
        return None
    row = await billing.database.fetch_one("SELECT id FROM payout WHERE id = $1", (named,))
    return None if row is None else identifier(row, "id")


async def _book(connection: Connection, billing: Billing, payout: Payout, reversal: StripeTransferReversal) -> int:
    """Book one reversal; returns its cents, 0 when it was booked before."""
    now = billing.clock.now()
    new = await connection.execute(
        "INSERT INTO transfer_reversal (id, payout_id, amount_cents, created_at) VALUES ($1, $2, $3, $4) "
        "ON CONFLICT (id) DO NOTHING",
        (reversal.reversal_id, payout.id, reversal.amount_cents, reversal.created_at),
    )
    if new == 0:
        return 0
    draft = money_of(payout).reversed(reversal.reversal_id, reversal.amount_cents)
    await return_money(connection, payout, draft, micros=cents_to_micros(reversal.amount_cents), now=now)
    await connection.execute(
        "UPDATE payout SET returned_cents = returned_cents + $2 WHERE id = $1", (payout.id, reversal.amount_cents)
    )
    await connection.execute(
        "UPDATE payout SET state = $2, failure_code = $3, failure_message = $4, ended_at = $5 "
        "WHERE id = $1 AND state IN ('in_transit', 'failed') AND returned_cents = amount_cents",
        (payout.id, PayoutState.FAILED.value, REVERSED_CODE, _REVERSED, now),
    )
    return reversal.amount_cents


def _tell(billing: Billing, payout_id: UUID, transfer: StripeTransfer, settled: _Settled) -> None:
    if settled.second_of is not None and transfer.reversed_cents < transfer.amount_cents:
        tell_of_others(payout_id, booked=settled.second_of, others=(transfer,))
    if settled.new:
        billing.watch.ledger_entry_recorded(kind=EntryKind.PAYOUT_CONFIRMED)
        log.info("payout.sent", payout_id=str(payout_id), transfer_id=transfer.transfer_id, found_by="event")
    if settled.returned_cents:
        billing.watch.ledger_entry_recorded(kind=EntryKind.PAYOUT_RETURNED)
        log.warning("payout.reversed", payout_id=str(payout_id), returned_cents=settled.returned_cents)
