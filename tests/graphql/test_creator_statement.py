"""A creator's statement: what its lines say, and walking it page by page."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any, cast

import pytest

from tests.graphql.market import (
    HOLD,
    START,
    STATEMENT,
    Json,
    Market,
    all_pages,
    daily,
    earnings,
    nets,
    only_error,
    open_market,
    statement,
)


@pytest.fixture
async def market(database_url: str) -> AsyncIterator[Market]:
    """`ann` sells `search` at a dollar, of which she gets 80 cents; `bob` has $1,000."""
    async with open_market(database_url) as running:
        await running.publish(creator="ann", tool="search", price="1")
        await running.fund("bob", 1_000_000_000)
        yield running


async def test_the_cursor_of_another_creator_opens_nothing(market: Market) -> None:
    await market.charge_all(["1", "2"])
    page = await statement(market.person("ann"), first=1)

    assert (await statement(market.person("eve"), after=page["pageInfo"]["endCursor"]))["edges"] == []


@pytest.mark.parametrize("released", [False, True], ids=["pending", "available"])
async def test_a_reversed_sale_stays_on_the_statement_beside_its_refund(market: Market, released: bool) -> None:
    ann = market.person("ann")
    await market.charge("1")
    await market.charge("2")
    if released:
        market.clock.advance(HOLD)
        await market.release()
    market.clock.advance(timedelta(seconds=1))

    await market.reverse("1")

    totals = await earnings(ann)
    nodes = await all_pages(ann, first=10)
    sold = [node for node in nodes if node["kind"] == "TOOL_CALL"]
    assert (totals["available" if released else "pending"], totals["lifetime"], totals["paidOut"]) == (
        "0.80",
        "0.80",
        "0.00",
    )
    assert nodes[0] | {"id": None} == {
        "id": None,
        "kind": "REFUND",
        "gross": {"amount": "-1.00"},
        "fee": {"amount": "-0.20"},
        "net": {"amount": "-0.80"},
        "toolId": "search",
        "availableAt": None,
        "createdAt": market.clock.now().isoformat(),
    }
    assert nets(sold) == ["0.80", "0.80"]
    assert sorted(node["availableAt"] or "never" for node in sold) == [(START + HOLD).isoformat(), "never"]
    assert (await daily(ann, 8 if released else 1))[0]["calls"] == 1


async def test_a_sale_reads_on_the_statement_as_it_was_charged(market: Market) -> None:
    await market.publish(creator="ann", tool="search", price="0.0025")
    await market.charge("1")

    (edge,) = (await statement(market.person("ann")))["edges"]

    assert edge["node"] | {"id": None} == {
        "id": None,
        "kind": "TOOL_CALL",
        "gross": {"amount": "0.0025"},
        "fee": {"amount": "0.0005"},
        "net": {"amount": "0.002"},
        "toolId": "search",
        "availableAt": (START + HOLD).isoformat(),
        "createdAt": START.isoformat(),
    }


async def test_a_statement_is_paged_without_gaps_while_new_sales_arrive(market: Market) -> None:
    ann = market.person("ann")
    for call in range(100):
        await market.charge(f"{call}")
        if call % 5 == 0:
            await market.reverse(f"{call}")
    known = await all_pages(ann, first=100)
    assert len(known) == 120

    seen: list[Json] = []
    after: str | None = None
    sizes: list[int] = []
    for number in range(12):
        page = await statement(ann, first=11, after=after)
        seen += [edge["node"] for edge in page["edges"]]
        sizes.append(len(page["edges"]))
        assert page["pageInfo"]["hasPreviousPage"] is (number > 0)
        assert page["pageInfo"]["startCursor"] == page["edges"][0]["cursor"]
        after = page["pageInfo"]["endCursor"]
        if not page["pageInfo"]["hasNextPage"]:
            break
        market.clock.advance(timedelta(seconds=1))
        await market.charge(f"new-{number}")

    assert seen == known
    assert sizes == [11] * 10 + [10]
    assert len({node["id"] for node in seen}) == 120


@pytest.mark.parametrize("first", [0, -1, 101])
async def test_a_page_of_no_possible_length_is_refused(market: Market, first: int) -> None:
    assert only_error(await market.person("ann").post(STATEMENT, first=first)) == "BAD_REQUEST"


async def test_a_cursor_of_another_list_is_refused(market: Market) -> None:
    ann = market.person("ann")
    await market.fund("ann", 10_000_000)
    await market.charge("1", consumer="ann")
    of_wallet = (await ann.entries(first=1))["pageInfo"]["endCursor"]
    of_earnings = (await statement(ann, first=1))["pageInfo"]["endCursor"]

    assert only_error(await ann.post(STATEMENT, after=of_wallet)) == "BAD_REQUEST"
    for cursor in (of_earnings[:-1], of_earnings + "A", of_earnings.swapcase(), "", "djE6MQ", "é", "A" * 65):
        assert only_error(await ann.post(STATEMENT, after=cursor)) == "BAD_REQUEST"
    reply = await ann.post("query ($a: String) { wallet { entries(after: $a) { edges { cursor } } } }", a=of_earnings)
    assert only_error(reply) == "BAD_REQUEST"


@pytest.mark.parametrize("parent", ["earnings", "wallet"])
async def test_more_pages_than_one_load_fetches_are_refused(market: Market, parent: str) -> None:
    def source(count: int) -> str:
        pages = " ".join(f"p{n}: entries(first: {n}) {{ edges {{ cursor }} }}" for n in range(1, count + 1))
        return f"{{ {parent} {{ {pages} }} plans {{ tier }} }}"

    ann = market.person("ann")

    assert len((await ann.ask(source(16)))[parent]) == 16
    refused = await ann.post(source(17))
    assert (refused.status, refused.codes) == (200, ["QUERY_TOO_COMPLEX"])
    assert (refused.body["data"][parent], len(refused.body["data"]["plans"])) == (None, 4)


async def test_a_batch_may_not_add_up_to_more_pages_either(market: Market) -> None:
    def entry(low: int) -> Json:
        pages = " ".join(f"p{n}: entries(first: {n}) {{ edges {{ cursor }} }}" for n in range(low, low + 9))
        return {"query": f"{{ earnings {{ {pages} }} }}"}

    reply = await market.person("ann").send([entry(1), entry(10), {"query": "{ plans { tier } }"}])

    codes = [
        [error["extensions"]["code"] for error in body.get("errors", [])] for body in cast("list[Any]", reply.body)
    ]
    assert codes == [["QUERY_TOO_COMPLEX"], ["QUERY_TOO_COMPLEX"], []]
