"""Events that fail though nothing is wrong with them: they wait, they are not given up, and they heal by themselves."""

from dataclasses import replace
from datetime import timedelta

import pytest

from gateway.domain.clock import ManualClock
from gateway.services.events import inbox
from gateway.services.events.gaps import EVERY_SECONDS, fill_gaps
from gateway.services.events.inbox import claim_events
from gateway.services.events.review import replay_event
from gateway.services.purchases.stale import sweep_checkouts
from gateway.worker import EventWorker
from tests.support.books import assert_books_balance
from tests.support.gateway import Platform
from tests.support.person import Person
from tests.support.stripe_door import Json
from tests.support.weather import Poison

RETRIED = timedelta(seconds=inbox.UNCLEAR_RETRY_SECONDS_MAX)


async def paid(platform: Platform, cents: str = "2500") -> Person:
    ann = platform.person()
    await platform.stripe.pay((await ann.deposit_page(cents)).url)
    await platform.delivered()
    return ann


async def only_event(platform: Platform) -> Json:
    (row,) = await platform.database.fetch("SELECT id, state, attempts, refusals, error FROM stripe_event")
    return dict(row)


async def fail_often(platform: Platform, times: int) -> None:
    for _ in range(times):
        assert await platform.work() == 1
        await platform.advance(seconds=RETRIED.total_seconds())


@pytest.mark.parametrize("status", [401, 403])
async def test_a_key_that_stripe_does_not_take_kills_no_event_and_mending_it_heals_all(
    platform: Platform, poison: Poison, status: int
) -> None:
    ann = await paid(platform)
    await platform.stripe.control("events/hold")
    await platform.stripe.pay((await ann.deposit_page("700")).url)
    poison.status = status
    poison.everything()
    for _ in range(45):
        await platform.work()
        await sweep_checkouts(platform.billing)
        await fill_gaps(platform.billing)
        await platform.advance(minutes=1)
    dead = await platform.events_in("dead")
    poison.cured()
    await fill_gaps(platform.billing)
    await platform.work()

    assert dead == 0
    assert await ann.balance_cents() == "3200"
    await platform.stripe.control("events/release")
    await platform.assert_true()


async def test_what_our_rows_know_is_no_strangers_though_the_key_of_another_account_does_not_show_it(
    platform: Platform, poison: Poison
) -> None:
    ann = await paid(platform)
    await platform.work()
    (first,) = await platform.checkouts(ann.subject)
    await platform.stripe.pay((await ann.deposit_page("700")).url)
    await platform.stripe.control("refunds", checkout_session=first["session_id"], amount=500)
    await platform.stripe.control("disputes/open", checkout_session=first["session_id"], amount=1000)
    await platform.delivered()
    poison.shows_nothing()
    await platform.work()
    kept = await platform.events_in("new")
    poison.cured()
    await platform.advance(seconds=RETRIED.total_seconds())
    await platform.work()

    assert kept == await platform.events_in("done") - 1 > 3
    assert await ann.balance_cents() == "1700"
    await assert_books_balance(platform.database)


async def test_what_neither_stripe_nor_our_rows_know_is_set_aside(platform: Platform, poison: Poison) -> None:
    session = await platform.stripe.api(
        "POST",
        "/v1/checkout/sessions",
        mode="payment",
        success_url="https://elsewhere.example/",
        **{
            "line_items[0][quantity]": "1",
            "line_items[0][price_data][currency]": "usd",
            "line_items[0][price_data][unit_amount]": "900",
            "line_items[0][price_data][product_data][name]": "Somebody else's",
        },
    )
    await platform.stripe.pay(session["url"])
    await platform.stripe.control("refunds", checkout_session=session["id"], amount=500)
    await platform.delivered()
    poison.shows_nothing()
    await platform.work()

    assert await platform.events_in("new", "doing", "dead", "done") == 0


async def test_a_pass_cut_by_a_wrong_key_goes_on_where_it_was(platform: Platform, poison: Poison) -> None:
    await fill_gaps(platform.billing)
    await platform.stripe.control("events/hold")
    await platform.stripe.pay((await platform.person().deposit_page("2500")).url)
    await platform.database.run(
        lambda connection: connection.execute("UPDATE event_cursor SET after_id = 'evt_1', newest_at = seen_at")
    )
    poison.status = 401
    poison.everything()
    await platform.advance(seconds=EVERY_SECONDS)
    await fill_gaps(platform.billing)

    (row,) = await platform.database.fetch("SELECT after_id FROM event_cursor")

    assert row["after_id"] == "evt_1"
    assert len(poison.asked) == 1


