"""The page about payouts: what is next, what stands in the way, and asking for money."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest

from gateway.domain.clock import ManualClock
from tests.graphql.market import only_error
from tests.support.books import assert_books_balance
from tests.support.connecting import stage
from tests.support.counting import counted
from tests.support.gateway import START, Platform, open_platform
from tests.support.payday import (
    PAYOUT,
    PAYOUTS,
    REQUEST,
    SETTINGS,
    UPDATE_SETTINGS,
    Creator,
    catch_up,
    dollars,
    earn,
    pass_time,
    with_money,
)
from tests.support.person import Json

NOT_CONNECTED = "No payout account is connected; connect one to be paid."
PAPER = "individual.verification.document"
PAPERS = f"external_account, {PAPER}"


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


def blocker(code: str, message: str) -> Json:
    return {"code": code, "message": message}


def problem(code: str, message: str, path: list[str] | None = None) -> Json:
    return {"__typename": "BillingProblem", "code": code, "message": message, "path": path}


async def test_who_never_sold_anything_has_no_payouts_and_is_told_how_to_begin(each: Platform) -> None:
    eve = Creator(each.person("eve"))

    assert await eve.payouts() == {
        "edges": [],
        "pageInfo": {"hasNextPage": False, "hasPreviousPage": False, "startCursor": None, "endCursor": None},
    }
    assert await eve.settings() == {
        "accountStatus": "NOT_CONNECTED",
        "frequency": "MANUAL",
        "minimum": dollars("10.00"),
        "nextAmount": None,
        "nextPayoutAt": None,
        "blockers": [
            blocker("PAYOUTS_NOT_READY", NOT_CONNECTED),
            blocker("BELOW_MINIMUM_PAYOUT", "A payout is at least $10.00; $0.00 is available."),
        ],
    }
    assert await eve.request() == problem("PAYOUTS_NOT_READY", NOT_CONNECTED)
    assert await each.database.fetch("SELECT id FROM customer") == []
    assert await each.stripe.requests() == []


async def test_a_payout_reserves_at_once_and_is_followed_by_its_id(each: Platform) -> None:
    ann = await with_money(each)
    await earn(each, ann, micros=9_999)

    asked = await ann.requested()

    assert asked == {
        "id": asked["id"],
        "amount": dollars("50.00"),
        "returned": dollars("0.00"),
        "status": "REQUESTED",
        "manual": True,
        "requestedAt": START.isoformat(),
        "arrivalDate": None,
        "failureMessage": None,
    }
    assert await ann.payout(asked["id"]) == asked
    assert (await ann.totals())["available"] == "0.009999", "what is less than a cent stays"
    assert (await ann.totals())["inTransit"] == "50.00"
    await catch_up(each)
    assert await ann.payout(asked["id"]) == {**asked, "status": "IN_TRANSIT"}
    await assert_books_balance(each.database)


async def test_an_amount_may_be_anything_from_the_minimum_to_what_is_available(each: Platform) -> None:
    ann = await with_money(each)

    least = await ann.requested("1000")
    await catch_up(each)
    most = await ann.requested(4_000)

    assert (least["amount"], most["amount"]) == (dollars("10.00"), dollars("40.00"))
    assert (await ann.totals())["available"] == "0.00"


async def test_any_other_amount_is_refused_with_the_limits(each: Platform) -> None:
    ann = await with_money(each)
    amounts = {
        "999": "$9.99",
        "0": "$0.00",
        "-1000": "-$10.00",
        "5001": "$50.01",
        str(2**63): "$92,233,720,368,547,758.08",
    }

    for amount, shown in amounts.items():
        assert await ann.request(amount) == {
            "__typename": "AmountOutOfRange",
            "code": "AMOUNT_OUT_OF_RANGE",
            "message": f"A payout is between $10.00 and the $50.00 that is available; got {shown}.",
            "path": ["input", "amountCents"],
            "minimum": dollars("10.00"),
            "maximum": dollars("50.00"),
        }
    assert (await ann.payouts())["edges"] == []
    assert (await ann.totals())["available"] == "50.00"


async def test_what_is_no_whole_number_of_cents_is_no_request(platform: Platform) -> None:
    ann = await with_money(platform)

    wrong: list[object] = [10.5, 1000.0, "1e3", "10.00", "", True, {}]

    for amount in wrong:
        reply = await ann.person.post(REQUEST, input={"amountCents": amount})
        assert only_error(reply) == "BAD_REQUEST", amount
    assert (await ann.payouts())["edges"] == []


@pytest.mark.parametrize(
    ("place", "status", "message"),
    [
        ("new", "ONBOARDING", "The payout account is not finished; go on with connecting it."),
        (
            "started",
            "ONBOARDING",
            f"The payout account is not finished: still needed are {PAPERS}; go on with connecting it.",
        ),
        (
            "review",
            "UNDER_REVIEW",
            "Stripe is reviewing the payout account; payouts begin when it has finished.",
        ),
        (
            "restricted",
            "RESTRICTED",
            f"Stripe has restricted the payout account (requirements_past_due): still needed are {PAPER}.",
        ),
        ("rejected", "RESTRICTED", "Stripe has restricted the payout account (rejected_other)."),
    ],
)
async def test_an_account_that_cannot_be_paid_says_why(
    platform: Platform, place: str, status: str, message: str
) -> None:
    ann = await with_money(platform, at=place)

    settings = await ann.choose("WEEKLY")
    refused = await ann.request("2000")

    assert (settings["accountStatus"], settings["nextAmount"]) == (status, None)
    assert settings["blockers"] == [blocker("PAYOUTS_NOT_READY", message)]
    assert refused == problem("PAYOUTS_NOT_READY", message)
    assert (await ann.totals())["available"] == "50.00"


@pytest.mark.parametrize(
    ("micros", "message"),
    [
        (9_999_900, "A payout is at least $10.00; $9.9999 is available."),
        (0, "A payout is at least $10.00; $0.00 is available."),
        (-2_500, "You owe $0.0025 from reversed sales; what you earn next covers it first."),
    ],
)
async def test_too_little_is_no_payout_whatever_is_asked_for(platform: Platform, micros: int, message: str) -> None:
    ann = await with_money(platform, cents=0)
    await earn(platform, ann, micros=micros)

    assert (await ann.choose("MONTHLY"))["nextAmount"] is None
    assert await ann.blockers() == [("BELOW_MINIMUM_PAYOUT", message)]
    for amount in (None, "1000", "-1"):
        assert await ann.request(amount) == problem("BELOW_MINIMUM_PAYOUT", message)
    assert (await ann.payouts())["edges"] == []


async def test_one_payout_at_a_time(each: Platform) -> None:
    ann = await with_money(each)
    await ann.requested("2000")
    message = "A payout of $20.00 is being made; the next one can follow it."

    refused = await ann.request("1000")

    assert refused == problem("PAYOUT_IN_PROGRESS", message)
    assert await ann.blockers() == [("PAYOUT_IN_PROGRESS", message)]
    assert (await ann.choose("WEEKLY"))["nextAmount"] == dollars("30.00"), "that one is over by then"
    await catch_up(each)
    assert await ann.blockers() == []
    assert (await ann.requested("1000"))["status"] == "REQUESTED"


async def test_every_blocker_is_told_at_once_and_asking_is_refused_with_the_first(platform: Platform) -> None:
    ann = await with_money(platform, cents=2_500)
    await ann.requested("2000")
    await stage(platform, ann.person, "rejected")
    await platform.settled()

    assert await ann.blockers() == [
        ("PAYOUTS_NOT_READY", "Stripe has restricted the payout account (rejected_other)."),
        ("PAYOUT_IN_PROGRESS", "A payout of $20.00 is being made; the next one can follow it."),
        ("BELOW_MINIMUM_PAYOUT", "A payout is at least $10.00; $5.00 is available."),
    ]
    assert (await ann.request("1000"))["code"] == "PAYOUTS_NOT_READY"


async def test_the_same_key_and_amount_is_the_same_payout_whatever_became_of_it(each: Platform) -> None:
    ann = await with_money(each)
    key = "clé 🗝"

    first = await ann.requested("2000", idempotencyKey=key)
    again = await ann.requested(2_000, idempotencyKey=key)
    await catch_up(each)
    later = await ann.requested("2000", idempotencyKey=key)

    assert again == first
    assert later == {**first, "status": "IN_TRANSIT"}
    assert len((await ann.payouts())["edges"]) == 1
    assert (await ann.totals())["available"] == "30.00"
    await assert_books_balance(each.database)


async def test_the_same_key_with_another_amount_is_a_conflict(each: Platform) -> None:
    ann = await with_money(each)
    await ann.requested("2000", idempotencyKey="k")

    for amount in ("2001", None):
        assert await ann.request(amount, idempotencyKey="k") == problem(
            "IDEMPOTENCY_CONFLICT",
            "This idempotency key was used before for a payout of another amount.",
            ["input", "idempotencyKey"],
        )
    assert len((await ann.payouts())["edges"]) == 1


async def test_keys_of_two_creators_are_apart(platform: Platform) -> None:
    ann, bob = await with_money(platform, "ann"), await with_money(platform, "bob")

    first, second = await ann.requested("2000", idempotencyKey="k"), await bob.requested("3000", idempotencyKey="k")

    assert first["id"] != second["id"]


async def test_a_refused_request_leaves_its_key_free(platform: Platform) -> None:
    ann = await with_money(platform)
    assert (await ann.request("6000", idempotencyKey="k"))["code"] == "AMOUNT_OUT_OF_RANGE"

    assert (await ann.requested("2000", idempotencyKey="k"))["amount"] == dollars("20.00")


async def test_a_key_that_cannot_be_is_refused(platform: Platform) -> None:
    ann = await with_money(platform)

    for key in ("", "x" * 256):
        assert await ann.request("2000", idempotencyKey=key) == problem(
            "INVALID_INPUT",
            f"An idempotency key has 1 to 255 characters; got {len(key)}.",
            ["input", "idempotencyKey"],
        )
    assert (await ann.payouts())["edges"] == []


async def test_all_of_it_is_for_the_signed_in(platform: Platform) -> None:
    asked: list[tuple[str, Json, str]] = [
        (PAYOUTS, {}, "payouts"),
        (PAYOUTS, {"first": 0, "after": "x"}, "payouts"),
        (PAYOUT, {"id": "01a19b7c-a680-7884-833b-cb7468fd3d9a"}, "payout"),
        (PAYOUT, {"id": "x"}, "payout"),
        (SETTINGS, {}, "payoutSettings"),
        (UPDATE_SETTINGS, {"input": {"frequency": "WEEKLY"}}, "updatePayoutSettings"),
        (REQUEST, {"input": {}}, "requestPayout"),
        (REQUEST, {"input": {"amountCents": "-1", "idempotencyKey": ""}}, "requestPayout"),
    ]

    for document, given, field in asked:
        reply = await platform.stranger().post(document, **given)
        assert (reply.status, reply.codes) == (200, ["UNAUTHENTICATED"])
        assert reply.body["errors"][0]["path"] == [field]
        assert reply.body["data"] in (None, {field: None})
    assert await platform.database.fetch("SELECT id FROM customer") == []


async def test_a_schedule_says_when_it_pays_and_how_much(each: Platform) -> None:
    ann = await with_money(each, cents=1_234)
    await earn(each, ann, micros=5_000)
    chosen = [
        (datetime(2026, 11, 4, 12, tzinfo=UTC), "MANUAL", None),
        (datetime(2026, 11, 4, 12, tzinfo=UTC), "MONTHLY", "2026-12-01T00:00:00+00:00"),
        (datetime(2026, 11, 4, 12, tzinfo=UTC), "WEEKLY", "2026-11-09T00:00:00+00:00"),
        (datetime(2026, 11, 8, 23, 59, 59, tzinfo=UTC), "WEEKLY", "2026-11-09T00:00:00+00:00"),
        (datetime(2026, 11, 9, tzinfo=UTC), "WEEKLY", "2026-11-16T00:00:00+00:00"),
        (datetime(2026, 12, 1, tzinfo=UTC), "MONTHLY", "2027-01-01T00:00:00+00:00"),
        (datetime(2027, 1, 31, 23, 59, tzinfo=UTC), "MONTHLY", "2027-02-01T00:00:00+00:00"),
        (datetime(2028, 2, 29, 23, 59, tzinfo=UTC), "MONTHLY", "2028-03-01T00:00:00+00:00"),
    ]

    for now, frequency, next_at in chosen:
        await each.advance(seconds=(now - each.clock.now()) / timedelta(seconds=1))
        await ann.choose("MANUAL")
        settings = await ann.choose(frequency)
        assert settings == {
            "accountStatus": "READY",
            "frequency": frequency,
            "minimum": dollars("10.00"),
            "nextAmount": None if next_at is None else dollars("12.34"),
            "nextPayoutAt": next_at,
            "blockers": [],
        }
        assert await ann.settings() == settings


async def test_another_choice_begins_the_calendar_anew_and_the_same_again_changes_nothing(each: Platform) -> None:
    ann = await with_money(each)
    weekly = await ann.choose("WEEKLY")
    await each.advance(days=10)

    assert await ann.choose("WEEKLY") == weekly, "a Monday that is due stays due"
    assert (await ann.choose("MONTHLY"))["nextPayoutAt"] == "2026-12-01T00:00:00+00:00"
    assert (await ann.choose("WEEKLY"))["nextPayoutAt"] == "2026-11-16T00:00:00+00:00"
    stopped = await ann.choose("MANUAL")
    assert (stopped["nextPayoutAt"], stopped["nextAmount"]) == (None, None)
    await pass_time(each, days=7)
    assert (await ann.payouts())["edges"] == []


async def test_a_schedule_can_be_chosen_before_anything_is_connected(each: Platform) -> None:
    eve = Creator(each.person("eve"))

    settings = await eve.choose("MONTHLY")

    assert (settings["accountStatus"], settings["frequency"], settings["nextAmount"]) == (
        "NOT_CONNECTED",
        "MONTHLY",
        None,
    )
    await each.advance(days=31)
    await catch_up(each)
    assert (await eve.settings())["nextPayoutAt"] == "2027-01-01T00:00:00+00:00"
    assert (await eve.payouts())["edges"] == []


async def test_a_frequency_that_is_none_is_no_request(platform: Platform) -> None:
    reply = await platform.person("eve").post(UPDATE_SETTINGS, input={"frequency": "DAILY"})

    assert only_error(reply) == "BAD_REQUEST"
