"""What every answer of every door has in common: safe headers, an id, a log event, and no traceback."""

import re
import secrets
import time
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Protocol

import orjson
import structlog
from aiohttp import hdrs, web
from aiohttp.typedefs import Handler, Middleware

REQUEST_ID = "X-Request-Id"
SLOW_SECONDS = 1.0
#: Doors that machines knock at every few seconds: logged only when something is not ordinary.
_QUIET_ROUTES = frozenset({"/healthz", "/readyz", "/metrics"})

_GIVEN_ID = re.compile(r"[A-Za-z0-9._-]{1,64}", re.ASCII)
_SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
}

log = structlog.stdlib.get_logger(__name__)


class Observe(Protocol):
    """Told of every answer: the route's pattern, the status, and how many seconds it took."""

    def __call__(self, *, route: str, status: int, seconds: float) -> None: ...


def middlewares(
    *,
    observe: Observe | None = None,
    new_id: Callable[[], str] = lambda: secrets.token_hex(16),
    seconds: Callable[[], float] = time.perf_counter,
    log_ordinary: bool = True,
) -> tuple[Middleware, ...]:
    """The middlewares for all routes, outermost first; `seconds` is a clock that only its differences are taken of.

    Ordinary answers of the health doors are not logged. `log_ordinary=False` keeps the log to answers that are errors
    or slow, for a gateway whose proxy logs the rest.
    """

    @web.middleware
    async def watch(request: web.Request, handler: Handler) -> web.StreamResponse:
        started = seconds()
        given = request.headers.get(REQUEST_ID, "")
        request_id = given if _GIVEN_ID.fullmatch(given) else new_id()
        # Not taken back at the end: the next request of this connection sets its own.
        structlog.contextvars.bind_contextvars(request_id=request_id)
        response = await _answered(handler(request), new_id=new_id)
        if not response.prepared:  # else its headers are under way already
            _dress(response, request_id)
        taken, status, route = seconds() - started, response.status, _route(request)
        if observe is not None:
            observe(route=route, status=status, seconds=taken)
        ordinary_too = log_ordinary and route not in _QUIET_ROUTES
        if ordinary_too or status >= HTTPStatus.BAD_REQUEST or taken >= SLOW_SECONDS:
            log.info("http.request", method=request.method, route=route, status=status, ms=round(taken * 1000, 1))
        return response

    return (watch,)


async def hide_server(request: web.Request, response: web.StreamResponse) -> None:
    """Takes the name and version of the server software off an answer; an `on_response_prepare` signal."""
    response.headers.popall(hdrs.SERVER, None)


async def _answered(answer: Awaitable[web.StreamResponse], *, new_id: Callable[[], str]) -> web.StreamResponse:
    """The answer, with errors of the framework as JSON and any other exception as a masked 500."""
    try:
        return await answer
    except web.HTTPException as raised:
        if raised.status < HTTPStatus.BAD_REQUEST:
            raise
        response = _error(raised.status, code=HTTPStatus(raised.status).name.lower(), message=raised.reason)
        if hdrs.ALLOW in raised.headers:
            response.headers[hdrs.ALLOW] = raised.headers[hdrs.ALLOW]
        return response
    except ConnectionResetError:
        raise  # the client is gone: there is nobody to answer, and nothing of ours is broken
    except Exception:  # the last border: a bug is logged and masked
        error_id = new_id()
        log.exception("http.unexpected_error", error_id=error_id)
        message = f"Something went wrong on our side. Quote this id to support: {error_id}"
        return _error(500, code="internal_server_error", message=message)


def _error(status: int, *, code: str, message: str) -> web.Response:
    body = orjson.dumps({"error": {"code": code, "message": message}})
    return web.Response(body=body, status=status, content_type="application/json", charset="utf-8")


def _route(request: web.Request) -> str:
    """The route's pattern, never the address as sent: that may hold ids, secrets or somebody's junk."""
    resource = request.match_info.route.resource
    return resource.canonical if resource is not None else "unmatched"


def _dress(response: web.StreamResponse, request_id: str) -> None:
    headers = response.headers
    headers[REQUEST_ID] = request_id
    for name, value in _SECURITY_HEADERS.items():
        headers.setdefault(name, value)
