"""`gateway events`: the inbox of Stripe's events for an operator: list, show, replay, ignore."""

import argparse
import re
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Final

import orjson

from gateway.cli import serving
from gateway.cli.opening import opened, quiet_logs
from gateway.cli.output import Refusal, say
from gateway.services.billing import Billing
from gateway.services.events.review import (
    NOTE_CHARACTERS_MAX,
    EventFilter,
    EventInWork,
    StoredEvent,
    fetch_event,
    find_event,
    ignore_event,
    list_events,
    payload_of,
    replay_dead,
    replay_event,
)
from gateway.settings import Settings
from models.stripe_event import EventState

_EVENT_ID: Final = re.compile(r"evt_[A-Za-z0-9_]{1,250}", re.ASCII)
_AGO: Final = re.compile(r"(?P<count>[0-9]{1,6})(?P<unit>[smhd])", re.ASCII)
_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_ERROR_SHOWN_CHARACTERS: Final = 80


def list_(settings: Settings, options: argparse.Namespace) -> int:
    """The newest events that fit, one a line."""
    quiet_logs(settings)
    return serving.run(_list(settings, options))


async def _list(settings: Settings, options: argparse.Namespace) -> int:
    async with opened(settings) as gateway:
        wanted = EventFilter(
            state=EventState(options.state) if options.state else None,
            type=options.type,
            object_id=options.object,
            since=None if options.since is None else moment(options.since, now=gateway.clock.now()),
        )
        events = await list_events(gateway.database, wanted, limit=options.limit)
    if options.json:
        say(orjson.dumps([_plain(event) for event in events]).decode())
    else:
        say(*(_table(events) if events else ["No event fits."]))
    return 0


def show(settings: Settings, options: argparse.Namespace) -> int:
    """Everything that is known of one event."""
    quiet_logs(settings)
    return serving.run(
        _show(settings, checked_event_id(options.id), with_payload=options.payload, as_json=options.json)
    )


async def _show(settings: Settings, event_id: str, *, with_payload: bool, as_json: bool) -> int:
    async with opened(settings) as gateway:
        event = await find_event(gateway.database, event_id)
        if event is None:
            raise Refusal(
                f"{event_id} never arrived here; `gateway events replay {event_id}` asks Stripe for it, "
                f"`gateway explain {event_id}` only looks."
            )
        payload = await payload_of(gateway.database, event_id) if with_payload else None
    if as_json:
        kept = {} if payload is None else {"payload": orjson.loads(payload)}
        say(orjson.dumps({**_plain(event), **kept}).decode())
        return 0
    say(*(f"{name.replace('_', ' '):<20}{value}" for name, value in _plain(event).items()))
    if payload is not None:
        say("", orjson.dumps(orjson.loads(payload), option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS).decode())
    return 0


def replay(settings: Settings, options: argparse.Namespace) -> int:
    """Set one event, or dead ones, to be done again now."""
    if (options.id is None) == (options.state is None):
        raise Refusal("Give an event's id, or `--state dead` for all dead ones up to --limit.")
    quiet_logs(settings)
    if options.id is None:
        return serving.run(_replay_dead(settings, limit=options.limit))
    return serving.run(_replay(settings, checked_event_id(options.id)))


async def _replay_dead(settings: Settings, *, limit: int) -> int:
    async with opened(settings) as gateway:
        count = await replay_dead(gateway.billing, limit=limit)
    if count == 0:
        say("No event is dead.")
    else:
        say(f"{count} dead {'event is' if count == 1 else 'events are'} due now; a worker tries within seconds.")
    return 0


async def _replay(settings: Settings, event_id: str) -> int:
    async with opened(settings) as gateway:
        try:
            before = await replay_event(gateway.billing, event_id)
        except EventInWork as refusal:
            raise Refusal(str(refusal)) from None
        if before is None:
            return await _fetch(gateway.billing, event_id)
    say(f"{before.type} {event_id} was {before.state} and is due now; a worker applies it within seconds.")
    if before.state in {EventState.DONE, EventState.IGNORED}:
        say("What it asked for before is not done twice: Stripe is asked how the thing stands now.")
    return 0


async def _fetch(billing: Billing, event_id: str) -> int:
    if not await fetch_event(billing, event_id):
        raise Refusal(
            f"{event_id} never arrived here, and Stripe does not show it: it keeps events for thirty days, "
            f"and those of connected accounts are not looked up; choose Resend in the dashboard."
        )
    say(f"{event_id} had never arrived; it is fetched from Stripe and due now.")
    return 0


def ignore(settings: Settings, options: argparse.Namespace) -> int:
    """Set one event aside for good, with a reason that is kept."""
    reason = options.reason.strip()
    if not 0 < len(reason) <= NOTE_CHARACTERS_MAX or not reason.isprintable():
        raise Refusal(f"--reason is 1 to {NOTE_CHARACTERS_MAX} printable characters; it is kept with the event.")
    quiet_logs(settings)
    return serving.run(_ignore(settings, checked_event_id(options.id), reason=reason))


async def _ignore(settings: Settings, event_id: str, *, reason: str) -> int:
    async with opened(settings) as gateway:
        try:
            before = await ignore_event(gateway.billing, event_id, reason=reason)
        except EventInWork as refusal:
            raise Refusal(str(refusal)) from None
    if before is None:
        raise Refusal(f"{event_id} never arrived here, so there is nothing to ignore.")
    if before.state is EventState.DONE:
        raise Refusal(f"{event_id} was applied already; ignoring it would not undo that.")
    say(
        f"{before.type} {event_id} was {before.state} and is ignored; `gateway events replay {event_id}` takes it back."
    )
    return 0


def checked_event_id(text: str) -> str:
    """An id that could be an event's.

    Raises:
        Refusal: it could not.
    """
    if _EVENT_ID.fullmatch(text) is None:
        raise Refusal(f"An event's id looks like evt_1AbC…; got {text[:40]!r}.")
    return text


def moment(text: str, *, now: datetime) -> datetime:
    """A time as a person writes it: 90m, 6h, 2d ago, or an ISO date or time (UTC where no zone is named).

    Raises:
        Refusal: it is neither.
    """
    ago = _AGO.fullmatch(text)
    try:
        if ago is not None:
            return now - timedelta(**{_UNITS[ago["unit"]]: int(ago["count"])})
        read = datetime.fromisoformat(text)
    except (ValueError, OverflowError):
        raise Refusal(
            f"--since is a span like 90m, 6h or 2d, or a date like 2026-11-02T09:00; got {text[:40]!r}."
        ) from None
    return read.astimezone(UTC) if read.tzinfo else read.replace(tzinfo=UTC)


def _table(events: Sequence[StoredEvent]) -> list[str]:
    rows = [("RECEIVED (UTC)", "STATE", "TRIES", "EVENT", "TYPE", "OBJECT", "")]
    for event in events:
        why = (event.note or event.error or "")[:_ERROR_SHOWN_CHARACTERS]
        received = f"{event.received_at:%Y-%m-%d %H:%M:%S}"
        rows.append(
            (received, event.state, str(event.attempts), event.event_id, event.type, event.object_id or "-", why)
        )
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def _plain(event: StoredEvent) -> dict[str, object]:
    """A row as names and plain values, times in UTC."""
    return {
        name: value.astimezone(UTC).isoformat(timespec="seconds") if isinstance(value, datetime) else value
        for name, value in asdict(event).items()
    }
