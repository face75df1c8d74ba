"""The inbox of Stripe's events: stored before they are answered, claimed under a lease, finished with their effect."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog

from gateway.db import Connection, Database, Row
from gateway.db.rows import integer, moment
from gateway.domain.clock import CLOCKS_DIFFER_MAX, due_at_once
from gateway.stripe_service import WebhookEvent
from models.stripe_event import EventState

log = structlog.stdlib.get_logger()

#: Runs inside the transaction of an effect, so that an event is closed with it.
Alongside = Callable[[Connection], Awaitable[None]]

#: How long a claimed event belongs to a worker that gives no sign of life; then its event is taken back.
LEASE_SECONDS = 40
#: A worker gives a sign of life this often, for as long as it works on the event.
RENEWED_SECONDS = 10
#: Workers in a row that may go silent over one event before it waits for a person: it may be what kills them.
LOST_MAX = 5
#: What a dead worker held together comes back apart, within this time and twice it the next time, and so on.
APART_SECONDS = 5
#: Certain failures after which an event waits for a person.
ATTEMPTS_MAX = 10
#: How long an event is tried while Stripe or the database gives no clear answer; as long as Stripe itself would.
UNCLEAR_DAYS_MAX = 3
RETRY_SECONDS_FIRST = 1
RETRY_SECONDS_MAX = 3600
#: Longest pause while nothing clear is heard: what waits is tried soon after the silence ends.
UNCLEAR_RETRY_SECONDS_MAX = 45
#: Longer than any pause between two tries; what waits untouched for as long was put off by a clock that is ahead.
PUT_OFF_SECONDS_MAX = 300
#: Among how many held events the silent ones are looked for, and among how many that were put off those too far.
HELD_LOOKED_AT_MAX = 1000
PUT_OFF_LOOKED_AT_MAX = 1000
#: More doublings than lead to the longest pause; beyond that the number itself would grow without end.
_DOUBLINGS_MAX = 12
ERROR_CHARACTERS_MAX = 500
#: Among how many waiting events, those due first, the oldest is looked for.
WAITING_LOOKED_AT_MAX = 1000


class LeaseLost(Exception):
    """Another worker has taken the event over; what was about to be written must not be."""


@dataclass(frozen=True, slots=True)
class ClaimedEvent:
    """An event this worker may work on until its lease ends; `token` proves it.

    `attempts` counts every try, this one too; `refusals` those before it that failed for certain.
    """

    event_id: str
    type: str
    object_id: str | None
    account: str | None
    payload: str
    attempts: int
    refusals: int
    token: int
    received_at: datetime


@dataclass(frozen=True, slots=True)
class HeldEvent:
    """An event in some worker's hands. Its lease grows with every sign of life that the worker gives."""

    event_id: str
    type: str
    token: int
    lost: int
    lease_until: datetime

    def is_long_over(self, now: datetime) -> bool:
        """Whether the lease ended before now by more than clocks may differ, as after hours in which nobody looked."""
        return now - self.lease_until > CLOCKS_DIFFER_MAX


@dataclass(frozen=True, slots=True)
class PutOffEvent:
    """An event that waits for its next try."""

    event_id: str
    token: int
    due_at: datetime


#: What was never tried waits for nothing, so it is due by whichever clock a worker has; see `due_at_once`.
_STORE = (
    "INSERT INTO stripe_event (id, type, object_id, account, api_version, livemode, payload, state, due_at, "
    "occurred_at, received_at) VALUES ($1, $2, $3, $4, $5, $6, $7, 'new', $10, $9, $8) ON CONFLICT (id) "
)
_AGAIN = (
    "DO UPDATE SET deliveries = stripe_event.deliveries + 1, "
    "due_at = CASE WHEN stripe_event.state IN ('new', 'dead') THEN $10 ELSE stripe_event.due_at END, "
    "attempts = CASE WHEN stripe_event.state = 'dead' THEN 0 ELSE stripe_event.attempts END, "
    "refusals = CASE WHEN stripe_event.state = 'dead' THEN 0 ELSE stripe_event.refusals END, "
    "lost = CASE WHEN stripe_event.state = 'dead' THEN 0 ELSE stripe_event.lost END, "
    "state = CASE WHEN stripe_event.state = 'dead' THEN 'new' ELSE stripe_event.state END "
    "RETURNING deliveries"
)
_UNLESS_KNOWN = "DO NOTHING RETURNING deliveries"


