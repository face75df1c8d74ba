"""Thousands of deliveries against real processes that are killed again and again: nothing acknowledged is lost."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from tests.faults.conftest import Tell
from tests.faults.storm import Weight, run_storm

pytestmark = pytest.mark.usefixtures("quiet")

SEED = int(os.environ.get("STORM_SEED", "20261102"))
BREEZE = Weight(deliveries=300, strikes=4, seconds_max=240, wait_for_leases=False)
GALE = Weight(deliveries=10_000, strikes=20, seconds_max=1_800, wait_for_leases=True)

#: SQLite belongs to one process, which applies events itself; on PostgreSQL two serve and two others apply.
COMMANDS: Mapping[str, Mapping[str, Sequence[str]]] = {
    "sqlite": {"serve": ["serve"]},
    "postgres": {
        "serve-1": ["serve", "--no-events"],
        "worker-1": ["worker"],
        "serve-2": ["serve", "--no-events"],
        "worker-2": ["worker"],
    },
}


async def test_kills_in_a_storm_of_deliveries_lose_nothing(
    database_url: str, engine: str, tmp_path: Path, tell: Tell
) -> None:
    storm, report = await run_storm(database_url, tmp_path, COMMANDS[engine], weight=BREEZE, seed=SEED)
    tell(report)

    assert storm.strikes.total() == BREEZE.strikes
    assert storm.deliveries >= BREEZE.deliveries


@pytest.mark.storm
async def test_twenty_kills_in_ten_thousand_deliveries_lose_nothing(
    database_url: str, engine: str, tmp_path: Path, tell: Tell
) -> None:
    storm, report = await run_storm(database_url, tmp_path, COMMANDS[engine], weight=GALE, seed=SEED)
    tell(report)

    assert storm.strikes.total() == GALE.strikes
    assert storm.deliveries >= GALE.deliveries
    assert len(storm.acknowledged) < storm.deliveries
