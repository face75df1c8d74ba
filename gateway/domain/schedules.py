"""When creators are paid by the calendar: pure dates in UTC, so neither summer time nor the machine's zone matter."""

from datetime import UTC, datetime, time, timedelta
from enum import StrEnum

_MONTHS = 12
_WEEK = timedelta(days=7)


class PayoutFrequency(StrEnum):
    """How often what is available is paid out by itself."""

    MANUAL = "MANUAL"
    WEEKLY = "WEEKLY"
    MONTHLY = "MONTHLY"


def last_run_at(frequency: PayoutFrequency, now: datetime) -> datetime | None:
    """The newest moment of the calendar that is not after `now`: Monday 00:00 UTC, the 1st 00:00 UTC, or none."""
    today = now.astimezone(UTC).date()
    match frequency:
        case PayoutFrequency.MANUAL:
            return None
        case PayoutFrequency.WEEKLY:
            day = today - timedelta(days=today.weekday())
        case PayoutFrequency.MONTHLY:
            day = today.replace(day=1)
    return datetime.combine(day, time(), UTC)


def next_run_at(frequency: PayoutFrequency, after: datetime) -> datetime | None:
    """The first moment of the calendar that is later than `after`."""
    last = last_run_at(frequency, after)
    if last is None:
        return None
    if frequency is PayoutFrequency.WEEKLY:
        return last + _WEEK
    year, month = (last.year + 1, 1) if last.month == _MONTHS else (last.year, last.month + 1)
    return last.replace(year=year, month=month)


def period_of(frequency: PayoutFrequency, run_at: datetime) -> str:
    """The name of the period that a run begins, under which it happens once: weekly:2026-W48, monthly:2026-12."""
    assert last_run_at(frequency, run_at) == run_at, "a run is at a moment of its calendar"
    if frequency is PayoutFrequency.MONTHLY:
        return f"monthly:{run_at.year:04d}-{run_at.month:02d}"
    year, week, _ = run_at.astimezone(UTC).isocalendar()
    return f"weekly:{year:04d}-W{week:02d}"
