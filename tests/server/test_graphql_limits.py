"""Documents made to hurt: each is refused, or cheap, and none makes the walk longer than the document."""

import contextlib

import pytest
from graphql import parse

from gateway.server.graphql.execution import graphql_schema_of
from gateway.server.graphql.limits import TOKENS_MAX, Limits, Measure, TooComplex, check_cost, check_document, lists_of
from resolvers.schema import schema
from tests.server.graphql_world import SCHEMA, Door, open_door

LISTS = lists_of(graphql_schema_of(SCHEMA))
FULL_INTROSPECTION = """
query IntrospectionQuery {
  __schema {
    queryType { name } mutationType { name } subscriptionType { name }
    types { ...FullType }
    directives { name description locations args { ...InputValue } }
  }
}
fragment FullType on __Type {
  kind name description
  fields(includeDeprecated: true) {
    name description args { ...InputValue } type { ...TypeRef } isDeprecated deprecationReason
  }
  inputFields { ...InputValue }
  interfaces { ...TypeRef }
  enumValues(includeDeprecated: true) { name description isDeprecated deprecationReason }
  possibleTypes { ...TypeRef }
}
fragment InputValue on __InputValue { name description type { ...TypeRef } defaultValue }
fragment TypeRef on __Type {
  kind name
  ofType { kind name ofType { kind name ofType { kind name ofType { kind name
    ofType { kind name ofType { kind name ofType { kind name ofType { kind name } } } } } } } }
}
"""


def chain(length: int, *, spreads: int = 2, leaf: str = "balance") -> str:
    """Fragments of which each spreads the next several times: exponential for whoever walks every spread."""
    links = [f"fragment F{n} on Wallet {{ {' '.join([f'...F{n + 1}'] * spreads)} }}" for n in range(length - 1)]
    return "\n".join(["{ wallet { ...F0 } }", *links, f"fragment F{length - 1} on Wallet {{ {leaf} }}"])


def nested(levels: int) -> str:
    return "{ wallet {" + "self {" * levels + "balance" + "}" * levels + "} }"


ATTACKS: dict[str, str] = {
    "chained fragments, 15 long": chain(15),
    "chained fragments, 19 long": chain(19),
    "chained fragments, spread ten times": chain(19, spreads=10),
    "chained fragments with aliases": chain(19, leaf="a: balance b: balance"),
    "chained inline fragments": "{ wallet {" + "... on Wallet {" * 66 + "balance" + "}" * 66 + "} }",
    "fields 11 deep": nested(10),
    "fields 150 deep": nested(150),
    "fields 400 deep": nested(400),
    "depth through fragments": "{ wallet { ...A } } fragment A on Wallet { self { self { self { self { ...B } } } } } "
    "fragment B on Wallet { self { self { self { self { self { balance } } } } } }",
    "31 aliases": "{ wallet { " + " ".join(f"a{n}: balance" for n in range(31)) + " } }",
    "200 aliases of the root": "{" + " ".join(f"a{n}: hello" for n in range(200)) + "}",
    "aliases through fragments": "{ wallet { ...A ...A ...A ...A } } fragment A on Wallet { "
    + " ".join(f"a{n}: balance" for n in range(8))
    + " }",
    "21 root fields": "{" + " hello" * 21 + "}",
    "21 root fields through a fragment": "{ ...A } fragment A on Query {" + " hello" * 21 + "}",
    "500 repeated fields": "{ wallet {" + " balance" * 500 + "} }",
    "2,000 repeated fields": "{ wallet {" + " balance" * 2000 + "} }",
    "149 pairs to merge": "{ wallet {" + " self { balance }" * 149 + "} }",
    "12 times 12 pairs to merge": "{ wallet {" + (" self {" + " self { balance }" * 11 + "}") * 12 + "} }",
    "pairs to merge in fragments": "{ wallet { " + " ".join(f"...F{n}" for n in range(18)) + " } } "
    + " ".join(f"fragment F{n} on Wallet {{ {'self { balance } ' * 8} }}" for n in range(18)),
    "pairs to merge in inline fragments": "{ wallet {" + " ... { self { balance } }" * 140 + "} }",
    "pairs to merge under a type": "{ wallet {" + " ... on Wallet { self { balance } }" * 120 + "} }",
    "240 pairs to merge": "{ wallet {" + " self { balance }" * 240 + "} }",
    "five directives in one place": "{ hello" + " @skip(if: false)" * 5 + " }",
    "ten unknown directives": "{ hello" + " @aa" * 10 + " }",
    "21 directives": "{ wallet {" + " balance @skip(if: false)" * 21 + "} }",
    "directives on the operation": "query" + " @aa" * 5 + " { hello }",
    "directives on a variable": "query($n: Int" + " @aa" * 5 + ") { hello }",
    "21 definitions": " ".join(f"query Q{n} {{ hello }}" for n in range(21)),
    "300 operations": " ".join(f"query Q{n} {{ hello }}" for n in range(300)),
    "unused fragments": "{ hello } " + " ".join(f"fragment F{n} on Wallet {{ {'balance ' * 16} }}" for n in range(19)),
    "two mutation fields": "mutation { add(value: 1) b: add(value: 1) }",
    "the same mutation field twice": "mutation { add(value: 1) add(value: 1) }",
    "two mutation fields through fragments": "mutation { ...A ...B } fragment A on Mutation { add(value: 1) } "
    "fragment B on Mutation { addInput(input: {value: 1}) }",
    "large pages, many times": "{" + " ".join(
        f"w{n}: wallet {{ entries(first: 100) {{ edges {{ node {{ id amount }} }} }} }}" for n in range(17)
    ) + "}",
    "fields that add up": "{ wallet {" + " ...F" * 101 + "} } fragment F on Wallet { balance self { balance } }",
    "a page size that no integer holds": "{ wallet { entries(first: " + "9" * 5000 + ") { edges { cursor } } } }",
    "15,001 characters": "{ hello } #" + "x" * 14_990,
    "20,000 commas": "{ hello" + "," * 20_000 + "}",
    "a literal nested 190 deep and more": "{ hello(name: " + "[" * 500 + "]" * 500 + ") }",
}  # fmt: skip


