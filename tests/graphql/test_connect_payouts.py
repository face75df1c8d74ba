"""`connectPayouts`: one account at Stripe a creator, a fresh link a click, and nothing for anybody else."""

import logging
from collections.abc import AsyncIterator
from datetime import datetime, timedelta

import pytest
from aiohttp import web
from aiohttp.typedefs import Handler
from structlog.testing import capture_logs

from gateway.domain.clock import ManualClock
from gateway.domain.connecting import AccountsApi, AccountStatus
from tests.support.connecting import account, accounts_made, rows, stage, with_api
from tests.support.gateway import START, Platform, open_platform
from tests.support.person import APP, CONNECT
from tests.support.stripe_door import PageAnswer

BACK = f"{APP}/payouts"
AGAIN = f"{APP}/payouts/again"
LINK_SECONDS = {AccountsApi.V1: 300, AccountsApi.V2: 600}


@pytest.fixture(params=list(AccountsApi))
def api(request: pytest.FixtureRequest) -> AccountsApi:
    return AccountsApi(request.param)


@pytest.fixture
async def platform(sqlite_url: str, api: AccountsApi) -> AsyncIterator[Platform]:
    async with open_platform(sqlite_url, clock=ManualClock(START), with_worker=False, dress=with_api(api)) as running:
        yield running


async def finish(platform: Platform, url: str) -> PageAnswer:
    """Hand everything in on Stripe's page."""
    return await platform.stripe.post_form(
        url, outcome="finish", routing_number="110000000", account_number="000123456789"
    )


async def test_a_click_makes_an_account_and_answers_with_stripes_page(platform: Platform, api: AccountsApi) -> None:
    ann = platform.person()

    answer = await ann.connect()

    assert answer["__typename"] == "ConnectPayoutsSuccess"
    assert datetime.fromisoformat(answer["expiresAt"]) == START + timedelta(seconds=LINK_SECONDS[api])
    assert (await platform.stripe.page(answer["url"])).status == 200
    assert await accounts_made(platform) == 1
    found = await account(platform, ann)
    assert (found.status, found.country, found.api) == (AccountStatus.ONBOARDING, "US", api)


async def test_the_account_is_an_express_one_that_names_its_creator(platform: Platform, api: AccountsApi) -> None:
    ann = platform.person("ann")
    await ann.connect_url()

    path = "/v1/accounts" if api is AccountsApi.V1 else "/v2/core/accounts"
    (made,) = await platform.stripe.made(path)

    found = await account(platform, ann)
    sent = made["params"]
    assert sent["metadata"] == {"gateway_customer": "ann", "gateway_account": str(found.id)}
    assert made["idempotency_key"] == f"account:{found.id}:1"
    if api is AccountsApi.V1:
        assert sent["controller"] == {
            "fees": {"payer": "application"},
            "losses": {"payments": "application"},
            "requirement_collection": "stripe",
            "stripe_dashboard": {"type": "express"},
        }
        assert list(sent["capabilities"]) == ["transfers"]
    else:
        assert (sent["dashboard"], sent["identity"]) == ("express", {"country": "us"})
        assert sent["defaults"]["responsibilities"] == {
            "fees_collector": "application",
            "losses_collector": "application",
        }
        assert sent["configuration"]["recipient"]["capabilities"] == {
            "stripe_balance": {"stripe_transfers": {"requested": "true"}}
        }


async def test_every_click_has_a_link_of_its_own_to_one_account(platform: Platform) -> None:
    ann = platform.person()

    urls = [await ann.connect_url() for _ in range(3)]

    assert len(set(urls)) == 3
    assert await accounts_made(platform) == 1
    assert len(await rows(platform)) == 1


async def test_each_creator_has_an_account_of_their_own(platform: Platform) -> None:
    ann, bob = platform.person(), platform.person()

    await ann.connect_url()
    await bob.connect_url()

    assert await accounts_made(platform) == 2
    assert (await account(platform, ann)).stripe_account_id != (await account(platform, bob)).stripe_account_id


async def test_handing_everything_in_makes_the_account_ready(platform: Platform) -> None:
    ann = platform.person()

    done = await finish(platform, await ann.connect_url())
    before = await account(platform, ann)
    await platform.settled()

    assert (done.status, done.location) == (303, BACK)
    assert before.status is AccountStatus.ONBOARDING  # coming back from the page proves nothing
    found = await account(platform, ann)
    assert found.status is AccountStatus.READY
    assert (found.transfers_active, found.bank_payouts_active, found.requirements) == (True, True, ())


async def test_a_ready_account_gets_the_pages_where_a_bank_account_is_replaced(
    platform: Platform, api: AccountsApi
) -> None:
    ann = platform.person()
    await ann.connect_url()
    await stage(platform, ann, "active")
    await platform.stripe.forget_requests()

    answer = await ann.connect()

    assert answer["__typename"] == "ConnectPayoutsSuccess", answer
    asked = [row for row in await platform.stripe.requests(method="POST") if row["path"].endswith("_links")]
    if api is AccountsApi.V2:
        update = {"type": "account_update", "account_update": {"return_url": BACK, "refresh_url": AGAIN}}
        assert [row["params"]["use_case"] for row in asked] == [update]
        assert answer["expiresAt"] is not None
    else:
        assert [row["path"].rsplit("/", 1)[1] for row in asked] == ["login_links"]
        assert answer["expiresAt"] is None  # the dashboard has no time that it says it ends at
    assert (await platform.stripe.page(answer["url"])).status in {200, 303}


