"""Ids that sort by birth, and time that is handed in."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from gateway.domain.clock import ManualClock, SystemClock, from_unix, unix
from gateway.domain.ids import first_id, new_id, time_of_id

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


def test_an_id_is_a_uuid_of_version_seven_with_its_birth_in_front() -> None:
    identity = new_id(NOON)

    assert identity.version == 7
    assert identity.variant == "specified in RFC 4122"
    assert identity.int >> 80 == unix(NOON) * 1000


def test_ids_sort_by_birth() -> None:
    later = NOON + timedelta(milliseconds=1)

    assert all(new_id(NOON) < new_id(later) for _ in range(200))


def test_ids_of_one_moment_differ() -> None:
    assert len({new_id(NOON) for _ in range(1000)}) == 1000


def test_a_manual_clock_stands_still_until_it_is_moved() -> None:
    clock = ManualClock(NOON)

    assert clock.now() == clock.now() == NOON
    clock.advance(timedelta(days=7))
    assert clock.now() == NOON + timedelta(days=7)


def test_a_manual_clock_never_goes_back() -> None:
    with pytest.raises(AssertionError, match="backwards"):
        ManualClock(NOON).advance(timedelta(seconds=-1))


def test_a_manual_clock_speaks_utc_whatever_it_was_given() -> None:
    clock = ManualClock(NOON.astimezone(timezone(timedelta(hours=2))))

    assert clock.now().tzinfo is UTC
    assert clock.now() == NOON


def test_stripes_seconds_come_back_as_they_were() -> None:
    assert from_unix(unix(NOON)) == NOON
    assert SystemClock().now().tzinfo is UTC


def test_the_first_id_of_a_moment_is_before_every_id_made_then_and_after_every_one_before() -> None:
    moment = datetime(2026, 11, 2, 9, 0, 0, 123_000, tzinfo=UTC)
    earlier = moment - timedelta(milliseconds=1)

    assert new_id(earlier) < first_id(moment) <= new_id(moment)
    assert time_of_id(new_id(moment)) == moment
