"""Random schedules of events, verify calls, portal changes and failures end with the true plan and the true money."""

import os

import pytest

from tests.faults.conftest import Tell
from tests.faults.schedules import run_schedules

pytestmark = pytest.mark.usefixtures("quiet")

#: Each test and each engine has schedules of its own; STORM_SEED draws others.
SEED = int(os.environ.get("STORM_SEED", "20261102"))


async def test_random_schedules_end_with_the_true_plan(database_url: str, engine: str, tell: Tell) -> None:
    schedules, report = await run_schedules(database_url, count=12, seed=SEED + (engine == "postgres"))
    tell(report)

    assert (schedules.done, schedules.wrong) == (12, [])
    assert schedules.deliveries > schedules.letters > 0


@pytest.mark.storm
async def test_five_thousand_random_schedules_end_with_the_true_plan(
    database_url: str, engine: str, tell: Tell
) -> None:
    schedules, report = await run_schedules(database_url, count=2_500, seed=SEED + 10 + (engine == "postgres"))
    tell(report)

    assert (schedules.done, schedules.wrong) == (2_500, [])
