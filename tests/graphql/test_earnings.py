"""What a creator is shown: where its earnings are, day by day and line by line."""

from collections.abc import AsyncIterator
from datetime import date, timedelta
from typing import Any, cast

import pytest

from gateway.domain.clock import ManualClock
from tests.graphql.market import (
    CHARGE,
    DAILY,
    EARNINGS,
    HOLD,
    START,
    STATEMENT,
    Market,
    all_pages,
    call_input,
    daily,
    earnings,
    nets,
    only_error,
    open_market,
    publish,
    statement,
)
from tests.support.books import assert_books_balance
from tests.support.gateway import open_platform
from tests.support.payday import (
    runtime_of,
)

NOTHING = {
    "available": "0.00",
    "pending": "0.00",
    "held": "0.00",
    "inTransit": "0.00",
    "paidOut": "0.00",
    "lifetime": "0.00",
    "nextReleaseAt": None,
}


@pytest.fixture
async def market(database_url: str) -> AsyncIterator[Market]:
    """`ann` sells `search` at a dollar, of which she gets 80 cents; `bob` has $1,000."""
    async with open_market(database_url) as running:
        await running.publish(creator="ann", tool="search", price="1")
        await running.fund("bob", 1_000_000_000)
        yield running


async def test_earnings_are_for_the_signed_in(market: Market) -> None:
    reply = await market.stranger().post(EARNINGS)

    assert only_error(reply) == "UNAUTHENTICATED"


async def test_who_sold_nothing_has_nothing(market: Market) -> None:
    eve = market.person("eve")

    assert await earnings(eve) == NOTHING
    assert (await statement(eve))["edges"] == []
    assert [row["calls"] for row in await daily(eve, 30)] == [0] * 30


async def test_sales_are_pending_until_their_hold_is_over(market: Market) -> None:
    ann = market.person("ann")
    await market.charge_all(["1", "2"])
    market.clock.advance(timedelta(hours=1))
    await market.charge("3")

    assert await earnings(ann) == {
        **NOTHING,
        "pending": "2.40",
        "lifetime": "2.40",
        "nextReleaseAt": (START + HOLD).isoformat(),
    }

    market.clock.advance(HOLD - timedelta(hours=1, seconds=1))
    assert await market.release() == 0
    market.clock.advance(timedelta(seconds=1))
    assert await market.release() == 2

    assert await earnings(ann) == {
        **NOTHING,
        "available": "1.60",
        "pending": "0.80",
        "lifetime": "2.40",
        "nextReleaseAt": (START + HOLD + timedelta(hours=1)).isoformat(),
    }

    market.clock.advance(timedelta(days=1))
    assert await market.release() == 1
    assert await market.release() == 0
    assert await earnings(ann) == {**NOTHING, "available": "2.40", "lifetime": "2.40"}


async def test_nobody_sees_what_somebody_else_earned(market: Market) -> None:
    await market.charge("1")

    for subject in ("bob", "eve", "runtime"):
        assert await earnings(market.person(subject)) == NOTHING
        assert (await statement(market.person(subject)))["edges"] == []


async def test_calls_of_ones_own_tools_are_held_for_good(market: Market) -> None:
    ann = market.person("ann")
    await market.fund("ann", 10_000_000)
    await market.charge("1", consumer="ann")

    market.clock.advance(HOLD * 2)

    assert await market.release() == 0
    assert await earnings(ann) == {**NOTHING, "held": "0.80", "lifetime": "0.80"}
    (edge,) = (await statement(ann))["edges"]
    assert (edge["node"]["kind"], edge["node"]["availableAt"]) == ("TOOL_CALL", None)


async def test_the_lines_of_a_statement_add_up_to_the_lifetime(market: Market) -> None:
    ann = market.person("ann")
    await market.fund("ann", 10_000_000)
    await market.charge_all([str(n) for n in range(10)])
    await market.charge("own", consumer="ann")
    market.clock.advance(HOLD)
    await market.release()
    await market.charge_all([str(n) for n in range(10, 15)])
    for call in ("0", "14"):
        await market.reverse(call)

    totals = await earnings(ann)

    assert totals == {
        **NOTHING,
        "available": "7.20",
        "pending": "3.20",
        "held": "0.80",
        "lifetime": "11.20",
        "nextReleaseAt": (START + HOLD * 2).isoformat(),
    }
    assert sum(int(net.replace(".", "")) for net in nets(await all_pages(ann, first=7))) == 1120
    assert sum(int(row["net"].replace(".", "")) for row in await daily(ann, 8)) == 1120


async def test_a_series_has_a_row_for_every_day(market: Market) -> None:
    ann = market.person("ann")
    await market.charge_all(["1", "2", "3"])
    market.clock.advance(timedelta(days=2))
    await market.charge("4")
    market.clock.advance(timedelta(days=1))

    rows = await daily(ann, 5)

    zero = {"gross": "0.00", "fee": "0.00", "net": "0.00", "calls": 0}
    assert rows == [
        {"date": "2026-11-01", **zero},
        {"date": "2026-11-02", "gross": "3.00", "fee": "0.60", "net": "2.40", "calls": 3},
        {"date": "2026-11-03", **zero},
        {"date": "2026-11-04", "gross": "1.00", "fee": "0.20", "net": "0.80", "calls": 1},
        {"date": "2026-11-05", **zero},
    ]