async def store_event(database: Database, event: WebhookEvent, *, now: datetime, listed: bool = False) -> bool:
    """Keep an event that Stripe delivered; True when it is new. One that is not done yet is woken up.

    One that was `listed` rather than delivered wakes nothing and counts as no delivery when it is known.
    """

    async def work(connection: Connection) -> bool:
        row = await connection.fetch_one(
            _STORE + (_UNLESS_KNOWN if listed else _AGAIN),
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
                due_at_once(min(now, event.created_at)),
            ),
        )
        assert listed or row is not None, "an upsert returns its row"
        return row is not None and row["deliveries"] == 1

    return await database.run(work)


async def claim_events(database: Database, *, now: datetime, limit: int) -> list[ClaimedEvent]:
    """Take the events that are due, oldest first. One that another worker holds is never among them."""

    async def work(connection: Connection) -> list[ClaimedEvent]:
        rows = await connection.fetch(
            "WITH due AS MATERIALIZED (SELECT id FROM stripe_event WHERE state IN ('new', 'doing') AND state = 'new' "
            "AND due_at <= $1 ORDER BY due_at LIMIT $3 FOR UPDATE SKIP LOCKED) "
            "UPDATE stripe_event SET state = 'doing', lease_until = $2, attempts = attempts + 1, token = token + 1 "
            "WHERE id IN (SELECT id FROM due) "
            "RETURNING id, type, object_id, account, payload, attempts, refusals, token, received_at",
            (now, now + timedelta(seconds=LEASE_SECONDS), limit),
        )
        return [_claimed(row) for row in rows]

    return await database.run(work)


async def renew_leases(database: Database, events: Sequence[ClaimedEvent], *, now: datetime) -> None:
    """A sign of life: who holds these events still works on them."""

    async def work(connection: Connection) -> None:
        for event in events:
            await connection.execute(
                "UPDATE stripe_event SET lease_until = $3 WHERE id = $1 AND token = $2 AND state = 'doing'",
                (event.event_id, event.token, now + timedelta(seconds=LEASE_SECONDS)),
            )

    await database.run(work)


async def give_back(database: Database, events: Sequence[ClaimedEvent]) -> int:
    """Leave events to others, as if they had never been claimed; returns how many were still held."""

    async def work(connection: Connection) -> int:
        given = 0
        for event in events:
            given += await connection.execute(
                "UPDATE stripe_event SET state = 'new', attempts = attempts - 1, lease_until = NULL "
                "WHERE id = $1 AND token = $2 AND state = 'doing'",
                (event.event_id, event.token),
            )
        return given

    return await database.run(work)


async def put_off_events(database: Database, *, now: datetime) -> list[PutOffEvent]:
    """What waits for a time that has not come by this clock, the latest first."""
    rows = await database.fetch(
        "SELECT id, token, due_at FROM stripe_event WHERE state IN ('new', 'doing') AND due_at > $1 AND state = 'new' "
        "ORDER BY due_at DESC LIMIT $2",
        (now, PUT_OFF_LOOKED_AT_MAX),
    )
    return [PutOffEvent(str(row["id"]), integer(row, "token"), moment(row, "due_at")) for row in rows]


async def free_misplanned(database: Database, events: Sequence[PutOffEvent], *, now: datetime) -> int:
    """Make due what waits as it was seen; returns how many events that were."""

    async def work(connection: Connection) -> int:
        freed = 0
        for event in events:
            freed += await connection.execute(
                "UPDATE stripe_event SET due_at = $4 WHERE id = $1 AND token = $2 AND due_at = $3 AND state = 'new'",
                (event.event_id, event.token, event.due_at, now),
            )
        return freed

    return await database.run(work)


async def held_events(database: Database) -> list[HeldEvent]:
    """What workers hold now, by the lease that they renewed longest ago."""
    rows = await database.fetch(
        "SELECT id, type, token, lost, lease_until FROM stripe_event WHERE state = 'doing' "
        "ORDER BY lease_until LIMIT $1",
        (HELD_LOOKED_AT_MAX,),
    )
    return [
        HeldEvent(
            event_id=str(row["id"]),
            type=str(row["type"]),
            token=integer(row, "token"),
            lost=integer(row, "lost"),
            lease_until=moment(row, "lease_until"),
        )
        for row in rows
    ]


