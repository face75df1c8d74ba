"""Real gateway processes under a storm of deliveries, killed again and again; what they acknowledged must come true.

The local Stripe and its post office live in this process and are never killed. Customers buy, change and look again;
every event is delivered until it is acknowledged, many twice, in no order, between forgeries; and while that goes on
one process after another is killed and started anew.
"""

import asyncio
import random
import time
from collections import Counter
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, Protocol

from gateway.db import Database, open_database
from gateway.domain.clock import CLOCKS_DIFFER_MAX, SystemClock
from gateway.domain.ledger import STRIPE, STRIPE_FEES, SUBSCRIPTIONS
from gateway.server.auth import make_token
from gateway.services.ledger import balance
from tests.faults.life import Life
from tests.support.books import assert_books_balance
from tests.support.gateway import (
    CLEARING_TOLD_AFTER_SECONDS,
    JWT_SECRET,
    eventually,
    free_socket,
    gateway_environ,
    gateway_settings,
    open_local_stripe,
    set_up,
)
from tests.support.person import Person
from tests.support.post_office import Letter, PostOffice, open_post_office
from tests.support.processes import GatewayProcess
from tests.support.stripe_door import StripeDoor
from tests.support.truth import customers_in_books, holding_at_stripe, holding_in_books

#: Of a hundred deliveries that were acknowledged, so many are delivered again: then three of ten are duplicates.
AGAIN_PERCENT: Final = 30
FORGED_PERCENT: Final = 3
VERIFIED_PERCENT: Final = 10
CARRIERS: Final = 8
BUYERS: Final = 6
STEPS_A_LIFE: Final = 10
#: A carrier draws from a heap of letters; while it is smaller than this there is little to shuffle, so buyers go on.
HEAP_WANTED: Final = 60
#: How long a carrier waits before a door that did not take its letter.
AGAIN_SECONDS_MAX: Final = 0.2
DEAD_SECONDS_MAX: Final = 0.5
#: Longer than a lease: what a killed process held is taken over by another.
SETTLE_SECONDS_MAX: Final = 300.0
IDLE_SECONDS: Final = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class Weight:
    """How hard it blows, and how long at most."""

    deliveries: int
    strikes: int
    seconds_max: float
    wait_for_leases: bool


class Disaster(Protocol):
    """What strikes again and again while the storm blows; each time it says what it struck."""

    async def __call__(self, storm: "Storm", number: int) -> str: ...


