"""What a webhook should have brought and did not: Stripe's list of events, compared with the inbox again and again."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

import structlog

from gateway.db import Connection, Row
from gateway.db.batches import list_parameter
from gateway.db.rows import integer, moment, moment_or_none, text_or_none
from gateway.domain.errors import ProviderMisconfigured, ProviderRejected, ProviderUnavailable
from gateway.services.billing import Billing
from gateway.services.events.inbox import store_event
from gateway.stripe_service import ACCOUNT_EVENTS, EVENT_TYPES_MAX, EventPage, WebhookEvent

log = structlog.stdlib.get_logger()

#: How often the list is compared, by whichever node is first.
EVERY_SECONDS: Final = 20
#: How often a node looks whether it is time, or whether the node at it has died.
LOOK_SECONDS: Final = 5
#: How long a node that compares is left alone; each page it has done counts anew.
CLAIM_SECONDS: Final = 30
#: One page's time: a node at a slow one is not taken for dead.
PAGE_SECONDS_MAX: Final = 20
#: Pages of a hundred events in one round.
PAGES_A_ROUND_MAX: Final = 10
#: Events may appear in the list later than younger ones; so far back each pass begins again.
OVERLAP: Final = timedelta(minutes=5)
#: A younger event is probably on its way to the door; it waits for the next pass.
YOUNG_SECONDS: Final = 10
#: Where a new database begins: what a purchase before its first start caused is nothing it could know.
FIRST_LOOK_BACK: Final = timedelta(hours=3)
#: The list of the account whose key we have; lists of other accounts would have cursors of their own.
OWN_ACCOUNT: Final = "account"

#: Stripe filters by so many types at once, so a pass goes through the list once for each part.
_PARTS: Final = tuple(
    ACCOUNT_EVENTS[start : start + EVENT_TYPES_MAX] for start in range(0, len(ACCOUNT_EVENTS), EVENT_TYPES_MAX)
)
_KNOWN: Final = {
    "postgres": "SELECT id FROM stripe_event WHERE id = ANY($1::text[])",
    "sqlite": "SELECT id FROM stripe_event WHERE id IN (SELECT value FROM json_each($1))",
}


@dataclass(frozen=True, slots=True)
class _Pass:
    """One way through the list, newest first, down to a little before `seen_at`; `token` proves it.

    All times are Stripe's, so no clock of ours decides what is listed. `newest_at` is the newest event of the first
    part's first page, None if there is none, and where the next pass goes back to: what came later in an earlier part
    may have been missed, what came before it cannot have been. No page ends there: a later part may hold newer events
    for days before the first one does again.
    """

    token: int
    seen_at: datetime
    newest_at: datetime | None
    part: int
    after_id: str | None

    def begun_anew(self) -> "_Pass":
        return replace(self, newest_at=None, part=0, after_id=None)

    def after(self, page: EventPage) -> "_Pass":
        """Where the pass stands when this page is done."""
        newest_at = self.newest_at
        if self.part == 0 and newest_at is None:
            newest_at = max((event.created_at for event in page.events), default=None)
        if page.next_after is not None:
            return replace(self, newest_at=newest_at, after_id=page.next_after)
        return replace(self, newest_at=newest_at, part=self.part + 1, after_id=None)

    @property
    def complete(self) -> bool:
        return self.part >= len(_PARTS)

    def next_one(self) -> "_Pass":
        """The pass after this complete one."""
        return replace(self.begun_anew(), seen_at=max(self.seen_at, self.newest_at or self.seen_at))


async def fill_gaps(billing: Billing) -> bool:
    """Store the events that Stripe lists and the inbox lacks; True when the list goes on.

    One node does this at a time, some pages a round, and each page is remembered: after a crash the next node goes on
    there. After a long absence the pass goes back to the last event seen, or as far as Stripe keeps events (30 days).
    """
    under_way = await _claim(billing, OWN_ACCOUNT)
    if under_way is None:
        return False
    if under_way.complete:  # an earlier release had more parts
        under_way = under_way.begun_anew()
    try:
        return await _go_on(billing, under_way)
    except (ProviderUnavailable, ProviderMisconfigured, TimeoutError) as error:
        log.warning("events.not_listed", reason=str(error) or type(error).__name__)
        await _let_go(billing, under_way)
        return False


async def _go_on(billing: Billing, under_way: _Pass) -> bool:
    for _ in range(PAGES_A_ROUND_MAX):
        try:
            page = await _page(billing, under_way)
        except ProviderMisconfigured:
            raise
        except ProviderRejected:
            if under_way.after_id is None:
                raise
            log.warning("events.list_begun_anew", after_id=under_way.after_id)
            under_way = under_way.begun_anew()
            continue
        await _store_unknown(billing, page.events)
        under_way = under_way.after(page)
        if under_way.complete:
            await _remember(billing, under_way.next_one(), pause=timedelta(seconds=EVERY_SECONDS), complete=True)
            return False
        if not await _remember(billing, under_way):
            return False  # a node that took this one for dead goes on instead
    return await _remember(billing, under_way, pause=timedelta(0))


async def _page(billing: Billing, under_way: _Pass) -> EventPage:
    async with asyncio.timeout(PAGE_SECONDS_MAX):
        return await billing.stripe.event_page(
            since=under_way.seen_at - OVERLAP, types=_PARTS[under_way.part], after=under_way.after_id
        )


async def _store_unknown(billing: Billing, events: Sequence[WebhookEvent]) -> None:
    """What is known stays as it is: to be listed is not to be delivered again."""
    now = billing.clock.now()
    database = billing.database
    grown = [event for event in events if not _is_young(event, now)]
    if not grown:
        return
    ids = list_parameter(database.dialect, [event.event_id for event in grown])
    known = {str(row["id"]) for row in await database.fetch(_KNOWN[database.dialect], (ids,))}
    for event in grown:
        if event.event_id not in known and await store_event(database, event, now=now, listed=True):
            billing.watch.event_gap_filled(event_type=event.type)
            log.info("event.gap_filled", event_id=event.event_id, type=event.type)


def _is_young(event: WebhookEvent, now: datetime) -> bool:
    """An event from the future is not: it tells of clocks that differ, and its age is unknown."""
    return timedelta(0) <= now - event.created_at < timedelta(seconds=YOUNG_SECONDS)


async def _claim(billing: Billing, scope: str) -> _Pass | None:
    """The pass under way, for the one node that goes on with it now.

    A claim longer than any is one by a clock that is ahead, and keeps nobody away.
    """
    now = billing.clock.now()
    until = now + timedelta(seconds=CLAIM_SECONDS)

    async def work(connection: Connection) -> Row | None:
        await connection.execute(
            "INSERT INTO event_cursor (scope, due_at, seen_at) VALUES ($1, $2, $3) ON CONFLICT (scope) DO NOTHING",
            (scope, now, now - FIRST_LOOK_BACK),
        )
        return await connection.fetch_one(
            "UPDATE event_cursor SET due_at = $3, token = token + 1 "
            "WHERE scope = $1 AND (due_at <= $2 OR due_at > $3) "
            "RETURNING token, seen_at, newest_at, part, after_id",
            (scope, now, until),
        )

    row = await billing.database.run(work)
    if row is None:
        return None
    return _Pass(
        token=integer(row, "token"),
        seen_at=moment(row, "seen_at"),
        newest_at=moment_or_none(row, "newest_at"),
        part=integer(row, "part"),
        after_id=text_or_none(row, "after_id"),
    )


async def _let_go(billing: Billing, under_way: _Pass) -> None:
    """Stripe did not answer: the next node goes on after the usual pause, from the last page that is written down."""
    due_at = billing.clock.now() + timedelta(seconds=EVERY_SECONDS)
    await billing.database.run(
        lambda connection: connection.execute(
            "UPDATE event_cursor SET due_at = $3 WHERE scope = $1 AND token = $2",
            (OWN_ACCOUNT, under_way.token, due_at),
        )
    )


async def _remember(
    billing: Billing, under_way: _Pass, *, pause: timedelta | None = None, complete: bool = False
) -> bool:
    """Write down how far the pass is, and with a `pause` let go of it; False when another node has taken it over."""
    now = billing.clock.now()
    due_at = now + (timedelta(seconds=CLAIM_SECONDS) if pause is None else pause)

    async def work(connection: Connection) -> bool:
        changed = await connection.execute(
            "UPDATE event_cursor SET due_at = $3, seen_at = $4, newest_at = $5, part = $6, after_id = $7, "
            "listed_at = CASE WHEN $9 THEN $8 ELSE listed_at END WHERE scope = $1 AND token = $2",
            (
                OWN_ACCOUNT,
                under_way.token,
                due_at,
                under_way.seen_at,
                under_way.newest_at,
                under_way.part,
                under_way.after_id,
                now,
                complete,
            ),
        )
        return changed == 1

    return await billing.database.run(work)
