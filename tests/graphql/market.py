"""A gateway with its real edge and database, and the people of a market: creators, consumers, runtime, operator."""

from collections.abc import AsyncGenerator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final, cast

import aiohttp
from aiohttp.test_utils import TestServer

from gateway.app import Gateway, build_app, open_gateway
from gateway.db import Connection, Database
from gateway.domain.clock import ManualClock
from gateway.domain.identity import SCOPE_ADMIN, SCOPE_CHARGE
from gateway.domain.ledger import deposit_draft
from gateway.server.auth import make_token
from gateway.services.customers import add_customer
from gateway.services.ledger import record
from gateway.services.marketplace.queue import Charge, ChargeQueue
from gateway.services.marketplace.releases import release_due
from gateway.settings import load_settings
from tests.support.books import assert_books_balance
from tests.support.person import Person, Reply

START: Final = datetime(2026, 11, 2, 9, 0, tzinfo=UTC)
HOLD: Final = timedelta(hours=168)
_SECRET: Final = "a secret of the tests, long enough for HS256"

Json = dict[str, Any]

_MONEY: Final = "{ amountCents amount currency }"
_ERROR: Final = "... on UserError { message code path }"
_CHARGE: Final = f"""{{ callId gross {_MONEY} fee {_MONEY} net {_MONEY} replayed balanceAfter {_MONEY} }}"""
_RESULT: Final = f"""__typename {_ERROR} ... on ChargeToolCallSuccess {{ charge {_CHARGE} }}
    ... on InsufficientFunds {{ balance {_MONEY} required {_MONEY} }}"""

PUBLISH: Final = f"""mutation ($input: PublishToolInput!) {{ publishTool(input: $input) {{ __typename {_ERROR}
    ... on PublishToolSuccess {{ tool {{ id creatorId name kind active pricePerCall {_MONEY} }} }}
    ... on AmountOutOfRange {{ minimum {_MONEY} maximum {_MONEY} }} }} }}"""
CHARGE: Final = f"mutation ($input: ChargeToolCallInput!) {{ chargeToolCall(input: $input) {{ {_RESULT} }} }}"
CHARGES: Final = f"""mutation ($input: ChargeToolCallsInput!) {{ chargeToolCalls(input: $input) {{ __typename {_ERROR}
    ... on ChargeToolCallsSuccess {{ results {{ {_RESULT} }} }} }} }}"""
REVERSE: Final = f"""mutation ($input: ReverseToolCallInput!) {{ reverseToolCall(input: $input) {{ __typename {_ERROR}
    ... on ReverseToolCallSuccess {{ replayed charge {_CHARGE} }} }} }}"""
EARNINGS: Final = """{ earnings { available { amount } pending { amount } held { amount } inTransit { amount }
    paidOut { amount } lifetime { amount } nextReleaseAt } }"""
DAILY: Final = """query ($days: Int! = 30) { earnings { daily(days: $days) {
    date gross { amount } fee { amount } net { amount } calls } } }"""
STATEMENT: Final = """query ($first: Int! = 25, $after: String) { earnings { entries(first: $first, after: $after) {
    edges { cursor node { id kind gross { amount } fee { amount } net { amount } toolId availableAt createdAt } }
    pageInfo { hasNextPage hasPreviousPage startCursor endCursor } } } }"""


