"""Workers are killed while many creators are due at once: each creator is paid once, and the books say so."""

import asyncio
import random
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import pytest

from tests.faults.payout_storm import DueCreator, PayDay, open_pay_day
from tests.faults.payout_storm_crew import Crew
from tests.services.jobs_world import ENGINES, Engine, engine_url

WORKERS: Final = 2
POLL_SECONDS: Final = 0.25
#: In the short run leases and pauses pass so many times as fast.
RATE: Final = 5
REAL_WORKER: Final = ("-m", "gateway", "worker")
#: Steps of payouts, two each, by which the last kill has come: some are made by the killed, who tell nobody.
KILLED_BY_PERCENT: Final = 80
#: What goes wrong on the way to Stripe and back. All but the last are done there all the same.
MOODS: Final = ("timeout_after", "status_500_after", "cut_body", "drop_after", "status_500")


@dataclass(frozen=True, slots=True)
class Storm:
    """How many are paid, how often workers die, how many answers are lost in a row, and how long it may take."""

    creators: int
    kills: int
    bursts_of_each: int
    burst_calls: int
    seconds_max: float
    seed: int


@pytest.fixture(params=ENGINES)
def place(request: pytest.FixtureRequest) -> tuple[str, Engine]:
    """A database and the engine to run on it."""
    return engine_url(request, request.param)


async def pay_through(storm: Storm, place: tuple[str, Engine], folder: Path, command: Sequence[str]) -> None:
    dice = random.Random(storm.seed)
    async with open_pay_day(*place) as day, asyncio.timeout(storm.seconds_max):
        creators = await day.invite(storm.creators, dice)
        await spoil_moods(day, storm, dice)
        crew = Crew(command, settings=day.settings, folder=folder, dice=dice)
        started_at = asyncio.get_running_loop().time()
        try:
            await kill_until_paid(day, storm, crew, creators, dice)
        finally:
            seconds = asyncio.get_running_loop().time() - started_at
            print_out(f"{day.engine} seed {storm.seed}: {storm.creators} creators in {seconds:.1f} s, {crew.story}")

        await day.assert_each_paid_once(creators)
        assert len(crew.kills) == storm.kills
        assert crew.complaints == []
        assert (await day.stripe.look("faults"))["faults"] == [], "every planned fault has struck"


async def kill_until_paid(
    day: PayDay, storm: Storm, crew: Crew, creators: Sequence[DueCreator], dice: random.Random
) -> None:
    steps = range(1, 2 * storm.creators * KILLED_BY_PERCENT // 100)
    async with crew.at_work(WORKERS):
        for step in sorted(dice.sample(steps, storm.kills)):
            await crew.kill_at(step)
        while not await day.all_paid(creators):
            crew.assert_alive()
            await asyncio.sleep(POLL_SECONDS)


async def spoil_moods(day: PayDay, storm: Storm, dice: random.Random) -> None:
    """Bursts of lost answers at random places among the calls about transfers, looking them up included."""
    for mood in MOODS:
        for _ in range(storm.bursts_of_each):
            skip = dice.randrange(storm.creators // 2)
            await day.stripe.fault("/v1/transfers", mood, count=storm.burst_calls, skip=skip)


def print_out(line: str) -> None:
    sys.stdout.write(f"{line}\n")


async def test_killed_workers_pay_each_of_thirty_creators_once(place: tuple[str, Engine], tmp_path: Path) -> None:
    storm = Storm(creators=30, kills=2, bursts_of_each=1, burst_calls=8, seconds_max=180, seed=30)
    origin = datetime.now(UTC).isoformat()

    await pay_through(storm, place, tmp_path, ("-m", "tests.faults.payout_storm_worker", origin, str(RATE)))


@pytest.mark.storm
async def test_a_thousand_creators_are_paid_once_through_ten_kills(place: tuple[str, Engine], tmp_path: Path) -> None:
    storm = Storm(creators=1_000, kills=10, bursts_of_each=3, burst_calls=24, seconds_max=1_200, seed=1_000)

    await pay_through(storm, place, tmp_path, REAL_WORKER)
