"""A payout is judged by all earnings whose hold is over, released by the chore or not."""

from datetime import UTC, datetime, timedelta

import pytest

from gateway.domain.schedules import PayoutFrequency
from gateway.services.marketplace import releases
from gateway.services.payouts import request_payout, run_due_schedules, update_frequency
from tests.support.payouts import DOLLAR, Creator, PayoutWorld
from tests.support.reading import payout_settings

#: The Monday after the one on which the hold of what is sold at the start has just ended.
MONDAY = datetime(2026, 12, 7, tzinfo=UTC)


async def weekly(paying: PayoutWorld, *, calls: int) -> Creator:
    creator = await paying.creator(cents=0)
    await paying.sell(creator, calls=calls)
    paying.clock.advance(timedelta(days=1))
    await update_frequency(paying.billing, subject=creator.subject, frequency=PayoutFrequency.WEEKLY)
    paying.clock.advance(MONDAY - paying.clock.now())
    return creator


async def runs(paying: PayoutWorld) -> list[tuple[str, str | None]]:
    rows = await paying.database.fetch("SELECT period, blocker FROM payout_run")
    return [(str(row["period"]), None if row["blocker"] is None else str(row["blocker"])) for row in rows]


async def test_a_schedule_that_comes_before_the_release_pays_what_is_due_all_the_same(paying: PayoutWorld) -> None:
    creator = await weekly(paying, calls=2)
    assert await paying.balances(creator) == {"earn_pending": 40 * DOLLAR}

    assert await run_due_schedules(paying.billing, limit=10) == 1

    assert (await paying.payout(creator)).amount_cents == 4_000
    assert await runs(paying) == [("weekly:2026-W50", None)]
    assert await paying.balances(creator) == {"transit": 40 * DOLLAR}
    await paying.assert_books()


async def test_a_request_that_comes_before_the_release_gets_what_is_due(paying: PayoutWorld) -> None:
    creator = await paying.creator(cents=0)
    await paying.sell(creator, calls=2)
    paying.clock.advance(timedelta(days=7))

    view = await request_payout(paying.billing, subject=creator.subject)

    assert view.amount_cents == 4_000
    assert await paying.balances(creator) == {"transit": 40 * DOLLAR}
    await paying.assert_books()


async def test_what_is_still_held_is_not_released_by_asking(paying: PayoutWorld) -> None:
    creator = await paying.creator(cents=1_000)
    await paying.sell(creator)
    paying.clock.advance(timedelta(days=7) - timedelta(microseconds=1))

    view = await request_payout(paying.billing, subject=creator.subject)

    assert view.amount_cents == 1_000
    assert await paying.balances(creator) == {"transit": 10 * DOLLAR, "earn_pending": 20 * DOLLAR}
    await paying.assert_books()


async def test_a_period_is_not_judged_while_more_is_due_than_one_round_releases(
    paying: PayoutWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(releases, "RELEASED_AT_ONCE_MAX", 1)
    monkeypatch.setattr(releases, "BATCHES_OF_A_CREATOR_MAX", 2)
    creator = await weekly(paying, calls=5)

    assert await run_due_schedules(paying.billing, limit=10) == 0
    assert await runs(paying) == []
    assert (await payout_settings(paying.billing, creator.subject)).next_payout_at == MONDAY
    assert await run_due_schedules(paying.billing, limit=10) == 0
    assert await run_due_schedules(paying.billing, limit=10) == 1

    assert (await paying.payout(creator)).amount_cents == 10_000
    assert await runs(paying) == [("weekly:2026-W50", None)]
    await paying.assert_books()
