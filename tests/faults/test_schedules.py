"""Random schedules of events, verify calls, portal changes and failures end with the true plan and the true money."""

import asyncio
import os

import pytest

from tests.faults.conftest import Tell
from tests.faults.schedules import run_schedules

pytestmark = pytest.mark.usefixtures("quiet")

#: Each test and each engine has schedules of its own; STORM_SEED draws others.
SEED = int(os.environ.get("STORM_SEED", "20261102"))
#: The five thousand come in parts, on a fresh database and a fresh Stripe each: what ran is kept when one fails, parts
#: run side by side, and no part grows so large that looking through it takes longer than living it.
PARTS = 10
SCHEDULES_A_PART = 250
PART_SECONDS_MAX = 3_600


async def test_random_schedules_end_with_the_true_plan(database_url: str, engine: str, tell: Tell) -> None:
    schedules, report = await run_schedules(database_url, count=12, seed=SEED + (engine == "postgres"))
    tell(report)

    assert (schedules.done, schedules.wrong) == (12, [])
    assert schedules.deliveries > schedules.letters > 0


@pytest.mark.storm
@pytest.mark.parametrize("part", range(PARTS))
async def test_five_thousand_random_schedules_end_with_the_true_plan(
    database_url: str, engine: str, part: int, tell: Tell
) -> None:
    seed = SEED + 10 + 2 * part + (engine == "postgres")
    async with asyncio.timeout(PART_SECONDS_MAX):
        schedules, report = await run_schedules(database_url, count=SCHEDULES_A_PART, seed=seed)
    tell(report)

    assert (schedules.done, schedules.wrong) == (SCHEDULES_A_PART, [])
