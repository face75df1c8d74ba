"""What runs, in which order, over which load; and what a client learns when it goes wrong."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from structlog.testing import capture_logs

from gateway.server.graphql import Need
from tests.server.graphql_world import DatabaseGone, Door, open_door

MASKED = "Something went wrong on our side. Quote this id to support."
OUT_OF_SERVICE = "The service cannot do this at the moment; try again, with the same idempotency key if there was one."


def entries(*sources: str) -> list[dict[str, str]]:
    return [{"query": source} for source in sources]


async def test_a_query_is_prepared_once_with_its_plan_and_coerced_variables(door: Door) -> None:
    source = """query Q($name: String! = "you", $n: Int!) {
        hello(name: $name) wallet { entries(first: $n) { edges { cursor } } }
    }"""
    await door.query(source, n=3, unknown=4)
    (context,) = door.world.contexts
    assert context.prepared == 1
    assert context.needs == [Need(plan="plan of Q", variables={"name": "you", "n": 3})]


async def test_consecutive_queries_of_a_batch_share_one_load(door: Door) -> None:
    status, answers = await door.post(entries("query A { total }", "query B { hello }", "query C { total hello }"))
    assert status == 200
    assert answers == [
        {"data": {"total": 0}},
        {"data": {"hello": "hello world"}},
        {"data": {"total": 0, "hello": "hello world"}},
    ]
    (context,) = door.world.contexts
    assert [need.plan for need in context.needs] == ["plan of A", "plan of B", "plan of C"]
    assert door.world.journal == ["load 3", "read total", "read total"]


async def test_mutations_of_a_batch_run_alone_and_in_order_with_fresh_loads_around_them(door: Door) -> None:
    status, answers = await door.post(
        entries(
            "{ total }",
            "mutation { add(value: 1) }",
            "mutation { add(value: 2) }",
            "{ total }",
            "{ hello }",
            "mutation { add(value: 4) }",
            "{ total }",
        )
    )
    assert status == 200
    assert [answer["data"] for answer in answers] == [
        {"total": 0},
        {"add": 1},
        {"add": 3},
        {"total": 3},
        {"hello": "hello world"},
        {"add": 7},
        {"total": 7},
    ]
    assert door.world.journal == [
        *("load 1", "read total"),
        *("start 1", "end 1"),
        *("start 2", "end 2"),
        *("load 2", "read total"),
        *("start 4", "end 4"),
        *("load 1", "read total"),
    ]
    assert [context.prepared for context in door.world.contexts] == [1, 0, 0, 1, 0, 1]
    assert door.world.requests == 1, "what all of them may cost is kept in one place"


async def test_queries_of_a_batch_run_side_by_side(door: Door) -> None:
    _, answers = await door.post(entries("{ slow }", "{ openGate }"))
    assert answers == [{"data": {"slow": "slow"}}, {"data": {"openGate": "open"}}]


async def test_a_bad_document_in_a_batch_answers_for_itself_alone(door: Door) -> None:
    status, answers = await door.post(
        entries("mutation { add(value: 1) }", "{ nope }", "{", "query($n: Int!) { hello }", "{ total }")
    )
    assert status == 200
    assert answers[0] == {"data": {"add": 1}}
    assert [list(answer) for answer in answers[1:4]] == [["errors"], ["errors"], ["errors"]]
    assert answers[4] == {"data": {"total": 1}}
    assert door.world.journal == ["start 1", "end 1", "load 1", "read total"]


async def test_a_batch_of_a_wrong_shape_commits_nothing(door: Door) -> None:
    batch: list[Any] = [*entries("mutation { add(value: 1) }"), {"query": "{ total }", "variables": [1]}]
    status, content = await door.post(batch)
    assert status == 400
    assert content["errors"][0]["message"] == "Entry 1 of the batch has variables that are not an object."
    assert door.world.total == 0
    assert door.world.journal == []


async def test_a_batch_of_one_is_answered_as_a_batch(door: Door) -> None:
    assert await door.post(entries("{ hello }")) == (200, [{"data": {"hello": "hello world"}}])


@pytest.mark.parametrize("accept", ["application/graphql-response+json", "application/json"])
async def test_a_batch_is_plain_json(door: Door, accept: str) -> None:
    async with door.client.post("/graphql", json=entries("{ nope }"), headers={"Accept": accept}) as response:
        assert response.status == 200
        assert response.headers["Content-Type"] == "application/json; charset=utf-8"


async def test_a_bug_is_masked_and_logged_under_its_id(door: Door) -> None:
    with capture_logs() as logs:
        status, content = await door.post({"query": "{ hello boom }"})
    assert status == 200
    assert content == {
        "errors": [
            {
                "message": MASKED,
                "extensions": {"code": "INTERNAL_SERVER_ERROR", "errorId": "error-1"},
                "path": ["boom"],
            }
        ],
        "data": {"hello": "hello world", "boom": None},
    }
    (event,) = (entry for entry in logs if entry["log_level"] == "error")
    assert event["event"] == "graphql.unexpected_error"
    assert event["error_id"] == "error-1"
    assert isinstance(event["exc_info"], ValueError)


async def test_a_bug_in_a_mutation_is_masked(door: Door) -> None:
    status, content = await door.post({"query": "mutation { fail }"})
    assert status == 200
    assert content["data"] is None
    assert content["errors"][0]["extensions"] == {"code": "INTERNAL_SERVER_ERROR", "errorId": "error-1"}
    assert "sk_live_secret" not in str(content)


async def test_a_deliberate_error_keeps_its_text_and_has_a_code(door: Door) -> None:
    content = await door.query("{ bare }")
    error = content["errors"][0]
    assert (error["message"], error["extensions"]) == ("That is not possible.", {"code": "BAD_REQUEST"})


async def test_errors_of_clients_are_logged_at_debug_only(door: Door) -> None:
    with capture_logs() as logs:
        await door.query("{ nope }")
        await door.query("{")
        await door.query("{ me }")
        await door.post([1])
        await door.post({"query": "{ hello }"}, Authorization="Bearer x")
    assert {entry["log_level"] for entry in logs} == {"debug"}


@pytest.mark.parametrize("accept", ["application/graphql-response+json", "application/json"])
@pytest.mark.parametrize("source", ["{ gone }", "mutation { loseDatabase }", "{ gone a: gone }"])
async def test_a_database_out_of_reach_is_503(door: Door, source: str, accept: str) -> None:
    async with door.client.post("/graphql", json={"query": source}, headers={"Accept": accept}) as response:
        content = await response.json(content_type=None)
        assert response.status == 503
        assert response.headers["Retry-After"] == "1"
    assert content["errors"][0]["message"] == OUT_OF_SERVICE
    assert content["errors"][0]["extensions"] == {"code": "SERVICE_UNAVAILABLE"}


async def test_what_could_be_read_is_given_while_the_rest_is_out_of_service(door: Door) -> None:
    status, content = await door.post({"query": "{ hello gone }"})
    assert status == 200
    assert content["data"] == {"hello": "hello world", "gone": None}
    assert content["errors"][0]["extensions"] == {"code": "SERVICE_UNAVAILABLE"}


@pytest.mark.parametrize(
    ("failure", "status", "code"),
    [
        (DatabaseGone(), 503, "SERVICE_UNAVAILABLE"),
        (KeyError("wallet"), 500, "INTERNAL_SERVER_ERROR"),
        (TimeoutError(), 503, "TIMEOUT"),
    ],
)
async def test_a_load_that_fails_is_the_answer(door: Door, failure: Exception, status: int, code: str) -> None:
    door.world.prepare_raises = failure
    answered, content = await door.post({"query": "{ hello }"})
    assert answered == status
    assert content.keys() == {"errors"}
    assert content["errors"][0]["extensions"]["code"] == code


async def test_a_load_that_fails_does_not_hide_a_mutation_that_was_done(door: Door) -> None:
    door.world.prepare_raises = DatabaseGone()
    status, answers = await door.post(entries("mutation { add(value: 1) }", "{ total }", "{ hello }"))
    assert status == 200
    assert answers[0] == {"data": {"add": 1}}
    codes = [answer["errors"][0]["extensions"]["code"] for answer in answers[1:]]
    assert codes == ["SERVICE_UNAVAILABLE", "SERVICE_UNAVAILABLE"]


async def test_a_batch_that_is_all_out_of_service_is_503(door: Door) -> None:
    door.world.prepare_raises = DatabaseGone()
    status, answers = await door.post(entries("{ total }", "{ hello }"))
    assert status == 503
    assert len(answers) == 2


async def test_a_planner_that_breaks_is_masked() -> None:
    def plan(*_: object) -> object:
        raise LookupError("no such part")

    async with open_door(plan=plan) as door:
        status, content = await door.post({"query": "{ hello }"})
        assert status == 500
        assert content["errors"][0]["extensions"]["code"] == "INTERNAL_SERVER_ERROR"


async def test_a_context_that_cannot_be_made_is_masked() -> None:
    def new_context() -> Any:  # noqa: ANN401 - it makes nothing
        raise RuntimeError("password")

    def new_contexts(*_: object) -> Callable[[], Any]:
        return new_context

    async with open_door(new_contexts=new_contexts) as door:
        for source in ("{ hello }", "mutation { add(value: 1) }"):
            status, content = await door.post({"query": source})
            assert status == 500
            assert content["errors"][0]["message"] == MASKED


async def test_an_authenticator_that_breaks_is_masked() -> None:
    async def authenticate(_: object) -> None:
        raise RuntimeError("password")

    async with open_door(authenticate=authenticate) as door:
        status, content = await door.post({"query": "{ hello }"})
        assert status == 500
        assert content["errors"][0]["message"] == MASKED


async def test_a_query_that_takes_too_long_is_given_up() -> None:
    async with open_door(query_seconds_max=0.05) as door:
        status, content = await door.post({"query": "{ slow }"})
        assert status == 503
        assert content["errors"][0]["extensions"] == {"code": "TIMEOUT"}
        door.world.gate.set()
        await asyncio.sleep(0)
        assert door.world.journal == ["load 1", "slow starts"]


async def test_a_load_that_takes_too_long_is_given_up() -> None:
    async with open_door(query_seconds_max=0.05) as door:
        door.world.prepare_waits = True
        status, answers = await door.post(entries("{ total }", "{ hello }"))
        assert status == 503
        assert [answer["errors"][0]["extensions"]["code"] for answer in answers] == ["TIMEOUT", "TIMEOUT"]
        assert door.world.journal == ["load 2"]


async def test_a_mutation_is_never_given_up() -> None:
    async with open_door(query_seconds_max=0.01) as door:
        answer = asyncio.create_task(door.post({"query": "mutation { addSlowly(value: 5) }"}))
        await door.world.reached.wait()
        await asyncio.sleep(0.05)
        door.world.gate.set()
        assert await answer == (200, {"data": {"addSlowly": 5}})


async def test_variables_reach_input_objects(door: Door) -> None:
    source = "mutation($i: AddInput!) { addInput(input: $i) }"
    assert await door.query(source, i={"value": 3}) == {"data": {"addInput": 3}}
    refused = await door.query(source, i={"value": "3"})
    assert refused.keys() == {"errors"}
    assert door.world.total == 3


async def test_a_value_that_json_cannot_hold_is_masked_not_sent_in_half(door: Door) -> None:
    content = await door.query("{ hello tooLarge }")
    assert content["data"] == {"hello": "hello world", "tooLarge": None}
    assert content["errors"][0]["path"] == ["tooLarge"]


async def test_every_operation_that_ran_is_told_by_kind_and_outcome() -> None:
    seen: list[tuple[str, str]] = []

    def observe(*, kind: str, outcome: str) -> None:
        seen.append((kind, outcome))

    async with open_door(observe=observe) as door:
        await door.post(entries("{ hello }", "{ boom hello }", "mutation { add(value: 1) }", "mutation { fail }"))
        await door.post(entries("{ unknown }", "{ total }"))
        await door.post("no operation at all")

    assert seen == [
        ("query", "ok"),
        ("query", "error"),
        ("mutation", "ok"),
        ("mutation", "error"),
        ("query", "ok"),
    ]
