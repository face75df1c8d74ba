"""Paging through the wallet's statement while it grows."""

import base64

import pytest

from tests.support.books import assert_books_balance
from tests.support.gateway import Platform
from tests.support.person import ENTRIES

ENTRIES_COUNT = 60


@pytest.mark.parametrize("size", [1, 7, 60, 100])
async def test_pages_have_no_gaps_and_no_repeats_while_new_entries_arrive(each: Platform, size: int) -> None:
    ann = each.person()
    await each.credit(ann, range(1, ENTRIES_COUNT + 1))
    seen: list[int] = []
    after: str | None = None
    newer = ENTRIES_COUNT

    while True:
        page = await ann.entries(first=size, after=after)
        seen += [int(edge["node"]["amount"]["amountCents"]) for edge in page["edges"]]
        assert page["pageInfo"]["hasPreviousPage"] is (after is not None)
        after = page["pageInfo"]["endCursor"]
        if not page["pageInfo"]["hasNextPage"]:
            break
        if newer < ENTRIES_COUNT + 10:
            newer += 1
            await each.credit(ann, range(newer, newer + 1))

    assert seen == list(range(ENTRIES_COUNT, 0, -1))
    assert after is not None
    assert (await ann.entries(after=after))["edges"] == []
    await assert_books_balance(each.database)


async def test_balances_after_each_entry_add_up(each: Platform) -> None:
    ann = each.person()
    await each.credit(ann, range(1, 11))

    edges = (await ann.entries(first=10))["edges"]

    nodes = [edge["node"] for edge in reversed(edges)]
    assert [int(node["balanceAfter"]["amountCents"]) for node in nodes] == [n * (n + 1) // 2 for n in range(1, 11)]
    assert len({node["id"] for node in nodes}) == 10
    assert await ann.balance_cents() == "55"


def cursor(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


async def test_a_page_that_cannot_be_is_refused_on_its_field(platform: Platform) -> None:
    ann = platform.person()
    await platform.credit(ann, range(1, 4))
    bad = [{"first": first} for first in (0, -1, 101, 2**31 - 1)]
    texts = [
        "",
        "x",
        "é",
        "a" * 65,
        "====",
        cursor("v1:0"),
        cursor("v1:-1"),
        cursor("v2:1"),
        cursor("v1:"),
        cursor("1"),
    ]
    texts += [cursor(f"v1:{2**63}"), cursor("v1:" + "9" * 40), cursor("v1:1; DROP TABLE posting")]

    for given in [*bad, *({"after": text} for text in texts)]:
        reply = await ann.post(ENTRIES, **given)

        assert (reply.status, reply.codes) == (200, ["BAD_REQUEST"]), given
        assert reply.body["errors"][0]["path"] == ["wallet", "entries"]
        assert reply.body["data"] == {"wallet": None}
    for given in ({"first": 2**31}, {"first": "5"}, {"first": 2.5}, {"first": None}, {"after": 5}):
        reply = await ann.post(ENTRIES, **given)
        assert (reply.codes, "data" in reply.body) == (["BAD_REQUEST"], False), given


async def test_somebody_elses_cursor_shows_nothing_of_theirs(platform: Platform) -> None:
    ann, bob = platform.person(), platform.person()
    await platform.credit(ann, range(1, 11))
    await platform.credit(bob, range(100, 102))
    of_ann = (await ann.entries(first=2))["pageInfo"]["endCursor"]

    page = await bob.entries(after=of_ann)

    assert [edge["node"]["amount"]["amountCents"] for edge in page["edges"]] == ["101", "100"]
