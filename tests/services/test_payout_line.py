"""Too little on the platform's balance for all: who has waited longest is paid first, and nobody waits for ever."""

from datetime import timedelta

from gateway.db import Connection
from gateway.services.events.applying import apply_event
from gateway.services.events.inbox import claim_events, store_event
from gateway.services.payouts import request_payout
from gateway.stripe_service import WebhookEvent
from models.stripe_event import EventState
from tests.support.payouts import FUNDS_CENTS, Creator, PayoutWorld
from tests.support.reading import payout_settings


async def asked(paying: PayoutWorld, *, cents: int) -> Creator:
    creator = await paying.creator(cents=cents)
    await request_payout(paying.billing, subject=creator.subject)
    return creator


async def waiting(paying: PayoutWorld, *, cents: int) -> Creator:
    """A payout that Stripe was asked for, and that the balance did not cover."""
    creator = await asked(paying, cents=cents)
    assert not await paying.work((await paying.payout(creator)).id)
    assert (await paying.payout(creator)).waits_for == "balance"
    return creator


async def standing(paying: PayoutWorld, creator: Creator) -> tuple[str, int]:
    payout = await paying.payout(creator)
    return payout.state, payout.attempts


async def jobs_due(paying: PayoutWorld) -> set[str]:
    """The payouts whose jobs are due now."""
    rows = await paying.database.fetch(
        "SELECT key FROM job WHERE state = 'waiting' AND due_at <= $1", (paying.clock.now(),)
    )
    return {str(row["key"]) for row in rows}


async def test_newcomers_leave_what_comes_in_to_a_large_payout_that_waits(paying: PayoutWorld) -> None:
    await paying.fund(-FUNDS_CENTS)
    large = await asked(paying, cents=50_000)
    await paying.do_jobs()
    small: list[Creator] = []

    for _ in range(4):
        await paying.fund(20_000)
        small += [await asked(paying, cents=5_000) for _ in range(2)]
        await paying.do_jobs()
        await paying.advance(hours=2)
    await paying.do_jobs()

    assert (await paying.payout(large)).state == "in_transit"
    assert [(await paying.payout(one)).state for one in small].count("in_transit") == 6
    await paying.assert_books()


async def test_who_stands_in_line_does_not_ask_and_is_called_when_it_is_its_turn(paying: PayoutWorld) -> None:
    await paying.fund(-FUNDS_CENTS)
    first = await asked(paying, cents=5_000)
    await paying.do_jobs()
    await paying.advance(minutes=1)
    second = await asked(paying, cents=5_000)
    await paying.fund(9_000)
    await paying.do_jobs()
    assert await standing(paying, second) == ("requested", 0)
    assert (await paying.payout(second)).due_at == paying.clock.now() + timedelta(minutes=5)
    (blocker,) = [
        one for one in (await payout_settings(paying.billing, second.subject)).blockers if "waits" in one.message
    ]
    assert blocker.message.startswith("A payout of $50.00 waits until the money of recent sales has arrived at Stripe")

    await paying.advance(minutes=4)
    await paying.do_jobs()

    assert await standing(paying, first) == ("in_transit", 2)
    assert await standing(paying, second) == ("requested", 1)
    await paying.assert_books()


async def test_a_payout_that_can_never_be_paid_keeps_others_behind_it_for_a_day(paying: PayoutWorld) -> None:
    await paying.fund(-FUNDS_CENTS)
    never = await waiting(paying, cents=FUNDS_CENTS)
    await paying.fund(100_000)

    await paying.advance(hours=23, minutes=59)
    early = await asked(paying, cents=5_000)
    early_id = (await paying.payout(early)).id
    assert not await paying.work(early_id)
    assert await standing(paying, early) == ("requested", 0)

    await paying.advance(minutes=1)
    late = await asked(paying, cents=5_000)
    assert await paying.work(early_id)
    assert await paying.work((await paying.payout(late)).id)
    assert await standing(paying, late) == ("in_transit", 1)
    assert await standing(paying, never) == ("requested", 1)
    await paying.assert_books()


async def test_a_place_in_line_is_kept_through_the_attempts(paying: PayoutWorld) -> None:
    await paying.fund(-FUNDS_CENTS)
    first = await waiting(paying, cents=5_000)
    since = paying.clock.now()
    await paying.advance(minutes=5)

    assert not await paying.work((await paying.payout(first)).id)

    assert await standing(paying, first) == ("requested", 2)
    assert (await paying.payout(first)).funds_awaited_since == since
    await paying.assert_books()


async def test_when_money_comes_in_the_first_in_line_and_the_longest_waiting_ask_at_once(paying: PayoutWorld) -> None:
    await paying.fund(-FUNDS_CENTS)
    longest = await waiting(paying, cents=50_000)
    await paying.advance(days=1)
    first = await waiting(paying, cents=6_000)
    await paying.advance(minutes=1)
    behind = await asked(paying, cents=5_000)
    assert not await paying.work((await paying.payout(behind)).id)
    await put_jobs_off(paying)
    assert await jobs_due(paying) == set()

    await paying.fund(100_000)
    assert await balance_available(paying) is EventState.DONE

    expected = {str((await paying.payout(one)).id) for one in (longest, first)}
    assert await jobs_due(paying) == expected
    await paying.do_jobs()
    assert [(await paying.payout(one)).state for one in (longest, first, behind)] == ["in_transit"] * 3
    await paying.assert_books()


async def test_an_event_about_the_balance_with_nobody_in_line_does_nothing(paying: PayoutWorld) -> None:
    creator = await asked(paying, cents=5_000)

    assert await balance_available(paying) is EventState.DONE

    assert await standing(paying, creator) == ("requested", 0)
    await paying.assert_books()


async def put_jobs_off(paying: PayoutWorld) -> None:
    """What the doer of a job does with a payout that waits."""

    async def work(connection: Connection) -> None:
        await connection.execute("UPDATE job SET due_at = $1", (paying.clock.now() + timedelta(hours=1),))

    await paying.database.run(work)


async def balance_available(paying: PayoutWorld) -> EventState:
    """Stripe says that more is available; of a balance an event has no id."""
    now = paying.clock.now()
    event = WebhookEvent(
        event_id="evt_balance",
        type="balance.available",
        object_id=None,
        object_type="balance",
        account=None,
        api_version=None,
        livemode=False,
        created_at=now,
        payload="{}",
    )
    await store_event(paying.database, event, now=now)
    (claimed,) = await claim_events(paying.database, now=now, limit=10)
    return await apply_event(paying.billing, claimed)