@dataclass(eq=False)
class Storm:
    """One storm; `report` tells what it did."""

    database: Database
    processes: Sequence[GatewayProcess]
    stripe: StripeDoor
    office: PostOffice
    secret: str
    dice: random.Random
    weight: Weight
    disaster: Disaster
    acknowledged: Counter[str] = field(default_factory=Counter[str])
    statuses: Counter[str] = field(default_factory=Counter[str])
    lives: list[Life] = field(default_factory=list[Life])
    strikes: Counter[str] = field(default_factory=Counter[str])
    verified: int = 0
    forged: int = 0
    _heap: list[Letter] = field(default_factory=list[Letter])
    _carried: int = 0
    _buying: int = BUYERS

    async def blow(self) -> None:
        """Until every event is acknowledged, and as many deliveries were made as wanted; then calm down and compare."""
        self.office.came = self._heap.append
        async with asyncio.timeout(self.weight.seconds_max):
            async with asyncio.TaskGroup() as tasks:
                for _ in range(BUYERS):
                    tasks.create_task(self._buy())
                for _ in range(CARRIERS):
                    tasks.create_task(self._carry())
                tasks.create_task(self._strike())
            await self._carry_what_is_late()
            if not self.weight.wait_for_leases:
                await self._let_leases_end()
            await eventually(self._nothing_open, seconds_max=SETTLE_SECONDS_MAX)
            await self._compare()

    @property
    def deliveries(self) -> int:
        return self.acknowledged.total()

    @property
    def _serving(self) -> list[GatewayProcess]:
        return [process for process in self.processes if process.serves]

    @property
    def _blown(self) -> bool:
        return self.deliveries + len(self._heap) >= self.weight.deliveries

    async def _buy(self) -> None:
        """One customer after another, as long as events are wanted."""
        while not self._blown:
            life = self._life()
            self.lives.append(life)
            for _ in range(STEPS_A_LIFE):
                await life.step()
                while len(self._heap) > 4 * HEAP_WANTED and not self._blown:
                    await asyncio.sleep(IDLE_SECONDS)
        self._buying -= 1

    def _life(self) -> Life:
        subject = f"person-{len(self.lives) + 1}"
        doors = [
            Person(subject=subject, url=process.url, http=self.office.http, token=lambda: _token(subject))
            for process in self._serving
        ]
        return Life(doors=doors, stripe=self.stripe, dice=random.Random(self.dice.random()))

    async def _carry(self) -> None:
        """Take any letter from the heap and bring it to any gateway until one takes it."""
        while True:
            if self._heap and (len(self._heap) > HEAP_WANTED or not self._buying):
                letter = self._heap.pop(self.dice.randrange(len(self._heap)))
                await self._bring(letter)
                if self.dice.randrange(100) < AGAIN_PERCENT:
                    self._heap.append(letter)
            elif self._done:
                return
            else:
                await asyncio.sleep(IDLE_SECONDS)

    @property
    def _done(self) -> bool:
        return not self._buying and not self._heap

    async def _bring(self, letter: Letter) -> None:
        if self.dice.randrange(100) < FORGED_PERCENT:
            await self._forge(letter)
        status = None
        while status != 200:
            status = await self.office.deliver(letter, to=self.dice.choice(self._serving).url, secret=self.secret)
            self.statuses[str(status)] += 1
            assert status in {200, 503, None}, f"{letter.event_id}: {list(self.office.refusals)}"
            await asyncio.sleep(0 if status == 200 else self.dice.uniform(0, AGAIN_SECONDS_MAX))
        self.acknowledged[letter.event_id] += 1
        if self.lives and self.dice.randrange(100) < VERIFIED_PERCENT:
            await self.dice.choice(self.lives).look_again()
            self.verified += 1

    async def _forge(self, letter: Letter) -> None:
        status = await self.office.deliver_forged(letter, to=self.dice.choice(self._serving).url)
        assert status in {400, None}, f"a forgery was answered with {status}"
        self.forged += 1

    async def _strike(self) -> None:
        """Disaster strikes whenever another part of the deliveries is made."""
        part = self.weight.deliveries / (self.weight.strikes + 1)
        for number in range(self.weight.strikes):
            due = part * (number + self.dice.uniform(0.6, 1.4))
            while self.deliveries < due and not self._done:
                await asyncio.sleep(IDLE_SECONDS)
            self.strikes[await self.disaster(self, number)] += 1

    async def _carry_what_is_late(self) -> None:
        """Stripe tells when the last deposits clear some time after they were paid."""
        await asyncio.sleep(CLEARING_TOLD_AFTER_SECONDS)
        while not await self.stripe.idle() or self._heap:
            while self._heap:
                await self._bring(self._heap.pop())

    async def _let_leases_end(self) -> None:
        """Hours pass for the events that dead processes held, so that their silence is plain at first sight."""
        await self.database.run(
            lambda connection: connection.execute(
                "UPDATE stripe_event SET lease_until = $1 WHERE state = 'doing'",
                (SystemClock().now() - CLOCKS_DIFFER_MAX - timedelta(minutes=1),),
            )
        )

    async def _nothing_open(self) -> None:
        assert await self.stripe.idle()
        assert not self._heap
        row = await self.database.fetch_one("SELECT count(*) AS n FROM stripe_event WHERE state IN ('new', 'doing')")
        assert row is not None
        assert row["n"] == 0, f"{row['n']} events are not done"

    async def _compare(self) -> None:
        """Everything acknowledged is there once and done, nothing forged is, and everybody has what Stripe says."""
        rows = await self.database.fetch("SELECT id, state, error FROM stripe_event")
        stored = {str(row["id"]): str(row["state"]) for row in rows}
        unapplied = [dict(row) for row in rows if row["state"] not in {"done", "ignored"}]
        assert unapplied == []
        assert sorted(set(self.acknowledged) - set(stored)) == []
        assert [event_id for event_id in stored if "forged" in event_id] == []
        assert {letter.event_id for letter in self.office.letters} <= set(stored)
        wrong: list[str] = []
        net_micros = 0
        for life in self.lives:
            customers = await customers_in_books(self.database, life.subject)
            true = await holding_at_stripe(self.stripe, customers)
            ours = await holding_in_books(self.database, life.subject, now=datetime.now(UTC))
            net_micros += true.net_micros
            wrong += [f"{life.subject}: Stripe says {true}, our books say {ours}"] if ours != true else []
        assert wrong == []
        # Reconciliation may have booked what else moved there: fees, and what subscriptions brought.
        at_stripe = [await balance(self.database, account) for account in (STRIPE, STRIPE_FEES, SUBSCRIPTIONS)]
        assert sum(at_stripe) == -net_micros
        await assert_books_balance(self.database)

    def report(self, *, name: str, seconds: float) -> str:
        again = self.deliveries - len(self.acknowledged)
        struck = ", ".join(f"{name} {times}" for name, times in sorted(self.strikes.items()))
        return (
            f"{name}: {self.deliveries} deliveries acknowledged of {len(self.acknowledged)} events "
            f"({again} again, {100 * again / max(self.deliveries, 1):.0f} %), answers {dict(self.statuses)}, "
            f"{self.forged} forged, {self.verified} verify calls between, {len(self.lives)} customers, "
            f"{sum(life.asked_again for life in self.lives)} requests asked again, "
            f"struck {self.strikes.total()} times ({struck}), {seconds:.0f} s"
        )


