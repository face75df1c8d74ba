"""Charges a second: one transaction each, in groups, in batches, and by pgbench; side by side, as ratios."""

import asyncio
import random
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from statistics import median
from typing import Final

from benchmarks.market import CONSUMERS, TOOLS, WALLETS, open_market
from benchmarks.pgbench import PgBench
from benchmarks.postgres import postgres
from gateway.db import migrate
from gateway.domain.charges import Call, Charged, ChargeOutcome
from gateway.services.billing import Billing
from gateway.services.ledger import verify_books
from gateway.services.marketplace.charging import charge_calls
from gateway.services.marketplace.queue import ChargeQueue

ROUNDS: Final = 3
ROUND_SECONDS: Final = 3.0
#: Callers that wait for an answer at the same time.
CALLERS: Final = 64
BATCH_CALLS: Final = 100
#: A client that sends batches has a few under way.
BATCH_CALLERS: Final = 4
#: As many connections as the gateway's own pool has.
PGBENCH_CLIENTS: Final = 10

_numbers = count(1)


@dataclass(frozen=True, slots=True)
class Scene:
    """One engine, and how many wallets the calls are spread over."""

    engine: str
    wallets: int


@dataclass(slots=True)
class Rates:
    """Charges a second of each way, a figure a round."""

    of: dict[str, list[float]] = field(default_factory=dict[str, list[float]])

    def add(self, way: str, rate: float) -> None:
        self.of.setdefault(way, []).append(rate)

    def middle(self, way: str) -> float | None:
        return median(self.of[way]) if way in self.of else None


def new_call(wallets: int) -> Call:
    """A call that nobody has made before."""
    return Call(str(next(_numbers)), random.choice(TOOLS), CONSUMERS[random.randrange(wallets)])


async def measure(work: Callable[[], Awaitable[int]], *, callers: int, seconds: float) -> float:
    """Calls charged a second by callers that each do the work again and again until time is up."""
    start = time.perf_counter()
    done = 0

    async def caller() -> None:
        nonlocal done
        while time.perf_counter() < start + seconds:
            paid = await work()
            done += paid

    await asyncio.gather(*(caller() for _ in range(callers)))
    return done / (time.perf_counter() - start)


def _paid(outcomes: list[ChargeOutcome]) -> int:
    refused = [outcome for outcome in outcomes if not isinstance(outcome, Charged) or outcome.replayed]
    if refused:
        raise SystemExit(f"A call was not charged: {refused[0]}")
    return len(outcomes)


async def ungrouped(billing: Billing, wallets: int, seconds: float) -> float:
    async def work() -> int:
        return _paid(await charge_calls(billing, [new_call(wallets)]))

    return await measure(work, callers=CALLERS, seconds=seconds)


async def grouped(billing: Billing, wallets: int, seconds: float) -> float:
    queue = ChargeQueue(lambda calls: charge_calls(billing, calls))

    async def work() -> int:
        return _paid([await queue.charge(new_call(wallets))])

    return await measure(work, callers=CALLERS, seconds=seconds)


async def batches(billing: Billing, wallets: int, seconds: float) -> float:
    queue = ChargeQueue(lambda calls: charge_calls(billing, calls))

    async def work() -> int:
        return _paid(await queue.charge_batch([new_call(wallets) for _ in range(BATCH_CALLS)]))

    return await measure(work, callers=BATCH_CALLERS, seconds=seconds)


WAYS: Final = {"one a transaction": ungrouped, "group commit": grouped, f"batches of {BATCH_CALLS}": batches}
PGBENCH: Final = "pgbench"


async def run() -> int:
    """Interleave every way of every scene, round by round, and print the medians and their ratios."""
    scenes = [Scene(engine, wallets) for engine in ("postgres", "sqlite") for wallets in (1, WALLETS)]
    results = {scene: Rates() for scene in scenes}
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="gateway-benchmark-")))
        postgres_url = await stack.enter_async_context(postgres())
        sqlite_url = f"sqlite://{folder / 'gateway.db'}"
        await migrate(sqlite_url)
        billings = {
            "postgres": await stack.enter_async_context(open_market(postgres_url)),
            "sqlite": await stack.enter_async_context(open_market(sqlite_url)),
        }
        await _warm_up(billings)
        pgbench = await PgBench.prepare(postgres_url, folder)
        for _ in range(ROUNDS):
            for scene in scenes:
                await _round(scene, billings[scene.engine], pgbench, results[scene])
        if pgbench is None:
            faults = [fault for billing in billings.values() for fault in await verify_books(billing.database)]
            if faults:
                raise SystemExit(f"The books are wrong: {faults[:5]}")
    _print(results, with_pgbench=pgbench is not None)
    return 0


async def _warm_up(billings: dict[str, Billing]) -> None:
    """The first call of each tool makes its creator's account; that is not what is measured."""
    for billing in billings.values():
        await charge_calls(billing, [Call(f"first-{tool}", tool, CONSUMERS[0]) for tool in TOOLS])
        for way in WAYS.values():
            await way(billing, WALLETS, 0.2)


async def _round(scene: Scene, billing: Billing, pgbench: PgBench | None, rates: Rates) -> None:
    for name, way in WAYS.items():
        rates.add(name, await way(billing, scene.wallets, ROUND_SECONDS))
    if pgbench is not None and scene.engine == "postgres":
        rate = await pgbench.run(wallets=scene.wallets, clients=PGBENCH_CLIENTS, seconds=ROUND_SECONDS)
        rates.add(PGBENCH, rate)


def _print(results: dict[Scene, Rates], *, with_pgbench: bool) -> None:
    names = [*WAYS, PGBENCH]
    print(f"Charges a second, medians of {ROUNDS} interleaved rounds of {ROUND_SECONDS:g} s (ratio to the first).")
    print(f"{'':24}" + "".join(f"{name:>24}" for name in names))
    for scene, rates in results.items():
        base = rates.middle(names[0])
        cells = [_cell(rates.middle(name), base) for name in names]
        print(f"{scene.engine + ', wallets: ' + str(scene.wallets):24}" + "".join(f"{cell:>24}" for cell in cells))
    if not with_pgbench:
        print("There is no pgbench on this machine, so its column is empty.")


def _cell(rate: float | None, base: float | None) -> str:
    if rate is None or base is None:
        return "-"
    return f"{rate:,.0f} ({rate / base:.1f}x)"
