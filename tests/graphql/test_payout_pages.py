"""The list of payouts: its pages, whose they are, and what a request loads of them."""

import base64
from collections.abc import AsyncIterator
from uuid import UUID

import pytest

from gateway.domain.clock import ManualClock
from gateway.services.payouts import cancel_payout
from tests.support.books import assert_books_balance
from tests.support.counting import counted, counting_of
from tests.support.gateway import START, Platform, open_platform
from tests.support.payday import (
    PAYOUTS,
    REQUEST,
    Creator,
    catch_up,
    pass_time,
    with_money,
)

NO_CURSOR = "`after` is not a cursor of this list; pass the endCursor of the page before."


@pytest.fixture
async def each(database_url: str) -> AsyncIterator[Platform]:
    """On both engines, with a database that counts; the background work is done by hand."""
    async with open_platform(database_url, clock=ManualClock(START), with_worker=False, dress=counted) as running:
        yield running


@pytest.fixture
async def platform(sqlite_url: str) -> AsyncIterator[Platform]:
    """For what does not depend on the engine."""
    async with open_platform(sqlite_url, clock=ManualClock(START), with_worker=False) as running:
        yield running


async def with_history(platform: Platform, count: int) -> tuple[Creator, list[str]]:
    """A creator with as many payouts, canceled one by one; their ids, newest first."""
    ann = await with_money(platform)
    ids: list[str] = []
    for number in range(count):
        ids.insert(0, await once_more(platform, ann, cents=1_000 + number))
    return ann, ids


async def once_more(platform: Platform, creator: Creator, *, cents: int) -> str:
    """Another payout, canceled again."""
    await platform.advance(seconds=1)
    asked = await creator.requested(cents)
    found = await platform.database.fetch_one("SELECT id FROM payout WHERE state = 'requested'")
    assert found is not None
    assert await cancel_payout(platform.billing, found["id"])  # type: ignore[arg-type] # a row of either engine
    return str(asked["id"])


@pytest.mark.parametrize("size", [7, 30])
async def test_pages_have_no_gaps_and_no_repeats_while_new_payouts_arrive(each: Platform, size: int) -> None:
    ann, ids = await with_history(each, 30)
    seen: list[str] = []
    after: str | None = None

    while True:
        page = await ann.payouts(first=size, after=after)
        cursors = [edge["cursor"] for edge in page["edges"]]
        assert page["pageInfo"] == {
            "hasNextPage": len(seen) + len(cursors) < 30,
            "hasPreviousPage": after is not None,
            "startCursor": cursors[0],
            "endCursor": cursors[-1],
        }
        seen += [edge["node"]["id"] for edge in page["edges"]]
        after = cursors[-1]
        if not page["pageInfo"]["hasNextPage"]:
            break
        if len(seen) == size:
            await once_more(each, ann, cents=2_000)

    assert seen == ids
    assert (await ann.payouts(after=after))["edges"] == []
    assert {edge["node"]["status"] for edge in (await ann.payouts())["edges"]} == {"CANCELED"}
    await assert_books_balance(each.database)


