"""Workers that die over their events, or are cut short: nothing waits long, and no event kills them for ever."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from gateway.domain.clock import Clock, ManualClock
from gateway.domain.silence import SilenceWatch
from gateway.services.events import inbox
from gateway.services.events.inbox import (
    LEASE_SECONDS,
    LOST_MAX,
    ClaimedEvent,
    LeaseLost,
    claim_events,
    finish_event,
    renew_leases,
)
from gateway.worker import SILENCE_SECONDS_MIN, EventWorker
from tests.support.gateway import START, Platform, eventually
from tests.support.person import Person
from tests.support.stripe_door import Json

SESSION = "regex:^/v1/checkout/sessions/cs_"


def worker_of(platform: Platform, clock: Clock | None = None) -> EventWorker:
    """One more node with its own memory and, if wanted, its own clock."""
    billing = platform.billing if clock is None else replace(platform.billing, clock=clock)
    return EventWorker(billing, jitter=lambda: 0.0)


async def paid(platform: Platform, cents: str = "2500") -> Person:
    ann = platform.person()
    await platform.stripe.pay((await ann.deposit_page(cents)).url)
    await platform.delivered()
    return ann


async def claimed(platform: Platform) -> ClaimedEvent:
    """An event in the hands of a worker that is never heard of again."""
    (event,) = await claim_events(platform.database, now=platform.clock.now(), limit=1)
    return event


async def only_event(platform: Platform) -> Json:
    (row,) = await platform.database.fetch("SELECT state, attempts, lost, token, lease_until, error FROM stripe_event")
    return dict(row)


async def close(platform: Platform, event: ClaimedEvent) -> None:
    await platform.database.run(lambda connection: finish_event(connection, event, now=platform.clock.now()))


async def test_what_a_dead_worker_held_is_applied_in_less_than_a_minute(platform: Platform) -> None:
    ann = await paid(platform)
    await claimed(platform)
    other = worker_of(platform)

    assert await other.work_once() == 0
    await platform.advance(seconds=LEASE_SECONDS - 1)
    assert await other.work_once() == 0
    await platform.advance(seconds=1)

    assert await other.work_once() == 1
    assert LEASE_SECONDS + SILENCE_SECONDS_MIN + inbox.APART_SECONDS < 60
    assert await ann.balance_cents() == "2500"
    await platform.assert_true()


async def test_a_worker_that_shows_signs_of_life_keeps_its_event(platform: Platform) -> None:
    await paid(platform)
    event = await claimed(platform)
    other = worker_of(platform)

    for _ in range(8):
        await renew_leases(platform.database, [event], now=platform.clock.now())
        assert await other.work_once() == 0
        await platform.advance(seconds=inbox.RENEWED_SECONDS)

    await close(platform, event)
    assert (await only_event(platform))["state"] == "done"


async def test_a_worker_that_was_taken_for_dead_can_close_nothing(platform: Platform) -> None:
    await paid(platform)
    event = await claimed(platform)
    other = worker_of(platform)
    await other.work_once()
    await platform.advance(seconds=LEASE_SECONDS)
    await other.work_once()

    with pytest.raises(LeaseLost):
        await close(platform, event)
    await platform.assert_true()
    assert await platform.effects() == 1


async def test_an_event_that_kills_its_workers_is_set_aside_and_says_why(platform: Platform) -> None:
    await paid(platform)
    watcher = worker_of(platform)
    for number in range(1, LOST_MAX + 1):
        await claimed(platform)
        await watcher._take_back()  # pyright: ignore[reportPrivateUsage] - what a look does, without claiming
        await platform.advance(seconds=LEASE_SECONDS)
        await watcher._take_back()  # pyright: ignore[reportPrivateUsage] - the same
        assert (await only_event(platform))["lost"] == number

    row = await only_event(platform)
    assert (row["state"], row["error"]) == ("dead", f"{LOST_MAX} workers in a row went silent while they held it.")
    assert await watcher.work_once() == 0
    await platform.stripe.control("events/resend", type="checkout.session.completed")
    await platform.settled()
    assert (await only_event(platform))["lost"] == 0
    await platform.assert_true()


async def test_an_event_that_a_worker_got_over_alive_is_not_what_killed_the_others(platform: Platform) -> None:
    """During a long outage every event is held most of the time, so each deploy that is killed leaves some behind."""
    ann = await paid(platform)
    watcher = worker_of(platform)
    await platform.stripe.fault("/v1/checkout/sessions", "status_500", count=1_000)
    for _ in range(LOST_MAX):
        await claimed(platform)
        await watcher._take_back()  # pyright: ignore[reportPrivateUsage] - what a look does, without claiming
        await platform.advance(seconds=LEASE_SECONDS)
        assert await watcher.work_once() == 1
        await platform.advance(seconds=inbox.UNCLEAR_RETRY_SECONDS_MAX)

    row = await only_event(platform)
    await platform.stripe.control("faults/clear")
    await platform.work()

    assert (row["state"], row["lost"]) == ("new", 0)
    assert await ann.balance_cents() == "2500"
    await platform.assert_true()


async def test_what_died_together_comes_back_apart(platform: Platform) -> None:
    for _ in range(3):
        await paid(platform)
    now = platform.clock.now()
    await claim_events(platform.database, now=now, limit=3)
    draws = iter((0.0, 0.5, 1.0))
    watcher = EventWorker(platform.billing, jitter=lambda: next(draws))
    await watcher.work_once()
    await platform.advance(seconds=LEASE_SECONDS)

    assert await watcher.work_once() == 1
    await platform.advance(seconds=inbox.APART_SECONDS / 2)
    assert await worker_of(platform).work_once() == 1
    await platform.advance(seconds=inbox.APART_SECONDS / 2)
    assert await worker_of(platform).work_once() == 1
    await platform.assert_true()


async def test_after_a_long_absence_nobody_waits_for_a_lease(platform: Platform) -> None:
    ann = await paid(platform)
    await claimed(platform)
    await platform.advance(hours=3)

    assert await worker_of(platform).work_once() == 1
    assert await ann.balance_cents() == "2500"


@pytest.mark.parametrize("hours", [2, -2])
async def test_a_node_with_a_wrong_clock_steals_nothing_from_a_living_one(platform: Platform, hours: int) -> None:
    await paid(platform)
    event = await claimed(platform)
    other_clock = ManualClock(platform.clock.now() + timedelta(hours=hours))
    other = worker_of(platform, other_clock)

    for _ in range(8):
        await renew_leases(platform.database, [event], now=platform.clock.now())
        assert await other.work_once() == 0
        await platform.advance(seconds=inbox.RENEWED_SECONDS)
        other_clock.advance(timedelta(seconds=inbox.RENEWED_SECONDS))

    await close(platform, event)


@pytest.mark.parametrize("hours", [2, -2])
async def test_what_a_node_with_a_wrong_clock_held_is_free_in_less_than_a_minute(
    platform: Platform, hours: int
) -> None:
    ann = await paid(platform)
    wrong = platform.clock.now() + timedelta(hours=hours)
    await platform.database.run(lambda connection: connection.execute("UPDATE stripe_event SET due_at = $1", (wrong,)))
    (_,) = await claim_events(platform.database, now=wrong, limit=1)
    other = worker_of(platform)

    await other.work_once()
    await platform.advance(seconds=LEASE_SECONDS)
    await other.work_once()

    assert await ann.balance_cents() == "2500"


@pytest.mark.parametrize("hours", [2, 24 * 400])
async def test_what_a_clock_that_is_ahead_put_off_is_tried_within_minutes(platform: Platform, hours: int) -> None:
    ann = await paid(platform)
    ahead = platform.clock.now() + timedelta(hours=hours)
    (event,) = await claim_events(platform.database, now=ahead, limit=1)
    await inbox.fail_event(
        platform.database, event, reason="no", unclear=False, now=ahead, jitter=lambda: 1.0
    )  # and then its node is taken away
    other = worker_of(platform)

    assert await other.work_once() == 0
    await platform.advance(seconds=inbox.PUT_OFF_SECONDS_MAX - 1)
    assert await other.work_once() == 0
    await platform.advance(seconds=1)

    assert await other.work_once() == 1
    assert await ann.balance_cents() == "2500"
    await platform.assert_true()


async def test_no_pause_between_two_tries_is_cut_short(platform: Platform) -> None:
    await paid(platform)
    now = platform.clock.now()
    await platform.database.run(
        lambda connection: connection.execute("UPDATE stripe_event SET refusals = $1", (inbox.ATTEMPTS_MAX - 2,))
    )
    (event,) = await claim_events(platform.database, now=now, limit=1)
    await inbox.fail_event(platform.database, event, reason="no", unclear=False, now=now, jitter=lambda: 1.0)
    pause_seconds = inbox.retry_seconds(inbox.ATTEMPTS_MAX - 1)
    other = worker_of(platform)

    await other.work_once()
    await platform.advance(seconds=pause_seconds - 1)
    assert await other.work_once() == 0
    await platform.advance(seconds=1)

    assert await other.work_once() == 1
    assert pause_seconds < inbox.PUT_OFF_SECONDS_MAX
    await platform.assert_true()


def test_a_lease_that_stands_still_is_told_from_one_that_grows() -> None:
    start = START
    still = inbox.HeldEvent("evt_1", "invoice.paid", 1, 0, start)
    watch = SilenceWatch[inbox.HeldEvent](timedelta(seconds=LEASE_SECONDS))

    assert watch.silent([still], now=start) == []
    grown = replace(still, lease_until=start + timedelta(seconds=30))
    assert watch.silent([grown], now=start + timedelta(seconds=39)) == []
    assert watch.silent([grown], now=start + timedelta(seconds=78)) == []
    assert watch.silent([grown], now=start + timedelta(seconds=79)) == [grown]
    assert watch.silent([replace(grown, token=2)], now=start + timedelta(seconds=90)) == []


def test_a_clock_that_is_set_back_takes_nobody_for_dead() -> None:
    start = START
    held = inbox.HeldEvent("evt_1", "invoice.paid", 1, 0, start)
    watch = SilenceWatch[inbox.HeldEvent](timedelta(seconds=LEASE_SECONDS))

    watch.silent([held], now=start + timedelta(hours=1))
    assert watch.silent([held], now=start) == []
    assert watch.silent([held], now=start + timedelta(seconds=LEASE_SECONDS)) == [held]


async def hanging(platform: Platform) -> tuple[EventWorker, asyncio.Task[None]]:
    """A worker that waits for an answer of Stripe."""
    await platform.stripe.fault(SESSION, "timeout_before", count=100)
    worker = worker_of(platform)
    running = asyncio.create_task(worker.run())

    async def holds() -> None:
        assert await platform.events_in("doing") == 1

    await eventually(holds)
    return worker, running


async def test_a_worker_that_is_cut_short_gives_back_what_it_holds(platform: Platform) -> None:
    ann = await paid(platform)
    worker, running = await hanging(platform)
    worker.stop()
    running.cancel()
    await asyncio.wait([running])

    row = await only_event(platform)

    assert (row["state"], row["attempts"], row["lost"], row["lease_until"]) == ("new", 0, 0, None)
    await platform.stripe.control("faults/clear")
    assert await worker_of(platform).work_once() == 1
    assert await ann.balance_cents() == "2500"
    await platform.assert_true()


async def test_a_worker_told_to_stop_finishes_what_it_holds(platform: Platform) -> None:
    await paid(platform)
    worker, running = await hanging(platform)
    worker.stop()

    async with asyncio.timeout(30):
        await running

    row = await only_event(platform)
    assert (row["state"], row["attempts"]) == ("new", 1)
    await platform.stripe.control("faults/clear")
    await platform.advance(seconds=1)
    await platform.assert_true()


async def test_long_work_renews_its_lease(platform: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.worker.RENEWED_SECONDS", 0.01)
    await paid(platform)
    _, running = await hanging(platform)
    before = (await only_event(platform))["lease_until"]
    await platform.advance(seconds=30)

    async def renewed() -> None:
        assert (await only_event(platform))["lease_until"] != before

    await eventually(renewed)
    running.cancel()
    await asyncio.wait([running])


async def many_wait(platform: Platform, count: int) -> None:
    """Events in the inbox whose sessions Stripe would be asked about."""
    now = platform.clock.now()
    async with platform.database.transaction() as connection:
        for number in range(count):
            await connection.execute(
                "INSERT INTO stripe_event (id, type, object_id, livemode, payload, state, due_at, occurred_at, "
                "received_at) VALUES ($1, 'checkout.session.completed', $2, $3, '{}', 'new', $4, $4, $4)",
                (f"evt_{number}", f"cs_test_{number}", False, now),
            )


async def test_a_thousand_waiting_events_do_not_hammer_a_silent_stripe(platform: Platform) -> None:
    await many_wait(platform, 1000)
    await platform.stripe.fault(SESSION, "status_500", count=100_000)
    await platform.stripe.forget_requests()
    worker = worker_of(platform)
    tried = 0
    for _ in range(240):  # a minute, four looks a second
        tried += await worker.work_once()
        await platform.advance(seconds=0.25)

    asked = len(await platform.stripe.requests("/v1/checkout/sessions/"))
    assert tried <= 8 + 30  # what finds out, and then one every two seconds
    assert asked <= 3 * tried  # each asked three times by the call itself

    await platform.stripe.control("faults/clear")
    await platform.advance(seconds=45)
    rounds = 0
    while await worker.work_once():
        rounds += 1
    assert await platform.events_in("new", "doing") == 0
    assert rounds <= 1000 // 8 + 2


async def test_what_waits_for_stripe_is_tried_within_a_minute_of_its_return(platform: Platform) -> None:
    ann = await paid(platform)
    await platform.stripe.fault(SESSION, "status_500", count=100_000)
    worker = worker_of(platform)
    for _ in range(100):
        await worker.work_once()
        await platform.advance(seconds=30)
    await platform.stripe.control("faults/clear")
    await platform.advance(seconds=inbox.UNCLEAR_RETRY_SECONDS_MAX)

    await worker.work_once()

    assert inbox.UNCLEAR_RETRY_SECONDS_MAX < 60
    assert await ann.balance_cents() == "2500"
    await platform.assert_true()


def test_definite_failures_wait_ever_longer_and_unclear_ones_do_not() -> None:
    assert [inbox.retry_seconds(n) for n in (1, 2, 3, 10, 12, 13, 10**6)] == [1, 2, 4, 512, 2048, 3600, 3600]
    assert [inbox.retry_seconds(n, unclear=True) for n in (1, 2, 6, 7, 10**6)] == [1, 2, 32, 45, 45]


async def test_one_event_that_stripe_never_answers_slows_nobody_else(platform: Platform) -> None:
    stuck = platform.person()
    page = await stuck.deposit_page("2500")
    await platform.stripe.pay(page.url)
    await platform.delivered()
    await platform.stripe.fault(f"/v1/checkout/sessions/{page.session_id}", "status_500", count=100_000)
    worker = worker_of(platform)
    for _ in range(20):
        await worker.work_once()
        await platform.advance(seconds=45)
    ann = await paid(platform, "700")

    for _ in range(3):
        await worker.work_once()
        await platform.advance(seconds=2)

    assert await ann.balance_cents() == "700"
    assert await platform.events_in("dead") == 0
