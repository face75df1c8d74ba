"""Which pages may call the GraphQL door, as their browsers see it."""

from collections.abc import AsyncIterator

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from gateway.domain.redirects import Allowlist
from gateway.server.cors import cors
from gateway.server.graphql import GRAPHQL_PATH, add_graphql_routes
from tests.server.graphql_world import Client, World, build_edge

ALLOWED = "https://preview.aerostack-admin.pages.dev"
ALLOWLIST = Allowlist.parse(["https://app.aerostack.dev", "https://*.aerostack-admin.pages.dev"])


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    async def other(request: web.Request) -> web.Response:
        return web.Response(text="ok")

    app = web.Application(middlewares=[cors(ALLOWLIST)])
    add_graphql_routes(app, build_edge(World()), graphiql=True)
    app.router.add_route("*", "/healthz", other)
    async with TestClient(TestServer(app)) as opened:
        yield opened


def preflight(origin: str) -> dict[str, str]:
    return {
        "Origin": origin,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization,content-type",
    }


async def test_a_preflight_of_an_allowed_page_says_what_it_may_send(client: Client) -> None:
    async with client.options(GRAPHQL_PATH, headers=preflight(ALLOWED)) as response:
        assert response.status == 204
        assert response.headers["Access-Control-Allow-Origin"] == ALLOWED
        assert response.headers["Access-Control-Allow-Methods"] == "POST"
        assert response.headers["Access-Control-Allow-Headers"] == "authorization, content-type"
        assert response.headers["Access-Control-Max-Age"] == "600"
        assert "Origin" in response.headers["Vary"]
        assert "Access-Control-Allow-Credentials" not in response.headers


@pytest.mark.parametrize(
    "origin",
    [
        "https://evil.example",
        "null",
        "https://app.aerostack.dev.evil.example",
        "https://a.b.aerostack-admin.pages.dev",
        "",
    ],
)
async def test_another_page_is_told_nothing(client: Client, origin: str) -> None:
    async with client.options(GRAPHQL_PATH, headers=preflight(origin)) as response:
        assert response.status == 204
        assert not [name for name in response.headers if name.startswith("Access-Control")]
    async with client.post(GRAPHQL_PATH, json={"query": "{ hello }"}, headers={"Origin": origin}) as response:
        assert not [name for name in response.headers if name.startswith("Access-Control")]


async def test_an_allowed_page_may_read_the_answer(client: Client) -> None:
    async with client.post(GRAPHQL_PATH, json={"query": "{ hello }"}, headers={"Origin": ALLOWED}) as response:
        assert response.status == 200
        assert response.headers["Access-Control-Allow-Origin"] == ALLOWED
        assert response.headers["Vary"] == "Accept, Origin"
        assert "Access-Control-Allow-Credentials" not in response.headers


@pytest.mark.parametrize("headers", [{"Authorization": "Bearer x"}, {"Content-Type": "text/plain"}])
async def test_an_allowed_page_may_read_a_refusal_too(client: Client, headers: dict[str, str]) -> None:
    async with client.post(GRAPHQL_PATH, data="{}", headers={"Origin": ALLOWED, **headers}) as response:
        assert response.status in (401, 415)
        assert response.headers["Access-Control-Allow-Origin"] == ALLOWED


async def test_an_answer_to_no_page_names_no_origin(client: Client) -> None:
    async with client.post(GRAPHQL_PATH, json={"query": "{ hello }"}) as response:
        assert "Access-Control-Allow-Origin" not in response.headers
        assert "Origin" in response.headers["Vary"]


async def test_an_options_that_is_no_preflight_is_refused(client: Client) -> None:
    async with client.options(GRAPHQL_PATH, headers={"Origin": ALLOWED}) as response:
        assert response.status == 405


@pytest.mark.parametrize("method", ["OPTIONS", "GET", "POST"])
async def test_other_doors_are_closed_to_all_pages(client: Client, method: str) -> None:
    async with client.request(method, "/healthz", headers=preflight(ALLOWED)) as response:
        assert not [name for name in response.headers if name.startswith("Access-Control")]