def cursor(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


async def test_a_page_that_cannot_be_is_refused_on_its_field(platform: Platform) -> None:
    ann, _ = await with_history(platform, 1)
    good = (await ann.payouts())["pageInfo"]["endCursor"]
    hexes = base64.urlsafe_b64decode(good + "=" * (-len(good) % 4)).decode().removeprefix("p1:")
    wrong = [cursor(text) for text in ("p1:", f"e1:{hexes}", f"p2:{hexes}", f"p1:{hexes.upper()}", "v1:1", "p1:x")]

    for given in [*({"after": one} for one in ("", "x", "é", *wrong)), {"after": good + "A" * 64}]:
        reply = await ann.person.post(PAYOUTS, **given)
        assert (reply.status, reply.body["data"]) == (200, {"payouts": None}), given
        (error,) = reply.body["errors"]
        assert (error["message"], error["path"], error["extensions"]["code"]) == (NO_CURSOR, ["payouts"], "BAD_REQUEST")
    for first in (0, -1, 101, 2**31 - 1):
        reply = await ann.person.post(PAYOUTS, first=first)
        (error,) = reply.body["errors"]
        assert error["message"] == f"`first` is a whole number from 1 to 100; got {first}."


async def test_nobody_sees_what_somebody_else_was_paid(each: Platform) -> None:
    ann, bob = await with_money(each, "ann"), await with_money(each, "bob")
    of_ann = await ann.requested("2000")
    await each.advance(seconds=1)
    of_bob = await bob.requested("3000")

    assert await bob.payout(of_ann["id"]) is None
    after = (await ann.payouts())["pageInfo"]["endCursor"]
    assert [edge["node"]["id"] for edge in (await bob.payouts())["edges"]] == [of_bob["id"]]
    assert (await bob.payouts(after=after))["edges"] == [], "it names a moment before bob's first"
    assert (await bob.totals())["inTransit"] == "30.00"
    assert [code for code, _ in await Creator(each.person("eve")).blockers()] == [
        "PAYOUTS_NOT_READY",
        "BELOW_MINIMUM_PAYOUT",
    ]


async def test_an_id_of_nothing_is_null_however_it_is_spelled(platform: Platform) -> None:
    ann, (known,) = await with_history(platform, 1)
    others = [known.upper(), known.replace("-", ""), f"{{{known}}}", f"urn:uuid:{known}", f" {known}"]

    for payout_id in ("", "x", "5", "0" * 36, "é" * 20, "01a19b7c-a680-7884-833b-cb7468fd3d9a", *others):
        assert await ann.payout(payout_id) is None, payout_id
    for number in ("5", "1" * 5_000):
        assert (await ann.person.ask(f"{{ payout(id: {number}) {{ id }} }}"))["payout"] is None
    assert await ann.payout(known) is not None


async def test_a_batch_with_payouts_is_one_statement_and_one_moment(each: Platform) -> None:
    ann, ids = await with_history(each, 3)
    after = (await ann.payouts(first=1))["pageInfo"]["endCursor"]
    database = counting_of(each.database)
    database.forget()
    page = {"query": PAYOUTS, "variables": {"first": 2}}
    rest = {"query": PAYOUTS, "variables": {"first": 2, "after": after}}
    others = {"query": "{ plan { tier } wallet { balance { amount } } earnings { available { amount } } }"}

    reply = await ann.person.send([page, others, rest, {"query": "{ plans { tier } }"}, page])

    first, other, second, _, third = (answer["data"] for answer in reply.body)
    assert [edge["node"]["id"] for edge in first["payouts"]["edges"]] == ids[:2]
    assert [edge["node"]["id"] for edge in second["payouts"]["edges"]] == ids[1:]
    assert (third, other["earnings"]["available"]["amount"]) == (first, "50.00")
    assert (len(database.reads), database.transactions) == (1, 0)


async def test_settings_and_payouts_by_their_ids_are_one_statement_however_often_they_are_named(each: Platform) -> None:
    ann, ids = await with_history(each, 2)
    database = counting_of(each.database)
    fields = " ".join(f"s{n}: payoutSettings {{ minimum {{ amount }} blockers {{ code }} }}" for n in range(9))
    fields += (
        " ".join(f" p{n}: payout(id: $id{n % 2}) {{ id }}" for n in range(9)) + " earnings { available { amount } }"
    )
    many = {
        "query": f"query ($id0: ID!, $id1: ID!) {{ {fields} }}",
        "variables": {"id0": ids[0], "id1": ids[1]},
    }
    database.forget()

    reply = await ann.person.send([many] * 8)

    for answer in (entry["data"] for entry in reply.body):
        assert [answer[f"s{n}"] for n in range(9)] == [{"minimum": {"amount": "10.00"}, "blockers": []}] * 9
        assert [answer[f"p{n}"]["id"] for n in range(9)] == [ids[n % 2] for n in range(9)]
        assert answer["earnings"] == {"available": {"amount": "50.00"}}
    assert (len(database.reads), database.transactions) == (1, 0)


async def test_a_request_names_16_payouts_at_most_and_a_foreign_one_is_none(platform: Platform) -> None:
    ann, (known,) = await with_history(platform, 1)
    eve = Creator(platform.person("eve"))

    def named(count: int) -> str:
        ids = [known, *(str(UUID(int=n)) for n in range(1, count))]
        return "{ " + " ".join(f'p{n}: payout(id: "{one}") {{ id }}' for n, one in enumerate(ids)) + " }"

    most, over = await ann.person.post(named(16)), await ann.person.post(named(17))
    foreign = await eve.person.post(named(16))
    halves = await ann.person.send([{"query": named(9)}, {"query": named(16)}])

    assert most.body == {"data": {"p0": {"id": known}, **{f"p{n}": None for n in range(1, 16)}}}
    assert foreign.body == {"data": {f"p{n}": None for n in range(16)}}
    assert set(over.codes) == {"QUERY_TOO_COMPLEX"}
    assert over.body["errors"][0]["message"] == (
        "A request loads at most 16 payouts by their ids, and those after a mutation count anew; got 17."
    )
    assert ["errors" in answer for answer in halves.body] == [False, False], "the same ones are loaded once"


async def test_a_payout_that_is_asked_for_in_a_batch_is_seen_by_what_follows(each: Platform) -> None:
    ann = await with_money(each)
    read = {"query": "{ payouts { edges { node { status } } } earnings { available { amount } } }"}

    reply = await ann.person.send([read, {"query": REQUEST, "variables": {"input": {"amountCents": "2000"}}}, read])

    before, _, after = (answer["data"] for answer in reply.body)
    assert before == {"payouts": {"edges": []}, "earnings": {"available": {"amount": "50.00"}}}
    assert after == {
        "payouts": {"edges": [{"node": {"status": "REQUESTED"}}]},
        "earnings": {"available": {"amount": "30.00"}},
    }


async def test_more_pages_than_a_request_may_load_are_refused(platform: Platform) -> None:
    ann = Creator(platform.person("ann"))
    batch = [
        {"query": f"{{ a: payouts(first: {n}) {{ __typename }} b: payouts(first: {n + 50}) {{ __typename }} }}"}
        for n in range(1, 9)
    ]

    allowed = await ann.person.send(batch)
    batch[0] = {"query": batch[0]["query"].replace("b:", "c: payouts(first: 99) { __typename } b:")}
    refused = await ann.person.send(batch)

    assert all("errors" not in answer for answer in allowed.body)
    codes = {error["extensions"]["code"] for answer in refused.body for error in answer["errors"]}
    assert codes == {"QUERY_TOO_COMPLEX"}


async def test_a_page_of_a_hundred_with_everything_is_within_the_cost(platform: Platform) -> None:
    ann = Creator(platform.person("ann"))

    assert await ann.payouts(first=100) == await ann.payouts()
    twice = PAYOUTS.replace("payouts(", "one: payouts(", 1).removesuffix("}") + "two: payouts { edges { cursor } } }"
    assert list(await ann.person.ask(twice, first=100)) == ["one", "two"]


async def test_what_failed_has_no_date_to_wait_for(each: Platform) -> None:
    ann = await with_money(each)
    asked = await ann.requested()
    await pass_time(each, days=1, hours=2)
    on_its_way = await ann.payout(asked["id"])
    (bank_payout,) = await each.database.fetch("SELECT id FROM bank_payout")
    await each.stripe.control("payouts/fail", payout=bank_payout["id"], reason="no_account")
    await catch_up(each)

    failed = await ann.only_payout()

    assert on_its_way is not None
    assert (on_its_way["status"], on_its_way["arrivalDate"]) == ("IN_TRANSIT", "2026-11-05T00:00:00+00:00")
    assert (failed["status"], failed["arrivalDate"]) == ("FAILED", None)
