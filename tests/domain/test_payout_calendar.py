"""The calendar of payouts: Mondays and firsts at midnight UTC, whatever the date before them."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from gateway.domain.schedules import PayoutFrequency, last_run_at, next_run_at, period_of

WEEKLY, MONTHLY, MANUAL = PayoutFrequency.WEEKLY, PayoutFrequency.MONTHLY, PayoutFrequency.MANUAL


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("frequency", "after", "expected"),
    [
        (WEEKLY, "2026-11-22T23:59:59.999999", "2026-11-23"),
        (WEEKLY, "2026-11-23T00:00:00", "2026-11-30"),
        (WEEKLY, "2026-11-23T00:00:00.000001", "2026-11-30"),
        (WEEKLY, "2026-12-31T12:00:00", "2027-01-04"),
        (WEEKLY, "2028-02-28T00:00:00", "2028-03-06"),
        # The nights in which clocks are changed, in Europe and in the United States.
        (WEEKLY, "2026-03-29T01:30:00", "2026-03-30"),
        (WEEKLY, "2026-10-25T01:30:00", "2026-10-26"),
        (WEEKLY, "2026-11-01T06:30:00", "2026-11-02"),
        (MONTHLY, "2026-11-30T23:59:59", "2026-12-01"),
        (MONTHLY, "2026-12-01T00:00:00", "2027-01-01"),
        (MONTHLY, "2026-12-31T23:59:59", "2027-01-01"),
        (MONTHLY, "2027-01-31T00:00:00", "2027-02-01"),
        (MONTHLY, "2027-02-28T12:00:00", "2027-03-01"),
        (MONTHLY, "2028-02-28T12:00:00", "2028-03-01"),
        (MONTHLY, "2028-02-29T12:00:00", "2028-03-01"),
        (MONTHLY, "2026-03-29T01:30:00", "2026-04-01"),
    ],
)
def test_the_next_run_is_the_next_midnight_of_the_calendar(
    frequency: PayoutFrequency, after: str, expected: str
) -> None:
    assert next_run_at(frequency, utc(after)) == utc(expected)


@pytest.mark.parametrize(
    ("frequency", "now", "expected"),
    [
        (WEEKLY, "2026-11-22T23:59:59", "2026-11-16"),
        (WEEKLY, "2026-11-23T00:00:00", "2026-11-23"),
        (WEEKLY, "2027-01-03T09:00:00", "2026-12-28"),
        (MONTHLY, "2027-01-01T00:00:00", "2027-01-01"),
        (MONTHLY, "2026-12-31T23:59:59", "2026-12-01"),
        (MONTHLY, "2028-02-29T00:00:00", "2028-02-01"),
    ],
)
def test_the_newest_run_missed_is_the_last_midnight_of_the_calendar(
    frequency: PayoutFrequency, now: str, expected: str
) -> None:
    assert last_run_at(frequency, utc(now)) == utc(expected)


def test_manual_has_no_calendar() -> None:
    assert next_run_at(MANUAL, utc("2026-11-22")) is None
    assert last_run_at(MANUAL, utc("2026-11-22")) is None


@pytest.mark.parametrize(
    ("frequency", "run_at", "name"),
    [
        (WEEKLY, "2026-11-23", "weekly:2026-W48"),
        (WEEKLY, "2026-12-28", "weekly:2026-W53"),
        (WEEKLY, "2027-01-04", "weekly:2027-W01"),
        # Week 1 of 2025 begins in 2024.
        (WEEKLY, "2024-12-30", "weekly:2025-W01"),
        (MONTHLY, "2026-12-01", "monthly:2026-12"),
        (MONTHLY, "2027-01-01", "monthly:2027-01"),
    ],
)
def test_a_period_is_named_after_its_week_or_month(frequency: PayoutFrequency, run_at: str, name: str) -> None:
    assert period_of(frequency, utc(run_at)) == name


def test_no_two_periods_of_four_hundred_years_share_a_name() -> None:
    for frequency in (WEEKLY, MONTHLY):
        names: set[str] = set()
        run_at, end = last_run_at(frequency, utc("2001-01-01")), utc("2401-01-01")
        assert run_at is not None
        while run_at < end:
            name = period_of(frequency, run_at)
            assert name not in names
            names.add(name)
            following = next_run_at(frequency, run_at)
            assert following is not None
            assert timedelta(days=7) <= following - run_at <= timedelta(days=31)
            run_at = following


def test_a_time_in_another_zone_means_the_same_moment() -> None:
    sunday_evening_in_new_york = datetime(2026, 11, 22, 20, 0, tzinfo=timezone(timedelta(hours=-5)))

    assert last_run_at(WEEKLY, sunday_evening_in_new_york) == utc("2026-11-23")
    assert next_run_at(WEEKLY, sunday_evening_in_new_york) == utc("2026-11-30")
