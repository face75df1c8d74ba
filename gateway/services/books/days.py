"""The check of the days of creators: each shows the charges of that day that stand, however many there are."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Final
from uuid import UUID

import orjson

from gateway.db import Dialect, Row
from gateway.db.rows import identifier, integer
from gateway.domain.ids import first_id
from gateway.domain.reconciliation import day_bounds
from gateway.services.books.walk import CREATORS_AT_ONCE_MAX
from gateway.services.ledger import POSTINGS_AT_ONCE_MAX, Fault, Reader, Step
from gateway.services.ledger.walking import LAST_ID

# A creator is there even when it sold nothing, so that the walk goes on after it.
_CREATORS: Final = """
    SELECT c.creator_id AS id,
        (SELECT coalesce(sum(d.calls), 0) FROM earnings_day AS d WHERE d.creator_id = c.creator_id) AS calls
    FROM (SELECT creator_id FROM (
            SELECT * FROM (SELECT DISTINCT creator_id FROM tool
                WHERE creator_id > $1 ORDER BY creator_id LIMIT $2) AS sellers
            UNION SELECT * FROM (SELECT DISTINCT creator_id FROM earnings_day
                WHERE creator_id > $1 ORDER BY creator_id LIMIT $2) AS earners) AS creators
        ORDER BY creator_id LIMIT $2) AS c
    ORDER BY c.creator_id"""

_DAYS: Final = """
    WITH batch AS (
        SELECT creator_id FROM (
            SELECT * FROM (SELECT DISTINCT creator_id FROM tool
                WHERE creator_id > $1 ORDER BY creator_id LIMIT $2) AS sellers
            UNION SELECT * FROM (SELECT DISTINCT creator_id FROM earnings_day
                WHERE creator_id > $1 ORDER BY creator_id LIMIT $2) AS earners) AS creators
        ORDER BY creator_id LIMIT $2),
    sold AS (
        SELECT c.creator_id, {utc_day} AS day, {standing}, count(*) AS calls
        FROM tool_charge AS c JOIN batch AS b ON b.creator_id = c.creator_id
        WHERE c.state NOT IN ('reversed', 'lost') GROUP BY c.creator_id, {utc_day}),
    dates AS (
        SELECT d.creator_id, d.day FROM earnings_day AS d JOIN batch AS b ON b.creator_id = d.creator_id
        UNION SELECT creator_id, day FROM sold)
    SELECT b.creator_id AS id, k.day,
        coalesce(d.gross_micros, 0) AS gross_micros, coalesce(d.fee_micros, 0) AS fee_micros,
        coalesce(d.net_micros, 0) AS net_micros, coalesce(d.calls, 0) AS calls,
        coalesce(s.gross_micros, 0) AS sold_gross_micros, coalesce(s.fee_micros, 0) AS sold_fee_micros,
        coalesce(s.net_micros, 0) AS sold_net_micros, coalesce(s.calls, 0) AS sold_calls
    FROM batch AS b
    LEFT JOIN dates AS k ON k.creator_id = b.creator_id
    LEFT JOIN earnings_day AS d ON d.creator_id = k.creator_id AND d.day = k.day
    LEFT JOIN sold AS s ON s.creator_id = k.creator_id AND s.day = k.day
    ORDER BY b.creator_id, k.day"""

_ROWS: Final = "SELECT day, calls FROM earnings_day WHERE creator_id = $1 AND day > $2 ORDER BY day LIMIT $3"

# Some days of one creator; its charges of those days lie between two ids, for ids begin with their time.
_SOME_DAYS: Final = """
    WITH sold AS (
        SELECT {utc_day} AS day, {standing}, count(*) AS calls
        FROM tool_charge AS c
        WHERE c.creator_id = $1 AND c.id >= $4 AND c.id <= $5 AND c.state NOT IN ('reversed', 'lost')
            AND {utc_day} > $2 AND {utc_day} <= $3 GROUP BY {utc_day}),
    dates AS (
        SELECT day FROM earnings_day WHERE creator_id = $1 AND day > $2 AND day <= $3
        UNION SELECT day FROM sold)
    SELECT CAST($1 AS {id_type}) AS id, k.day,
        coalesce(d.gross_micros, 0) AS gross_micros, coalesce(d.fee_micros, 0) AS fee_micros,
        coalesce(d.net_micros, 0) AS net_micros, coalesce(d.calls, 0) AS calls,
        coalesce(s.gross_micros, 0) AS sold_gross_micros, coalesce(s.fee_micros, 0) AS sold_fee_micros,
        coalesce(s.net_micros, 0) AS sold_net_micros, coalesce(s.calls, 0) AS sold_calls
    FROM dates AS k
    LEFT JOIN earnings_day AS d ON d.creator_id = $1 AND d.day = k.day
    LEFT JOIN sold AS s ON s.day = k.day
    ORDER BY k.day"""

_STANDING: Final = (
    "sum(c.gross_micros - c.lost_micros) AS gross_micros, "
    "sum(c.fee_micros - (c.lost_micros - c.lost_net_micros)) AS fee_micros, "
    "sum(c.net_micros - c.lost_net_micros) AS net_micros"
)
_WORDS: Final[dict[Dialect, dict[str, str]]] = {
    "postgres": {
        "standing": _STANDING,
        "utc_day": "to_char(c.created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD')",
        "id_type": "uuid",
    },
    "sqlite": {"standing": _STANDING, "utc_day": "substr(c.created_at, 1, 10)", "id_type": "text"},
}
#: Days of one creator that are listed at once.
DAYS_AT_ONCE_MAX: Final = 366
#: An id and the time of its charge differ by nothing; this is for whoever made some by hand.
IDS_DIFFER_MAX: Final = timedelta(hours=3)
_FIRST_DAY, _LAST_DAY = "0000-00-00", "9999-12-31"


@dataclass(frozen=True, slots=True, kw_only=True)
class DaysWalk:
    """Creators together as long as they have few calls; one that has many some days at a time, at least one."""

    dialect: Dialect
    name: str = "days"
    rule: str = "Each day of a creator shows the charges of that day that stand"
    at_once: int = CREATORS_AT_ONCE_MAX
    calls_max: int = POSTINGS_AT_ONCE_MAX

    async def step(self, reader: Reader, place: str | None) -> Step:
        if place is not None and "{" in place:
            said = orjson.loads(place)
            return await self._some_days(reader, UUID(said["creator"]), after=said["day"])
        after = UUID(place) if place is not None else UUID(int=0)
        creators = await reader.fetch(_CREATORS, (after, self.at_once))
        if not creators:
            return Step((), None)
        together = _few_enough(creators, self.calls_max)
        if together == 0:
            return await self._some_days(reader, identifier(creators[0], "id"), after=_FIRST_DAY)
        rows = await reader.fetch(_DAYS.format(**_WORDS[self.dialect]), (after, together))
        return Step(_judged(rows), str(identifier(rows[-1], "id")) if rows else None)

    async def _some_days(self, reader: Reader, creator: UUID, *, after: str) -> Step:
        rows = await reader.fetch(_ROWS, (creator, after, DAYS_AT_ONCE_MAX))
        some = max(1, _few_enough(rows, self.calls_max))
        is_last = some >= len(rows) and len(rows) < DAYS_AT_ONCE_MAX
        until = _LAST_DAY if is_last else str(rows[some - 1]["day"])
        found = await reader.fetch(
            _SOME_DAYS.format(**_WORDS[self.dialect]), (creator, after, until, *_ids_between(after, until))
        )
        place = str(creator) if is_last else orjson.dumps({"creator": str(creator), "day": until}).decode()
        return Step(_judged(found), place)


def _few_enough(rows: Sequence[Row], calls_max: int) -> int:
    """How many of these have no more calls together than that."""
    calls = 0
    for number, row in enumerate(rows):
        calls += integer(row, "calls")
        if calls > calls_max:
            return number
    return len(rows)


def _ids_between(after: str, until: str) -> tuple[UUID, UUID]:
    """Around the ids of what was sold after one day, until the end of another."""
    first = UUID(int=0) if after == _FIRST_DAY else first_id(_midnight_after(after) - IDS_DIFFER_MAX)
    last = LAST_ID if until == _LAST_DAY else first_id(_midnight_after(until) + IDS_DIFFER_MAX)
    return first, last


def _midnight_after(day: str) -> datetime:
    return day_bounds(date.fromisoformat(day))[1]


def _judged(rows: Sequence[Row]) -> tuple[Fault, ...]:
    return tuple(fault for row in rows for fault in _judge_day(row))


def _judge_day(row: Row) -> Iterator[Fault]:
    if row["day"] is None:
        return
    parts = ("gross_micros", "fee_micros", "net_micros", "calls")
    shown = tuple(integer(row, part) for part in parts)
    sold = tuple(integer(row, f"sold_{part}") for part in parts)
    if shown != sold:
        yield Fault("day-charges", f"{row['id']} {row['day']}", f"The day shows {shown}; its charges come to {sold}.")
