"""What may be posted: media types, sizes, JSON, shapes; and the statuses of every refusal."""

import asyncio
import gzip
import json
from collections.abc import AsyncIterator, Mapping
from typing import Any

import orjson
import pytest

from gateway.server.graphql.negotiation import GRAPHQL_RESPONSE, JSON
from gateway.server.graphql.requests import BODY_BYTES_MAX
from tests.server.graphql_world import Door, open_door
from tests.server.tokens import NOW_SECONDS, claims, signed

HELLO = {"query": "{ hello }"}


async def send(door: Door, body: object, *, status: int, **headers: str) -> Mapping[str, Any]:
    """Posts raw bytes as JSON and returns the one error of the refusal."""
    all_headers = {"Content-Type": JSON, **{name.replace("_", "-"): value for name, value in headers.items()}}
    async with door.client.post("/graphql", data=body, headers=all_headers) as response:
        content = orjson.loads(await response.read())
        assert response.status == status, content
        assert response.headers["Cache-Control"] == "no-store"
        assert response.headers["Vary"] == "Accept, Origin"
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert "data" not in content
        assert len(content["errors"]) == 1
        return content["errors"][0]


JUNK: dict[str, bytes] = {
    "empty": b"",
    "null": b"null",
    "a number": b"123",
    "a text": b'"abc"',
    "true": b"true",
    "not JSON": b"{",
    "two values": b"{}{}",
    "form": b"query=%7Bhello%7D",
    "invalid UTF-8": b'{"query":"{ hello }\xff"}',
    "UTF-16": '{"query":"{ hello }"}'.encode("utf-16"),
    "byte order mark": b"\xef\xbb\xbf" + orjson.dumps(HELLO),
    "lone surrogate": b'{"query":"{ hello }","operationName":"\\ud800"}',
    "NUL": b'{"query":"query($n:String!){ hello(name:$n) }","variables":{"n":"a\\u0000b"}}',
    "NaN": b'{"query":"{ hello }","variables":{"a":NaN}}',
    "Infinity": b'{"query":"{ hello }","variables":{"a":-Infinity}}',
    "a number past all floats": b'{"query":"{ hello }","variables":{"a":1e999}}',
    "nested 30,000 deep": b"[" * 30_000 + b"]" * 30_000,
    "variables nested 5,000 deep": b'{"query":"{ hello }","variables":' + b'{"a":' * 5000 + b"1" + b"}" * 5001,
    "an empty object": b"{}",
    "no query": b'{"variables":{}}',
    "query null": b'{"query":null}',
    "query a number": b'{"query":5}',
    "query a list": b'{"query":["{ hello }"]}',
    "query empty": b'{"query":""}',
    "variables a list": b'{"query":"{ hello }","variables":[1]}',
    "variables a text": b'{"query":"{ hello }","variables":"{}"}',
    "variables a number": b'{"query":"{ hello }","variables":0}',
    "variables false": b'{"query":"{ hello }","variables":false}',
    "operationName a number": b'{"query":"{ hello }","operationName":1}',
    "operationName an object": b'{"query":"{ hello }","operationName":{}}',
    "extensions a text": b'{"query":"{ hello }","extensions":"x"}',
    "extensions a list": b'{"query":"{ hello }","extensions":[]}',
    "an empty batch": b"[]",
    "a batch of numbers": b"[1,2]",
    "a batch of nulls": b"[null]",
    "a batch in a batch": b'[[{"query":"{ hello }"}]]',
    "a batch with bad variables": b'[{"query":"{ hello }"},{"query":"{ hello }","variables":[1]}]',
    "a batch with a bad query": b'[{"query":"{ hello }"},{"query":5}]',
    "a batch of nine": orjson.dumps([HELLO] * 9),
}


@pytest.mark.parametrize("accept", [JSON, GRAPHQL_RESPONSE])
@pytest.mark.parametrize("body", JUNK.values(), ids=JUNK.keys())
async def test_a_body_that_is_no_request_is_refused_as_a_whole(door: Door, body: bytes, accept: str) -> None:
    error = await send(door, body, status=400, Accept=accept)
    assert error["extensions"] == {"code": "BAD_REQUEST"}
    assert door.world.journal == []


@pytest.mark.parametrize(
    "content_type",
    [
        "application/json",
        "application/json; charset=utf-8",
        'application/json;charset="UTF-8"',
        "Application/JSON ; Charset=utf-8",
    ],
)
async def test_json_in_utf_8_is_read(door: Door, content_type: str) -> None:
    headers = {"Content-Type": content_type}
    async with door.client.post("/graphql", data=orjson.dumps(HELLO), headers=headers) as response:
        assert await response.json() == {"data": {"hello": "hello world"}}


