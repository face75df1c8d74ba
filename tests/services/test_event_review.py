"""An operator lists, repeats and sets aside stored events; nothing is done twice, and nothing in work is disturbed."""

import json
from datetime import timedelta

import pytest

from gateway.domain.clock import ManualClock
from gateway.services.events.counts import report_events
from gateway.services.events.inbox import claim_events
from gateway.services.events.retention import drop_payloads
from gateway.services.events.review import (
    EventFilter,
    EventInWork,
    fetch_event,
    find_event,
    ignore_event,
    list_events,
    payload_of,
    replay_dead,
    replay_event,
)
from gateway.services.syncing import sync_checkout, sync_customer
from gateway.stripe_service import ACCOUNT_EVENTS
from models.checkout import Checkout
from models.stripe_event import EventState
from tests.support.books import assert_books_balance
from tests.support.gateway import Platform

COMPLETED = "checkout.session.completed"


async def delivered_deposit(platform: Platform) -> tuple[str, str]:
    """A paid deposit whose event is stored and not applied; the ids of the event and of the session."""
    page = await platform.person("ann").deposit_page("2500")
    await platform.stripe.pay(page.url)
    await platform.delivered()
    (event,) = await list_events(platform.database, EventFilter(type=COMPLETED), limit=5)
    return event.event_id, page.session_id


async def another_deposit(platform: Platform) -> None:
    """One more, a minute later."""
    assert isinstance(platform.clock, ManualClock)
    platform.clock.advance(timedelta(minutes=1))
    page = await platform.person("bob").deposit_page("500")
    await platform.stripe.pay(page.url)
    await platform.delivered()


async def state_of(platform: Platform, event_id: str) -> EventState:
    event = await find_event(platform.database, event_id)
    assert event is not None
    return event.state


async def make_dead(platform: Platform, event_id: str) -> None:
    async with platform.database.transaction() as connection:
        await connection.execute(
            "UPDATE stripe_event SET state = 'dead', attempts = 10, error = 'a bug' WHERE id = $1", (event_id,)
        )


async def test_events_are_listed_newest_first_by_what_is_asked_for(platform: Platform) -> None:
    event_id, session_id = await delivered_deposit(platform)
    await another_deposit(platform)
    now = platform.clock.now()
    database = platform.database

    every = await list_events(database, EventFilter(), limit=1_000)
    assert every == sorted(every, key=lambda one: (one.received_at, one.event_id), reverse=True)
    for wanted, found in (
        (EventFilter(object_id=session_id), [event_id]),
        (EventFilter(object_id=session_id, type=COMPLETED, state=EventState.NEW), [event_id]),
        (EventFilter(type=COMPLETED, state=EventState.DEAD), []),
        (EventFilter(type=COMPLETED, since=now + timedelta(seconds=1)), []),
    ):
        assert [one.event_id for one in await list_events(database, wanted, limit=10)] == found
    assert len(every) == 2
    assert await list_events(database, EventFilter(), limit=1) == every[:1]


async def test_a_dead_event_is_replayed_and_applied_once(platform: Platform) -> None:
    event_id, _ = await delivered_deposit(platform)
    await make_dead(platform, event_id)

    before = await replay_event(platform.billing, event_id)
    await platform.work()

    assert before is not None
    assert (before.state, before.attempts, before.error) == (EventState.DEAD, 10, "a bug")
    after = await find_event(platform.database, event_id)
    assert after is not None
    assert (after.state, after.attempts, after.error) == (EventState.DONE, 1, None)
    assert await platform.effects() == 1
    await platform.assert_true()


async def test_a_done_event_that_is_replayed_does_nothing_twice(platform: Platform) -> None:
    event_id, _ = await delivered_deposit(platform)
    await platform.work()

    await replay_event(platform.billing, event_id)
    assert await platform.work() == 1

    assert await state_of(platform, event_id) is EventState.DONE
    assert await platform.effects() == 1
    await platform.assert_true()


async def test_dead_events_are_replayed_oldest_first_within_the_bound(platform: Platform) -> None:
    event_id, _ = await delivered_deposit(platform)
    await another_deposit(platform)
    for event in await list_events(platform.database, EventFilter(), limit=100):
        await make_dead(platform, event.event_id)

    assert await replay_dead(platform.billing, limit=1) == 1
    assert await state_of(platform, event_id) is EventState.NEW
    assert await platform.events_in("dead") == 1
    assert await replay_dead(platform.billing, limit=1_000) == 1
    assert await replay_dead(platform.billing, limit=1_000) == 0
    await platform.work()
    assert await state_of(platform, event_id) is EventState.DONE
    await platform.assert_true()


