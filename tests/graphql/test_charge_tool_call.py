"""Charging calls over the edge: who may, once each, each with an outcome of its own."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from uuid import uuid4

import pytest

from gateway.app import CHARGING_BODY_BYTES_MAX
from gateway.domain.charges import Call, ChargeOutcome
from gateway.domain.errors import ToolNotFound
from gateway.domain.identity import SCOPE_ADMIN, SCOPE_CHARGE
from gateway.server.graphql.requests import BODY_BYTES_MAX
from gateway.services.marketplace.queue import TooManyWaiting
from tests.graphql.market import CHARGE, CHARGES, REVERSE, Json, Market, call_input, earnings, only_error, open_market


@pytest.fixture
async def market(database_url: str) -> AsyncIterator[Market]:
    async with open_market(database_url) as running:
        yield running


async def charges(market: Market) -> int:
    return len(await market.database.fetch("SELECT id FROM tool_charge"))


async def balance(market: Market, subject: str = "bob") -> str:
    return str((await market.person(subject).wallet())["balance"]["amount"])


@pytest.mark.parametrize(
    ("document", "given", "scope"),
    [
        (CHARGE, call_input("1"), SCOPE_CHARGE),
        (CHARGES, {"calls": [call_input("1")]}, SCOPE_CHARGE),
        (REVERSE, {"callId": "1", "consumerId": "bob", "reason": "r"}, SCOPE_ADMIN),
    ],
    ids=["one", "many", "reverse"],
)
async def test_each_mutation_needs_its_own_scope(market: Market, document: str, given: Json, scope: str) -> None:
    await market.fund("bob", 1_000_000)
    await market.publish()
    other = SCOPE_ADMIN if scope == SCOPE_CHARGE else SCOPE_CHARGE

    for person, code in (
        (market.stranger(), "UNAUTHENTICATED"),
        (market.person("bob"), "FORBIDDEN"),
        (market.person("ann"), "FORBIDDEN"),
        (market.person("runtime", other), "FORBIDDEN"),
        (market.person("runtime", f"{scope}:more"), "FORBIDDEN"),
    ):
        assert only_error(await person.post(document, input=given)) == code

    assert await charges(market) == 0
    assert await balance(market) == "1.00"


async def test_a_call_is_charged_and_shared(market: Market) -> None:
    await market.fund("bob", 25_000_000)
    await market.publish(price="0.0025")

    answer = await market.charge("call-1")

    assert answer == {
        "__typename": "ChargeToolCallSuccess",
        "charge": {
            "callId": "call-1",
            "gross": {"amountCents": "0", "amount": "0.0025", "currency": "USD"},
            "fee": {"amountCents": "0", "amount": "0.0005", "currency": "USD"},
            "net": {"amountCents": "0", "amount": "0.002", "currency": "USD"},
            "replayed": False,
            "balanceAfter": {"amountCents": "2499", "amount": "24.9975", "currency": "USD"},
        },
    }
    assert await balance(market) == "24.9975"


async def test_the_same_call_again_answers_what_it_answered_first(market: Market) -> None:
    await market.fund("bob", 10_000_000)
    await market.publish(price="1")
    first = await market.charge("1")
    await market.charge("2")

    again = await market.charge("1")

    assert again["charge"] == {**first["charge"], "replayed": True}
    assert await balance(market) == "8.00"


async def test_the_same_call_with_another_tool_is_a_conflict(market: Market) -> None:
    await market.fund("bob", 10_000_000)
    await market.publish(tool="search", price="1")
    await market.publish(tool="draw", price="1")
    await market.charge("1", tool="search")

    for tool in ("draw", "nowhere"):
        answer = await market.charge("1", tool=tool)
        assert (answer["code"], answer["path"]) == ("IDEMPOTENCY_CONFLICT", ["input", "callId"])

    assert await balance(market) == "9.00"


async def test_calls_whose_numbers_are_too_large_to_be_told_apart_are_refused_not_taken_for_one(market: Market) -> None:
    await market.fund("bob", 1_000_000)
    await market.publish()
    first = uuid4().int | 1 << 127

    for number in (first, first + 1):
        reply = await market.runtime.post(CHARGE, input={**call_input("1"), "callId": number})
        assert (reply.status, reply.codes) == (400, ["BAD_REQUEST"])
    for number in (str(first), str(first + 1), 2**63 - 1, 2**63):
        answer = (await market.runtime.ask(CHARGE, input={**call_input("1"), "callId": number}))["chargeToolCall"]
        assert answer["charge"]["callId"] == str(number)
        assert answer["charge"]["replayed"] is False

    assert await balance(market) == "0.99"


async def test_two_consumers_may_have_a_call_of_the_same_name(market: Market) -> None:
    await market.publish(price="1")
    for consumer in ("bob", "cid"):
        await market.fund(consumer, 1_000_000)
        answer = await market.charge("1", consumer=consumer)
        assert (answer["charge"]["replayed"], answer["charge"]["balanceAfter"]["amount"]) == (False, "0.00")


async def test_a_wallet_that_holds_too_little_is_told_by_how_much(market: Market) -> None:
    await market.fund("bob", 2_499)
    await market.publish(price="0.0025")

    answer = await market.charge("1")

    assert (answer["__typename"], answer["code"], answer["path"]) == ("InsufficientFunds", "INSUFFICIENT_FUNDS", None)
    assert (answer["balance"]["amount"], answer["required"]["amount"]) == ("0.002499", "0.0025")
    assert "$0.002499" in answer["message"]
    assert (await charges(market), await balance(market)) == (0, "0.002499")


async def test_a_refused_call_can_be_charged_once_there_is_money(market: Market) -> None:
    await market.publish(price="1")
    assert (await market.charge("1"))["balance"]["amount"] == "0.00"

    await market.fund("bob", 1_000_000)

    assert (await market.charge("1"))["charge"]["replayed"] is False


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("callId", ""),
        ("callId", "a b"),
        ("callId", "é"),
        ("callId", "x" * 129),
        ("toolId", ""),
        ("toolId", "x" * 101),
        ("consumerId", ""),
        ("consumerId", "\u2028"),
        ("consumerId", "x" * 201),
    ],
)
async def test_an_id_that_cannot_be_is_refused_with_its_field(market: Market, field: str, value: str) -> None:
    await market.fund("bob", 1_000_000)
    await market.publish()
    wrong = {**call_input("1"), field: value}

    alone = (await market.runtime.ask(CHARGE, input=wrong))["chargeToolCall"]
    before, among, after = await market.charge_calls([call_input("1"), wrong, call_input("2")])

    assert (alone["__typename"], alone["code"], alone["path"]) == ("BillingProblem", "INVALID_INPUT", ["input", field])
    assert (among["__typename"], among["code"]) == ("BillingProblem", "INVALID_INPUT")
    assert among["path"] == ["input", "calls", "1", field]
    assert before["__typename"] == after["__typename"] == "ChargeToolCallSuccess"


async def test_an_id_of_the_greatest_length_is_charged(market: Market) -> None:
    call, tool, consumer = "c" * 128, "t" * 100, "ä" * 200
    await market.fund(consumer, 1_000_000, session_id="cs_long")
    await market.publish(tool=tool)

    answer = await market.charge(call, tool=tool, consumer=consumer)

    assert answer["charge"]["callId"] == call


async def test_a_batch_answers_each_call_in_its_place(market: Market) -> None:
    await market.publish(tool="search", price="1")
    await market.publish(tool="draw", price="0.3")
    for consumer, micros in (("bob", 2_500_000), ("cid", 0)):
        if micros:
            await market.fund(consumer, micros)
    await market.charge("old")

    results = await market.charge_calls(
        [
            call_input("old"),
            call_input("1"),
            call_input("1"),
            call_input("1", tool="draw"),
            call_input("2"),
            call_input("3", tool="draw"),
            call_input("1", consumer="cid"),
            call_input("4", tool="nowhere"),
            call_input("", tool="draw"),
            call_input("5", tool="draw"),
        ]
    )

    told = [
        (one["__typename"], one.get("code"), one.get("path"), one.get("charge", {}).get("replayed")) for one in results
    ]
    assert told == [
        ("ChargeToolCallSuccess", None, None, True),
        ("ChargeToolCallSuccess", None, None, False),
        ("ChargeToolCallSuccess", None, None, True),
        ("BillingProblem", "IDEMPOTENCY_CONFLICT", ["input", "calls", "3", "callId"], None),
        ("InsufficientFunds", "INSUFFICIENT_FUNDS", None, None),
        ("ChargeToolCallSuccess", None, None, False),
        ("InsufficientFunds", "INSUFFICIENT_FUNDS", None, None),
        ("BillingProblem", "TOOL_NOT_FOUND", ["input", "calls", "7", "toolId"], None),
        ("BillingProblem", "INVALID_INPUT", ["input", "calls", "8", "callId"], None),
        ("InsufficientFunds", "INSUFFICIENT_FUNDS", None, None),
    ]
    assert (results[4]["balance"]["amount"], results[4]["required"]["amount"]) == ("0.50", "1.00")
    assert (results[9]["balance"]["amount"], results[9]["required"]["amount"]) == ("0.20", "0.30")
    assert await balance(market) == "0.20"


async def test_a_full_batch_of_long_ids_fits_and_keeps_its_order(market: Market) -> None:
    consumers = [str(uuid4()) for _ in range(10)]
    for consumer in consumers:
        await market.fund(consumer, 20 * 2_500)
    await market.publish(tool="a-tool-with-a-name-as-long-as-they-come", price="0.0025")
    calls = [
        call_input(str(uuid4()), tool="a-tool-with-a-name-as-long-as-they-come", consumer=consumers[number % 10])
        for number in range(500)
    ]

    results = await market.charge_calls(calls)

    charged = [one for one in results if one["__typename"] == "ChargeToolCallSuccess"]
    expected = [number // 10 < 20 for number in range(500)]
    assert [one["__typename"] == "ChargeToolCallSuccess" for one in results] == expected
    assert [one["charge"]["callId"] for one in charged] == [call["callId"] for call in calls[:200]]
    assert Counter(one["__typename"] for one in results) == {"ChargeToolCallSuccess": 200, "InsufficientFunds": 300}
    assert {await balance(market, consumer) for consumer in consumers} == {"0.00"}
    assert (await earnings(market.person("ann")))["pending"] == "0.40"


@pytest.mark.parametrize("count", [0, 501])
async def test_a_batch_of_none_or_too_many_is_refused_whole(market: Market, count: int) -> None:
    await market.fund("bob", 1_000_000)
    await market.publish()

    answer = await market.runtime.ask(CHARGES, input={"calls": [call_input(str(n)) for n in range(count)]})

    refusal = answer["chargeToolCalls"]
    assert (refusal["__typename"], refusal["code"], refusal["path"]) == (
        "BillingProblem",
        "INVALID_INPUT",
        ["input", "calls"],
    )
    assert refusal["message"] == f"calls holds 1 to 500 calls; got {count}."
    assert await charges(market) == 0


async def test_only_who_may_charge_may_send_a_large_body(market: Market) -> None:
    def body(size: int) -> Json:
        return {"query": "{ plans { tier } }", "variables": {"padding": "x" * (size - 67)}}

    large = await market.runtime.send(body(CHARGING_BODY_BYTES_MAX - 100))
    too_large = await market.runtime.send(body(CHARGING_BODY_BYTES_MAX + 100))
    of_others = [await person.send(body(BODY_BYTES_MAX + 100)) for person in (market.person("bob"), market.stranger())]

    assert (large.status, too_large.status) == (200, 413)
    assert f"at most {CHARGING_BODY_BYTES_MAX} bytes" in too_large.body["errors"][0]["message"]
    assert [reply.status for reply in of_others] == [413, 413]


async def test_many_at_once_get_what_one_wallet_can_pay(market: Market) -> None:
    await market.fund("bob", 30 * 2_500)
    await market.publish()

    answers = await asyncio.gather(*(market.charge(str(n)) for n in range(50)))

    assert Counter(answer["__typename"] for answer in answers) == {"ChargeToolCallSuccess": 30, "InsufficientFunds": 20}
    assert await balance(market) == "0.00"


async def test_one_call_sent_many_times_at_once_is_charged_once(market: Market) -> None:
    await market.fund("bob", 1_000_000)
    await market.publish()

    answers = await asyncio.gather(*(market.charge("1") for _ in range(30)))

    assert Counter(answer["charge"]["replayed"] for answer in answers) == {False: 1, True: 29}
    assert await charges(market) == 1


async def test_a_charge_is_taken_back_once(market: Market) -> None:
    await market.fund("bob", 2_000_000)
    await market.publish(price="1")
    charged = (await market.charge("1"))["charge"]

    first = await market.reverse("1")
    again = await market.reverse("1")

    assert (first["__typename"], first["replayed"]) == ("ReverseToolCallSuccess", False)
    assert first["charge"] == {**charged, "replayed": True}
    assert again == {**first, "replayed": True}
    assert await balance(market) == "2.00"
    assert (await market.charge("1"))["charge"]["replayed"] is True
    assert await balance(market) == "2.00"


async def test_another_reason_for_the_same_reversal_is_a_conflict(market: Market) -> None:
    await market.fund("bob", 2_000_000)
    await market.publish(price="1")
    await market.charge("1")
    await market.reverse("1", reason="It never ran")

    answer = await market.reverse("1", reason="It was slow")

    assert (answer["code"], answer["path"]) == ("IDEMPOTENCY_CONFLICT", ["input", "reason"])
    assert await balance(market) == "2.00"


@pytest.mark.parametrize(
    ("field", "given"),
    [
        ("callId", {"call": "2"}),
        ("callId", {"call": "1", "consumer": "cid"}),
        ("callId", {"call": ""}),
        ("consumerId", {"call": "1", "consumer": ""}),
        ("reason", {"call": "1", "reason": ""}),
        ("reason", {"call": "1", "reason": "x" * 501}),
    ],
)
async def test_what_was_never_charged_cannot_be_taken_back(market: Market, field: str, given: dict[str, str]) -> None:
    await market.fund("bob", 2_000_000)
    await market.publish(price="1")
    await market.charge("1")

    answer = await market.reverse(**given)

    assert (answer["__typename"], answer["code"], answer["path"]) == (
        "BillingProblem",
        "INVALID_INPUT",
        ["input", field],
    )
    assert await balance(market) == "1.00"


async def test_a_full_queue_says_come_again(database_url: str) -> None:
    async def full(calls: Sequence[Call]) -> list[ChargeOutcome]:
        raise TooManyWaiting

    async with open_market(database_url, charge=full) as market:
        reply = await market.runtime.post(CHARGE, input=call_input("1"))

    assert only_error(reply) == "SERVICE_UNAVAILABLE"
    assert (reply.status, reply.headers["Retry-After"]) == (503, "1")


async def test_a_call_under_way_is_answered_before_the_gateway_ends(database_url: str) -> None:
    reached, go_on = asyncio.Event(), asyncio.Event()

    async def slow(calls: Sequence[Call]) -> list[ChargeOutcome]:
        reached.set()
        await go_on.wait()
        return [ToolNotFound("Gone.", path=("input", "toolId")) for _ in calls]

    async with open_market(database_url, charge=slow) as market:
        asked = asyncio.create_task(market.charge("1"))
        await reached.wait()
        ending = asyncio.create_task(market.server.close())
        await asyncio.sleep(0)
        go_on.set()
        await ending

        assert (await asked)["code"] == "TOOL_NOT_FOUND"
