"""One account a creator: however many click at once, and whatever becomes of the answer to making it."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from gateway.domain.clock import ManualClock, SystemClock
from gateway.domain.connecting import AccountsApi, AccountStatus
from tests.support.connecting import ACCOUNT, ACCOUNTS, LINKS, account, accounts_made, rows, stage, with_api
from tests.support.gateway import START, Platform, eventually, open_platform
from tests.support.person import Json, Person

CLICKS = 50
#: One more than the SDK tries by itself, so that the failure reaches the caller.
ENOUGH = 3
FAULTS = ("status_500", "status_429", "status_409", "timeout_before", "timeout_after", "cut_body", "status_500_after")


@pytest.fixture(params=list(AccountsApi))
def api(request: pytest.FixtureRequest) -> AccountsApi:
    return AccountsApi(request.param)


@pytest.fixture
async def crowd(database_url: str, api: AccountsApi) -> AsyncIterator[Platform]:
    """Real time, its own worker, on each engine."""
    async with open_platform(database_url, clock=SystemClock(), dress=with_api(api)) as running:
        yield running


@pytest.fixture
async def pair(postgres_url: str, api: AccountsApi) -> AsyncIterator[Platform]:
    async with open_platform(postgres_url, clock=SystemClock(), gateways=2, dress=with_api(api)) as running:
        yield running


@pytest.fixture
async def platform(sqlite_url: str, api: AccountsApi) -> AsyncIterator[Platform]:
    """What Stripe does wrong looks the same on each engine."""
    async with open_platform(
        sqlite_url, clock=ManualClock(START), with_worker=False, hasty=True, dress=with_api(api)
    ) as running:
        yield running


async def assert_one_account(platform: Platform) -> None:
    (row,) = await rows(platform)
    assert row["stripe_account_id"] is not None
    assert await accounts_made(platform) == 1


async def test_fifty_first_clicks_at_once_make_one_account(crowd: Platform) -> None:
    ann = crowd.person()

    answers = await asyncio.gather(*(ann.connect() for _ in range(CLICKS)))

    assert {answer["__typename"] for answer in answers} == {"ConnectPayoutsSuccess"}
    assert len({answer["url"] for answer in answers}) == CLICKS
    keys = {row["idempotency_key"] for row in await crowd.stripe.requests(method="POST") if _makes_account(row)}
    assert len(keys) == 1
    await assert_one_account(crowd)


async def test_clicks_on_two_nodes_make_one_account(pair: Platform) -> None:
    ann, elsewhere = pair.person("ann"), pair.person("ann", node=1)

    answers = await asyncio.gather(*(person.connect() for _ in range(10) for person in (ann, elsewhere)))

    assert {answer["__typename"] for answer in answers} == {"ConnectPayoutsSuccess"}
    await assert_one_account(pair)


def _makes_account(row: Json) -> bool:
    return str(row["path"]).endswith("/accounts")


async def fails_then(platform: Platform, path: str, kind: str, ann: Person) -> Json:
    """What the click after a failing one answers; Stripe may hold the key for a moment."""
    await platform.stripe.fault(path, kind, count=ENOUGH)
    refused = await ann.connect()
    assert (refused["__typename"], refused["code"]) == ("BillingProblem", "PROVIDER_UNAVAILABLE"), refused
    await platform.stripe.control("faults/clear")
    answers: list[Json] = []

    async def served() -> None:
        answers.append(await ann.connect())
        assert answers[-1].get("code") != "PROVIDER_UNAVAILABLE"

    await eventually(served)
    return answers[-1]


@pytest.mark.parametrize("kind", FAULTS)
async def test_a_creation_that_fails_is_asked_again_with_its_key(platform: Platform, kind: str) -> None:
    ann = platform.person()

    answer = await fails_then(platform, ACCOUNTS, kind, ann)

    assert answer["__typename"] == "ConnectPayoutsSuccess"
    keys = {row["idempotency_key"] for row in await platform.stripe.requests(method="POST") if _makes_account(row)}
    assert len(keys) == 1
    await assert_one_account(platform)


@pytest.mark.parametrize("kind", FAULTS)
async def test_a_link_that_fails_is_made_at_the_next_click(platform: Platform, kind: str) -> None:
    answer = await fails_then(platform, LINKS, kind, platform.person())

    assert (await platform.stripe.page(answer["url"])).status == 200
    await assert_one_account(platform)


@pytest.mark.parametrize("kind", FAULTS)
async def test_a_look_that_fails_makes_no_second_account(platform: Platform, kind: str) -> None:
    ann = platform.person()
    await ann.connect_url()
    await stage(platform, ann, "active")

    answer = await fails_then(platform, ACCOUNT, kind, ann)

    assert answer["__typename"] == "ConnectPayoutsSuccess"
    assert (await account(platform, ann)).status is AccountStatus.READY
    await assert_one_account(platform)


async def test_a_failure_that_stripe_remembers_is_got_over_after_a_while(platform: Platform) -> None:
    ann = platform.person()
    await platform.stripe.fault(ACCOUNTS, "status_500_kept", method="POST")

    refused = await ann.connect()
    await platform.advance(hours=2)
    answer = await ann.connect()

    assert refused["code"] == "PROVIDER_UNAVAILABLE"
    assert answer["__typename"] == "ConnectPayoutsSuccess"
    await assert_one_account(platform)


@pytest.mark.parametrize("wait", [{"minutes": 9}, {"minutes": 30}, {"hours": 30}])
async def test_an_account_whose_answer_was_lost_is_found_again_however_late(
    platform: Platform, wait: dict[str, float]
) -> None:
    ann = platform.person()
    await platform.stripe.fault(ACCOUNTS, "status_500_after", count=ENOUGH, method="POST")
    refused = await ann.connect()
    if wait.get("hours"):
        await platform.stripe.control("idempotency_keys/forget")

    await platform.advance(**wait)
    answer = await ann.connect()

    assert refused["code"] == "PROVIDER_UNAVAILABLE"
    assert answer["__typename"] == "ConnectPayoutsSuccess"
    await assert_one_account(platform)


@pytest.mark.parametrize("wait", [{"minutes": 3}, {"hours": 2}])
async def test_another_country_is_taken_when_the_first_one_came_to_nothing(
    platform: Platform, wait: dict[str, float]
) -> None:
    ann = platform.person()
    await platform.stripe.fault(ACCOUNTS, "drop_before", count=ENOUGH, method="POST")
    refused = await ann.connect(country="US")
    await platform.stripe.control("faults/clear")

    too_soon = await ann.connect(country="DE")
    assert await accounts_made(platform) == 0
    await platform.advance(**wait)
    answer = await ann.connect(country="DE")

    assert refused["code"] == "PROVIDER_UNAVAILABLE"
    assert (too_soon["code"], too_soon["message"]) == (
        "IN_PROGRESS",
        "A payout account in US is being asked for; to have one in DE instead, try again in a few minutes.",
    )
    assert answer["__typename"] == "ConnectPayoutsSuccess"
    assert (await account(platform, ann)).country == "DE"
    await assert_one_account(platform)


async def test_an_account_that_was_made_keeps_its_country_though_its_answer_was_lost(platform: Platform) -> None:
    ann = platform.person()
    await platform.stripe.fault(ACCOUNTS, "status_500_after", count=ENOUGH, method="POST")
    refused = await ann.connect(country="US")
    await platform.stripe.control("faults/clear")

    await platform.advance(minutes=3)
    answer = await ann.connect(country="DE")

    assert refused["code"] == "PROVIDER_UNAVAILABLE"
    assert answer["__typename"] == "ConnectPayoutsSuccess"
    assert (await account(platform, ann)).country == "US"
    await assert_one_account(platform)