async def test_an_event_in_work_is_neither_replayed_nor_ignored(platform: Platform) -> None:
    event_id, _ = await delivered_deposit(platform)
    held = await claim_events(platform.database, now=platform.clock.now(), limit=100)
    assert event_id in {one.event_id for one in held}

    with pytest.raises(EventInWork):
        await replay_event(platform.billing, event_id)
    with pytest.raises(EventInWork):
        await ignore_event(platform.billing, event_id, reason="too slow")

    assert await state_of(platform, event_id) is EventState.DOING


async def test_an_ignored_event_keeps_its_reason_and_comes_back_when_replayed(platform: Platform) -> None:
    event_id, _ = await delivered_deposit(platform)

    await ignore_event(platform.billing, event_id, reason="Refunded by hand.")
    await platform.work()
    ignored = await find_event(platform.database, event_id)
    assert ignored is not None
    assert (ignored.state, ignored.note) == (EventState.IGNORED, "Refunded by hand.")
    assert await platform.effects() == 0

    await replay_event(platform.billing, event_id)
    await platform.work()
    again = await find_event(platform.database, event_id)
    assert again is not None
    assert (again.state, again.note) == (EventState.DONE, None)
    await platform.assert_true()


async def test_an_applied_event_stays_applied_when_it_is_to_be_ignored(platform: Platform) -> None:
    event_id, _ = await delivered_deposit(platform)
    await platform.work()

    await ignore_event(platform.billing, event_id, reason="Too late.")

    assert await state_of(platform, event_id) is EventState.DONE


async def test_unknown_events_are_none(platform: Platform) -> None:
    assert await find_event(platform.database, "evt_unknown") is None
    assert await replay_event(platform.billing, "evt_unknown") is None
    assert await ignore_event(platform.billing, "evt_unknown", reason="x") is None
    assert await fetch_event(platform.billing, "evt_unknown") is False


async def test_an_event_that_was_never_delivered_is_fetched_and_applied(platform: Platform) -> None:
    page = await platform.person().deposit_page("2500")
    await platform.stripe.control("events/hold")
    await platform.stripe.pay(page.url)
    listed = (await platform.stripe.api("GET", f"/v1/events?type={COMPLETED}"))["data"]

    assert await fetch_event(platform.billing, listed[0]["id"]) is True
    await platform.work()

    assert await state_of(platform, listed[0]["id"]) is EventState.DONE
    assert await platform.effects() == 1
    await platform.stripe.control("events/release")
    await platform.assert_true()


async def test_a_dead_event_loses_its_payload_too_and_can_still_be_replayed(platform: Platform) -> None:
    event_id, session_id = await delivered_deposit(platform)
    await make_dead(platform, event_id)
    assert isinstance(platform.clock, ManualClock)
    platform.clock.advance(timedelta(days=platform.billing.rules.event_payload_days, seconds=1))

    while await drop_payloads(platform.billing, at_once=1):
        pass

    assert json.loads(await payload_of(platform.database, event_id))["data"]["object"]["id"] == session_id
    assert await replay_dead(platform.billing, limit=1) == 1
    await platform.assert_true()


async def test_payloads_are_dropped_when_they_are_old_and_the_rows_stay(platform: Platform) -> None:
    event_id, session_id = await delivered_deposit(platform)
    await another_deposit(platform)
    await platform.work()
    rows = len(await list_events(platform.database, EventFilter(), limit=1_000))
    await drop_payloads(platform.billing)
    assert len(json.loads(await payload_of(platform.database, event_id))["data"]["object"]) > 10

    assert isinstance(platform.clock, ManualClock)
    platform.clock.advance(timedelta(days=platform.billing.rules.event_payload_days, seconds=1))
    rounds = 1
    while await drop_payloads(platform.billing, at_once=1):
        rounds += 1

    dropped = await find_event(platform.database, event_id)
    assert dropped is not None
    assert (dropped.state, dropped.payload_dropped_at) == (EventState.DONE, platform.clock.now())
    assert json.loads(await payload_of(platform.database, event_id))["data"]["object"]["id"] == session_id
    assert len(await list_events(platform.database, EventFilter(), limit=1_000)) == rows
    assert rounds == rows + 1
    await replay_event(platform.billing, event_id)
    await platform.work()
    assert await platform.effects() == 2
    await assert_books_balance(platform.database)