@pytest.mark.parametrize(
    "content_type",
    [
        "text/plain",
        "application/jsonp",
        "application/json-patch+json",
        "application/graphql",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/json; charset=utf-16",
        "application/json; charset=latin1",
        "application/json; boundary=x",
        "text/plain, application/json",
        "",
    ],
)
async def test_any_other_media_type_is_refused(door: Door, content_type: str) -> None:
    headers = {"Content-Type": content_type}
    async with door.client.post("/graphql", data=orjson.dumps(HELLO), headers=headers) as response:
        assert response.status == 415
        assert (await response.json())["errors"][0]["extensions"]["code"] == "BAD_REQUEST"
    assert door.world.journal == []


async def test_a_compressed_body_is_refused_before_it_is_read(door: Door) -> None:
    bomb = gzip.compress(b" " * 10_000_000)
    error = await send(door, bomb, status=415, Content_Encoding="gzip")
    assert error["message"] == "The body must not be compressed."


async def test_a_body_of_the_largest_size_is_read(door: Door) -> None:
    body = orjson.dumps(HELLO)
    async with door.client.post(
        "/graphql", data=body + b" " * (BODY_BYTES_MAX - len(body)), headers={"Content-Type": JSON}
    ) as response:
        assert response.status == 200


async def test_a_larger_body_is_refused_by_its_declared_length(door: Door) -> None:
    await send(door, b" " * (BODY_BYTES_MAX + 1), status=413)


