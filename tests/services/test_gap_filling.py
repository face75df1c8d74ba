"""Events that the webhook never brought are found in Stripe's list, by one node at a time, whatever happens to it."""

from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from gateway.db.rows import moment
from gateway.domain.clock import ManualClock
from gateway.services.billing import Billing
from gateway.services.events import gaps
from gateway.services.events.gaps import (
    CLAIM_SECONDS,
    EVERY_SECONDS,
    LOOK_SECONDS,
    PAGE_SECONDS_MAX,
    YOUNG_SECONDS,
    fill_gaps,
)
from tests.support.books import assert_books_balance
from tests.support.gateway import Platform
from tests.support.stripe_door import Json

EVENTS = "/v1/events"


async def nothing_is_delivered(platform: Platform) -> None:
    await platform.stripe.control("events/hold")


async def fill(platform: Platform) -> bool:
    """One round of a node, after the pause between two."""
    await platform.advance(seconds=EVERY_SECONDS)
    return await fill_gaps(platform.billing)


async def fill_all(platform: Platform) -> int:
    """Rounds until the list is done; returns how many."""
    rounds = 1
    while await fill(platform):
        rounds += 1
    return rounds


async def inbox(platform: Platform) -> list[Json]:
    return [dict(row) for row in await platform.database.fetch("SELECT * FROM stripe_event ORDER BY occurred_at, id")]


async def cursor(platform: Platform) -> Json:
    (row,) = await platform.database.fetch("SELECT * FROM event_cursor")
    return dict(row)


def elsewhere(platform: Platform, *, ahead: timedelta) -> Billing:
    """A node on the same database whose clock is off."""
    return replace(platform.billing, clock=ManualClock(platform.clock.now() + ahead))


async def test_a_payment_whose_events_were_all_lost_is_credited(platform: Platform) -> None:
    ann = platform.person()
    await nothing_is_delivered(platform)
    await platform.stripe.pay((await ann.deposit_page("2500")).url)

    await fill_all(platform)
    await platform.work()

    assert await ann.balance_cents() == "2500"
    await platform.stripe.control("events/release")
    await platform.assert_true()


async def test_a_plan_whose_events_were_all_lost_is_held(platform: Platform) -> None:
    ann = platform.person()
    await nothing_is_delivered(platform)
    await platform.stripe.pay((await ann.checkout_page("PRO")).url)

    await fill_all(platform)
    await platform.work()

    assert await ann.tier() == "PRO"


async def test_the_end_of_a_dispute_that_got_lost_is_found_though_nothing_else_happens(platform: Platform) -> None:
    ann = platform.person()
    deposit = await ann.deposit_page("2500")
    await platform.stripe.pay(deposit.url)
    dispute = await platform.stripe.control("disputes/open", checkout_session=deposit.session_id)
    await platform.settled()
    await fill_all(platform)
    await platform.advance(days=3)
    await nothing_is_delivered(platform)
    await platform.stripe.control("disputes/close", dispute=dispute["id"], outcome="lost")

    await fill_all(platform)
    await platform.work()

    assert [row["state"] for row in await platform.database.fetch("SELECT state FROM deposit_dispute")] == ["lost"]
    await assert_books_balance(platform.database)


async def test_to_be_listed_is_not_to_be_delivered_again(platform: Platform) -> None:
    ann = platform.person()
    await platform.stripe.pay((await ann.deposit_page("2500")).url)
    await platform.delivered()
    before = await inbox(platform)

    await fill_all(platform)
    await fill_all(platform)

    assert len(before) > 0
    assert await inbox(platform) == before


async def test_a_dead_event_is_not_woken_by_the_list(platform: Platform) -> None:
    ann = platform.person()
    await platform.stripe.pay((await ann.deposit_page("2500")).url)
    await platform.delivered()
    await platform.database.run(lambda connection: connection.execute("UPDATE stripe_event SET state = 'dead'"))

    await fill_all(platform)

    assert {row["state"] for row in await inbox(platform)} == {"dead"}


async def test_an_event_that_was_listed_and_then_comes_counts_as_delivered_twice(platform: Platform) -> None:
    ann = platform.person()
    await nothing_is_delivered(platform)
    await platform.stripe.pay((await ann.deposit_page("2500")).url)
    await fill_all(platform)
    await platform.stripe.control("events/release")
    await platform.delivered()

    known = {row["type"]: row["deliveries"] for row in await inbox(platform)}

    assert known["checkout.session.completed"] == 2
    await platform.assert_true()
    assert await platform.effects() == 1


