"""How pages spell amounts, dates, intervals and states."""

from collections.abc import Sequence
from datetime import UTC, datetime

from gateway.domain.money import CURRENCY, format_usd
from gateway.sandbox.hosted import PriceLine

# Spelled out here, because strftime's %B follows the locale of the machine.
_MONTHS = (
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
)

_STATUS_LABELS = {
    "active": "Active",
    "trialing": "Trial",
    "past_due": "Payment overdue",
    "unpaid": "Unpaid",
    "incomplete": "Waiting for payment",
    "incomplete_expired": "Never started",
    "canceled": "Ended",
    "paused": "Paused",
    "paid": "Paid",
    "open": "Open",
    "draft": "Draft",
    "void": "Void",
    "uncollectible": "Written off",
    "started": "Half done",
    "review": "Under review",
    "rejected": "Refused",
}

#: Of payouts, which share some names with subscriptions and mean something else by them.
_PAYOUT_LABELS = {
    "pending": "Pending",
    "in_transit": "On its way",
    "paid": "At the bank",
    "failed": "Came back",
    "canceled": "Canceled",
}

_GOOD_STATUSES = frozenset({"active", "trialing", "paid"})
_BAD_STATUSES = frozenset({"past_due", "unpaid", "incomplete", "open", "uncollectible", "failed", "rejected"})


def amount_text(cents: int, currency: str = CURRENCY) -> str:
    """Dollars as $29.00; any other two-decimal currency is named after the figure, 29.00 EUR."""
    dollars = format_usd(cents)
    return dollars if currency.lower() == CURRENCY else f"{dollars.replace('$', '')} {currency.upper()}"


def date_text(epoch_seconds: int) -> str:
    """The day in UTC: 22 November 2026."""
    day = datetime.fromtimestamp(epoch_seconds, UTC)
    return f"{day.day} {_MONTHS[day.month - 1]} {day.year}"


def moment_text(epoch_seconds: int) -> str:
    """The minute in UTC: 22 November 2026, 19:30 UTC."""
    return f"{date_text(epoch_seconds)}, {datetime.fromtimestamp(epoch_seconds, UTC):%H:%M} UTC"


def machine_time(epoch_seconds: int) -> str:
    """What a <time datetime> attribute takes."""
    return f"{datetime.fromtimestamp(epoch_seconds, UTC):%Y-%m-%dT%H:%M:%SZ}"


def interval_text(interval: str | None) -> str:
    return f"per {interval}" if interval else "one-off"


def status_text(status: str) -> str:
    """A label for a status; one that is not known is shown as it is, without its underscores."""
    return _STATUS_LABELS.get(status, status.replace("_", " ").capitalize())


def payout_text(status: str) -> str:
    """A label for the status of a payout."""
    return _PAYOUT_LABELS.get(status, status)


def status_tone(status: str) -> str:
    """The style of a status badge: good, bad or calm."""
    if status in _GOOD_STATUSES:
        return "good"
    return "bad" if status in _BAD_STATUSES else "calm"


def renewals(lines: Sequence[PriceLine], currency: str) -> list[str]:
    """What comes again and how often, a phrase an interval: `$29.00 per month`."""
    phrases: list[str] = []
    for interval in ("month", "year"):
        amounts = [line.amount_cents for line in lines if line.interval == interval]
        if amounts:
            phrases.append(f"{amount_text(sum(amounts), currency)} {interval_text(interval)}")
    return phrases


def card_groups(digits: str) -> str:
    """Digits in fours, the way a card prints them."""
    return " ".join(digits[start : start + 4] for start in range(0, len(digits), 4))