async def test_a_larger_body_is_refused_when_it_comes_in_chunks(door: Door) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(BODY_BYTES_MAX // 1024 + 1):
            yield b" " * 1024

    await send(door, chunks(), status=413)


async def test_a_small_body_in_chunks_is_read(door: Door) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for byte in orjson.dumps(HELLO):
            yield bytes([byte])
            await asyncio.sleep(0)

    async with door.client.post("/graphql", data=chunks(), headers={"Content-Type": JSON}) as response:
        assert await response.json() == {"data": {"hello": "hello world"}}


async def test_an_answer_that_nobody_would_accept_is_not_made(door: Door) -> None:
    error = await send(door, orjson.dumps(HELLO), status=406, Accept="text/html")
    assert "application/graphql-response+json" in error["message"]
    assert door.world.journal == []


@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE", "OPTIONS"])
async def test_operations_are_only_posted(door: Door, method: str) -> None:
    async with door.client.request(method, "/graphql?query={hello}") as response:
        assert response.status == 405
        assert response.headers["Allow"] == "POST"
        assert (await response.json())["errors"][0]["extensions"]["code"] == "BAD_REQUEST"


@pytest.mark.parametrize(("accept", "status"), [(JSON, 200), (GRAPHQL_RESPONSE, 400), ("*/*", 200), (None, 200)])
@pytest.mark.parametrize(
    "request_body",
    [
        {"query": "{"},
        {"query": "{ nope }"},
        {"query": "query A { hello } query B { hello }"},
        {"query": "query A { hello } query B { hello }", "operationName": "C"},
        {"query": "{ hello }", "operationName": "A"},
        {"query": "query($n: Int!) { wallet { entries(first: $n) { edges { cursor } } } }"},
        {"query": "query($n: Int) { wallet { entries(first: $n) { edges { cursor } } } }", "variables": {"n": "1"}},
        {"query": "subscription { hello }"},
        {"query": "type A { b: Int }"},
        {"query": "fragment F on Query { hello }"},
    ],
    ids=lambda body: body["query"][:40],
)
async def test_a_request_error_has_no_data_and_the_status_of_its_media_type(
    door: Door, request_body: object, accept: str | None, status: int
) -> None:
    headers = {} if accept is None else {"Accept": accept}
    async with door.client.post("/graphql", json=request_body, headers=headers) as response:
        content = await response.json(content_type=None)
        assert response.status == status
        expected = GRAPHQL_RESPONSE if accept == GRAPHQL_RESPONSE else JSON
        assert response.headers["Content-Type"] == f"{expected}; charset=utf-8"
    assert content.keys() == {"errors"}
    assert {error["extensions"]["code"] for error in content["errors"]} == {"BAD_REQUEST"}
    assert door.world.journal == []


@pytest.mark.parametrize(
    "body",
    [
        {"query": "{ hello }", "operationName": None, "variables": None, "extensions": None},
        {"query": "{ hello }", "operationName": "", "variables": {}, "extensions": {"a": 1}},
        {"query": "query A { hello }", "operationName": "A"},
        {"query": 'query A { hello } query B { hello(name: "b") }', "operationName": "A"},
        {"query": "{ hello }", "variables": {"unused": {"a": [1, 2.5, None]}}},
        {"query": "{ hello }", "somethingElse": 1},
    ],
)
async def test_all_spellings_of_a_good_request_run(door: Door, body: object) -> None:
    assert await door.post(body) == (200, {"data": {"hello": "hello world"}})


@pytest.mark.parametrize(
    "body",
    [
        {"documentId": "sha256:abc"},
        {"extensions": {"persistedQuery": {"version": 1, "sha256Hash": "abc"}}},
    ],
)
async def test_a_hash_without_its_document_is_told_to_send_it(door: Door, body: object) -> None:
    error = {"message": "PersistedQueryNotFound", "extensions": {"code": "PERSISTED_QUERY_NOT_FOUND"}}
    assert await door.post(body) == (200, {"errors": [error]})


async def test_a_key_named_twice_is_refused_where_money_could_move(door: Door) -> None:
    body = b'{"query":"mutation($v:Int!){ add(value:$v) }","variables":{"v":5,"v":50000}}'
    error = await send(door, body, status=400)
    assert error["message"] == "An object of the body names the key 'v' twice."
    assert door.world.journal == []


@pytest.mark.parametrize(
    "number",
    ["18446744073709551616", "-9223372036854775809", "1" * 40, "9007199254740992.0", "1e22", "-1E22"],
)
async def test_a_number_that_readers_round_is_refused_where_money_could_move(door: Door, number: str) -> None:
    body = b'{"query":"mutation { add(value: 1) }","variables":{"id":%s}}' % number.encode()
    error = await send(door, body, status=400)
    assert error["message"] == (
        f"The body holds the number {number}, which not all readers read exactly; send it as a string."
    )
    assert error["extensions"] == {"code": "BAD_REQUEST"}
    assert door.world.journal == []


@pytest.mark.parametrize(
    "number", ["18446744073709551615", "-9223372036854775808", "0.1", "1e3", "-9007199254740991.0"]
)
async def test_a_number_that_all_readers_read_alike_is_read(door: Door, number: str) -> None:
    body = b'{"query":"mutation { add(value: 1) }","extensions":{"sampled":%s}}' % number.encode()
    async with door.client.post("/graphql", data=body, headers={"Content-Type": JSON}) as response:
        assert (response.status, await response.json()) == (200, {"data": {"add": 1}})


async def test_suggestions_are_not_made(door: Door) -> None:
    content = await door.query("{ hell }")
    assert content["errors"][0]["message"] == "Cannot query field 'hell' on type 'Query'."
    content = await door.query("query($i: AddInput!) { hello }", i={"valu": 1})
    assert "Did you mean" not in json.dumps(content)


@pytest.mark.parametrize(
    "authorization", ["Bearer x", "Basic dTpw", f"Bearer {signed(claims(exp=NOW_SECONDS - 60, iat=NOW_SECONDS - 90))}"]
)
@pytest.mark.parametrize("accept", [JSON, GRAPHQL_RESPONSE])
async def test_a_bad_token_is_refused_before_anything_is_read(door: Door, authorization: str, accept: str) -> None:
    headers = {"Authorization": authorization, "Accept": accept}
    async with door.client.post("/graphql", json=HELLO, headers=headers) as response:
        assert response.status == 401
        assert response.headers["WWW-Authenticate"] == 'Bearer error="invalid_token"'
        assert response.headers["Content-Type"] == f"{accept}; charset=utf-8"
        message = "The token is not valid, or no longer; sign in again."
        assert await response.json(content_type=None) == {
            "errors": [{"message": message, "extensions": {"code": "UNAUTHENTICATED"}}]
        }
    assert door.world.contexts == []


async def test_the_caller_reaches_the_resolvers(door: Door) -> None:
    status, content = await door.post({"query": "{ me }"}, Authorization=f"Bearer {signed()}")
    assert (status, content) == (200, {"data": {"me": "user_1"}})


async def test_without_a_token_the_operation_runs_and_a_field_may_ask_for_one(door: Door) -> None:
    status, content = await door.post({"query": "{ hello me }"})
    assert status == 200
    assert content["data"] == {"hello": "hello world", "me": None}
    assert content["errors"][0]["extensions"] == {"code": "UNAUTHENTICATED"}
    assert content["errors"][0]["path"] == ["me"]


async def test_a_smaller_batch_can_be_configured() -> None:
    async with open_door(batch_max=2) as door:
        status, content = await door.post([HELLO] * 3)
        assert status == 400
        assert content["errors"][0]["message"] == "A batch holds 1 to 2 operations; got 3."
