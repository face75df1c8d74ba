"""Random schedules: lives of many customers at once, over a bad line, with events doubled, late and out of order.

`python -m tests.faults.schedules COUNT SEED URL` runs them on a fresh, migrated database.
"""

import asyncio
import logging
import random
import sys
import time
from collections import Counter
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from itertools import combinations
from typing import Final

import structlog

from gateway.db import migrate
from gateway.db.rows import integer
from gateway.domain.clock import ManualClock
from gateway.services.plans.due import sync_due_plans
from gateway.worker import EventWorker
from tests.faults.life import Life
from tests.support.books import assert_books_balance
from tests.support.gateway import CLEARING_TOLD_AFTER_SECONDS, START, Platform, eventually, open_platform
from tests.support.post_office import Letter, PostOffice, open_post_office
from tests.support.truth import customers_in_books, holding_at_stripe, holding_in_books, past_due_at_stripe
from tests.support.weather import late_answers

#: Lives lived at once; what each does interleaves with what the others do.
AT_ONCE: Final = 20
#: Beside the gateway's own, so that events of one customer are applied side by side and not in a queue.
WORKERS: Final = 8
STEPS: Final = range(4, 11)
#: How the time of the gateway and of Stripe runs during a schedule.
TICK_SECONDS: Final = 0.05
LATE_SECONDS_MAX: Final = 0.03
DOUBLE_PERCENT: Final = 30
#: Of a hundred letters: brought at once, and kept until everything else has happened; the rest come a little later.
#: Drawn for each batch: what comes late mends what went wrong before, so often nothing does.
AT_ONCE_PERCENT: Final = (50, 100, 100)
KEPT_PERCENT: Final = (0, 0, 0, 15, 40)
LATER_SECONDS_MAX: Final = 0.5
FAULT_PERCENT: Final = 35
FAULTS: Final = (
    *("status_500", "status_500_after", "status_429", "status_409", "drop_before", "drop_after"),
    *("cut_body", "not_json", "timeout_before", "timeout_after", "slow"),
)
#: As many in a row as the SDK does not get over by itself.
ENOUGH: Final = 3
#: How often the gateway is made to look at a plan that is changing, and how soon.
LOOKS: Final = 2
LOOK_SECONDS_MAX: Final = 0.4
LEAPS_DAYS: Final = (0, 0, 1, 4, 31, 40)
#: As `GATEWAY_PAST_DUE_GRACE_HOURS` is shipped.
GRACE_DAYS: Final = 7
SETTLE_SECONDS_MAX: Final = 120.0