async def test_a_refund_can_be_applied_from_its_pointers_alone(platform: Platform) -> None:
    _, session_id = await delivered_deposit(platform)
    await platform.work()
    await platform.stripe.control("refunds", checkout_session=session_id, amount=500)
    await platform.delivered()
    async with platform.database.transaction() as connection:
        await connection.execute("UPDATE stripe_event SET state = 'ignored', done_at = received_at WHERE state = 'new'")
    assert isinstance(platform.clock, ManualClock)
    platform.clock.advance(timedelta(days=31))
    await drop_payloads(platform.billing)
    (created,) = await list_events(platform.database, EventFilter(type="refund.created"), limit=5)

    await replay_event(platform.billing, created.event_id)
    await platform.work()

    assert await platform.person("ann").balance_cents() == "2000"
    await assert_books_balance(platform.database)


async def test_what_waits_and_what_is_dead_is_counted_by_type(platform: Platform) -> None:
    event_id, _ = await delivered_deposit(platform)
    metrics = platform.nodes[0].gateway.metrics

    def gauge(name: str, event_type: str) -> float | None:
        return metrics.registry.get_sample_value(f"gateway_stripe_events_{name}", {"type": event_type})

    assert isinstance(platform.clock, ManualClock)
    platform.clock.advance(timedelta(seconds=90))
    await report_events(platform.billing)
    assert (gauge("waiting", COMPLETED), gauge("waiting_seconds", COMPLETED)) == (1, 90)
    await make_dead(platform, event_id)
    await report_events(platform.billing)
    assert (gauge("waiting", COMPLETED), gauge("given_up", COMPLETED)) == (0, 1)
    await replay_event(platform.billing, event_id)
    await platform.work()
    await report_events(platform.billing)
    assert [gauge("given_up", one) for one in (*ACCOUNT_EVENTS, "other")] == [0] * (len(ACCOUNT_EVENTS) + 1)
    await platform.assert_true()


async def test_a_sync_settles_what_no_event_told_of_and_says_what_changed(platform: Platform) -> None:
    page = await platform.person().deposit_page("2500")
    await platform.stripe.control("events/hold")
    await platform.stripe.pay(page.url)
    checkout = await Checkout.get(session_id=page.session_id, using_db=platform.database.orm)

    first = await sync_checkout(platform.billing, checkout, page.session_id)
    second = await sync_checkout(platform.billing, checkout, page.session_id)
    await platform.stripe.control("refunds", checkout_session=page.session_id, amount=500)
    third = await sync_checkout(platform.billing, checkout, page.session_id)

    assert (first.before.checkout_state, first.after.checkout_state) == ("open", "settled")
    assert (first.before.wallet_micros, first.after.wallet_micros) == (0, 25_000_000)
    assert second.before == second.after
    assert (third.after.refunded_cents, third.after.wallet_micros) == (500, 20_000_000)
    await assert_books_balance(platform.database)


async def test_a_sync_of_a_session_that_was_never_written_down_finds_its_row(platform: Platform) -> None:
    page = await platform.person().deposit_page("2500")
    await platform.stripe.pay(page.url)
    async with platform.database.transaction() as connection:
        await connection.execute("UPDATE checkout SET session_id = NULL, session_url = NULL, state = 'creating'")

    synced = await sync_checkout(platform.billing, None, page.session_id)

    assert (synced.before.checkout_state, synced.after.checkout_state) == ("creating", "settled")
    await platform.assert_true()


async def test_a_sync_of_a_customer_makes_the_plan_what_stripe_says(platform: Platform) -> None:
    ann = platform.person()
    page = await ann.checkout_page("PRO")
    await platform.stripe.control("events/hold")
    await platform.stripe.pay(page.url)
    checkout = await Checkout.get(session_id=page.session_id, using_db=platform.database.orm)

    synced = await sync_customer(platform.billing, checkout.customer_id)

    assert synced.after.plan is not None
    assert synced.after.plan.tier == "PRO"
    assert await ann.tier() == "PRO"
