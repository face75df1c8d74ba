"""A payout through every crash: each boundary of the saga, singly and in pairs, in each of Stripe's moods.

A boundary is the moment before or after a COMMIT, or before or after a call to Stripe about transfers. They are
counted over the life of a payout: a node dies at one, the next takes over an hour later and may die at a later one.
Another scheduler is at the same work beside them, or not; the first answer of Stripe is lost, or not; and Stripe has
forgotten the key when the second node comes, or not. On odd days its lists lag, or lag and our key is not let in for
a while, which says nothing of what was made before.
"""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import count, product
from typing import Final

import pytest

from gateway.db import Database
from gateway.domain.errors import ProviderMisconfigured
from gateway.domain.schedules import PayoutFrequency, last_run_at
from gateway.services.payouts import update_frequency
from tests.support.crashing import Crash, CrashingDatabase, CrashingStripe, Tripwire
from tests.support.odd_stripe import OddDay, OddStripe
from tests.support.payouts import DOLLAR, Creator, PayoutWorld, open_payout_world

PASSES: Final = 5
#: Longer than Stripe remembers a key.
KEYS_FORGOTTEN_HOURS: Final = 25
#: Longer than any pause of the saga.
BETWEEN_PASSES_MINUTES: Final = 61
#: Pairs of crashes tried in a test run, and how far apart they are at most.
SAMPLED: Final = 60
APART_MAX: Final = 12
CENTS: Final = 5_000
#: Transfers of a payout, after the first one, that are refused while our key is not let in.
REFUSED: Final = 2
#: Three transactions, the schedule's, the attempt's and the record's, and one call: each has two sides.
BOUNDARIES_OF_A_CALM_PAYOUT: Final = 8


@pytest.fixture
async def paying(database: Database) -> AsyncIterator[PayoutWorld]:
    async with open_payout_world(database) as world:
        yield world


@dataclass(frozen=True, slots=True)
class Mood:
    """What else goes wrong."""

    reply_lost: bool
    keys_forgotten: bool
    two_schedulers: bool
    looks_lag: bool = False
    not_let_in: bool = False

    def day(self, paying: PayoutWorld) -> OddDay:
        refusal = ProviderMisconfigured("The payment provider refused the request.") if self.not_let_in else None
        return OddDay(paying.clock, lags_once=self.looks_lag, refusal=refusal, refuses=REFUSED)


MOODS: Final = (
    *(Mood(*flags) for flags in product((False, True), repeat=3)),
    Mood(reply_lost=True, keys_forgotten=False, two_schedulers=True, looks_lag=True),
    Mood(reply_lost=True, keys_forgotten=True, two_schedulers=False, looks_lag=True),
    Mood(reply_lost=True, keys_forgotten=False, two_schedulers=False, looks_lag=True, not_let_in=True),
    Mood(reply_lost=True, keys_forgotten=True, two_schedulers=True, looks_lag=True, not_let_in=True),
)


async def one_pass(paying: PayoutWorld, wire: Tripwire, day: OddDay, *, beside: bool) -> None:
    """A node that does its jobs and dies where the wire says, and perhaps another that does not."""
    connection = paying.billing.stripe.connection
    node = paying.beside(database=CrashingDatabase(paying.database, wire), stripe=CrashingStripe(connection, wire, day))
    other = paying.beside(stripe=OddStripe(connection, day))

    async def live_or_die() -> None:
        with suppress(Crash):
            await node.do_jobs()

    await asyncio.gather(live_or_die(), *([other.round()] if beside else []))
    await until_the_dead_let_go(paying.database)


async def until_the_dead_let_go(database: Database) -> None:
    """Until PostgreSQL has undone what a dead node left open: rows it holds are passed over until then."""
    if database.dialect == "sqlite":
        return
    left = (
        "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND xact_start IS NOT NULL "
        "AND backend_type = 'client backend' AND pid <> pg_backend_pid()"
    )
    async with asyncio.timeout(20):
        while await database.fetch(left):
            await asyncio.sleep(0.01)


async def due_creator(paying: PayoutWorld) -> Creator:
    creator = await paying.creator(cents=CENTS)
    run_at = last_run_at(PayoutFrequency.WEEKLY, paying.clock.now())
    assert run_at is not None
    await paying.schedule(creator, due_at=run_at)
    return creator


