"""A gateway that is killed in the middle of charging over HTTP: what it answered is paid, and nothing is paid twice."""

import asyncio
import random
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import aiohttp
import pytest

from gateway.db import Database
from gateway.domain.clock import SystemClock
from gateway.domain.identity import SCOPE_CHARGE
from gateway.server.auth import make_token
from models.tool_charge import ToolCharge
from tests.graphql.market import CHARGE, CHARGES
from tests.services.market_world import Market, open_market
from tests.support.books import assert_books_balance
from tests.support.gateway import JWT_SECRET, free_socket, gateway_environ, gateway_settings, open_local_stripe, set_up
from tests.support.person import Person
from tests.support.processes import GatewayProcess

PEOPLE: Final = ("ann", "bob", "cyd")
PRICE_MICROS: Final = 2_500
NET_MICROS: Final = PRICE_MICROS * 4 // 5
#: Requests at once; a batch is as likely as a lone call.
CALLERS: Final = 8
BATCH_MAX: Final = 6
AGAIN_SECONDS: Final = 0.05
LOAD_SECONDS_MAX: Final = 300
#: Of a hundred requests whose answer came, so many are sent once more.
DOUBLED_PERCENT: Final = 20

Json = dict[str, Any]


@dataclass(eq=False)
class Load:
    """The platform's runtime: sends calls over HTTP, and again what was not answered, until everything is."""

    market: Market
    runtime: Person
    dice: random.Random
    left: list[str]
    answered: dict[str, Json] = field(default_factory=dict[str, Json])
    unanswered: int = 0

    async def run(self) -> None:
        async with asyncio.timeout(LOAD_SECONDS_MAX), asyncio.TaskGroup() as callers:
            for _ in range(CALLERS):
                callers.create_task(self._call())

    async def _call(self) -> None:
        while self.left:
            size = self.dice.choice((1, self.dice.randint(1, BATCH_MAX)))
            call_ids, self.left[:size] = self.left[:size], []
            await self._until_answered(call_ids)
            if self.dice.randrange(100) < DOUBLED_PERCENT:
                await self._until_answered(call_ids)

    async def _until_answered(self, call_ids: list[str]) -> None:
        while (results := await self._try(call_ids)) is None:
            self.unanswered += 1
            await asyncio.sleep(AGAIN_SECONDS)
        for call_id, result in zip(call_ids, results, strict=True):
            assert result["__typename"] == "ChargeToolCallSuccess", result
            charge = {name: value for name, value in result["charge"].items() if name != "replayed"}
            assert charge["callId"] == call_id
            assert self.answered.setdefault(call_id, charge) == charge, "the first answer is every answer"

    async def _try(self, call_ids: list[str]) -> list[Json] | None:
        """The outcomes; None where it is not known what happened."""
        given = [self._input(call_id) for call_id in call_ids]
        try:
            if len(given) == 1:
                reply = await self.runtime.post(CHARGE, input=given[0])
            else:
                reply = await self.runtime.post(CHARGES, input={"calls": given})
        except (aiohttp.ClientError, OSError):
            return None
        if reply.status != 200:
            return None
        data = reply.body["data"]
        return [data["chargeToolCall"]] if len(given) == 1 else data["chargeToolCalls"]["results"]

    def _input(self, call_id: str) -> Json:
        person = PEOPLE[int(call_id) % len(PEOPLE)]
        call = self.market.call(person, "t", call_id)
        return {"callId": call_id, "toolId": call.tool_id, "consumerId": self.market.subject(person)}


@asynccontextmanager
async def served(url: str, folder: Path) -> AsyncGenerator[GatewayProcess]:
    """`gateway serve`, ready, in front of a local Stripe that nobody pays at."""
    async with open_local_stripe(free_socket(), SystemClock()) as stripe:
        nowhere = "http://127.0.0.1:9/events"
        secret = await set_up(gateway_settings(url, stripe_url=stripe.url), webhook_url=nowhere, clock=SystemClock())
        environ = gateway_environ(url, stripe_url=stripe.url, webhook_secret=secret)
        process = GatewayProcess(arguments=("serve",), environ=environ, folder=folder, name="serve")
        try:
            await process.start()
            await process.ready()
            yield process
        finally:
            await process.end()


async def charge_through_kills(database: Database, url: str, folder: Path, *, count: int, kills: int) -> None:
    market, dice = open_market(database, clock=SystemClock()), random.Random(count)
    await market.publish("t", "dan", price="0.0025")
    for person in PEOPLE:
        await market.deposit(person, count)
    async with served(url, folder) as process, aiohttp.ClientSession() as http:
        runtime = Person(subject="runtime", url=process.url, http=http, token=_token)
        load = Load(market, runtime, dice, [str(number) for number in range(count)])
        running = asyncio.create_task(load.run())
        for kill in range(1, kills + 1):
            while len(load.answered) < count * kill // (kills + 1):
                assert not running.done(), running
                await asyncio.sleep(0)
            assert load.left, "every kill comes in the middle"
            await process.kill()
            seen = dict(load.answered)
            await _assert_stored(database, seen)
            await process.start()
            await process.ready()
        await running

    assert process.starts == kills + 1
    assert load.unanswered >= kills
    await _assert_stored(database, load.answered)
    assert len(load.answered) == await ToolCharge.all().using_db(database.orm).count() == count
    left_over = [(await market.balances(person))["wallet"] for person in PEOPLE]
    assert sum(left_over) == len(PEOPLE) * count * 10_000 - count * PRICE_MICROS
    assert await market.balances("dan") == {"earn_pending": count * NET_MICROS}
    await assert_books_balance(database)


async def _assert_stored(database: Database, answered: dict[str, Json]) -> None:
    """Whatever was answered is in the books as it was answered."""
    rows = await ToolCharge.all().using_db(database.orm)
    stored = {row.call_id: (row.gross_micros, row.net_micros, row.wallet_after_micros) for row in rows}
    told = {
        call_id: (_micros(charge["gross"]), _micros(charge["net"]), _micros(charge["balanceAfter"]))
        for call_id, charge in answered.items()
    }
    assert {call_id: stored.get(call_id) for call_id in told} == told


def _micros(money: Json) -> int:
    whole, _, part = str(money["amount"]).partition(".")
    return int(whole) * 1_000_000 + int(part.ljust(6, "0"))


def _token() -> str:
    now = SystemClock().now()
    return make_token(
        secret=JWT_SECRET, subject="runtime", now=now, lifetime=timedelta(hours=1), scopes=(SCOPE_CHARGE,)
    )


async def test_a_killed_gateway_loses_no_answered_call_and_charges_none_twice(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    await charge_through_kills(database, database_url, tmp_path, count=300, kills=1)


@pytest.mark.storm
async def test_many_kills_of_a_gateway_under_load_lose_nothing_and_charge_nothing_twice(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    await charge_through_kills(database, database_url, tmp_path, count=6_000, kills=10)