async def test_a_day_ends_at_midnight_utc(market: Market) -> None:
    ann = market.person("ann")
    market.clock.advance(timedelta(hours=14, minutes=59, seconds=59))
    await market.charge("before")
    market.clock.advance(timedelta(seconds=1))
    await market.charge("after")

    assert [(row["date"], row["calls"]) for row in await daily(ann, 2)] == [("2026-11-02", 1), ("2026-11-03", 1)]


async def test_a_series_reaches_back_a_year(market: Market) -> None:
    ann = market.person("ann")
    await market.charge("1")
    market.clock.advance(timedelta(days=365))

    rows = await daily(ann, 366)

    assert (len(rows), rows[0]["date"], rows[0]["calls"], rows[-1]["date"]) == (366, "2026-11-02", 1, "2027-11-02")
    assert [date.fromisoformat(row["date"]) for row in rows] == [START.date() + timedelta(days=n) for n in range(366)]
    assert [row["calls"] for row in await daily(ann, 365)] == [0] * 365


@pytest.mark.parametrize("days", [0, -1, 367, 2**31 - 1])
async def test_a_series_of_no_possible_length_is_refused(market: Market, days: int) -> None:
    by_variable = await market.person("ann").post(DAILY, days=days)
    by_literal = await market.person("ann").post(f"{{ earnings {{ daily(days: {days}) {{ date }} }} }}")

    assert only_error(by_variable) == only_error(by_literal) == "BAD_REQUEST"
    assert by_literal.body["errors"][0]["message"] == f"`days` is a whole number from 1 to 366; got {days}."


async def test_a_batch_loads_the_union_of_its_parts(market: Market) -> None:
    ann = market.person("ann")
    await market.fund("ann", 5_000_000)
    await market.charge_all([str(n) for n in range(5)])
    market.clock.advance(timedelta(days=3))
    short, long = {"query": DAILY, "variables": {"days": 2}}, {"query": DAILY, "variables": {"days": 4}}
    pages = [{"query": STATEMENT, "variables": {"first": first}} for first in (1, 2, 100)]

    reply = await ann.send([short, *pages, {"query": EARNINGS}, long, {"query": "{ wallet { balance { amount } } }"}])

    bodies = cast("list[Any]", reply.body)
    assert all("errors" not in body for body in bodies), bodies
    series = [[row["calls"] for row in bodies[place]["data"]["earnings"]["daily"]] for place in (0, 5)]
    listed = [bodies[place]["data"]["earnings"]["entries"] for place in (1, 2, 3)]
    assert series == [[0, 0], [5, 0, 0, 0]]
    assert [len(page["edges"]) for page in listed] == [1, 2, 5]
    assert [page["pageInfo"]["hasNextPage"] for page in listed] == [True, True, False]
    assert bodies[4]["data"]["earnings"]["pending"] == {"amount": "4.00"}
    assert bodies[6]["data"]["wallet"]["balance"] == {"amount": "5.00"}


async def test_one_document_may_ask_for_several_series_and_pages(market: Market) -> None:
    await market.charge_calls([call_input(str(n)) for n in range(3)])
    source = """query ($d: Int!, $on: Boolean!) { earnings { a: daily(days: 1) { calls } b: daily(days: $d) { calls }
        ...Lists c: daily @skip(if: $on) { calls } } }
        fragment Lists on Earnings { one: entries(first: 1) { edges { node { id } } }
            two: entries(first: 2) { edges { node { id } } } }"""

    answer = (await market.person("ann").ask(source, d=3, on=True))["earnings"]

    assert ([row["calls"] for row in answer["a"]], [row["calls"] for row in answer["b"]]) == ([3], [0, 0, 3])
    assert (len(answer["one"]["edges"]), len(answer["two"]["edges"])) == (1, 2)
    assert answer["one"]["edges"][0] == answer["two"]["edges"][0]


@pytest.mark.parametrize(("outcome", "lifetime"), [("won", "0.80"), ("lost", "0.00")])
async def test_a_disputed_deposit_freezes_what_it_paid_for(database_url: str, outcome: str, lifetime: str) -> None:
    async with open_platform(database_url, clock=ManualClock(START)) as platform:
        ann, bob = platform.person("ann"), platform.person("bob")
        page = await bob.deposit_page("2500")
        await platform.stripe.pay(page.url)
        await bob.verify_deposit(page.session_id)
        await publish(ann, pricePerCall="1")
        await runtime_of(platform).ask(CHARGE, input=call_input("1"))

        dispute = await platform.stripe.control("disputes/open", checkout_session=page.session_id)
        await platform.settled()
        frozen = await earnings(ann)
        await platform.stripe.control("disputes/close", dispute=dispute["id"], outcome=outcome)
        await platform.settled()
        decided = await earnings(ann)
        nodes = await all_pages(ann, first=10)

        assert (frozen["held"], frozen["pending"], frozen["lifetime"], frozen["paidOut"]) == (
            "0.80",
            "0.00",
            "0.80",
            "0.00",
        )
        assert (decided["held"], decided["pending"]) == ("0.00", lifetime)
        assert (decided["lifetime"], decided["paidOut"]) == (lifetime, "0.00")
        assert [node["kind"] for node in nodes] == ["TOOL_CALL"] if outcome == "won" else ["DISPUTE", "TOOL_CALL"]
        assert sum(int(net.replace(".", "")) for net in nets(nodes)) == int(lifetime.replace(".", ""))
        await assert_books_balance(platform.database)
