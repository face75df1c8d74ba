"""Cancelled at any await, the data layer neither hangs nor leaks nor stores half of anything."""

import asyncio
import random
from collections.abc import Iterable

import pytest

from gateway.db import Connection, Database
from gateway.db.rows import integer, text

ROUNDS_SMALL = 300
ROUNDS_STORM = 5_000
AT_ONCE = 12
SETTLE_SECONDS = 60
STEPS_MAX = 40


async def wait_steps(steps: int) -> None:
    """Let the loop go round some times, then cancel: every await of the work has its turn to be the one."""
    for _ in range(steps):
        await asyncio.sleep(0)


async def wait_until_quiet(database: Database) -> None:
    """What the cancelled left behind is still being undone, or committed: a COMMIT on its way is not called back."""
    while database.counts.open != database.counts.idle:
        await asyncio.sleep(0.01)
    async with database.transaction():
        pass


class Storm:
    """Sells under distinct names and cancels most of the sellers at random moments."""

    def __init__(self, database: Database, dice: random.Random) -> None:
        self._database = database
        self._dice = dice
        self.acknowledged: list[str] = []
        self.cancelled = 0

    async def blow(self, rounds: int) -> None:
        for start in range(0, rounds, AT_ONCE):
            await asyncio.gather(*(self._sell_and_cancel(f"sale {start + seat}") for seat in range(AT_ONCE)))

    async def _sell_and_cancel(self, name: str) -> None:
        kind = self._dice.choice(["run", "run", "block", "read", "many"])
        task = asyncio.create_task(self._act(kind, name))
        if self._dice.random() < 0.5:
            await wait_steps(self._dice.randrange(STEPS_MAX))
        else:
            await asyncio.sleep(self._dice.random() * 0.01)
        for _ in range(self._dice.choice([0, 1, 1, 2])):
            task.cancel()
            await wait_steps(self._dice.randrange(3))
        try:
            stored = await task
        except asyncio.CancelledError:
            self.cancelled += 1
        else:
            self.acknowledged += [name] if stored else []

    async def _act(self, kind: str, name: str) -> bool:
        async def sell(connection: Connection) -> None:
            await connection.execute("INSERT INTO sale (name, cents) VALUES ($1, 1)", [name])
            await connection.fetch("SELECT cents FROM till WHERE code = $1", ["main"])
            await connection.execute("UPDATE till SET cents = cents + 1 WHERE code = 'main'")

        async def sell_many(connection: Connection) -> None:
            await connection.execute_many("INSERT INTO sale (name, cents) VALUES ($1, $2)", [[name, 1]])
            await connection.execute("UPDATE till SET cents = cents + 1 WHERE code = 'main'")

        match kind:
            case "read":
                await self._database.fetch("SELECT name FROM sale WHERE name = $1", [name])
                return False
            case "block":
                async with self._database.transaction() as connection:
                    await sell(connection)
            case "many":
                await self._database.run(sell_many)
            case _:
                await self._database.run(sell)
        return True


async def blow_and_check(database: Database, rounds: int, seed: int) -> None:
    storm = Storm(database, random.Random(seed))
    async with asyncio.timeout(rounds * 0.2 + SETTLE_SECONDS):  # only so that a hang fails instead of hanging
        await storm.blow(rounds)
        await wait_until_quiet(database)
        stored = {text(row, "name") for row in await database.fetch("SELECT name FROM sale")}
        till = await database.fetch_one("SELECT cents FROM till")
    assert till is not None
    assert storm.cancelled > rounds // 10
    assert missing(storm.acknowledged, stored) == []
    assert integer(till, "cents") == len(stored)

    async def sell(connection: Connection) -> int:
        return await connection.execute("INSERT INTO sale (name, cents) VALUES ('after the storm', 1)")

    async with asyncio.timeout(SETTLE_SECONDS):
        assert await database.run(sell) == 1


def missing(acknowledged: Iterable[str], stored: set[str]) -> list[str]:
    return [name for name in acknowledged if name not in stored]


async def test_cancels_at_random_lose_and_leak_nothing(shop_database: Database) -> None:
    await blow_and_check(shop_database, ROUNDS_SMALL, seed=1)


@pytest.mark.storm
@pytest.mark.parametrize("seed", [2, 3])
async def test_storm_of_cancels_loses_and_leaks_nothing(shop_database: Database, seed: int) -> None:
    await blow_and_check(shop_database, ROUNDS_STORM, seed)


async def test_every_await_of_a_transaction_may_be_the_cancelled_one(shop_database: Database) -> None:
    """The same transaction, cancelled after one step of the loop more each time, until one gets through."""
    steps = 0

    async def sell(connection: Connection) -> None:
        await connection.execute("INSERT INTO sale (name, cents) VALUES ($1, 1)", [f"after {steps}"])
        await connection.execute("UPDATE till SET cents = cents + 1 WHERE code = 'main'")

    async with asyncio.timeout(SETTLE_SECONDS):
        while True:
            task = asyncio.create_task(shop_database.run(sell))
            await wait_steps(steps)
            task.cancel()
            try:
                await task
            except asyncio.CancelledError:
                steps += 1
            else:
                break
        await wait_until_quiet(shop_database)
        stored = [text(row, "name") for row in await shop_database.fetch("SELECT name FROM sale ORDER BY id")]
        till = await shop_database.fetch_one("SELECT cents FROM till")
    assert stored[-1] == f"after {steps}"
    assert till == {"cents": len(stored)}
