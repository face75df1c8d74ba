"""Payloads are dropped when they have served; the row stays, so that an event that comes again is known."""

import json
from collections.abc import Mapping
from datetime import timedelta
from typing import Final, cast

import structlog

from gateway.db import Connection
from gateway.domain.redaction import pointers_only
from gateway.services.billing import Billing

log = structlog.stdlib.get_logger()

#: Payloads that one transaction drops.
DROPPED_AT_ONCE_MAX: Final = 200

_FINISHED: Final = (
    "SELECT id, payload FROM stripe_event WHERE state IN ('done', 'ignored') AND payload_dropped_at IS NULL "
    "AND done_at < $1 ORDER BY done_at LIMIT $2 FOR UPDATE SKIP LOCKED"
)
#: Dead ones wait for a person, but not for ever; the pointers that are left do for a replay.
_DEAD: Final = (
    "SELECT id, payload FROM stripe_event WHERE state = 'dead' AND payload_dropped_at IS NULL "
    "AND received_at < $1 ORDER BY received_at LIMIT $2 FOR UPDATE SKIP LOCKED"
)


async def drop_payloads(billing: Billing, *, at_once: int = DROPPED_AT_ONCE_MAX) -> bool:
    """Drop one batch of payloads that are old enough; True when a whole batch was there, so there may be more.

    Of each the pointers are left, so that the event can still be done again. Any number of nodes may do this at once:
    each takes rows of its own.
    """
    now = billing.clock.now()
    before = now - timedelta(days=billing.rules.event_payload_days)

    async def work(connection: Connection) -> int:
        rows = await connection.fetch(_FINISHED, (before, at_once))
        rows = [*rows, *await connection.fetch(_DEAD, (before, at_once - len(rows)))]
        await connection.execute_many(
            "UPDATE stripe_event SET payload = $2, payload_dropped_at = $3 WHERE id = $1",
            [(row["id"], _pointers(str(row["payload"])), now) for row in rows],
        )
        return len(rows)

    count = await billing.database.run(work)
    if count:
        log.info("event.payloads_dropped", count=count)
    return count == at_once


def _pointers(payload: str) -> str:
    values = cast("Mapping[str, object]", json.loads(payload))
    return json.dumps(pointers_only(values), separators=(",", ":"), sort_keys=True)
