"""The memory of documents: what is kept, what is thrown out, what is asked of the planner."""

import pytest
from graphql import DocumentNode, GraphQLSchema, OperationDefinitionNode, OperationType

from gateway.server.graphql.answers import Refused
from gateway.server.graphql.documents import (
    KEPT_CHARACTERS_MAX,
    KEPT_DOCUMENTS_MAX,
    KEPT_REFUSALS_MAX,
    Documents,
)
from gateway.server.graphql.execution import graphql_schema_of
from gateway.server.graphql.limits import Limits
from tests.server.graphql_world import SCHEMA, Door, open_door


def documents(*, introspection: bool = False) -> Documents:
    def plan(schema: GraphQLSchema, document: DocumentNode, operation: OperationDefinitionNode) -> object:
        return object()

    return Documents(graphql_schema_of(SCHEMA), limits=Limits(), introspection=introspection, plan=plan)


def test_a_document_is_looked_at_once() -> None:
    kept = documents()
    first = kept.operation("{ hello }", None)
    assert kept.operation("{ hello }", None) is first
    assert first.plan is first.plan
    assert kept.compiled == 1


def test_a_refusal_is_remembered_with_its_errors() -> None:
    kept = documents()
    refusals: list[Refused] = []
    for _ in range(2):
        with pytest.raises(Refused) as refusal:
            kept.operation("{ nope }", None)
        refusals.append(refusal.value)
    assert refusals[0].errors == refusals[1].errors
    assert kept.compiled == 1


def test_documents_are_told_apart_by_their_exact_text() -> None:
    kept = documents()
    kept.operation("{ hello }", None)
    kept.operation("{  hello }", None)
    assert kept.compiled == 2


def test_the_least_recently_used_document_is_forgotten_first() -> None:
    kept = documents()
    for number in range(KEPT_DOCUMENTS_MAX):
        kept.operation(f"{{ a{number}: hello }}", None)
    kept.operation("{ a0: hello }", None)
    kept.operation("{ one: hello }", None)
    kept.operation("{ a0: hello }", None)
    assert kept.compiled == KEPT_DOCUMENTS_MAX + 1
    kept.operation("{ a1: hello }", None)
    assert kept.compiled == KEPT_DOCUMENTS_MAX + 2


def test_long_documents_are_kept_by_their_characters() -> None:
    kept = documents()
    filler = "#" + "x" * 9_900
    count = KEPT_CHARACTERS_MAX // 9_900 + 1
    for number in range(count):
        kept.operation(f"{{ a{number}: hello }}{filler}", None)
    kept.operation(f"{{ a0: hello }}{filler}", None)
    assert kept.compiled == count + 1


def test_junk_evicts_no_good_document() -> None:
    kept = documents()
    kept.operation("{ hello }", None)
    for number in range(KEPT_REFUSALS_MAX + KEPT_DOCUMENTS_MAX):
        with pytest.raises(Refused):
            kept.operation(f"{{ nope{number} }}", None)
    compiled = kept.compiled
    kept.operation("{ hello }", None)
    assert kept.compiled == compiled
    with pytest.raises(Refused):
        kept.operation("{ nope0 }", None)
    assert kept.compiled == compiled + 1


def test_the_operation_is_chosen_by_its_name() -> None:
    source = "query A { hello } mutation B { add(value: 1) }"
    kept = documents()
    assert kept.operation(source, "A").kind is OperationType.QUERY
    assert kept.operation(source, "B").kind is OperationType.MUTATION
    with pytest.raises(Refused, match="several operations; say which one"):
        kept.operation(source, None)
    with pytest.raises(Refused, match="no operation named 'C'"):
        kept.operation(source, "C")
    assert kept.compiled == 1


@pytest.mark.parametrize("escape", ["\\u0000", "\\u{0}", "\\u{0000}"])
def test_nul_does_not_come_in_through_a_literal(escape: str) -> None:
    with pytest.raises(Refused, match="NUL"):
        documents().operation(f'{{ hello(name: "a{escape}b") }}', None)


@pytest.mark.parametrize(
    "source",
    [
        "{ __schema { queryType { name } } }",
        '{ __type(name: "Wallet") { fields { name } } }',
        '{ __type(name: "Wallet") { ...F } } fragment F on __Type { fields { name } }',
        '{ __type(name: "Wallet") { ... on __Type { fields { name } } } }',
        '{ a: __type(name: "Wallet") { name b: description } }',
        "query Q { hello ...F } fragment F on Query { __schema { types { name } } }",
        '{ __type(name: "Wallet") }',
    ],
)
def test_introspection_tells_nothing_when_it_is_off(source: str) -> None:
    with pytest.raises(Refused):
        documents().operation(source, None)


@pytest.mark.parametrize(
    "source", ["{ __typename }", '{ __type(name: "Wallet") { name kind __typename } }', "{ wallet { __typename } }"]
)
def test_what_clients_ask_for_with_every_query_stays(source: str) -> None:
    documents().operation(source, None)


async def test_the_planner_is_asked_once_for_each_operation_that_runs(door: Door) -> None:
    source = "query A { hello } query B { total } query C { me }"
    for name in ("A", "B", "A", "B"):
        await door.post({"query": source, "operationName": name})
    assert door.world.plans == ["A", "B"]


async def test_no_plan_is_made_for_a_mutation(door: Door) -> None:
    await door.query("mutation { add(value: 1) }")
    assert door.world.plans == []


async def test_introspection_is_off_unless_it_is_switched_on() -> None:
    async with open_door(introspection=False) as door:
        content = await door.query("{ __schema { queryType { name } } }")
        assert content["errors"][0]["message"] == "Introspection is switched off."
