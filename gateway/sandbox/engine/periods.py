"""Billing periods: whole calendar steps from an anchor, so that month ends and leap days come out right."""

import calendar
from datetime import UTC, datetime, timedelta
from typing import Final

_MONTHS: Final = {"month": 1, "year": 12}
_DAYS: Final = {"day": 1, "week": 7}


def step_from(anchor: int, *, interval: str, count: int, steps: int) -> int:
    """The moment `steps` periods after `anchor`, in UTC.

    Steps are counted from the anchor, never from the previous period, so the 31st falls on 28 February and on
    31 March again.
    """
    start = datetime.fromtimestamp(anchor, UTC)
    if interval in _DAYS:
        return int((start + timedelta(days=_DAYS[interval] * count * steps)).timestamp())
    months = start.month - 1 + _MONTHS[interval] * count * steps
    year, month = start.year + months // 12, months % 12 + 1
    day = min(start.day, calendar.monthrange(year, month)[1])
    return int(start.replace(year=year, month=month, day=day).timestamp())


def period_at(anchor: int, moment: int, *, interval: str, count: int) -> tuple[int, int]:
    """The period of this rhythm that holds `moment`; a moment on a boundary begins the new period."""
    assert moment >= anchor
    steps = 0
    while step_from(anchor, interval=interval, count=count, steps=steps + 1) <= moment:
        steps += 1
    return (
        step_from(anchor, interval=interval, count=count, steps=steps),
        step_from(anchor, interval=interval, count=count, steps=steps + 1),
    )