async def test_an_event_that_is_probably_on_its_way_is_left_to_the_webhook(platform: Platform) -> None:
    ann = platform.person()
    await fill_all(platform)
    await platform.advance(seconds=EVERY_SECONDS)
    await nothing_is_delivered(platform)
    await platform.stripe.pay((await ann.deposit_page("2500")).url)

    await fill_gaps(platform.billing)
    young = await inbox(platform)
    await fill_all(platform)

    assert young == []
    assert EVERY_SECONDS + LOOK_SECONDS + YOUNG_SECONDS < 60  # whoever paid waits no longer
    assert [row["type"] for row in await inbox(platform)] == ["checkout.session.completed"]


async def test_after_weeks_away_everything_since_is_found(platform: Platform) -> None:
    ann = platform.person()
    await fill_all(platform)
    await nothing_is_delivered(platform)
    await platform.stripe.pay((await ann.deposit_page("2500")).url)
    await platform.advance(days=10)
    await platform.stripe.pay((await ann.deposit_page("700")).url)
    await platform.advance(days=19)

    await fill_all(platform)
    await platform.work()

    assert await ann.balance_cents() == "3200"


async def test_the_first_start_looks_back_some_hours_and_no_further(platform: Platform) -> None:
    ann = platform.person()
    await nothing_is_delivered(platform)
    await platform.stripe.pay((await ann.deposit_page("2500")).url)
    await platform.advance(hours=4)
    await platform.stripe.pay((await ann.deposit_page("700")).url)

    await fill_all(platform)

    assert [row["type"] for row in await inbox(platform)] == ["checkout.session.completed"]


async def test_the_other_types_of_a_shared_account_are_not_stored(platform: Platform) -> None:
    await platform.stripe.api("POST", "/v1/customers", name="Somebody else's")
    await platform.advance(minutes=1)

    await fill_all(platform)

    assert await inbox(platform) == []