async def run_trial(paying: PayoutWorld, mood: Mood, *crashes: int) -> Tripwire:
    """One payout through its crashes, to its one transfer, and a pass beyond."""
    creator, wire, day = await due_creator(paying), Tripwire(frozenset(crashes)), mood.day(paying)
    if mood.reply_lost:
        await paying.door.fault("/v1/transfers", "drop_after", method="POST")
    for number in range(PASSES + (REFUSED if mood.not_let_in else 0)):
        over = any(one.state == "in_transit" for one in await paying.payouts(creator))
        await one_pass(paying, wire, day, beside=mood.two_schedulers)
        if over:
            break
        forgotten = mood.keys_forgotten and number == 0
        await paying.advance(hours=KEYS_FORGOTTEN_HOURS if forgotten else 0, minutes=BETWEEN_PASSES_MINUTES)
    await paying.door.control("faults/clear")
    await assert_paid_once(paying, creator, about=(mood, crashes))
    await update_frequency(paying.billing, subject=creator.subject, frequency=PayoutFrequency.MANUAL)
    return wire


async def assert_paid_once(paying: PayoutWorld, creator: Creator, *, about: object) -> None:
    payout = await paying.payout(creator)
    transfers = await paying.transfers(payout.id)
    assert payout.state == "in_transit", (about, payout.state)
    assert [one["id"] for one in transfers] == [payout.transfer_id], (about, transfers)
    assert await paying.balances(creator) == {}, about
    assert await paying.statement(creator) == [("PAYOUT", -CENTS * DOLLAR // 100)], about
    runs = await paying.database.fetch("SELECT payout_id FROM payout_run WHERE creator_id = $1", (creator.id,))
    assert [str(row["payout_id"]) for row in runs if row["payout_id"] is not None] == [str(payout.id)], about


async def every_second_crash(paying: PayoutWorld, mood: Mood, first: int) -> int | None:
    """Each later boundary in turn; how many there were, or None when not even the first crash was reached."""
    for pairs, second in enumerate(count(first + 1)):
        wire = await run_trial(paying, mood, first, second)
        if wire.tripped < len({first, second}):
            return pairs if wire.tripped else None
    raise AssertionError("boundaries never end")


async def test_a_crash_at_any_boundary_makes_one_transfer(paying: PayoutWorld) -> None:
    died = 0
    for mood in MOODS:
        calm = await run_trial(paying, mood)
        assert mood.two_schedulers or calm.passed >= BOUNDARIES_OF_A_CALM_PAYOUT
        for boundary in range(1, calm.passed + 1):
            died += (await run_trial(paying, mood, boundary)).tripped

    alone = sum(not mood.two_schedulers for mood in MOODS)
    assert died >= alone * BOUNDARIES_OF_A_CALM_PAYOUT
    await paying.assert_books()


async def test_two_crashes_make_one_transfer(paying: PayoutWorld) -> None:
    """As many pairs as fit into a test run; all of them are for `make storm`."""
    dice, died_twice = random.Random(5), 0
    for number in range(SAMPLED):
        mood = MOODS[number % len(MOODS)]
        first = dice.randint(1, BOUNDARIES_OF_A_CALM_PAYOUT)
        wire = await run_trial(paying, mood, first, first + dice.randint(1, APART_MAX))
        died_twice += wire.tripped == 2

    assert died_twice >= SAMPLED // 4
    await paying.assert_books()


@pytest.mark.storm
async def test_every_pair_of_crashes_makes_one_transfer(paying: PayoutWorld) -> None:
    died_twice = 0
    for mood in MOODS:
        for first in count(1):
            if (pairs := await every_second_crash(paying, mood, first)) is None:
                break
            died_twice += pairs

    assert died_twice >= len(MOODS) * BOUNDARIES_OF_A_CALM_PAYOUT
    await paying.assert_books()


async def test_without_a_look_a_forgotten_key_pays_twice(paying: PayoutWorld) -> None:
    """That the trials can fail: this is what sending again without a look comes to."""
    creator = await due_creator(paying)
    await paying.door.fault("/v1/transfers", "drop_after", method="POST")
    await paying.round()
    payout = await paying.payout(creator)
    await paying.advance(hours=KEYS_FORGOTTEN_HOURS)

    await paying.billing.stripe.create_transfer(
        amount_cents=CENTS,
        destination=creator.stripe_account_id,
        payout_id=str(payout.id),
        idempotency_key=f"po:{payout.id}:1",
    )

    assert len(await paying.transfers(payout.id)) == 2
