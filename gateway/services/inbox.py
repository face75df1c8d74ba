"""The inbox of Stripe's events: stored before they are answered, claimed under a lease, finished with their effect."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog

from gateway.db import Connection, Database, Row
from gateway.services.ledger.rows import as_time
from gateway.stripe_service import WebhookEvent
from models.stripe_event import EventState

log = structlog.stdlib.get_logger()

#: Runs inside the transaction of an effect, so that an event is closed with it.
Alongside = Callable[[Connection], Awaitable[None]]

#: How long a claimed event belongs to its worker; after that another may take it.
LEASE_SECONDS = 180
#: Certain failures after which an event waits for a person.
ATTEMPTS_MAX = 10
#: How long an event is tried while Stripe or the database gives no clear answer; as long as Stripe itself would.
UNCLEAR_DAYS_MAX = 3
RETRY_SECONDS_FIRST = 1
RETRY_SECONDS_MAX = 3600
ERROR_CHARACTERS_MAX = 500
#: Among how many waiting events, those due first, the oldest is looked for.
WAITING_LOOKED_AT_MAX = 1000


class LeaseLost(Exception):
    """Another worker has taken the event over; what was about to be written must not be."""


@dataclass(frozen=True, slots=True)
class ClaimedEvent:
    """An event this worker may work on until its lease ends; `token` proves it."""

    event_id: str
    type: str
    object_id: str | None
    account: str | None
    payload: str
    attempts: int
    token: int
    received_at: datetime


async def store_event(database: Database, event: WebhookEvent, *, now: datetime) -> bool:
    """Keep an event that Stripe delivered; True when it is new. One that is not done yet is woken up."""

    async def work(connection: Connection) -> bool:
        row = await connection.fetch_one(
            "INSERT INTO stripe_event (id, type, object_id, account, api_version, livemode, payload, state, due_at, "
            "occurred_at, received_at) VALUES ($1, $2, $3, $4, $5, $6, $7, 'new', $8, $9, $8) "
            "ON CONFLICT (id) DO UPDATE SET deliveries = stripe_event.deliveries + 1, "
            "due_at = CASE WHEN stripe_event.state IN ('new', 'dead') THEN $8 ELSE stripe_event.due_at END, "
            "attempts = CASE WHEN stripe_event.state = 'dead' THEN 0 ELSE stripe_event.attempts END, "
            "state = CASE WHEN stripe_event.state = 'dead' THEN 'new' ELSE stripe_event.state END "
            "RETURNING deliveries",
            (
                event.event_id,
                event.type,
                event.object_id,
                event.account,
                event.api_version,
                event.livemode,
                event.payload,
                now,
                event.created_at,
            ),
        )
        assert row is not None, "an upsert returns its row"
        return row["deliveries"] == 1

    return await database.run(work)


async def claim_events(database: Database, *, now: datetime, limit: int) -> list[ClaimedEvent]:
    """Take the events that are due, oldest first: new ones, and those whose worker has gone silent."""

    async def work(connection: Connection) -> list[ClaimedEvent]:
        rows = await connection.fetch(
            "WITH due AS MATERIALIZED (SELECT id FROM stripe_event WHERE (state = 'new' AND due_at <= $1) "
            "OR (state = 'doing' AND lease_until < $1) ORDER BY due_at LIMIT $3 FOR UPDATE SKIP LOCKED) "
            "UPDATE stripe_event SET state = 'doing', lease_until = $2, attempts = attempts + 1, token = token + 1 "
            "WHERE id IN (SELECT id FROM due) "
            "RETURNING id, type, object_id, account, payload, attempts, token, received_at",
            (now, now + timedelta(seconds=LEASE_SECONDS), limit),
        )
        return [_claimed(row) for row in rows]

    return await database.run(work)


async def oldest_waiting(database: Database) -> datetime | None:
    """When the oldest event that is neither done nor set aside was received; None when nothing waits.

    Walks the first part of the index `stripe_event_due` and no more, however long the queue is.
    """
    row = await database.fetch_one(
        "SELECT min(received_at) AS received_at FROM (SELECT received_at FROM stripe_event "
        "WHERE state IN ('new', 'doing') ORDER BY due_at LIMIT $1) AS waiting",
        (WAITING_LOOKED_AT_MAX,),
    )
    return None if row is None or row["received_at"] is None else as_time(row["received_at"])


async def finish_event(
    connection: Connection, event: ClaimedEvent, *, now: datetime, state: EventState = EventState.DONE
) -> None:
    """Close an event in the transaction of its effect.

    Raises:
        LeaseLost: another worker holds it now; the effect must roll back with this.
    """
    changed = await connection.execute(
        "UPDATE stripe_event SET state = $3, done_at = $4, lease_until = NULL, error = NULL "
        "WHERE id = $1 AND token = $2 AND state = 'doing'",
        (event.event_id, event.token, state.value, now),
    )
    if changed != 1:
        raise LeaseLost(event.event_id)


async def fail_event(
    database: Database,
    event: ClaimedEvent,
    *,
    reason: str,
    unclear: bool,
    now: datetime,
    jitter: Callable[[], float],
) -> EventState:
    """Put an event back for later, or aside for a person; returns which of the two.

    What is `unclear` (Stripe or the database did not answer) heals by itself, so it is tried for days; what fails for
    certain is tried a few times.
    """
    age = now - event.received_at
    dead = age >= timedelta(days=UNCLEAR_DAYS_MAX) if unclear else event.attempts >= ATTEMPTS_MAX
    state = EventState.DEAD if dead else EventState.NEW
    delay = timedelta(seconds=retry_seconds(event.attempts) * (1 + jitter()) / 2)

    async def work(connection: Connection) -> bool:
        changed = await connection.execute(
            "UPDATE stripe_event SET state = $3, due_at = $4, lease_until = NULL, error = $5 "
            "WHERE id = $1 AND token = $2 AND state = 'doing'",
            (event.event_id, event.token, state.value, now + delay, reason[:ERROR_CHARACTERS_MAX]),
        )
        return changed == 1

    if not await database.run(work):
        return EventState.DOING  # another worker has it now
    tell = log.error if dead else log.warning
    tell("event.dead" if dead else "event.failed", event_id=event.event_id, type=event.type, reason=reason)
    return state


def retry_seconds(attempts: int) -> int:
    """1 s, 2 s, 4 s … up to an hour."""
    return min(RETRY_SECONDS_FIRST * 2 ** max(attempts - 1, 0), RETRY_SECONDS_MAX)


def _claimed(row: Row) -> ClaimedEvent:
    attempts, token = row["attempts"], row["token"]
    assert isinstance(attempts, int), "a whole number column"
    assert isinstance(token, int), "a whole number column"
    return ClaimedEvent(
        event_id=str(row["id"]),
        type=str(row["type"]),
        object_id=None if row["object_id"] is None else str(row["object_id"]),
        account=None if row["account"] is None else str(row["account"]),
        payload=str(row["payload"]),
        attempts=attempts,
        token=token,
        received_at=as_time(row["received_at"]),
    )
