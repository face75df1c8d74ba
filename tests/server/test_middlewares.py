"""What all answers have in common."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from itertools import count

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from structlog.contextvars import get_contextvars
from structlog.testing import capture_logs

from gateway.server.middlewares import hide_server, middlewares
from tests.server.graphql_world import Client


async def fine(request: web.Request) -> web.Response:
    return web.Response(text=str(get_contextvars().get("request_id")))


async def broken(request: web.Request) -> web.Response:
    raise ValueError("postgres://user:password@db")


async def sick(request: web.Request) -> web.Response:
    return web.Response(status=503)


async def own_policy(request: web.Request) -> web.Response:
    return web.Response(headers={"Content-Security-Policy": "default-src 'self'"})


async def moved(request: web.Request) -> web.Response:
    raise web.HTTPSeeOther("/fine")


async def streamed(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    await response.write(b"x")
    return response


class Ticks:
    """A clock that moves a quarter of a second each time it is read."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        self.now += 0.25
        return self.now


@asynccontextmanager
async def serving(
    *, log_ordinary: bool = True, sick_doors: bool = False, seen: list[tuple[str, int, float]] | None = None
) -> AsyncGenerator[Client]:
    ids = count(1)

    def observe(*, route: str, status: int, seconds: float) -> None:
        if seen is not None:
            seen.append((route, status, seconds))

    app = web.Application(
        middlewares=middlewares(
            observe=observe, new_id=lambda: f"id-{next(ids)}", seconds=Ticks(), log_ordinary=log_ordinary
        )
    )
    app.on_response_prepare.append(hide_server)
    app.router.add_get("/fine", fine)
    app.router.add_get("/things/{name}", fine)
    for door in ("/healthz", "/readyz", "/metrics"):
        app.router.add_get(door, sick if sick_doors else fine)
    app.router.add_get("/broken", broken)
    app.router.add_get("/policy", own_policy)
    app.router.add_get("/moved", moved)
    app.router.add_get("/streamed", streamed)
    async with TestClient(TestServer(app)) as client:
        yield client


@pytest.mark.parametrize("path", ["/fine", "/broken", "/nowhere", "/streamed"])
async def test_no_answer_names_the_server(path: str) -> None:
    async with serving() as client, client.get(path) as response:
        assert "Server" not in response.headers


@pytest.mark.parametrize("path", ["/fine", "/broken", "/nowhere"])
async def test_every_answer_carries_the_safe_headers(path: str) -> None:
    async with serving() as client, client.get(path) as response:
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert response.headers["X-Frame-Options"] == "DENY"
        assert response.headers["Referrer-Policy"] == "no-referrer"
        assert response.headers["Content-Security-Policy"] == "default-src 'none'; frame-ancestors 'none'"


async def test_a_route_may_have_a_policy_of_its_own() -> None:
    async with serving() as client, client.get("/policy") as response:
        assert response.headers["Content-Security-Policy"] == "default-src 'self'"


async def test_a_bug_is_masked_as_json() -> None:
    with capture_logs() as logs:
        async with serving() as client, client.get("/broken") as response:
            assert response.status == 500
            message = "Something went wrong on our side. Quote this id to support: id-2"
            assert await response.json() == {"error": {"code": "internal_server_error", "message": message}}
    (event,) = (entry for entry in logs if entry["log_level"] == "error")
    assert (event["event"], event["error_id"]) == ("http.unexpected_error", "id-2")


async def test_an_unknown_address_is_answered_in_json() -> None:
    async with serving() as client, client.get("/nowhere?secret=1") as response:
        assert response.status == 404
        assert await response.json() == {"error": {"code": "not_found", "message": "Not Found"}}


async def test_a_wrong_method_is_told_the_right_ones() -> None:
    async with serving() as client, client.delete("/fine") as response:
        assert response.status == 405
        assert response.headers["Allow"] == "GET,HEAD"
        assert (await response.json())["error"]["code"] == "method_not_allowed"


async def test_a_redirect_stays_a_redirect() -> None:
    async with serving() as client, client.get("/moved", allow_redirects=False) as response:
        assert response.status == 303
        assert response.headers["Location"] == "/fine"


@pytest.mark.parametrize(
    ("given", "kept"),
    [("abc-DEF_1.2", True), ("a" * 64, True), ("a" * 65, False), ("a b", False), ("", False), ("é", False)],
)
async def test_a_request_id_is_kept_if_it_is_plain_and_made_if_not(given: str, kept: bool) -> None:
    async with serving() as client, client.get("/fine", headers={"X-Request-Id": given}) as response:
        expected = given if kept else "id-1"
        assert response.headers["X-Request-Id"] == expected
        assert await response.text() == expected, "log events of the request carry it too"


async def test_an_answer_is_logged_by_its_route_and_never_by_its_address() -> None:
    with capture_logs() as logs:
        async with serving() as client, client.get("/things/cs_test_secret?token=x"):
            pass
    assert logs == [
        {
            "event": "http.request",
            "log_level": "info",
            "method": "GET",
            "route": "/things/{name}",
            "status": 200,
            "ms": 250.0,
        }
    ]


async def test_the_log_can_be_kept_to_what_is_not_ordinary() -> None:
    with capture_logs() as logs:
        async with serving(log_ordinary=False) as client:
            await client.get("/fine")
            await client.get("/nowhere")
    assert [(entry["route"], entry["status"]) for entry in logs] == [("unmatched", 404)]


@pytest.mark.parametrize("door", ["/healthz", "/readyz", "/metrics"])
async def test_a_healthy_answer_of_a_health_door_is_not_logged(door: str) -> None:
    with capture_logs() as logs:
        async with serving() as client:
            await client.get(door)
            await client.get("/fine")
    assert [entry["route"] for entry in logs] == ["/fine"]


@pytest.mark.parametrize("door", ["/healthz", "/readyz", "/metrics"])
async def test_a_sick_answer_of_a_health_door_is_logged(door: str) -> None:
    with capture_logs() as logs:
        async with serving(sick_doors=True) as client:
            await client.get(door)
    assert [(entry["route"], entry["status"]) for entry in logs] == [(door, 503)]


async def test_every_answer_is_counted() -> None:
    seen: list[tuple[str, int, float]] = []
    async with serving(seen=seen) as client:
        for path in ("/fine", "/broken", "/nowhere", "/things/1", "/streamed"):
            await client.get(path)
    assert seen == [
        ("/fine", 200, 0.25),
        ("/broken", 500, 0.25),
        ("unmatched", 404, 0.25),
        ("/things/{name}", 200, 0.25),
        ("/streamed", 200, 0.25),
    ]
