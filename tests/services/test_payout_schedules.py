"""Payouts by the calendar: each period once, caught up once, and nobody held up by somebody else."""

from datetime import UTC, datetime, timedelta

from gateway.domain.schedules import PayoutFrequency
from gateway.services.payouts import run_due_schedules, update_frequency
from tests.support.payouts import DOLLAR, Creator, PayoutWorld
from tests.support.reading import payout_settings

MONDAY = datetime(2026, 11, 30, tzinfo=UTC)


async def runs(paying: PayoutWorld, creator: Creator) -> list[tuple[str, str | None]]:
    """Each run's period, and its blocker if it had one."""
    rows = await paying.database.fetch(
        "SELECT period, blocker FROM payout_run WHERE creator_id = $1 ORDER BY created_at, period", (creator.id,)
    )
    return [(str(row["period"]), None if row["blocker"] is None else str(row["blocker"])) for row in rows]


async def weekly(paying: PayoutWorld, *, cents: int = 5_000, stage: str = "active") -> Creator:
    creator = await paying.creator(cents=cents, stage=stage)
    await update_frequency(paying.billing, subject=creator.subject, frequency=PayoutFrequency.WEEKLY)
    return creator


async def run_due(paying: PayoutWorld, *, limit: int = 100) -> int:
    return await run_due_schedules(paying.billing, limit=limit)


async def test_a_week_is_paid_once_when_it_begins(paying: PayoutWorld) -> None:
    creator = await weekly(paying)
    assert await run_due(paying) == 0
    paying.clock.advance(MONDAY - paying.clock.now() - timedelta(microseconds=1))
    assert await run_due(paying) == 0

    paying.clock.advance(timedelta(microseconds=1))
    assert await run_due(paying) == 1
    assert await run_due(paying) == 0

    payout = await paying.payout(creator)
    assert (payout.amount_cents, payout.manual, payout.period) == (5_000, False, "weekly:2026-W49")
    assert await runs(paying, creator) == [("weekly:2026-W49", None)]
    settings = await payout_settings(paying.billing, creator.subject)
    assert settings.next_payout_at == MONDAY + timedelta(days=7)
    assert await paying.work(payout.id)
    await paying.assert_books()


async def test_five_missed_weeks_are_one_run_of_the_newest(paying: PayoutWorld) -> None:
    creator = await weekly(paying)
    await paying.advance(days=5 * 7, hours=3)

    assert await run_due(paying) == 1
    assert await run_due(paying) == 0

    assert await runs(paying, creator) == [("weekly:2026-W53", None)]
    settings = await payout_settings(paying.billing, creator.subject)
    assert settings.next_payout_at == datetime(2027, 1, 4, tzinfo=UTC)
    assert len(await paying.payouts(creator)) == 1
    await paying.assert_books()


async def test_a_month_begins_on_its_first(paying: PayoutWorld) -> None:
    creator = await paying.creator()
    await update_frequency(paying.billing, subject=creator.subject, frequency=PayoutFrequency.MONTHLY)
    await paying.advance(days=2)

    assert await run_due(paying) == 1

    assert (await paying.payout(creator)).period == "monthly:2026-12"
    settings = await payout_settings(paying.billing, creator.subject)
    assert settings.next_payout_at == datetime(2027, 1, 1, tzinfo=UTC)
    await paying.assert_books()


async def test_a_run_that_is_blocked_says_why_and_the_next_one_pays(paying: PayoutWorld) -> None:
    poor, waiting = await weekly(paying, cents=999), await weekly(paying, stage="review")
    await paying.advance(days=1)

    assert await run_due(paying) == 2
    assert await runs(paying, poor) == [("weekly:2026-W49", "BELOW_MINIMUM_PAYOUT")]
    assert await runs(paying, waiting) == [("weekly:2026-W49", "PAYOUTS_NOT_READY")]

    await paying.earn(poor, micros=DOLLAR)
    assert await run_due(paying) == 0
    await paying.advance(days=7)
    assert await run_due(paying) == 2
    assert (await paying.payout(poor)).amount_cents == 1_099
    assert await paying.payouts(waiting) == []
    await paying.assert_books()


async def test_a_period_that_was_run_is_not_run_again_after_a_change_of_mind(paying: PayoutWorld) -> None:
    creator = await weekly(paying)
    await paying.advance(days=1)
    assert await run_due(paying) == 1
    assert await paying.work((await paying.payout(creator)).id)
    await paying.earn(creator, micros=50 * DOLLAR)

    await paying.schedule(creator, due_at=MONDAY)
    assert await run_due(paying) == 1

    assert len(await paying.payouts(creator)) == 1
    assert await runs(paying, creator) == [("weekly:2026-W49", None)]
    assert await run_due(paying) == 0
    await paying.assert_books()


async def test_what_is_wrong_with_one_creator_holds_up_nobody(paying: PayoutWorld) -> None:
    """A row that cannot be: a payout of this period that no run knows."""
    creators = [await weekly(paying) for _ in range(3)]
    broken = creators[0]
    await paying.advance(days=1)
    assert await run_due(paying) == 3
    for creator in creators:
        await paying.work((await paying.payout(creator)).id)
        await paying.earn(creator, micros=50 * DOLLAR)
        await paying.schedule(creator, due_at=MONDAY)
    others = tuple(one.id for one in creators[1:])
    await paying.database.run(
        lambda connection: connection.execute("DELETE FROM payout_run WHERE creator_id = $1", (broken.id,))
    )
    await paying.advance(days=7)
    await paying.database.run(
        lambda connection: connection.execute("UPDATE payout SET period = 'weekly:2026-W50' WHERE NOT manual")
    )
    await paying.database.run(
        lambda connection: connection.execute(
            "UPDATE payout SET period = 'weekly:2026-W49' WHERE creator_id IN ($1, $2)", others
        )
    )

    assert await run_due(paying, limit=10) == 2

    assert [len(await paying.payouts(creator)) for creator in creators] == [1, 2, 2]
    assert await paying.balances(broken) == {"earn_available": 50 * DOLLAR}
    await paying.assert_books()


async def test_more_than_the_limit_are_seen_to_in_later_rounds(paying: PayoutWorld) -> None:
    creators = [await weekly(paying) for _ in range(5)]
    await paying.advance(days=1)

    assert [await run_due(paying, limit=2) for _ in range(4)] == [2, 2, 1, 0]

    assert [len(await paying.payouts(creator)) for creator in creators] == [1] * 5
    await paying.assert_books()