async def test_what_was_unclear_before_does_not_count_when_something_fails_for_certain(
    platform: Platform, poison: Poison
) -> None:
    ann = await paid(platform)
    poison.everything()
    await fail_often(platform, inbox.ATTEMPTS_MAX + 2)
    poison.status = 400
    assert await platform.work() == 1
    failed = await only_event(platform)
    poison.cured()
    await platform.advance(seconds=1)
    await platform.work()

    assert (failed["state"], failed["attempts"], failed["refusals"]) == ("new", inbox.ATTEMPTS_MAX + 3, 1)
    assert await ann.balance_cents() == "2500"
    await platform.assert_true()


async def test_ten_certain_failures_give_an_event_up_and_a_new_delivery_counts_from_zero(
    platform: Platform, poison: Poison
) -> None:
    ann = await paid(platform)
    poison.status = 400
    poison.everything()
    states: list[tuple[str, int]] = []
    for _ in range(inbox.ATTEMPTS_MAX):
        await platform.work()
        row = await only_event(platform)
        states.append((row["state"], row["refusals"]))
        await platform.advance(seconds=inbox.RETRY_SECONDS_MAX)
    poison.cured()
    await platform.stripe.control("events/resend", type="checkout.session.completed")
    await platform.delivered()
    again = await only_event(platform)
    await platform.work()

    assert states == [*[("new", number) for number in range(1, inbox.ATTEMPTS_MAX)], ("dead", inbox.ATTEMPTS_MAX)]
    assert (again["state"], again["attempts"], again["refusals"]) == ("new", 0, 0)
    assert await ann.balance_cents() == "2500"
    await platform.assert_true()


async def test_what_others_are_at_is_tried_until_they_are_done(platform: Platform) -> None:
    """A refund that overtakes its payment, whose page is still being written down."""
    ann = platform.person()
    page = await ann.deposit_page("2500")
    await platform.stripe.control("events/hold")
    await platform.stripe.pay(page.url)
    await platform.stripe.control("refunds", checkout_session=page.session_id, amount=900)
    await platform.stripe.control("events/release")
    await platform.delivered()
    unwritten = "UPDATE checkout SET session_id = NULL, state = 'creating'"
    await platform.database.run(lambda connection: connection.execute(unwritten))
    await platform.database.run(
        lambda connection: connection.execute("DELETE FROM stripe_event WHERE type <> 'charge.refunded'")
    )
    await fail_often(platform, inbox.ATTEMPTS_MAX + 1)
    waiting = await only_event(platform)
    await platform.database.run(
        lambda connection: connection.execute("UPDATE checkout SET session_id = $1, state = 'open'", (page.session_id,))
    )
    await platform.work()

    assert (waiting["state"], waiting["refusals"]) == ("new", 0)
    assert waiting["error"].startswith("InProgress: ")
    assert await ann.balance_cents() == "1600"
    await assert_books_balance(platform.database)


@pytest.mark.parametrize("hours", [2, -2])
async def test_a_worker_with_a_wrong_clock_applies_everything_at_once(platform: Platform, hours: int) -> None:
    ann = await paid(platform)
    wrong = replace(platform.billing, clock=ManualClock(platform.clock.now() + timedelta(hours=hours)))

    assert await EventWorker(wrong, jitter=lambda: 0.0).work_once() == 1
    assert await ann.balance_cents() == "2500"
    await platform.assert_true()


@pytest.mark.parametrize("hours", [2, -2])
async def test_an_event_replayed_or_sent_again_is_due_whatever_the_clocks_say(platform: Platform, hours: int) -> None:
    await paid(platform)
    await platform.work()
    wrong = replace(platform.billing, clock=ManualClock(platform.clock.now() + timedelta(hours=hours)))

    await replay_event(wrong, (await only_event(platform))["id"])
    assert await platform.work() == 1
    await replay_event(platform.billing, (await only_event(platform))["id"])
    assert await EventWorker(wrong, jitter=lambda: 0.0).work_once() == 1


async def test_first_come_is_first_served(platform: Platform) -> None:
    for cents in ("500", "600", "700"):
        await paid(platform, cents)
        await platform.advance(seconds=1)

    claimed = [await claim_events(platform.database, now=platform.clock.now(), limit=1) for _ in range(3)]

    arrived = await platform.database.fetch("SELECT id FROM stripe_event ORDER BY occurred_at")
    assert [event.event_id for (event,) in claimed] == [row["id"] for row in arrived]
