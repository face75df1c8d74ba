"""Publishing tools: who may, at which prices, and what a change leaves alone."""

from collections.abc import AsyncIterator

import pytest

from gateway.domain.identity import SCOPE_ADMIN, SCOPE_CHARGE, SUBJECT_CHARACTERS_MAX
from tests.graphql.market import PUBLISH, Market, earnings, only_error, open_market, publish


@pytest.fixture
async def market(database_url: str) -> AsyncIterator[Market]:
    async with open_market(database_url) as running:
        yield running


async def tools(market: Market) -> int:
    return len(await market.database.fetch("SELECT id FROM tool"))


async def test_a_creator_publishes_a_tool_of_its_own(market: Market) -> None:
    answer = await publish(market.person("ann"), toolId="search", name="Search", pricePerCall="0.0025")

    assert answer["tool"] == {
        "id": "search",
        "creatorId": "ann",
        "name": "Search",
        "kind": "TOOL",
        "active": True,
        "pricePerCall": {"amountCents": "0", "amount": "0.0025", "currency": "USD"},
    }


async def test_naming_oneself_needs_no_scope(market: Market) -> None:
    answer = await publish(market.person("ann"), creatorId="ann")

    assert answer["tool"]["creatorId"] == "ann"


async def test_a_service_publishes_for_any_creator(market: Market) -> None:
    answer = await publish(market.runtime, creatorId="ann", kind="AGENT", active=False)

    assert (answer["tool"]["creatorId"], answer["tool"]["kind"], answer["tool"]["active"]) == ("ann", "AGENT", False)
    assert (await publish(market.person("ann"), name="Mine"))["tool"]["name"] == "Mine"


@pytest.mark.parametrize("scopes", [(), (SCOPE_ADMIN,)])
async def test_publishing_for_another_creator_needs_the_scope(market: Market, scopes: tuple[str, ...]) -> None:
    given = {"toolId": "search", "creatorId": "ann", "name": "Search", "pricePerCall": "1"}

    reply = await market.person("eve", *scopes).post(PUBLISH, input=given)

    assert only_error(reply) == "FORBIDDEN"
    assert SCOPE_CHARGE in reply.body["errors"][0]["message"]
    assert await tools(market) == 0


async def test_publishing_needs_a_token(market: Market) -> None:
    reply = await market.stranger().post(PUBLISH, input={"toolId": "t", "name": "T", "pricePerCall": "1"})

    assert only_error(reply) == "UNAUTHENTICATED"


async def test_a_tool_id_belongs_to_its_first_creator(market: Market) -> None:
    await market.publish(creator="ann", tool="search", price="0.0025")

    answer = await publish(market.person("eve"), toolId="search", pricePerCall="1")

    assert (answer["__typename"], answer["code"], answer["path"]) == (
        "BillingProblem",
        "INVALID_INPUT",
        ["input", "toolId"],
    )
    assert (await publish(market.person("ann"), toolId="search"))["__typename"] == "PublishToolSuccess"


@pytest.mark.parametrize(
    ("price", "amount"),
    [
        ("0.0001", "0.0001"),
        ("100", "100.00"),
        (100, "100.00"),
        ("100.000000", "100.00"),
        ("99.999999", "99.999999"),
        ("007.5", "7.50"),
        (1, "1.00"),
    ],
)
async def test_a_price_is_kept_to_the_last_decimal(market: Market, price: object, amount: str) -> None:
    answer = await publish(market.person("ann"), pricePerCall=price)

    assert answer["tool"]["pricePerCall"]["amount"] == amount


@pytest.mark.parametrize("price", ["0.00009", "0.000099", "0", "-1", "-0.0025", "100.000001", "101", 101, "9" * 18])
async def test_a_price_outside_its_limits_is_refused(market: Market, price: object) -> None:
    answer = await publish(market.person("ann"), pricePerCall=price)

    assert (answer["__typename"], answer["code"]) == ("AmountOutOfRange", "AMOUNT_OUT_OF_RANGE")
    assert (answer["minimum"]["amount"], answer["maximum"]["amount"]) == ("0.0001", "100.00")
    assert answer["path"] == ["input", "pricePerCall"]
    assert await tools(market) == 0


@pytest.mark.parametrize("price", ["0.0025001", "1.0000000001", "0.0000001"])
async def test_a_price_finer_than_a_micro_dollar_is_refused(market: Market, price: str) -> None:
    answer = await publish(market.person("ann"), pricePerCall=price)

    assert (answer["code"], answer["path"]) == ("INVALID_INPUT", ["input", "pricePerCall"])
    assert await tools(market) == 0


