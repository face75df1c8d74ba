"""When money goes on to the bank by itself."""

from datetime import UTC, date, datetime, timedelta
from typing import Final

from gateway.sandbox.engine.agenda import Turn
from gateway.sandbox.engine.book import Book
from gateway.sandbox.refusals import Json

INTERVALS: Final = ("daily", "manual", "monthly", "weekly")
WEEKDAYS: Final = ("monday", "tuesday", "wednesday", "thursday", "friday")
MONTH_DAY_MAX: Final = 31
DELAY_DAYS: Final = 2
#: What a kept agenda calls the run; `payouts` registers it.
DAILY_RUN: Final = "payout.scheduled"
_DAYS_AHEAD_MAX: Final = 62


def begin(book: Book) -> None:
    """A connected account starts on the daily schedule."""
    book.behind.payout_schedule = {"interval": "daily"}


def schedule_of(book: Book) -> Json:
    """The schedule as the API shows it; the platform's own is manual until it is changed."""
    return dict(book.behind.payout_schedule or {"interval": "manual"})


def plan(book: Book) -> None:
    """See to it that money which is there, or will be, goes out on the next day of the schedule."""
    wanted = _next_run(book)
    planned = book.behind.next_payout_at
    if wanted is None or (planned is not None and planned <= wanted):
        return
    book.behind.next_payout_at = wanted
    book.around.agenda.put(wanted, Turn.SETTLE, book, deed=DAILY_RUN, arguments=(wanted,))


def _next_run(book: Book) -> int | None:
    schedule = schedule_of(book)
    if schedule["interval"] == "manual":
        return None
    waiting = [
        entry["available_on"]
        for line, entry in book.table("balance_transaction").items()
        if line not in book.behind.paid_out_with and entry["net"] > 0
    ]
    if not waiting:
        return None
    day = datetime.fromtimestamp(max(book.now, min(waiting)), UTC).date()
    for _ in range(_DAYS_AHEAD_MAX):
        day += timedelta(days=1)
        if _is_payout_day(schedule, day):
            break
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp())


def _is_payout_day(schedule: Json, day: date) -> bool:
    match schedule["interval"]:
        case "weekly":
            weekdays: list[str] = schedule.get("weekly_payout_days") or ["monday"]
            return any(day.weekday() == WEEKDAYS.index(name) for name in weekdays)
        case "monthly":
            wanted: list[int] = schedule.get("monthly_payout_days") or [1]
            last = (day.replace(day=28) + timedelta(days=4)).replace(day=1) - timedelta(days=1)
            return any(day.day == min(one, last.day) for one in wanted)
        case _:
            return True