async def kill_in_turn(storm: Storm, number: int) -> str:
    """`kill -9` of one process after the other; it is started again a moment later."""
    process = storm.processes[number % len(storm.processes)]
    await process.kill()
    await asyncio.sleep(storm.dice.uniform(0, DEAD_SECONDS_MAX))
    await process.start()
    await process.ready()
    return process.name


async def run_storm(
    url: str,
    folder: Path,
    commands: Mapping[str, Sequence[str]],
    *,
    weight: Weight,
    seed: int,
    disaster: Disaster = kill_in_turn,
) -> tuple[Storm, str]:
    """Let a storm blow over `commands`, the processes by name, on a fresh, migrated database; returns what it did."""
    began = time.monotonic()
    name = f"seed {seed}, {', '.join(commands)}"
    async with _open_storm(url, folder, commands, weight=weight, seed=seed, disaster=disaster) as storm:
        try:
            await storm.blow()
        except TimeoutError:
            so_far = storm.report(name=name, seconds=time.monotonic() - began)
            raise AssertionError(f"The storm is not over in time; so far {so_far}") from None
    return storm, storm.report(name=name, seconds=time.monotonic() - began)


@asynccontextmanager
async def _open_storm(
    url: str,
    folder: Path,
    commands: Mapping[str, Sequence[str]],
    *,
    weight: Weight,
    seed: int,
    disaster: Disaster,
) -> AsyncGenerator[Storm]:
    async with AsyncExitStack() as stack:
        stripe = await stack.enter_async_context(
            open_local_stripe(free_socket(), SystemClock(), clearing_told_after_seconds=CLEARING_TOLD_AFTER_SECONDS)
        )
        office = await stack.enter_async_context(open_post_office())
        settings = gateway_settings(url, stripe_url=stripe.url)
        secret = await set_up(settings, webhook_url=office.url, clock=SystemClock())
        environ = gateway_environ(url, stripe_url=stripe.url, webhook_secret=secret)
        processes = [
            GatewayProcess(arguments=tuple(arguments), environ=environ, folder=folder, name=name)
            for name, arguments in commands.items()
        ]
        for process in processes:
            stack.push_async_callback(process.end)
            await process.start()
        for process in processes:
            await process.ready()
        database = await stack.enter_async_context(open_database(url))
        yield Storm(
            database=database,
            processes=processes,
            stripe=stripe,
            office=office,
            secret=secret.partition(",")[0],  # the platform's own endpoint; the other is that of connected accounts
            dice=random.Random(seed),
            weight=weight,
            disaster=disaster,
        )


def _token(subject: str) -> str:
    return make_token(secret=JWT_SECRET, subject=subject, now=SystemClock().now(), lifetime=timedelta(hours=1))
