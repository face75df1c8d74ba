"""A process that charges is killed in the middle of its work: what it answered is paid, and nothing is paid twice."""

import asyncio
import json
import os
import random
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from gateway.db import Database
from gateway.domain.charges import Call
from models.tool_charge import ToolCharge
from tests.services.market_world import open_market
from tests.support.books import assert_books_balance

ROOT = Path(__file__).parents[2]
ROUND_SECONDS_MAX = 120
PEOPLE = ("ann", "bob", "cyd")
PRICE_MICROS = 2_500


@dataclass
class Caller:
    """The platform's runtime: sends calls, keeps the answers, and sends again what was not answered."""

    url: str
    answered: dict[str, str] = field(default_factory=dict[str, str])
    replayed: int = 0

    async def send(self, calls: Sequence[Call], *, kill_after: int | None = None) -> None:
        """Send calls to a new process; kill it once it has answered so many, if so asked."""
        server = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.faults.charge_server", self.url),
            cwd=ROOT,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        try:
            async with asyncio.timeout(ROUND_SECONDS_MAX):
                await asyncio.gather(_write(server, calls), self._read(server, kill_after))
                status = await server.wait()
        finally:
            if server.returncode is None:
                server.kill()
                await server.wait()
        assert status == (0 if kill_after is None else -signal.SIGKILL)

    async def _read(self, server: asyncio.subprocess.Process, kill_after: int | None) -> None:
        """Read to the end: what stands in the pipe of a dead process was answered all the same."""
        assert server.stdout is not None
        count = 0
        while (line := await server.stdout.readline()).endswith(b"\n"):
            call_id, entry_id, replayed = json.loads(line)
            assert self.answered.setdefault(call_id, entry_id) == entry_id, "one call, one entry"
            count, self.replayed = count + 1, self.replayed + replayed
            if count == kill_after:
                os.kill(server.pid, signal.SIGKILL)


async def _write(server: asyncio.subprocess.Process, calls: Sequence[Call]) -> None:
    assert server.stdin is not None
    try:
        for call in calls:
            server.stdin.write(json.dumps([call.call_id, call.tool_id, str(call.consumer_id)]).encode() + b"\n")
            await server.stdin.drain()
    except (BrokenPipeError, ConnectionResetError):
        return  # it was killed; what it did not take is sent again
    server.stdin.close()


async def charge_through_kills(database: Database, url: str, *, count: int, kills: int) -> None:
    market = open_market(database)
    await market.publish("t", "dan", price="0.0025")
    for person in PEOPLE:
        await market.deposit(person, count)
    calls = [market.call(PEOPLE[number % len(PEOPLE)], "t", f"call-{number}") for number in range(count)]
    dice, caller = random.Random(count), Caller(url)

    for _ in range(kills):
        left = [call for call in calls if call.call_id not in caller.answered]
        again = [call for call in calls if call.call_id in caller.answered][:10]
        await caller.send([*again, *left], kill_after=len(again) + dice.randint(1, count // (kills * 3)))
        rows = await ToolCharge.all().using_db(database.orm)
        stored = {row.call_id: str(row.id) for row in rows}
        assert {call_id: stored.get(call_id) for call_id in caller.answered} == caller.answered
    assert len(caller.answered) < count, "every kill came in the middle"
    await caller.send(calls)

    assert len(caller.answered) == await ToolCharge.all().using_db(database.orm).count() == count
    left_over = [(await market.balances(person))["wallet"] for person in PEOPLE]
    assert sum(left_over) == len(PEOPLE) * count * 10_000 - count * PRICE_MICROS
    assert await market.balances("dan") == {"earn_pending": count * PRICE_MICROS * 4 // 5}
    await assert_books_balance(database)


async def test_a_killed_process_loses_no_answered_call_and_pays_none_twice(
    database: Database, database_url: str
) -> None:
    await charge_through_kills(database, database_url, count=400, kills=2)


@pytest.mark.storm
async def test_many_kills_in_a_long_load_lose_nothing_and_pay_nothing_twice(
    database: Database, database_url: str
) -> None:
    await charge_through_kills(database, database_url, count=6_000, kills=15)