async def take_back(
    database: Database, held: HeldEvent, *, now: datetime, jitter: Callable[[], float]
) -> EventState | None:
    """Free an event whose worker went silent, or set it aside if too many did; None if that worker is alive."""
    lost = held.lost + 1
    state = EventState.DEAD if lost >= LOST_MAX else EventState.NEW
    reason = f"{lost} workers in a row went silent while they held it."
    delay = timedelta(seconds=APART_SECONDS * 2 ** (lost - 1) * jitter())

    async def work(connection: Connection) -> bool:
        changed = await connection.execute(
            "UPDATE stripe_event SET state = $4, lost = $5, due_at = $6, lease_until = NULL, error = $7 "
            "WHERE id = $1 AND token = $2 AND lease_until = $3 AND state = 'doing'",
            (held.event_id, held.token, held.lease_until, state.value, lost, now + delay, reason),
        )
        return changed == 1

    if not await database.run(work):
        return None
    dead = state is EventState.DEAD
    tell = log.error if dead else log.warning
    tell("event.dead" if dead else "event.taken_back", event_id=held.event_id, type=held.type, reason=reason)
    return state


async def oldest_waiting(database: Database) -> datetime | None:
    """When the oldest event that is neither done nor set aside was received; None when nothing waits.

    Walks the first part of the index `stripe_event_due` and no more, however long the queue is.
    """
    row = await database.fetch_one(
        "SELECT min(received_at) AS received_at FROM (SELECT received_at FROM stripe_event "
        "WHERE state IN ('new', 'doing') ORDER BY due_at LIMIT $1) AS waiting",
        (WAITING_LOOKED_AT_MAX,),
    )
    return None if row is None or row["received_at"] is None else moment(row, "received_at")


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

    What is `unclear` (Stripe or the database did not answer) heals by itself, so it is tried for days, and again soon
    after the silence ends. What fails for certain is tried a few times, whatever was unclear before. Either way the
    worker lives, so the event is not what killed others.
    """
    refusals = event.refusals if unclear else event.refusals + 1
    too_old = now - event.received_at >= timedelta(days=UNCLEAR_DAYS_MAX) and event.attempts >= ATTEMPTS_MAX
    dead = too_old if unclear else refusals >= ATTEMPTS_MAX
    state = EventState.DEAD if dead else EventState.NEW
    tries = event.attempts if unclear else refusals
    delay = timedelta(seconds=retry_seconds(tries, unclear=unclear) * (1 + jitter()) / 2)

    async def work(connection: Connection) -> bool:
        changed = await connection.execute(
            "UPDATE stripe_event SET state = $3, due_at = $4, lease_until = NULL, error = $5, refusals = $6, lost = 0 "
            "WHERE id = $1 AND token = $2 AND state = 'doing'",
            (event.event_id, event.token, state.value, now + delay, reason[:ERROR_CHARACTERS_MAX], refusals),
        )
        return changed == 1

    if not await database.run(work):
        return EventState.DOING  # another worker has it now
    tell = log.error if dead else log.warning
    tell("event.dead" if dead else "event.failed", event_id=event.event_id, type=event.type, reason=reason)
    return state


def retry_seconds(attempts: int, *, unclear: bool = False) -> int:
    """1 s, 2 s, 4 s … up to an hour; while nothing clear is heard up to less than a minute."""
    bound = UNCLEAR_RETRY_SECONDS_MAX if unclear else RETRY_SECONDS_MAX
    return min(RETRY_SECONDS_FIRST * 2 ** min(max(attempts - 1, 0), _DOUBLINGS_MAX), bound)


def _claimed(row: Row) -> ClaimedEvent:
    return ClaimedEvent(
        event_id=str(row["id"]),
        type=str(row["type"]),
        object_id=None if row["object_id"] is None else str(row["object_id"]),
        account=None if row["account"] is None else str(row["account"]),
        payload=str(row["payload"]),
        attempts=integer(row, "attempts"),
        refusals=integer(row, "refusals"),
        token=integer(row, "token"),
        received_at=moment(row, "received_at"),
    )