async def test_where_stripe_has_no_pages_for_changes_the_dashboard_is_the_way(sqlite_url: str) -> None:
    v2 = with_api(AccountsApi.V2)
    async with open_platform(
        sqlite_url, clock=ManualClock(START), with_worker=False, dress=v2, weather=[without_pages_for_changes]
    ) as platform:
        ann = platform.person()
        await ann.connect_url()
        await stage(platform, ann, "active")

        answer = await ann.connect()

    assert answer["__typename"] == "ConnectPayoutsSuccess", answer
    assert "/express/acct_" in answer["url"]
    assert answer["expiresAt"] is None


@web.middleware
async def without_pages_for_changes(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Stripe offers `account_update` to some platforms only."""
    if request.path == "/v2/core/account_links" and "account_update" in await request.text():
        error = {"type": "invalid_request_error", "code": "invalid_fields", "message": "Not for this account."}
        return web.json_response({"error": error}, status=400)
    return await handler(request)


@pytest.mark.parametrize("place", ["new", "started", "review", "restricted", "rejected"])
async def test_any_other_account_gets_the_pages_where_it_goes_on(platform: Platform, place: str) -> None:
    ann = platform.person()
    await ann.connect_url()
    await stage(platform, ann, place)

    url = await ann.connect_url()

    assert (await platform.stripe.page(url)).status == 200
    assert await accounts_made(platform) == 1


async def test_a_click_learns_how_the_account_stands_without_any_event(platform: Platform) -> None:
    ann = platform.person()
    await ann.connect_url()
    await platform.stripe.control("events/hold")
    await stage(platform, ann, "active")

    await ann.connect_url()

    assert (await account(platform, ann)).status is AccountStatus.READY


async def test_a_link_that_is_too_old_leads_to_the_page_that_asks_for_another(platform: Platform) -> None:
    ann = platform.person()
    url = await ann.connect_url()
    await platform.advance(minutes=11)

    old = await platform.stripe.page(url)

    assert (old.status, old.location) == (303, AGAIN)
    assert (await platform.stripe.page(await ann.connect_url())).status == 200
    assert await accounts_made(platform) == 1


async def test_nobody_connects_without_signing_in(platform: Platform) -> None:
    reply = await platform.stranger().post(CONNECT, input={"returnUrl": BACK, "refreshUrl": AGAIN})

    assert reply.codes == ["UNAUTHENTICATED"]
    assert await platform.stripe.requests() == []
    assert await rows(platform) == []


@pytest.mark.parametrize("field", ["returnUrl", "refreshUrl"])
@pytest.mark.parametrize(
    "url",
    ["https://evil.example.com/", f"{APP}.evil.example.com/", "javascript:alert(1)", f"{APP}@evil.example.com/", ""],
)
async def test_an_address_off_the_list_is_refused_before_anything_happens(
    platform: Platform, field: str, url: str
) -> None:
    answer = await platform.person().connect(**{field: url})

    assert (answer["__typename"], answer["code"]) == ("RedirectNotAllowed", "REDIRECT_NOT_ALLOWED")
    assert answer["path"] == ["input", field]
    assert await platform.stripe.requests() == []
    assert await rows(platform) == []


@pytest.mark.parametrize("country", ["us", "USA", "", "U$", "🇺🇸"])
async def test_what_is_no_country_is_refused_before_anything_happens(platform: Platform, country: str) -> None:
    answer = await platform.person().connect(country=country)

    assert (answer["__typename"], answer["code"]) == ("BillingProblem", "INVALID_INPUT")
    assert answer["path"] == ["input", "country"]
    assert await platform.stripe.requests() == []
    assert await rows(platform) == []


async def test_a_country_that_stripe_refuses_can_be_chosen_anew(platform: Platform) -> None:
    ann = platform.person()

    refused = await ann.connect(country="KP")
    answer = await ann.connect(country="DE")

    assert (refused["__typename"], refused["code"]) == ("BillingProblem", "INVALID_INPUT")
    assert refused["path"] == ["input", "country"]
    assert "KP" in refused["message"]
    assert answer["__typename"] == "ConnectPayoutsSuccess"
    assert (await account(platform, ann)).country == "DE"
    assert sorted(row["status"] for row in await rows(platform)) == ["closed", "onboarding"]
    assert await accounts_made(platform) == 1


async def test_the_country_counts_when_the_account_is_made(platform: Platform) -> None:
    ann = platform.person()
    await ann.connect(country="DE")

    again = await ann.connect()

    assert again["__typename"] == "ConnectPayoutsSuccess"
    assert (await account(platform, ann)).country == "DE"
    assert await accounts_made(platform) == 1


async def test_links_are_neither_stored_nor_logged(platform: Platform, caplog: pytest.LogCaptureFixture) -> None:
    ann = platform.person()
    caplog.set_level(logging.INFO)  # the libraries' lower levels hold whole bodies; `configure_logs` keeps them out

    with capture_logs() as events:
        secret = (await ann.connect_url()).rsplit("/", 1)[1]
        await platform.settled()

    assert "connect.link_made" in [event["event"] for event in events]
    assert secret not in str(events) + caplog.text
    stored = [await rows(platform), await platform.database.fetch("SELECT * FROM stripe_event")]
    assert secret not in str(stored)