@dataclass(eq=False)
class Schedules:
    """One platform on which batch after batch of schedules is lived; `done` counts them."""

    platform: Platform
    office: PostOffice
    dice: random.Random
    workers: Sequence[EventWorker]
    done: int = 0
    letters: int = 0
    deliveries: int = 0
    statuses: Counter[int | None] = field(default_factory=Counter[int | None])
    wrong: list[str] = field(default_factory=list[str])
    _kept_percent: int = 0
    _at_once_percent: int = 100
    _kept: list[Letter] = field(default_factory=list[Letter])
    _carriers: set[asyncio.Task[None]] = field(default_factory=set[asyncio.Task[None]])

    async def batch(self, count: int) -> None:
        """Live `count` lives side by side, in two halves between which time may leap; then compare each."""
        lives = [self._life() for _ in range(count)]
        self._kept_percent, self._at_once_percent = self.dice.choice(KEPT_PERCENT), self.dice.choice(AT_ONCE_PERCENT)
        leaps_days = self.dice.choice(LEAPS_DAYS)
        for leap_days in (leaps_days, None):
            await self._half(lives)
            if leap_days:
                await self.platform.advance(days=leap_days)
                await self._settle()
        await self._bring_the_rest()
        await self._settle()
        for life in lives:
            await self._compare(life.subject, in_doubt=leaps_days >= GRACE_DAYS)
        await self._outlast_the_grace(lives)
        rows = await self.platform.database.fetch("SELECT id FROM stripe_event")
        assert {letter.event_id for letter in self.office.letters} <= {str(row["id"]) for row in rows}
        await assert_books_balance(self.platform.database)
        self.done += count

    def _life(self) -> Life:
        person = self.platform.person()
        return Life(doors=[person], stripe=self.platform.stripe, dice=random.Random(self.dice.random()))

    async def _half(self, lives: Sequence[Life]) -> None:
        ticking = asyncio.create_task(self._tick())
        try:
            async with asyncio.TaskGroup() as crowd:
                for life in lives:
                    crowd.create_task(self._live(life))
        finally:
            ticking.cancel()
            with suppress(asyncio.CancelledError):
                await ticking
        await self._settle()

    async def _live(self, life: Life) -> None:
        for _ in range(life.dice.choice(STEPS) // 2):
            if life.dice.randrange(100) < FAULT_PERCENT:
                await self._plan_fault(life.dice)
            async with asyncio.TaskGroup() as together:
                together.create_task(life.step())
                if life.dice.random() < 0.3:
                    together.create_task(life.look_again())
                if life.dice.random() < 0.25:
                    together.create_task(life.step())

        if life.dice.random() < 0.5:
            await self._race(life)
        else:
            await life.be_changed_often()

    async def _race(self, life: Life) -> None:
        """The plan changes while the gateway looks at it; an old look must not win."""
        async with asyncio.TaskGroup() as together:
            together.create_task(life.be_changed_often())
            for _ in range(LOOKS):
                together.create_task(self._look_soon(life))

    async def _look_soon(self, life: Life) -> None:
        """Who wants to buy a second plan makes the gateway ask Stripe for the first."""
        await asyncio.sleep(life.dice.uniform(0, LOOK_SECONDS_MAX))
        await life.subscribe()

    async def _plan_fault(self, dice: random.Random) -> None:
        kind, count = dice.choice(FAULTS), dice.choice((1, ENOUGH))
        await self.platform.stripe.control(
            "faults", path="/v1/", kind=kind, count=count, skip=dice.randrange(8), seconds=0.45
        )

    async def _tick(self) -> None:
        clock = self.platform.clock
        assert isinstance(clock, ManualClock)
        while True:
            await asyncio.sleep(TICK_SECONDS)
            await self.platform.advance(seconds=1)

    def take(self, letter: Letter) -> None:
        """Decide what becomes of a letter that Stripe just sent."""
        self.letters += 1
        for _ in range(2 if self.dice.randrange(100) < DOUBLE_PERCENT else 1):
            if self.dice.randrange(100) < self._kept_percent:
                self._kept.append(letter)
                continue
            at_once = self.dice.randrange(100) < self._at_once_percent
            delay = 0.0 if at_once else self.dice.uniform(0, LATER_SECONDS_MAX)
            carrier = asyncio.get_running_loop().create_task(self._carry(letter, delay))
            self._carriers.add(carrier)
            carrier.add_done_callback(self._carriers.discard)

    async def _carry(self, letter: Letter, delay: float = 0.0) -> None:
        """Deliver until it is taken; a signature that grew too old on the way is made anew, as Stripe does."""
        await asyncio.sleep(delay)
        node = self.platform.nodes[0]
        secret = node.gateway.settings.stripe_webhook_secrets[0].get_secret_value()
        status = None
        while status != 200:
            status = await self.office.deliver(letter, to=node.url, secret=secret)
            self.statuses[status] += 1
            await asyncio.sleep(0 if status == 200 else TICK_SECONDS)
        self.deliveries += 1
        for worker in self.workers:
            worker.wake()

    async def _bring_the_rest(self) -> None:
        kept, self._kept = self._kept, []
        self.dice.shuffle(kept)
        for letter in kept:
            await self._carry(letter)

    async def _settle(self) -> None:
        """Faults are over; the clock goes on until nothing that was delivered is left undone."""
        await self.platform.stripe.control("faults/clear")

        async def nothing_open() -> None:
            await self.platform.delivered()
            if self._carriers:
                await asyncio.wait(self._carriers)
            await self.platform.advance(seconds=5)
            await self.platform.nodes[0].worker.work_once()
            assert await self.platform.events_in("new", "doing") == 0

        await eventually(nothing_open, seconds_max=SETTLE_SECONDS_MAX)
        assert await self.platform.events_in("dead") == 0

    async def _outlast_the_grace(self, lives: Sequence[Life]) -> None:
        """Whatever is past due now, and stays so, has had its grace period after this; then compare again."""
        late: dict[str, frozenset[str]] = {}
        for life in lives:
            customers = await customers_in_books(self.platform.database, life.subject)
            late[life.subject] = await past_due_at_stripe(self.platform.stripe, customers)
        self._kept_percent = 0
        await self.platform.advance(days=GRACE_DAYS, hours=1)
        await self._settle()
        await eventually(self._no_plan_due, seconds_max=SETTLE_SECONDS_MAX)
        for subject, over in late.items():
            await self._compare(subject, over=over)

    async def _no_plan_due(self) -> None:
        """A Stripe that is slow on a busy machine is a silent one, whose plans are asked about again in a while."""
        await sync_due_plans(self.platform.billing)
        rows = await self.platform.database.fetch(
            "SELECT sync_due_at, silences FROM plan WHERE sync_due_at <= $1 OR silences > 0 LIMIT 1",
            (self.platform.clock.now(),),
        )
        if rows and integer(rows[0], "silences"):
            await self.platform.advance(minutes=1)
            await self._settle()
        assert not rows

    async def _compare(self, subject: str, *, over: frozenset[str] = frozenset(), in_doubt: bool = False) -> None:
        """Our books against Stripe; where it is `in_doubt` which grace periods are over, any of them may be."""
        stripe, now = self.platform.stripe, self.platform.clock.now()
        customers = await customers_in_books(self.platform.database, subject)
        late = sorted(await past_due_at_stripe(stripe, customers)) if in_doubt else []
        chosen = [frozenset(some) for size in range(len(late) + 1) for some in combinations(late, size)]
        true = [await holding_at_stripe(stripe, customers, over=over | some) for some in chosen]
        ours = await holding_in_books(self.platform.database, subject, now=now)
        if ours not in true:
            self.wrong.append(f"{subject}: Stripe says {true}, our books say {ours}")


@asynccontextmanager
async def open_schedules(database_url: str, *, seed: int) -> AsyncGenerator[Schedules]:
    """A platform for schedules on a fresh, migrated database."""
    clock, dice = ManualClock(START), random.Random(seed)
    line = late_answers(random.Random(seed + 1), seconds_max=LATE_SECONDS_MAX)
    async with (
        open_post_office(now=lambda: int(clock.now().timestamp())) as office,
        open_platform(
            database_url,
            clock=clock,
            hasty=True,
            events_to=office.url,
            weather=[line],
            clearing_told_after_seconds=CLEARING_TOLD_AFTER_SECONDS,
        ) as platform,
    ):
        billing = platform.nodes[0].gateway.billing
        workers = [EventWorker(billing, jitter=lambda: 0.0) for _ in range(WORKERS)]
        schedules = Schedules(platform, office, dice, workers)
        office.came = schedules.take
        running = [asyncio.create_task(worker.run()) for worker in workers]
        yield schedules
        for worker in workers:
            worker.stop()
        await asyncio.gather(*running)


async def run_schedules(database_url: str, *, count: int, seed: int) -> tuple[Schedules, str]:
    """Live `count` schedules drawn from `seed`; each must end with the true plan and money; returns what was done."""
    began = time.monotonic()
    async with open_schedules(database_url, seed=seed) as schedules:
        while schedules.done < count:
            await schedules.batch(min(AT_ONCE, count - schedules.done))
            assert not schedules.wrong, schedules.wrong
        events = await schedules.platform.events_in("done", "ignored")
    report = (
        f"seed {seed}: {schedules.done} schedules, {schedules.letters} events, {schedules.deliveries} deliveries, "
        f"{events} applied, {len(schedules.wrong)} wrong, {time.monotonic() - began:.0f} s"
    )
    return schedules, report


async def _main(count: int, seed: int, url: str) -> None:
    await migrate(url)
    _, report = await run_schedules(url, count=count, seed=seed)
    print(report)  # noqa: T201 - for whoever runs it by hand


if __name__ == "__main__":
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    asyncio.run(_main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]))
