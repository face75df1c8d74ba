"""A Stripe that says what a test tells it to, over real HTTP, and remembers what it was asked."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

import orjson
from aiohttp import web
from aiohttp.test_utils import TestServer

from tests.stripe.contract import contract_of_environment

JsonObject = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Asked:
    """One request as it arrived; `params` are the form's or the query's fields in Stripe's bracket notation."""

    method: str
    path: str
    params: Mapping[str, str]
    headers: Mapping[str, str]

    @property
    def idempotency_key(self) -> str | None:
        return self.headers.get("Idempotency-Key")


Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


def says(body: object, *, status: int = 200, headers: Mapping[str, str] | None = None) -> Answer:
    """A JSON answer with a request id, as Stripe's are."""
    return says_bytes(orjson.dumps(body), status=status, headers=headers)


def says_bytes(
    body: bytes, *, status: int = 200, headers: Mapping[str, str] | None = None, content_type: str = "application/json"
) -> Answer:
    async def answer(request: web.Request) -> web.StreamResponse:
        own = {"Request-Id": "req_1", "Content-Type": content_type}
        return web.Response(body=body, status=status, headers={**own, **(headers or {})})

    return answer


def refuses(
    status: int,
    *,
    code: str | None = None,
    kind: str = "invalid_request_error",
    headers: Mapping[str, str] | None = None,
) -> Answer:
    """An error in Stripe's shape; its message quotes something private, as Stripe's may."""
    error: JsonObject = {"type": kind, "message": "No such thing: ada@example.com"}
    if code is not None:
        error["code"] = code
    return says({"error": error}, status=status, headers=headers)


async def says_nothing(request: web.Request) -> web.StreamResponse:
    """Take the request and never answer."""
    await asyncio.sleep(3600)
    raise AssertionError("the caller gives up first")


async def stops_in_the_body(request: web.Request) -> web.StreamResponse:
    """Send the head and half of the body, then nothing more."""
    await _begin(request)
    return await says_nothing(request)


async def cuts_the_body(request: web.Request) -> web.StreamResponse:
    """Send the head and half of the body, then close the connection."""
    response = await _begin(request)
    _hang_up(request)
    return response


async def hangs_up(request: web.Request) -> web.StreamResponse:
    """Close the connection without a word."""
    _hang_up(request)
    return web.Response()


async def _begin(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Length": "1000", "Content-Type": "application/json"})
    await response.prepare(request)
    await response.write(b'{"id": "cus_')
    return response


def _hang_up(request: web.Request) -> None:
    transport = request.transport
    assert transport is not None
    transport.close()


@dataclass(slots=True)
class ScriptedStripe:
    """Answers in the order they were scripted; a request nothing was scripted for fails the test."""

    base: str = ""
    asked: list[Asked] = field(default_factory=list[Asked])
    _answers: deque[Answer] = field(default_factory=deque[Answer])

    def will(self, *answers: Answer) -> None:
        self._answers.extend(answers)

    @property
    def last(self) -> Asked:
        return self.asked[-1]

    async def handle(self, request: web.Request) -> web.StreamResponse:
        text = request.query_string if request.method in {"GET", "DELETE"} else await request.text()
        written = request.content_type == "application/json"  # the second generation's way, whose fields no test needs
        params = {} if written else dict(parse_qsl(text, keep_blank_values=True, strict_parsing=bool(text)))
        self.asked.append(Asked(request.method, request.path, params, request.headers.copy()))
        if not self._answers:
            return web.json_response({"error": {"type": "invalid_request_error", "code": "unscripted"}}, status=400)
        return await self._answers.popleft()(request)


@asynccontextmanager
async def scripted_stripe() -> AsyncGenerator[ScriptedStripe]:
    """The server, up; at the end every request must have kept Stripe's contract, if one is at hand."""
    script = ScriptedStripe()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", script.handle)
    server = TestServer(app, host="127.0.0.1")
    await server.start_server(shutdown_timeout=0.01)
    script.base = str(server.make_url("")).rstrip("/")
    try:
        yield script
    finally:
        await server.close()
    contract = contract_of_environment()
    if contract is not None:
        for request in script.asked:
            contract.check(method=request.method, path=request.path, params=request.params)
