"""The end of the hold: earnings that waited long enough become available, each once."""

from collections import defaultdict
from datetime import datetime
from functools import partial
from typing import Final
from uuid import UUID

import structlog

from gateway.db import Connection, Row
from gateway.db.batches import list_parameter
from gateway.db.rows import identifier, integer
from gateway.domain.charges import available, pending
from gateway.domain.ids import new_id
from gateway.domain.ledger import EntryDraft, EntryKind, FloorBroken, Line
from gateway.services.billing import Billing
from gateway.services.ledger import Outcome, Reader, record_many

log = structlog.stdlib.get_logger()

#: Charges released in one transaction.
RELEASED_AT_ONCE_MAX: Final = 500
#: Such transactions for one creator, before that creator's payout is judged.
BATCHES_OF_A_CREATOR_MAX: Final = 20

#: What is not lost of a charge goes to its creator.
_LEFT = "SELECT id, creator_id, net_micros - lost_net_micros AS net_micros FROM tool_charge"
#: Whoever reverses or freezes a charge locks its row too; one that is locked is left for the next round.
_DUE = (
    f"{_LEFT} WHERE state = 'pending' AND available_at <= $1 {{but}}"
    "ORDER BY available_at LIMIT $2 FOR UPDATE SKIP LOCKED"
)
_DUE_OF_A_CREATOR = (
    f"{_LEFT} WHERE creator_id = $3 AND state = 'pending' "
    "AND available_at <= $1 ORDER BY available_at LIMIT $2 FOR UPDATE SKIP LOCKED"
)
_ANY_DUE = "SELECT 1 AS one FROM tool_charge WHERE creator_id = $1 AND state = 'pending' AND available_at <= $2 LIMIT 1"
_DUE_BUT = {
    "postgres": _DUE.format(but="AND creator_id <> ALL($3::uuid[]) "),
    "sqlite": _DUE.format(but="AND creator_id NOT IN (SELECT value FROM json_each($3)) "),
}
_MARK = {
    "postgres": "UPDATE tool_charge SET state = 'available' WHERE id = ANY($1::uuid[])",
    "sqlite": "UPDATE tool_charge SET state = 'available' WHERE id IN (SELECT value FROM json_each($1))",
}


async def release_due(billing: Billing, *, creator_id: UUID | None = None, broken: set[UUID] | None = None) -> int:
    """Release one batch of what is due, of all creators or of one; returns how many charges that were.

    0 when nothing is left to do, or others are at all of it.

    The move and the mark are one transaction, so a crash leaves either both or neither, and any number of nodes may
    do this at once. A creator whose account cannot give what is due of it is an alarm and is passed over: its books
    are wrong, and nobody else waits for that. `broken` remembers such creators from one batch to the next.
    """
    now, passed_over = billing.clock.now(), set[UUID]() if broken is None else broken
    while True:
        work = partial(_release, creator_id=creator_id, now=now, broken=frozenset(passed_over))
        released, found = await billing.database.run(work)
        if found:
            passed_over |= found
            log.error("earnings.not_released", creators=sorted(str(one) for one in found))
        if released or not found:
            break
    if released:
        log.info("earnings.released", charges=released)
    return released


async def release_before_payout(billing: Billing, creator_id: UUID) -> None:
    """Release what of a creator's earnings is due, so that a payout is judged by it; bounded, so some may be left."""
    for _ in range(BATCHES_OF_A_CREATOR_MAX):
        if not await is_release_due(billing.database, creator_id, now=billing.clock.now()):
            return
        if await release_due(billing, creator_id=creator_id) == 0:
            return


async def is_release_due(reader: Reader, creator_id: UUID, *, now: datetime) -> bool:
    """Whether the hold of some earnings is over that are not released, or are being released and not committed."""
    return await reader.fetch_one(_ANY_DUE, (creator_id, now)) is not None


async def _release(
    connection: Connection, *, creator_id: UUID | None, now: datetime, broken: frozenset[UUID]
) -> tuple[int, set[UUID]]:
    """Release a batch without the broken creators; returns the number of charges, and who turned out broken."""
    rows = await _due(connection, creator_id, now, broken)
    if not rows:
        return 0, set()
    sums: dict[UUID, int] = defaultdict(int)
    for row in rows:
        sums[identifier(row, "creator_id")] += integer(row, "net_micros")
    creators = [owner_id for owner_id in sorted(sums) if sums[owner_id]]
    outcomes = await record_many(connection, [_draft(one, sums[one], now) for one in creators], now=now)
    found = {owner_id for owner_id, outcome in zip(creators, outcomes, strict=True) if _is_short(outcome)}
    ids = [identifier(row, "id") for row in rows if identifier(row, "creator_id") not in found]
    await connection.execute(_MARK[connection.dialect], (list_parameter(connection.dialect, ids),))
    return len(ids), found


async def _due(connection: Connection, creator_id: UUID | None, now: datetime, broken: frozenset[UUID]) -> list[Row]:
    """One batch of due charges, locked: of everybody but the broken, or of one creator if it is not broken."""
    if creator_id is not None:
        return (
            []
            if creator_id in broken
            else await connection.fetch(_DUE_OF_A_CREATOR, (now, RELEASED_AT_ONCE_MAX, creator_id))
        )
    if broken:
        but = list_parameter(connection.dialect, sorted(broken))
        return await connection.fetch(_DUE_BUT[connection.dialect], (now, RELEASED_AT_ONCE_MAX, but))
    return await connection.fetch(_DUE.format(but=""), (now, RELEASED_AT_ONCE_MAX))


def _is_short(outcome: Outcome) -> bool:
    """Whether the account of a creator would go below zero; any other refusal is a bug of ours."""
    if isinstance(outcome, FloorBroken):
        return True
    if isinstance(outcome, Exception):
        raise outcome
    return False


def _draft(creator_id: UUID, amount_micros: int, now: datetime) -> EntryDraft:
    """One entry a creator and batch; the batch is new each time, what makes it happen once is the charges' state."""
    return EntryDraft(
        idem=f"rel:{creator_id}:{new_id(now)}",
        kind=EntryKind.RELEASE,
        lines=(Line(pending(creator_id), -amount_micros), Line(available(creator_id), amount_micros)),
        description="Hold over",
    )