def measured(source: str, variables: dict[str, object] | None = None) -> Measure:
    return Measure(parse(source, max_tokens=TOKENS_MAX), Limits(), LISTS, variables)


def cost(source: str, variables: dict[str, object] | None = None) -> int:
    return check_document(measured(source, variables))[0].cost


def test_there_are_as_many_attacks_as_were_known() -> None:
    assert len(ATTACKS) >= 28


@pytest.mark.parametrize("source", ATTACKS.values(), ids=ATTACKS.keys())
async def test_an_attack_is_refused_before_anything_runs(door: Door, source: str) -> None:
    status, content = await door.post({"query": source})
    assert status == 200
    assert content.keys() == {"errors"}
    assert {error["extensions"]["code"] for error in content["errors"]} <= {"QUERY_TOO_COMPLEX", "BAD_REQUEST"}
    assert len(content["errors"]) <= 9
    assert len(str(content)) < 3000
    assert door.world.journal == []


@pytest.mark.parametrize("length", [5, 10, 15, 19])
@pytest.mark.parametrize("spreads", [2, 10])
def test_however_often_a_fragment_is_spread_it_is_walked_once(length: int, spreads: int) -> None:
    measure = measured(chain(length, spreads=spreads))
    with contextlib.suppress(TooComplex):
        check_document(measure)
    written = 2 + (length - 1) * spreads + 1
    assert measure.visited == written


def test_a_cycle_of_fragments_ends() -> None:
    measure = measured("{ wallet { ...A } } fragment A on Wallet { ...B } fragment B on Wallet { ...A balance }")
    check_document(measure)
    assert measure.visited == 5


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        (ATTACKS["31 aliases"], "A document has at most 30 aliases; got 31."),
        (ATTACKS["aliases through fragments"], "A document has at most 30 aliases; got 32."),
        (ATTACKS["fields 11 deep"], "A document has at most 10 levels; got 12."),
        (ATTACKS["depth through fragments"], "A document has at most 10 levels; got 11."),
        (ATTACKS["500 repeated fields"], "A document has at most 300 fields; got 501."),
        (ATTACKS["21 root fields through a fragment"], "An operation has at most 20 root fields; got 21."),
        (ATTACKS["five directives in one place"], "One place holds at most 4 directives; got 5."),
        (ATTACKS["21 directives"], "A document has at most 20 directives; got 21."),
        (ATTACKS["149 pairs to merge"], "A document has at most 10 repeated fields; got 148."),
        (ATTACKS["21 definitions"], "A document has at most 20 definitions; got 21."),
        (ATTACKS["chained inline fragments"], "Selections are nested at most 64 times, fragments included."),
        (
            ATTACKS["two mutation fields through fragments"],
            "A mutation has one root field, so that it has one outcome; got 2.",
        ),
    ],
)
def test_a_limit_says_what_it_is_and_what_came(source: str, sentence: str) -> None:
    with pytest.raises(TooComplex) as refusal:
        check_document(measured(source))
    assert str(refusal.value) == sentence


@pytest.mark.parametrize(
    "source",
    [
        nested(8),
        "{ wallet {" + " ".join(f"a{n}: balance" for n in range(30)) + "} }",
        "{" + " ".join(f"a{n}: hello" for n in range(20)) + "}",
        "{ wallet {" + " balance" * 11 + "} }",
        "{ hello" + " @skip(if: false)" * 1 + " @include(if: true) }",
        " ".join(f"query Q{n} {{ hello }}" for n in range(20)),
        "mutation { __typename add(value: 1) }",
        "{ wallet {" + " ".join(f"... on Member{n} {{ message code path }}" for n in range(12)) + "} }",
    ],
)
def test_the_last_allowed_document_is_allowed(source: str) -> None:
    check_document(measured(source))


