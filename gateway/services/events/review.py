"""Stored events as an operator sees and moves them: list, look, do again, set aside."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import structlog

from gateway.db import Connection, Database, Row
from gateway.db.rows import integer, moment, moment_or_none, text_or_none
from gateway.domain.clock import due_at_once
from gateway.services.billing import Billing
from gateway.services.events.inbox import store_event
from models.stripe_event import EventState

log = structlog.stdlib.get_logger()

LISTED_MAX: Final = 1_000
#: Dead events that one command sets to be done again.
REPLAYED_MAX: Final = 1_000
NOTE_CHARACTERS_MAX: Final = 500

_COLUMNS: Final = (
    "id, type, object_id, account, api_version, livemode, state, attempts, refusals, deliveries, due_at, lease_until, "
    "error, note, occurred_at, received_at, done_at, payload_dropped_at"
)


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """A row of the inbox without its payload. `note` is why an operator set it aside."""

    event_id: str
    type: str
    object_id: str | None
    account: str | None
    api_version: str | None
    livemode: bool
    state: EventState
    attempts: int
    refusals: int
    deliveries: int
    due_at: datetime
    lease_until: datetime | None
    error: str | None
    note: str | None
    occurred_at: datetime
    received_at: datetime
    done_at: datetime | None
    payload_dropped_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class EventFilter:
    """Which events to list; what is None does not filter."""

    state: EventState | None = None
    type: str | None = None
    object_id: str | None = None
    since: datetime | None = None


class EventInWork(Exception):
    """A worker holds the event at this moment; its outcome must not be overwritten."""

    def __init__(self, event_id: str, until: datetime | None) -> None:
        when = f" until {until:%Y-%m-%d %H:%M:%S} UTC" if until else ""
        super().__init__(f"A worker holds {event_id}{when}; ask again after that.")


async def list_events(database: Database, wanted: EventFilter, *, limit: int) -> Sequence[StoredEvent]:
    """The newest events that fit, newest first."""
    assert 0 < limit <= LISTED_MAX, "the command bounds it"
    conditions: list[str] = []
    values: list[object] = []
    for condition, value in (
        ("state = $", None if wanted.state is None else wanted.state.value),
        ("type = $", wanted.type),
        ("object_id = $", wanted.object_id),
        ("received_at >= $", wanted.since),
    ):
        if value is not None:
            values.append(value)
            conditions.append(f"{condition}{len(values)}")
    where = f"WHERE {' AND '.join(conditions)} " if conditions else ""
    rows = await database.fetch(
        f"SELECT {_COLUMNS} FROM stripe_event {where}ORDER BY received_at DESC, id DESC LIMIT ${len(values) + 1}",
        (*values, limit),
    )
    return [_stored(row) for row in rows]


async def find_event(database: Database, event_id: str) -> StoredEvent | None:
    """One event, or None when it never arrived."""
    row = await database.fetch_one(f"SELECT {_COLUMNS} FROM stripe_event WHERE id = $1", (event_id,))
    return None if row is None else _stored(row)


async def events_about(database: Database, object_ids: Sequence[str], *, limit: int) -> Sequence[StoredEvent]:
    """The events about any of these Stripe objects, oldest first; the newest `limit` of them."""
    if not object_ids:
        return ()
    names = ", ".join(f"${place}" for place in range(1, len(object_ids) + 1))
    rows = await database.fetch(
        f"SELECT {_COLUMNS} FROM stripe_event WHERE object_id IN ({names}) "
        f"ORDER BY received_at DESC, id DESC LIMIT ${len(object_ids) + 1}",
        (*object_ids, limit),
    )
    return [_stored(row) for row in reversed(rows)]


async def payload_of(database: Database, event_id: str) -> str:
    """What is kept of the event's JSON."""
    row = await database.fetch_one("SELECT payload FROM stripe_event WHERE id = $1", (event_id,))
    assert row is not None, "asked about an event that was found"
    return str(row["payload"])


