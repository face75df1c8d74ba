"""Taking a charge back: the consumer has its money again, the creator and the platform give up their parts."""

from datetime import datetime
from typing import Final
from uuid import UUID

import structlog

from gateway.db import Connection
from gateway.domain.charges import ChargeState, earned_account
from gateway.domain.errors import IdempotencyConflict, InvalidInput
from gateway.domain.ledger import FEES, EntryDraft, EntryKind, Line, wallet
from gateway.domain.tools import CALL_ID_CHARACTERS_MAX, checked_id, checked_name
from gateway.services.billing import Billing
from gateway.services.customers import customer_id_of, lock_customer
from gateway.services.ledger import record
from gateway.services.marketplace.earning_events import add_earning_event, correct_day
from gateway.services.taken_back.receivables import cover_receivable
from models.tool_charge import ToolCharge

log = structlog.stdlib.get_logger()

REASON_CHARACTERS_MAX: Final = 500


async def reverse_charge(
    billing: Billing, *, consumer: str, call_id: str, reason: str, operator: str
) -> tuple[ToolCharge, bool]:
    """Take a charge back, once; the second value is False when it was taken back before for the same reason.

    Raises:
        InvalidInput: no such charge, a reason that is none, or a charge whose money a dispute took already.
        IdempotencyConflict: it was taken back before, for another reason.
    """
    checked_id(call_id, longest=CALL_ID_CHARACTERS_MAX, path=("input", "callId"))
    checked_name(reason, longest=REASON_CHARACTERS_MAX, path=("input", "reason"))
    consumer_id = customer_id_of(consumer)
    now = billing.clock.now()

    async def work(connection: Connection) -> tuple[ToolCharge, bool]:
        await lock_customer(connection, consumer_id)
        charge = await _lock_charge(connection, consumer_id, call_id)
        if charge.state == ChargeState.REVERSED:
            if charge.reversal_reason != reason:
                raise IdempotencyConflict(
                    f"Call {call_id!r} was reversed before, for another reason.", path=("input", "reason")
                )
            return charge, False
        if charge.lost_micros:
            some = "" if charge.state == ChargeState.LOST else "a part of "
            raise InvalidInput(f"A lost dispute took {some}this charge's money back already.", path=("input", "callId"))
        await _reverse(connection, charge, reason=reason, operator=operator, now=now)
        return await ToolCharge.get(id=charge.id, using_db=connection.orm), True

    charge, first = await billing.database.run(work)
    if first:
        log.info("charge.reversed", charge_id=str(charge.id), operator=operator, gross_micros=charge.gross_micros)
    return charge, first


async def _lock_charge(connection: Connection, consumer_id: UUID, call_id: str) -> ToolCharge:
    row = await connection.fetch_one(
        "SELECT id FROM tool_charge WHERE consumer_id = $1 AND call_id = $2 FOR UPDATE", (consumer_id, call_id)
    )
    if row is None:
        raise InvalidInput(f"This consumer has no charged call {call_id[:80]!r}.", path=("input", "callId"))
    return await ToolCharge.get(consumer_id=consumer_id, call_id=call_id, using_db=connection.orm)


async def _reverse(connection: Connection, charge: ToolCharge, *, reason: str, operator: str, now: datetime) -> None:
    lines = (
        Line(wallet(charge.consumer_id), charge.gross_micros),
        Line(earned_account(charge.creator_id, ChargeState(charge.state)), -charge.net_micros),
        Line(FEES, -charge.fee_micros),
    )
    recorded = await record(
        connection,
        EntryDraft(
            idem=f"rev:{charge.id}",
            kind=EntryKind.REVERSAL,
            lines=tuple(line for line in lines if line.amount_micros),
            ref=charge.tool_id,
            reverses=charge.id,
            description=f"Call of {charge.tool_id} taken back",
        ),
        now=now,
    )
    await connection.execute(
        "UPDATE tool_charge SET state = 'reversed', reversal_reason = $2, reversed_by = $3 WHERE id = $1",
        (charge.id, reason, operator),
    )
    await correct_day(connection, charge, calls=-1)
    await add_earning_event(
        connection,
        charge,
        kind="REFUND",
        entry_id=recorded.entry_id,
        net_micros=-charge.net_micros,
        fee_micros=-charge.fee_micros,
        now=now,
    )
    await cover_receivable(connection, charge.consumer_id, cause=f"rev:{charge.id}", now=now)