async def test_the_introspection_of_tools_is_within_the_limits(door: Door) -> None:
    content = await door.query(FULL_INTROSPECTION)
    assert content["data"]["__schema"]["queryType"] == {"name": "Query"}


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("{ hello }", 1),
        ("{ wallet { balance } }", 2),
        ("{ wallet { entries(first: 10) { edges { cursor } } } }", 3 + 10 * 1),
        ("{ wallet { entries(first: 10) { edges { cursor node { id } } } } }", 3 + 10 * 3),
        ("{ wallet { ...W } } fragment W on Wallet { entries(first: 10) { edges { cursor } } }", 3 + 10 * 1),
        ("{ wallet { a: entries(first: 9) { edges { cursor } } entries(first: 1) { edges { cursor } } } }", 5 + 9 + 1),
    ],
)
def test_the_cost_counts_fields_as_often_as_lists_repeat_them(source: str, expected: int) -> None:
    assert cost(source) == expected


@pytest.mark.parametrize(
    ("arguments", "variables", "page"),
    [
        ("", None, 25),
        ("(first: 3)", None, 3),
        ("(first: 0)", None, 1),
        ("(first: -5)", None, 1),
        ("(first: 101)", None, 100),
        ("(first: 99999999999999)", None, 100),
        ('(first: "7")', None, 100),
        ("(first: $n)", None, 100),
        ("(first: $n)", {"n": 7}, 7),
        ("(first: $n)", {"n": 10**12}, 100),
        ("(first: $n)", {"n": None}, 100),
        ("(first: $n)", {"n": "x"}, 100),
        ("(first: $n)", {}, 100),
    ],
)
def test_a_page_counts_as_large_as_it_will_be(arguments: str, variables: dict[str, object] | None, page: int) -> None:
    source = f"query($n: Int) {{ wallet {{ entries{arguments} {{ edges {{ cursor node {{ id }} }} }} }} }}"
    assert cost(source, variables) == 3 + page * 3


MONEY = "{ amountCents amount currency }"
PAGE = "pageInfo { hasNextPage hasPreviousPage startCursor endCursor }"
EVERYTHING = f"""{{
  wallet {{ entries(first: 100) {{ {PAGE}
    edges {{ cursor node {{ id kind amount {MONEY} balanceAfter {MONEY} description createdAt }} }} }} }}
  earnings {{ entries(first: 100) {{ {PAGE}
    edges {{ cursor node {{ id kind gross {MONEY} fee {MONEY} net {MONEY} toolId availableAt createdAt }} }} }} }}
  payouts(first: 100) {{ {PAGE}
    edges {{ cursor node {{
      id amount {MONEY} returned {MONEY} status manual requestedAt arrivalDate failureMessage }} }} }}
}}"""


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("{ wallet { entries(first: 100) { edges { cursor } pageInfo { endCursor } } } }", 3 + 100 * 1 + 2),
        ('{ billingTimeline(sessionId: "cs_1") { entries { at kind message } } }', 2 + 25 * 3),
        (EVERYTHING, (3 + 100 * 14 + 5) + (3 + 100 * 19 + 5) + (2 + 100 * 16 + 5)),
    ],
)
def test_a_list_of_the_same_name_elsewhere_makes_no_page_dearer(source: str, expected: int) -> None:
    """`entries` is a page of the wallet and of earnings, and a plain list of a timeline."""
    measure = Measure(parse(source), Limits(), lists_of(graphql_schema_of(schema)))
    (size,) = check_document(measure)
    assert size.cost == expected
    check_cost(size.cost, Limits())


SIX_PAGES = (
    "query($n: Int!) {" + " ".join(f"w{n}: wallet {{ ...W }}" for n in range(6)) + "}"
    "fragment W on Wallet { entries(first: $n) { edges { cursor a: cursor b: cursor node { id amount } } } }"
)


async def test_a_cost_that_a_variable_decides_is_looked_at_for_every_request() -> None:
    async with open_door(limits=Limits(cost=3000)) as door:
        assert "errors" not in await door.query(SIX_PAGES, n=5)
        refused = await door.query(SIX_PAGES, n=100)
        assert refused["errors"][0]["extensions"]["code"] == "QUERY_TOO_COMPLEX"
        assert "errors" not in await door.query(SIX_PAGES, n=5)
        assert door.edge.documents.compiled == 1


async def test_a_cost_that_no_variable_can_lower_refuses_the_document() -> None:
    async with open_door(limits=Limits(cost=3000)) as door:
        refused = await door.query(SIX_PAGES.replace("$n)", "100)").replace("($n: Int!)", ""))
        assert refused["errors"][0]["extensions"]["code"] == "QUERY_TOO_COMPLEX"


def test_a_cost_over_the_limit_says_what_to_do() -> None:
    with pytest.raises(TooComplex, match=r"costs at most 5000 .* this one costs 5001\. Ask for smaller pages"):
        check_cost(5001, Limits())
