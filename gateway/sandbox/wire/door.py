"""The API's front door: key, version, parameters, idempotency, faults, and then the operation itself."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from typing import Any, Final

import orjson
import structlog
from aiohttp import web

from gateway.sandbox.engine.book import Origin
from gateway.sandbox.engine.world import Scope, World
from gateway.sandbox.refusals import Json, Refusal
from gateway.sandbox.wire import expansion
from gateway.sandbox.wire.check import check_parts
from gateway.sandbox.wire.faults import Fault, FaultKind, Faults
from gateway.sandbox.wire.form import decode_form
from gateway.sandbox.wire.idempotency import Answer, IdempotencyKeys
from gateway.sandbox.wire.json_body import decode_json
from gateway.sandbox.wire.keys import read_scope, read_version
from gateway.sandbox.wire.operation import Call
from gateway.sandbox.wire.request_log import LoggedRequest, RequestLog
from gateway.sandbox.wire.routing import Routes

log = structlog.get_logger()

BODY_BYTES_MAX: Final = 1024 * 1024
_FORM: Final = "application/x-www-form-urlencoded"
_JSON: Final = "application/json"
_SERVER_ERROR: Final[Json] = {"error": {"type": "api_error", "message": "An unknown error occurred. (planned fault)"}}
_BUG: Final[Json] = {"error": {"type": "api_error", "message": "The local Stripe has a bug here; its log tells more."}}
_RATE_LIMIT: Final[Json] = {
    "error": {
        "type": "invalid_request_error",
        "code": "rate_limit",
        "message": "Request rate limit exceeded. (planned fault)",
    }
}
_LOCK_TIMEOUT: Final[Json] = {
    "error": {
        "type": "invalid_request_error",
        "code": "lock_timeout",
        "message": "This object cannot be accessed right now because another request is using it. (planned fault)",
    }
}
_PLAIN_FAULTS: Final = {
    FaultKind.STATUS_500: (500, _SERVER_ERROR),
    FaultKind.STATUS_429: (429, _RATE_LIMIT),
    FaultKind.STATUS_409: (409, _LOCK_TIMEOUT),
}
_BEFORE: Final = frozenset({FaultKind.TIMEOUT_BEFORE, FaultKind.DROP_BEFORE})
_AFTER: Final = frozenset({FaultKind.TIMEOUT_AFTER, FaultKind.DROP_AFTER})


class ConnectionCut(Exception):
    """The connection ends without an answer, as a planned fault wants it."""


class Door:
    """Everything under /v1 and /v2. An operation runs without awaiting, so each request sees whole states only."""

    def __init__(self, world: World, routes: Routes, *, faults: Faults, keys: IdempotencyKeys, log: RequestLog) -> None:
        self.world = world
        self.routes = routes
        self.faults = faults
        self.keys = keys
        self.log = log
        self._stopping = asyncio.Event()

    async def stop(self, _app: web.Application) -> None:
        """Let go of the requests that a fault keeps waiting."""
        self._stopping.set()

    async def _stall(self, seconds: float) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), seconds)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        clock = self.world.around.clock
        row = LoggedRequest(
            request_id=self.world.around.ids.new("req"),
            at=clock.now(),
            method=request.method,
            path=request.path,
            idempotency_key=request.headers.get("Idempotency-Key"),
            account=request.headers.get("Stripe-Account"),
            version=request.headers.get("Stripe-Version"),
        )
        self.log.add(row)
        fault = self.faults.take(request.method, request.path)
        row.fault = fault.kind.value if fault else None
        try:
            answer = await self._answer(request, row, fault)
            row.status = answer.status
            return await self._send(request, row, answer, fault)
        except ConnectionCut:
            row.status = 0
            if request.transport is not None:
                request.transport.close()
            return web.Response(status=500)
        finally:
            log.debug("sandbox.request", method=row.method, path=row.path, status=row.status, fault=row.fault)

    async def _answer(self, request: web.Request, row: LoggedRequest, fault: Fault | None) -> Answer:
        try:
            scope = read_scope(request.headers, self.world)
            sent = await _decode(request)
            row.params = sent
            row.version = read_version(request.headers) or self.world.around.settings.api_version
            if fault is not None and fault.kind in _PLAIN_FAULTS:
                status, body = _PLAIN_FAULTS[fault.kind]
                return Answer(status, orjson.dumps(body))
            return await self._once(request, row, scope, sent, fault)
        except Refusal as refusal:
            return _refused(refusal, request.path)

    async def _once(
        self, request: web.Request, row: LoggedRequest, scope: Scope, sent: Json, fault: Fault | None
    ) -> Answer:
        """Execute, unless the request's key has an answer already."""
        key = row.idempotency_key if request.method == "POST" else None
        if key is None:
            await self._wait_before(fault)
            return self._execute(request, row, scope, sent, fault)[0]
        fingerprint = orjson.dumps(sent, option=orjson.OPT_SORT_KEYS)
        kept = self.keys.begin(scope, key, path=row.path, body=fingerprint, now=row.at)
        if kept is not None:
            row.replayed = True
            return kept
        async with self._key_in_use(scope, key):
            await self._wait_before(fault)
            answer, keeps = self._execute(request, row, scope, sent, fault)
            if keeps:
                self.keys.keep(scope, key, answer)
            return answer

    @asynccontextmanager
    async def _key_in_use(self, scope: Scope, key: str) -> AsyncGenerator[None]:
        """Hold a key; one that has no answer to keep at the end is free again."""
        try:
            yield
        finally:
            self.keys.release(scope, key)

    def _execute(
        self, request: web.Request, row: LoggedRequest, scope: Scope, sent: Json, fault: Fault | None
    ) -> tuple[Answer, bool]:
        """The answer, and whether an idempotency key keeps it."""
        around = self.world.around
        try:
            operation, ids = self.routes.find(request.method, request.rel_url.raw_path)
            params = check_parts(sent, operation.shape)
            paths: list[str] = params.pop("expand", [])
            expansion.check_paths(paths, kind=operation.kind, many=operation.many)
            if fault is not None and fault.kind is FaultKind.STATUS_500_KEPT:
                return Answer(500, orjson.dumps(_SERVER_ERROR)), True
            self.world.run_due()
            around.base_url = around.settings.public_base_url or f"{request.scheme}://{request.host}"
            around.origin = Origin(row.request_id, row.idempotency_key)
            book = self.world.book(scope)
            version = request.headers.get("Stripe-Version")
            call = Call(world=self.world, book=book, params=params, path_ids=ids, version=version)
            result = expansion.render(book, operation.run(call))
            expansion.expand(book, result, paths)
            return Answer(200, orjson.dumps(result, default=str, option=orjson.OPT_INDENT_2)), True
        except Refusal as refusal:
            return _refused(refusal, request.path), refusal.kept
        except Exception:
            log.exception("sandbox.bug", method=row.method, path=row.path)
            return Answer(500, orjson.dumps(_BUG)), True
        finally:
            around.origin = None
            if request.method != "GET":
                self.world.changes += 1

    async def _send(
        self, request: web.Request, row: LoggedRequest, answer: Answer, fault: Fault | None
    ) -> web.StreamResponse:
        headers = _headers(row)
        if fault is None:
            return web.Response(status=answer.status, body=answer.body, headers=headers)
        if fault.kind in _AFTER:
            if fault.kind is FaultKind.TIMEOUT_AFTER:
                await self._stall(fault.seconds)
            raise ConnectionCut
        if fault.kind is FaultKind.STATUS_500_AFTER:
            row.status = 500
            return web.Response(status=500, body=orjson.dumps(_SERVER_ERROR), headers=headers)
        if fault.kind is FaultKind.NOT_JSON:
            row.status = 502
            return web.Response(status=502, text="<html>Bad Gateway</html>", content_type="text/html")
        if fault.kind in {FaultKind.CUT_BODY, FaultKind.SLOW_BODY}:
            return await self._break_off(request, answer, headers, fault)
        return web.Response(status=answer.status, body=answer.body, headers=headers)

    async def _wait_before(self, fault: Fault | None) -> None:
        if fault is None:
            return
        if fault.kind is FaultKind.SLOW:
            await self._stall(fault.seconds)
        elif fault.kind in _BEFORE:
            if fault.kind is FaultKind.TIMEOUT_BEFORE:
                await self._stall(fault.seconds)
            raise ConnectionCut

    async def _break_off(
        self, request: web.Request, answer: Answer, headers: dict[str, str], fault: Fault
    ) -> web.StreamResponse:
        """Send the head and half the body, then cut."""
        response = web.StreamResponse(status=answer.status, headers=headers)
        response.content_length = len(answer.body)
        await response.prepare(request)
        with suppress(ConnectionResetError):
            await response.write(answer.body[: len(answer.body) // 2])
            if fault.kind is FaultKind.SLOW_BODY:
                await self._stall(fault.seconds)
        raise ConnectionCut


async def _decode(request: web.Request) -> dict[str, Any]:
    if request.method in {"GET", "DELETE"}:
        return decode_form(request.rel_url.raw_query_string)
    body = await request.read()
    if len(body) > BODY_BYTES_MAX:
        raise Refusal("The request body is too large.", status=413)
    if _is_second_generation(request.path):
        if body and request.content_type != _JSON:
            raise Refusal("Invalid request: the content type of a /v2 request is application/json.")
        return decode_json(body)
    if body and request.content_type != _FORM:
        raise Refusal(
            "Invalid request (check that your POST content type is application/x-www-form-urlencoded). "
            "If you have any questions, we can help at https://support.stripe.com/.",
        )
    try:
        return decode_form(body.decode())
    except UnicodeDecodeError as error:
        raise Refusal("Invalid request: the body is not UTF-8.") from error


def _headers(row: LoggedRequest) -> dict[str, str]:
    headers = {"Content-Type": "application/json", "Request-Id": row.request_id}
    if row.version:
        headers["Stripe-Version"] = row.version
    if row.idempotency_key:
        headers["Idempotency-Key"] = row.idempotency_key
    if row.account:
        headers["Stripe-Account"] = row.account
    if row.replayed:
        headers["Idempotent-Replayed"] = "true"
    return headers


def _is_second_generation(path: str) -> bool:
    return path.startswith("/v2/")


def _refused(refusal: Refusal, path: str) -> Answer:
    body = refusal.body_v2() if _is_second_generation(path) else refusal.body()
    return Answer(refusal.status, orjson.dumps(body, default=str, option=orjson.OPT_INDENT_2))