async def replay_event(billing: Billing, event_id: str) -> StoredEvent | None:
    """Make an event due now, whatever became of it; returns it as it stood before, None when it never arrived.

    Safe with an event that was applied: what it causes depends on what Stripe says now, and is done once.

    Raises:
        EventInWork: a worker holds it.
    """
    now = billing.clock.now()

    async def work(connection: Connection) -> StoredEvent | None:
        row = await connection.fetch_one(f"SELECT {_COLUMNS} FROM stripe_event WHERE id = $1 FOR UPDATE", (event_id,))
        if row is None:
            return None
        before = _stored(row)
        _check_free(before, now)
        await connection.execute(_REPLAY + "WHERE id = $1", (event_id, due_at_once(now)))
        return before

    before = await billing.database.run(work)
    if before is not None:
        log.info("event.replayed", event_id=event_id, type=before.type, was=before.state.value)
    return before


#: The token goes up, so that a worker whose lease ran out cannot close what is to be done again.
_REPLAY: Final = (
    "UPDATE stripe_event SET state = 'new', due_at = $2, attempts = 0, refusals = 0, lost = 0, error = NULL, "
    "note = NULL, done_at = NULL, lease_until = NULL, token = token + 1 "
)


async def replay_dead(billing: Billing, *, limit: int) -> int:
    """Make the oldest dead events due now; returns how many."""
    assert 0 < limit <= REPLAYED_MAX, "the command bounds it"
    now = billing.clock.now()

    async def work(connection: Connection) -> int:
        return await connection.execute(
            _REPLAY + "WHERE state = 'dead' AND id IN "
            "(SELECT id FROM stripe_event WHERE state = 'dead' ORDER BY received_at LIMIT $1)",
            (limit, due_at_once(now)),
        )

    count = await billing.database.run(work)
    log.info("event.dead_replayed", count=count)
    return count


async def ignore_event(billing: Billing, event_id: str, *, reason: str) -> StoredEvent | None:
    """Set an event aside for good and keep why; returns it as it stood before, None when it never arrived.

    Raises:
        EventInWork: a worker holds it.
    """
    assert 0 < len(reason) <= NOTE_CHARACTERS_MAX, "the command bounds it"
    now = billing.clock.now()

    async def work(connection: Connection) -> StoredEvent | None:
        row = await connection.fetch_one(f"SELECT {_COLUMNS} FROM stripe_event WHERE id = $1 FOR UPDATE", (event_id,))
        if row is None:
            return None
        before = _stored(row)
        _check_free(before, now)
        if before.state is not EventState.DONE:  # what was applied stays applied, and says so
            await connection.execute(
                "UPDATE stripe_event SET state = 'ignored', done_at = $2, lease_until = NULL, note = $3, "
                "token = token + 1 WHERE id = $1",
                (event_id, now, reason),
            )
        return before

    before = await billing.database.run(work)
    if before is not None and before.state is not EventState.DONE:
        log.warning("event.set_aside", event_id=event_id, type=before.type, was=before.state.value, reason=reason)
    return before


async def fetch_event(billing: Billing, event_id: str) -> bool:
    """Store an event that Stripe has and never delivered, as if it had; False when Stripe does not have it either.

    Raises:
        ProviderUnavailable: Stripe did not answer.
    """
    event = await billing.stripe.retrieve_event(event_id)
    if event is None or event.livemode is not billing.stripe.livemode:
        return False
    await store_event(billing.database, event, now=billing.clock.now())
    log.info("event.fetched", event_id=event_id, type=event.type)
    return True


def _check_free(event: StoredEvent, now: datetime) -> None:
    if event.state is EventState.DOING and event.lease_until is not None and event.lease_until >= now:
        raise EventInWork(event.event_id, event.lease_until)


def _stored(row: Row) -> StoredEvent:
    return StoredEvent(
        event_id=str(row["id"]),
        type=str(row["type"]),
        object_id=text_or_none(row, "object_id"),
        account=text_or_none(row, "account"),
        api_version=text_or_none(row, "api_version"),
        livemode=bool(row["livemode"]),
        state=EventState(str(row["state"])),
        attempts=integer(row, "attempts"),
        refusals=integer(row, "refusals"),
        deliveries=integer(row, "deliveries"),
        due_at=moment(row, "due_at"),
        lease_until=moment_or_none(row, "lease_until"),
        error=text_or_none(row, "error"),
        note=text_or_none(row, "note"),
        occurred_at=moment(row, "occurred_at"),
        received_at=moment(row, "received_at"),
        done_at=moment_or_none(row, "done_at"),
        payload_dropped_at=moment_or_none(row, "payload_dropped_at"),
    )
