"""A running local Stripe and the real SDK in front of it, as tests use them."""

import random
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, urlsplit

import aiohttp
import stripe
from aiohttp import web
from aiohttp.test_utils import TestServer
from aiohttp.typedefs import Handler, Middleware

from gateway.domain.clock import Clock, SystemClock
from gateway.sandbox.app import WORLD, build_sandbox
from gateway.sandbox.engine.book import Book
from gateway.sandbox.refusals import Json
from gateway.sandbox.settings import SandboxSettings
from tests.sandbox.spec import Described, described
from tests.stripe.contract import contract_of_environment

API_KEY = "sk_test_local"
VISA, DECLINED, FAILS_LATER, PAYS_LATER, NO_FUNDS = (
    "4242424242424242",
    "4000000000000002",
    "4000000000000341",
    "4000000000009979",
    "4000000000009995",
)


@dataclass(slots=True)
class LocalStripe:
    """The server, a client of each kind, and every event that was made, oldest first."""

    app: web.Application
    url: str
    http: aiohttp.ClientSession
    sdk: stripe.StripeClient
    events: list[Json]
    findings: list[str]
    _sdk_session: aiohttp.ClientSession = field(repr=False)

    def types(self) -> list[str]:
        return [event["type"] for event in self.events]

    def objects(self, type: str) -> list[Json]:
        """What the events of a type carried."""
        return [event["data"]["object"] for event in self.events if event["type"] == type]

    async def control(self, path: str, fields: Json | None = None, *, answers: int = 200) -> Json:
        """Ask the control door; `answers` is the status to expect."""
        async with self.http.post(f"{self.url}/_sandbox/{path}", json=fields or {}) as response:
            answer: Json = await response.json()
            assert response.status == answers, answer
            return answer

    async def advance(self, **by: int) -> Json:
        return await self.control("clock/advance", dict(by))

    async def look(self, path: str) -> Json:
        async with self.http.get(f"{self.url}/_sandbox/{path}") as response:
            assert response.status == 200
            return await response.json()

    async def api(
        self,
        method: str,
        path: str,
        form: str = "",
        *,
        headers: dict[str, str] | None = None,
        key: str = API_KEY,
    ) -> tuple[int, Json, dict[str, str]]:
        """A raw call: status, body and headers."""
        sent = {"Authorization": f"Bearer {key}", **(headers or {})}
        url = f"{self.url}{path}"
        if method in {"GET", "DELETE"}:
            request = self.http.request(method, f"{url}?{form}" if form else url, headers=sent)
        else:
            sent.setdefault("Content-Type", "application/x-www-form-urlencoded")
            request = self.http.request(method, url, data=form.encode(), headers=sent)
        async with request as response:
            return response.status, await response.json(), dict(response.headers)

    async def ok(self, method: str, path: str, form: str = "", *, headers: dict[str, str] | None = None) -> Json:
        """The body of a raw call that succeeds."""
        status, body, _ = await self.api(method, path, form, headers=headers)
        assert status == 200, body
        return body

    async def refused(
        self, method: str, path: str, form: str = "", *, headers: dict[str, str] | None = None, key: str = API_KEY
    ) -> tuple[int, str | None, str | None, str]:
        """Status, code, param and message of a raw call that is refused."""
        status, body, _ = await self.api(method, path, form, headers=headers, key=key)
        assert status >= 400, body
        error: Json = body["error"]
        return status, error.get("code"), error.get("param"), error["message"]


async def plain(asked: Awaitable[stripe.StripeObject]) -> Json:
    """What the SDK answers, as the plain JSON it was made from."""
    return (await asked).to_dict()


@asynccontextmanager
async def local_stripe(
    settings: SandboxSettings | None = None, *, clock: Clock | None = None, seed: int = 7
) -> AsyncGenerator[LocalStripe]:
    """A second one on the same state needs a `seed` of its own, or it makes the same ids again."""
    randomness = random.Random(seed)
    app = await build_sandbox(settings or SandboxSettings(), clock=clock or SystemClock(), randomness=randomness)
    findings: list[str] = []
    events: list[Json] = []
    judge = described()
    app.middlewares.append(_judging(judge, findings))
    world = app[WORLD]
    world.around.publish = _recording(world.around.publish, judge, events, findings)
    server = TestServer(app, host="127.0.0.1")
    await server.start_server()
    url = str(server.make_url("")).rstrip("/")
    async with aiohttp.ClientSession() as http, aiohttp.ClientSession() as sdk_session:
        sdk = stripe.StripeClient(
            API_KEY,
            base_addresses={"api": url, "connect": url, "files": url, "meter_events": url},
            http_client=stripe.AIOHTTPClient(session=sdk_session, timeout=5),
        )
        yield LocalStripe(app, url, http, sdk, events, findings, sdk_session)
    await server.close()
    assert not findings, "\n".join(sorted(set(findings)))


def _judging(judge: Described | None, findings: list[str]) -> Middleware:
    @web.middleware
    async def judging(request: web.Request, handler: Handler) -> web.StreamResponse:
        response = await handler(request)
        if judge is None or not isinstance(response, web.Response) or response.status != 200:
            return response
        assert isinstance(response.body, bytes)
        path = urlsplit(str(request.rel_url)).path
        findings.extend(judge.in_answer(method=request.method, path=path, body=response.body))
        if "PythonBindings" in request.headers["User-Agent"] and judge.describes(method=request.method, path=path):
            findings.extend(await _in_sdk_request(request, path))
        return response

    return judging


async def _in_sdk_request(request: web.Request, path: str) -> list[str]:
    """What is wrong with the parameters the real SDK sent."""
    contract = contract_of_environment()
    assert contract is not None
    form = request.rel_url.raw_query_string if request.method != "POST" else await request.text()
    try:
        contract.check(method=request.method, path=path, params=dict(parse_qsl(form, keep_blank_values=True)))
    except AssertionError as problem:
        return [str(problem)]
    return []


def _recording(
    publish: Callable[[Book, Json], None], judge: Described | None, events: list[Json], findings: list[str]
) -> Callable[[Book, Json], None]:
    def record(book: Book, event: Json) -> None:
        events.append(event)
        if judge is not None:
            findings.extend(judge.in_event(event))
        publish(book, event)

    return record
