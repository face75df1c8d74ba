"""Several processes on one database: none is turned away, none is lost."""

import asyncio
import sys
from pathlib import Path

import pytest

from gateway.db import Database, migrate, open_database, pending
from tests.db.shop import SHOP
from tests.support.swarm import WRITERS

ROOT = Path(__file__).parents[2]
PROCESS_SECONDS_MAX = 180


async def swarm(count: int, action: str, url: str) -> tuple[int, str]:
    """How many of the processes failed, and what they said."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.support.swarm", str(count), action, url),
        cwd=ROOT,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(PROCESS_SECONDS_MAX):
            _, said = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode is not None
    return process.returncode, said.decode()


async def check_writers(url: str, action: str, *, processes: int, transactions: int) -> None:
    assert await swarm(processes, action, url) == (0, "")
    async with open_database(url) as database:
        assert await sales_and_till(database) == (processes * WRITERS * transactions,) * 2


async def sales_and_till(database: Database) -> tuple[object, object]:
    row = await database.fetch_one("SELECT (SELECT count(*) FROM sale) AS sales, (SELECT cents FROM till) AS cents")
    assert row is not None
    return row["sales"], row["cents"]


async def test_four_processes_write_at_once(shop_url: str) -> None:
    await check_writers(shop_url, "write", processes=4, transactions=5)


@pytest.mark.storm
async def test_four_processes_write_at_once_for_long(shop_url: str) -> None:
    await check_writers(shop_url, "write-long", processes=4, transactions=25)


async def test_twenty_starts_migrate_a_fresh_database_once(empty_url: str) -> None:
    assert await swarm(20, "migrate", empty_url) == (0, "")
    assert await pending(empty_url, migrations=[SHOP]) == ()
    async with open_database(empty_url) as database:
        assert await sales_and_till(database) == (0, 0)
        assert await database.fetch("SELECT name FROM schema_migration") == [{"name": SHOP.name}]


@pytest.mark.storm
@pytest.mark.parametrize("round_number", range(10))
async def test_many_rounds_of_twenty_starts(empty_url: str, round_number: int) -> None:
    assert await swarm(20, "migrate", empty_url) == (0, "")


async def test_crash_between_the_schema_and_its_record_is_got_over(empty_url: str) -> None:
    failed, _ = await swarm(2, "crash", empty_url)
    assert failed == 2
    assert await pending(empty_url, migrations=[SHOP]) == (SHOP.name,)
    assert await migrate(empty_url, migrations=[SHOP]) == (SHOP.name,)
    async with open_database(empty_url) as database:
        assert await sales_and_till(database) == (0, 0)