_NO_DECIMALS: list[object] = [
    0.0025,
    1.0,
    1e2,
    "NaN",
    "Infinity",
    "-Infinity",
    "1e-3",
    "1E2",
    " 1",
    "1 ",
    "",
    ".5",
    "5.",
    "+1",
    "1_000",
    "1,5",
    "0x10",
    "٣",
    "1.00000000001",
    "1" * 19,
    True,
    ["1"],
    {},
]


@pytest.mark.parametrize("price", _NO_DECIMALS, ids=str)
async def test_what_is_no_exact_decimal_never_reaches_a_price(market: Market, price: object) -> None:
    reply = await market.person("ann").post(PUBLISH, input={"toolId": "t", "name": "T", "pricePerCall": price})

    assert only_error(reply) == "BAD_REQUEST"
    assert "Decimal" in reply.body["errors"][0]["message"]
    assert await tools(market) == 0


@pytest.mark.parametrize("literal", ["0.0025", "1e2", "1.0", "true", "NaN", '"1e-3"'])
async def test_a_float_in_the_document_is_refused_too(market: Market, literal: str) -> None:
    source = f'mutation {{ publishTool(input: {{toolId: "t", name: "T", pricePerCall: {literal}}}) {{ __typename }} }}'

    reply = await market.person("ann").post(source)

    assert set(reply.codes) == {"BAD_REQUEST"}
    assert await tools(market) == 0


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("toolId", ""),
        ("toolId", "a b"),
        ("toolId", "é"),
        ("toolId", "x" * 101),
        ("name", ""),
        ("name", " Search"),
        ("name", "a\nb"),
        ("name", "x" * 101),
        ("creatorId", ""),
        ("creatorId", " "),
        ("creatorId", "a\u202eb"),
        ("creatorId", "x" * 201),
    ],
)
async def test_a_text_that_cannot_be_is_refused_with_its_field(market: Market, field: str, value: str) -> None:
    answer = await publish(market.runtime, **{field: value})

    assert (answer["__typename"], answer["code"], answer["path"]) == (
        "BillingProblem",
        "INVALID_INPUT",
        ["input", field],
    )
    assert await tools(market) == 0


async def test_a_creator_with_the_longest_name_earns_and_signs_in(market: Market) -> None:
    longest = "c" * SUBJECT_CHARACTERS_MAX
    await market.fund("bob", 1_000_000)
    await publish(market.runtime, creatorId=longest, pricePerCall="1")

    await market.charge("1")

    assert (await earnings(market.person(longest)))["pending"] == "0.80"


async def test_a_creator_who_could_never_sign_in_is_refused_before_it_earns(market: Market) -> None:
    nobody = "c" * (SUBJECT_CHARACTERS_MAX + 1)
    await market.fund("bob", 1_000_000)

    refused = await publish(market.runtime, creatorId=nobody, pricePerCall="1")
    charged = await market.charge("1")

    assert (await market.person(nobody).post("{ plan { tier } }")).status == 401
    assert (
        refused["message"] == f"creatorId is the subject of a token, 1 to 200 printable characters; got {'c' * 40!r}."
    )
    assert charged["code"] == "TOOL_NOT_FOUND"
    assert (await market.person("bob").wallet())["balance"]["amount"] == "1.00"


async def test_a_new_price_is_for_later_calls(market: Market) -> None:
    await market.fund("bob", 10_000_000)
    await market.publish(price="1")
    await market.charge("1")

    await market.publish(price="2.5")
    later = await market.charge("2")
    again = await market.charge("1")

    assert later["charge"]["gross"]["amount"] == "2.50"
    assert (again["charge"]["gross"]["amount"], again["charge"]["replayed"]) == ("1.00", True)


async def test_a_tool_taken_off_the_market_cannot_be_called(market: Market) -> None:
    await market.fund("bob", 10_000_000)
    await market.publish(price="1")
    await market.charge("1")
    await publish(market.person("ann"), pricePerCall="1", active=False)

    refused, replayed = await market.charge("2"), await market.charge("1")

    assert (refused["__typename"], refused["code"], refused["path"]) == (
        "BillingProblem",
        "TOOL_NOT_FOUND",
        ["input", "toolId"],
    )
    assert replayed["charge"]["replayed"] is True
