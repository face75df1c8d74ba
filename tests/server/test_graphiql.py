"""The query page of development: served by us alone, under a strict policy, with examples that are true."""

import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from graphql import DocumentNode, GraphQLSchema, OperationDefinitionNode

import gateway.server.graphql
from gateway.server.graphql.documents import Documents
from gateway.server.graphql.execution import graphql_schema_of
from gateway.server.graphql.limits import Limits
from resolvers.schema import schema
from tests.server.graphql_world import Door, open_door

PAGE = Path(gateway.server.graphql.__file__).parent / "page"
EXAMPLES: list[dict[str, Any]] = orjson.loads((PAGE / "examples.json").read_bytes())


def no_plan(schema: GraphQLSchema, document: DocumentNode, operation: OperationDefinitionNode) -> object:
    return None


@pytest.fixture
async def page() -> AsyncIterator[Door]:
    async with open_door(graphiql=True) as opened:
        yield opened


@pytest.mark.parametrize("accept", ["text/html,application/xhtml+xml;q=0.9,*/*;q=0.8", "*/*", ""])
async def test_a_browser_gets_the_page(page: Door, accept: str) -> None:
    async with page.client.get("/graphql", headers={"Accept": accept}) as response:
        assert response.status == 200
        assert response.headers["Content-Type"] == "text/html; charset=utf-8"
        assert "<title>GraphiQL" in await response.text()


async def test_the_page_runs_nothing_but_our_own_files(page: Door) -> None:
    async with page.client.get("/graphql") as response:
        policy = response.headers["Content-Security-Policy"]
        html = await response.text()
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; ")
    assert "unsafe" not in policy
    assert not re.search(r"\son\w+=|style=|<script>|<style>|https?://", html)


@pytest.mark.parametrize("name", ["page.css", "page.js", "docs.js", "examples.json"])
async def test_what_the_page_asks_for_is_there(page: Door, name: str) -> None:
    async with page.client.get(f"/graphql/{name}") as response:
        assert response.status == 200
        assert await response.read() == (PAGE / name).read_bytes()


@pytest.mark.parametrize("name", ["page.js", "docs.js"])
def test_no_script_writes_html_or_loads_from_elsewhere(name: str) -> None:
    source = (PAGE / name).read_text()
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|new Function", source)
    assert not re.search(r"""(?:import|fetch).*["']https?:""", source)


@pytest.mark.parametrize("path", ["/graphql?query={hello}", "/graphql?query="])
async def test_a_query_in_an_address_is_not_run(page: Door, path: str) -> None:
    async with page.client.get(path) as response:
        assert response.status == 405
        assert response.headers["Allow"] == "GET, POST"
    assert page.world.contexts == []


async def test_a_tool_that_wants_json_gets_no_page(page: Door) -> None:
    async with page.client.get("/graphql", headers={"Accept": "application/json"}) as response:
        assert response.status == 405


@pytest.mark.parametrize("path", ["/graphql", "/graphql/page.js", "/graphql/examples.json"])
async def test_there_is_no_page_where_it_is_switched_off(door: Door, path: str) -> None:
    async with door.client.get(path) as response:
        assert response.status in (404, 405)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example["name"])
def test_every_example_is_valid_for_the_schema(example: dict[str, Any]) -> None:
    documents = Documents(graphql_schema_of(schema), limits=Limits(), introspection=False, plan=no_plan)
    operation = documents.operation("\n".join(example["query"]), None)
    documents.variables(operation, example["variables"])