@dataclass(frozen=True, slots=True, eq=False)
class Market:
    """One running gateway, and everybody at its door."""

    gateway: Gateway
    clock: ManualClock
    server: TestServer
    http: aiohttp.ClientSession

    @property
    def url(self) -> str:
        return str(self.server.make_url("")).rstrip("/")

    @property
    def database(self) -> Database:
        return self.gateway.database

    @property
    def runtime(self) -> Person:
        """The platform's own service that charges calls."""
        return self.person("runtime", SCOPE_CHARGE)

    @property
    def operator(self) -> Person:
        return self.person("operator", SCOPE_ADMIN)

    def person(self, subject: str, *scopes: str) -> Person:
        def token() -> str:
            return make_token(
                secret=_SECRET, subject=subject, now=self.clock.now(), lifetime=timedelta(hours=1), scopes=scopes
            )

        return Person(subject=subject, url=self.url, http=self.http, token=token)

    def stranger(self) -> Person:
        return Person(subject="", url=self.url, http=self.http, token=None)

    async def fund(self, subject: str, micros: int, *, session_id: str = "") -> None:
        """Money in a wallet, as if deposited."""
        now = self.clock.now()

        async def work(connection: Connection) -> None:
            customer_id = await add_customer(connection, subject, now)
            draft = deposit_draft(
                customer_id=customer_id, session_id=session_id or f"cs_{subject}", amount_micros=micros
            )
            await record(connection, draft, now=now)

        await self.database.run(work)

    async def publish(self, *, creator: str = "ann", tool: str = "search", price: object = "0.0025") -> None:
        answer = await publish(self.person(creator), toolId=tool, pricePerCall=price)
        assert answer["__typename"] == "PublishToolSuccess", answer

    async def charge(self, call: str, *, tool: str = "search", consumer: str = "bob") -> Json:
        """Whatever `chargeToolCall` answers."""
        given = {"callId": call, "toolId": tool, "consumerId": consumer}
        return cast("Json", (await self.runtime.ask(CHARGE, input=given))["chargeToolCall"])

    async def charge_all(self, calls: Iterable[str], *, tool: str = "search", consumer: str = "bob") -> list[Json]:
        """The results of one batch."""
        return await self.charge_calls([call_input(call, tool=tool, consumer=consumer) for call in calls])

    async def charge_calls(self, calls: list[Json]) -> list[Json]:
        answer = (await self.runtime.ask(CHARGES, input={"calls": calls}))["chargeToolCalls"]
        assert answer["__typename"] == "ChargeToolCallsSuccess", answer
        return cast("list[Json]", answer["results"])

    async def reverse(self, call: str, *, consumer: str = "bob", reason: str = "It never ran") -> Json:
        """Whatever `reverseToolCall` answers."""
        given = {"callId": call, "consumerId": consumer, "reason": reason}
        return cast("Json", (await self.operator.ask(REVERSE, input=given))["reverseToolCall"])

    async def release(self) -> int:
        """Release everything that is due; returns how many charges that were."""
        released = 0
        while now := await release_due(self.gateway.billing):
            released += now
        return released


def call_input(call: str, *, tool: str = "search", consumer: str = "bob") -> Json:
    return {"callId": call, "toolId": tool, "consumerId": consumer}


async def publish(person: Person, **given: object) -> Json:
    """Whatever `publishTool` answers."""
    content = {"toolId": "search", "name": "Search", "pricePerCall": "0.0025", **given}
    return cast("Json", (await person.ask(PUBLISH, input=content))["publishTool"])


async def earnings(person: Person) -> Json:
    """The totals, amounts as text."""
    totals = cast("Json", (await person.ask(EARNINGS))["earnings"])
    return {name: value["amount"] if isinstance(value, dict) else value for name, value in totals.items()}


async def statement(person: Person, *, first: int = 25, after: str | None = None) -> Json:
    """A page of entries."""
    return cast("Json", (await person.ask(STATEMENT, first=first, after=after))["earnings"]["entries"])


async def daily(person: Person, days: int) -> list[Json]:
    """The series, amounts as text."""
    rows = cast("list[Json]", (await person.ask(DAILY, days=days))["earnings"]["daily"])
    return [{key: value["amount"] if isinstance(value, dict) else value for key, value in row.items()} for row in rows]


async def all_pages(person: Person, *, first: int) -> list[Json]:
    """Every line of the statement, page after page."""
    nodes: list[Json] = []
    after: str | None = None
    while True:
        page = await statement(person, first=first, after=after)
        nodes += [edge["node"] for edge in page["edges"]]
        if not page["pageInfo"]["hasNextPage"]:
            return nodes
        after = page["pageInfo"]["endCursor"]


def nets(nodes: list[Json]) -> list[str]:
    return [node["net"]["amount"] for node in nodes]


def only_error(reply: Reply) -> str:
    """The code of the one top-level error of an answer without data."""
    content = cast("Json", reply.body.get("data") or {})
    assert not any(content.values()), reply.body
    (code,) = reply.codes
    return code


@asynccontextmanager
async def open_market(database_url: str, *, charge: Charge | None = None) -> AsyncGenerator[Market]:
    """A gateway at a free port; the books are checked at the end. Nobody here needs Stripe.

    `charge` takes the place of what charges the calls that are sent one by one.
    """
    clock = ManualClock(START)
    settings = load_settings(
        {
            "GATEWAY_DATABASE_URL": database_url,
            "GATEWAY_STRIPE_API_KEY": "sk_test_market",
            "GATEWAY_STRIPE_WEBHOOK_SECRETS": "whsec_market",
            "GATEWAY_JWT_SECRET": _SECRET,
        }
    )
    async with open_gateway(settings, clock=clock) as gateway:
        app = build_app(gateway, with_worker=False, charges=ChargeQueue(charge) if charge else None)
        server = TestServer(app)
        async with server, aiohttp.ClientSession() as http:
            yield Market(gateway=gateway, clock=clock, server=server, http=http)
        await assert_books_balance(gateway.database)
