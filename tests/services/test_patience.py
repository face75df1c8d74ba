"""How hard a silent Stripe is asked: told by its answers to calls, and never by what becomes of one event."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta

import pytest

from gateway.services.events.patience import PROBE_SECONDS, SILENCES_MAX, Patience
from gateway.worker import EVENTS_AT_ONCE_MAX, EventWorker
from tests.support.gateway import START, Platform, eventually
from tests.support.payouts import PayoutWorld
from tests.support.weather import Poison

SESSIONS = "/v1/checkout/sessions/"


def worker_of(platform: Platform) -> EventWorker:
    return EventWorker(platform.billing, jitter=lambda: 0.0)


def patience_of(worker: EventWorker) -> Patience:
    return worker._patience  # pyright: ignore[reportPrivateUsage] - what the worker makes of what it hears


async def sessions_paid(platform: Platform, count: int) -> Sequence[str]:
    """Sessions of as many people, paid and told of."""
    pages = [await platform.person().deposit_page("2500") for _ in range(count)]
    for page in pages:
        await platform.stripe.pay(page.url)
    await platform.delivered()
    return [page.session_id for page in pages]


async def add_account_event(paying: PayoutWorld, event_id: str, account: str) -> None:
    now = paying.clock.now()
    await paying.database.run(
        lambda connection: connection.execute(
            "INSERT INTO stripe_event (id, type, object_id, account, livemode, payload, state, due_at, occurred_at, "
            "received_at) VALUES ($1, 'account.updated', $2, $2, $3, '{}', 'new', $4, $4, $4)",
            (event_id, account, False, now),
        )
    )


def test_so_many_events_without_an_answer_are_an_outage() -> None:
    patience = Patience()

    for number in range(SILENCES_MAX):
        assert not patience.outage
        patience.unanswered(f"evt_{number}")

    assert patience.outage


def test_one_event_that_is_never_answered_is_no_outage() -> None:
    patience = Patience()

    for _ in range(10 * SILENCES_MAX):
        patience.unanswered("evt_1")

    assert not patience.outage


def test_one_answer_ends_an_outage() -> None:
    patience = Patience()
    for number in range(10 * SILENCES_MAX):
        patience.unanswered(f"evt_{number}")

    patience.answered()

    assert not patience.outage
    assert patience.places(5, now=START) == 5


def test_during_an_outage_a_probe_is_sent_every_two_seconds_whatever_became_of_the_last() -> None:
    patience = Patience()
    for number in range(SILENCES_MAX):
        patience.unanswered(f"evt_{number}")
    pause = timedelta(seconds=PROBE_SECONDS)
    first = patience.places(5, now=START)
    patience.probed(now=START)

    too_soon = patience.places(4, now=START + pause - timedelta(microseconds=1))
    second = patience.places(4, now=START + pause)

    assert (first, too_soon, second) == (1, 0, 1)
    assert patience.places(0, now=START + pause) == 0
    assert patience.places(4, now=START - timedelta(hours=1)) == 1  # the clock was set back


@pytest.mark.parametrize("status", [500, 429, 401])
async def test_calls_without_an_answer_are_an_outage_and_the_first_answer_ends_it(
    platform: Platform, poison: Poison, status: int
) -> None:
    await sessions_paid(platform, SILENCES_MAX + 1)
    poison.status = status
    poison.everything()
    worker = worker_of(platform)

    assert await worker.work_once() == EVENTS_AT_ONCE_MAX
    silent = patience_of(worker).outage
    poison.cured()
    await platform.advance(seconds=PROBE_SECONDS)
    assert await worker.work_once() == 1

    assert (silent, patience_of(worker).outage) == (True, False)
    await platform.advance(seconds=2)
    await platform.assert_true()


async def test_an_answer_about_a_connected_account_ends_an_outage_too(paying: PayoutWorld) -> None:
    for number in range(SILENCES_MAX + 1):
        await add_account_event(paying, f"evt_{number}", (await paying.creator()).stripe_account_id)
    worker = EventWorker(paying.billing, jitter=lambda: 0.0)
    await paying.door.control("faults", path="/v1/accounts/", kind="status_429", count=1_000)
    await worker.work_once()
    silent = patience_of(worker).outage
    await paying.door.control("faults/clear")
    await paying.advance(seconds=PROBE_SECONDS)

    await worker.work_once()

    assert (silent, patience_of(worker).outage) == (True, False)


async def test_a_no_is_an_answer(platform: Platform, poison: Poison) -> None:
    await sessions_paid(platform, SILENCES_MAX)
    poison.status = 400
    poison.everything()
    worker = worker_of(platform)

    await worker.work_once()

    assert not patience_of(worker).outage


async def test_our_own_limit_of_time_is_not_stripes_silence(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    await sessions_paid(platform, SILENCES_MAX)
    monkeypatch.setattr("gateway.worker.EVENT_SECONDS_MAX", 0.05)
    await platform.stripe.fault(f"regex:^{SESSIONS}cs_", "timeout_before", count=1_000)
    worker = worker_of(platform)

    await worker.work_once()

    rows = await platform.database.fetch("SELECT state, error, refusals FROM stripe_event")
    assert [(row["state"], row["error"], row["refusals"]) for row in rows] == [("new", "TimeoutError: ", 0)] * 8
    assert not patience_of(worker).outage


async def test_an_event_that_hangs_keeps_no_other_waiting_during_an_outage(platform: Platform) -> None:
    (stuck,) = await sessions_paid(platform, 1)
    worker = worker_of(platform)
    for number in range(SILENCES_MAX):
        patience_of(worker).unanswered(f"evt_{number}")
    await platform.stripe.fault(f"{SESSIONS}{stuck}", "timeout_before", count=1_000)
    running = asyncio.create_task(worker.run())

    async def held() -> None:
        assert await platform.events_in("doing") == 1

    async def applied() -> None:
        assert await platform.events_in("done") == 1

    await eventually(held)
    await sessions_paid(platform, 1)
    await platform.advance(seconds=PROBE_SECONDS)
    worker.wake()
    await eventually(applied)
    assert await platform.events_in("doing", "new") == 1
    worker.stop()
    await running