@pytest.fixture
def short_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two events a page and two pages a round, so that a handful of payments is a long list."""
    monkeypatch.setattr("gateway.stripe_service.events.PAGE_ENTRIES", 2)
    monkeypatch.setattr(gaps, "PAGES_A_ROUND_MAX", 2)


async def paid_unheard(platform: Platform, count: int) -> None:
    await nothing_is_delivered(platform)
    for _ in range(count):
        await platform.stripe.pay((await platform.person().deposit_page("500")).url)
        await platform.advance(seconds=1)
    await platform.advance(seconds=YOUNG_SECONDS)


@pytest.mark.usefixtures("short_pages")
async def test_a_long_list_is_worked_off_in_bounded_rounds(platform: Platform) -> None:
    await paid_unheard(platform, 9)
    await platform.stripe.forget_requests()

    assert await fill(platform)
    assert len(await platform.stripe.requests(EVENTS)) == 2
    assert len(await inbox(platform)) == 4
    rounds = await fill_all(platform)

    assert rounds == 2
    assert len(await inbox(platform)) == 9


@pytest.mark.usefixtures("short_pages")
async def test_the_next_node_goes_on_where_a_dead_one_stopped(platform: Platform) -> None:
    await paid_unheard(platform, 9)
    await platform.stripe.fault(EVENTS, "status_500", count=100, skip=1)
    await fill(platform)
    stored = len(await inbox(platform))
    await platform.stripe.control("faults/clear")
    await platform.stripe.forget_requests()

    await fill_all(platform)

    assert stored == 2
    assert len(await inbox(platform)) == 9
    first, *_ = await platform.stripe.requests(EVENTS)
    assert (await cursor(platform))["after_id"] is None
    assert len(await platform.stripe.requests(EVENTS)) == 5, first  # four pages of the first part, one of the second


@pytest.mark.usefixtures("short_pages")
async def test_what_comes_during_a_long_pass_is_found_by_the_next(platform: Platform) -> None:
    await paid_unheard(platform, 6)
    assert await fill(platform)
    await paid_unheard(platform, 3)

    await fill_all(platform)
    await platform.advance(seconds=YOUNG_SECONDS)
    await fill_all(platform)

    assert len(await inbox(platform)) == 9


@pytest.mark.usefixtures("short_pages")
async def test_a_place_in_the_list_that_stripe_forgot_begins_the_pass_anew(platform: Platform) -> None:
    await paid_unheard(platform, 6)
    assert await fill(platform)
    await platform.database.run(
        lambda connection: connection.execute("UPDATE event_cursor SET after_id = 'evt_forgotten'")
    )

    await fill_all(platform)

    assert len(await inbox(platform)) == 6


async def test_a_node_that_died_keeps_the_others_away_for_less_than_a_minute(platform: Platform) -> None:
    ann = platform.person()
    await fill_all(platform)
    await nothing_is_delivered(platform)
    await platform.stripe.pay((await ann.deposit_page("2500")).url)
    now = await platform.advance(seconds=EVERY_SECONDS)
    await platform.database.run(
        lambda connection: connection.execute(
            "UPDATE event_cursor SET token = token + 1, due_at = $1", (now + timedelta(seconds=CLAIM_SECONDS),)
        )
    )

    await fill_gaps(platform.billing)
    before = await inbox(platform)
    await platform.advance(seconds=CLAIM_SECONDS)
    await fill_gaps(platform.billing)

    assert YOUNG_SECONDS + CLAIM_SECONDS + LOOK_SECONDS < 60  # also if it died just before the event was old enough
    assert PAGE_SECONDS_MAX < CLAIM_SECONDS
    assert (len(before), len(await inbox(platform))) == (0, 1)


async def test_a_page_that_does_not_come_is_given_up_before_the_claim_ends(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gaps, "PAGE_SECONDS_MAX", 0.05)
    await platform.stripe.fault(EVENTS, "timeout_before", count=100)
    now = platform.clock.now()

    assert not await fill_gaps(platform.billing)

    assert moment(await cursor(platform), "due_at") == now + timedelta(seconds=EVERY_SECONDS)


async def test_one_node_compares_at_a_time(platform: Platform) -> None:
    await platform.stripe.forget_requests()

    await fill_gaps(platform.billing)
    once = len(await platform.stripe.requests(EVENTS))
    await fill_gaps(platform.billing)

    assert once == 2  # two parts of twenty types
    assert len(await platform.stripe.requests(EVENTS)) == once


async def test_a_silent_stripe_is_asked_again_after_the_usual_pause(platform: Platform) -> None:
    ann = platform.person()
    await nothing_is_delivered(platform)
    await platform.stripe.pay((await ann.deposit_page("2500")).url)
    await platform.stripe.fault(EVENTS, "status_500", count=100)

    assert not await fill(platform)
    await platform.stripe.control("faults/clear")
    await fill_all(platform)

    assert [row["type"] for row in await inbox(platform)] == ["checkout.session.completed"]


@pytest.mark.parametrize("hours", [2, -2])
async def test_a_node_with_a_wrong_clock_hides_nothing_from_the_others(platform: Platform, hours: int) -> None:
    ann = platform.person()
    await fill_gaps(elsewhere(platform, ahead=timedelta(hours=hours)))
    await nothing_is_delivered(platform)
    await platform.stripe.pay((await ann.deposit_page("2500")).url)

    await fill_all(platform)
    await platform.work()

    assert await ann.balance_cents() == "2500"


@pytest.mark.parametrize("hours", [2, -2])
async def test_what_a_node_with_a_wrong_clock_found_is_due_for_everybody(platform: Platform, hours: int) -> None:
    ann = platform.person()
    await nothing_is_delivered(platform)
    await platform.stripe.pay((await ann.deposit_page("2500")).url)
    await platform.advance(seconds=60)

    await fill_gaps(elsewhere(platform, ahead=timedelta(hours=hours)))

    assert await platform.work() == 1
    assert await ann.balance_cents() == "2500"


async def test_the_cursor_holds_stripes_time_and_not_ours(platform: Platform) -> None:
    await platform.stripe.pay((await platform.person().deposit_page("2500")).url)
    paid_at = platform.clock.now().replace(microsecond=0)
    await platform.advance(minutes=30)

    await fill_all(platform)

    seen_at = (await cursor(platform))["seen_at"]
    found = seen_at if isinstance(seen_at, datetime) else datetime.fromisoformat(str(seen_at))
    assert found == paid_at
