"""Connected accounts over both generations of the API."""

from collections.abc import Awaitable, Callable

import pytest
import stripe

from gateway.sandbox.refusals import Json
from tests.sandbox.connect import REFRESH, RETURN, creator, fund, new_v1, new_v2, told, transfer
from tests.sandbox.local_stripe import LocalStripe, plain


async def test_a_new_account_owes_everything_and_can_do_nothing(local: LocalStripe) -> None:
    account = await new_v1(local)

    assert account["id"].startswith("acct_")
    assert (account["type"], account["controller"]["stripe_dashboard"]) == ("none", {"type": "express"})
    assert account["capabilities"] == {"transfers": "inactive"}
    assert (account["payouts_enabled"], account["details_submitted"]) == (False, False)
    assert "external_account" in account["requirements"]["currently_due"]
    assert account["requirements"]["disabled_reason"] == "requirements.past_due"
    assert account["metadata"] == {"gateway_customer": "u_1"}
    assert await plain(local.sdk.v1.accounts.retrieve_async(account["id"])) == account
    (listed,) = (await local.ok("GET", "/v1/accounts"))["data"]
    assert listed["id"] == account["id"]


async def test_a_new_account_of_the_second_generation_owes_the_same(local: LocalStripe) -> None:
    account = await new_v2(local)

    capabilities = account["configuration"]["recipient"]["capabilities"]["stripe_balance"]
    assert capabilities["stripe_transfers"]["status"] == "restricted"
    assert capabilities["payouts"]["status"] == "restricted"
    assert account["requirements"]["summary"]["minimum_deadline"]["status"] == "past_due"
    assert account["defaults"]["responsibilities"]["losses_collector"] == "application"
    assert (account["identity"]["country"], account["dashboard"], account["display_name"]) == ("us", "express", "Ada")
    assert account["created"].endswith(".000Z")

    bare = (await local.sdk.v2.core.accounts.retrieve_async(account["id"])).to_dict()
    assert [bare[name] for name in ("configuration", "requirements", "defaults", "identity")] == [None] * 4
    assert bare["metadata"] == {"gateway_customer": "u_1"}


@pytest.mark.parametrize("make", [new_v1, new_v2])
async def test_either_generation_reads_what_the_other_made(
    local: LocalStripe, make: Callable[[LocalStripe], Awaitable[Json]]
) -> None:
    account = (await make(local))["id"]
    for stage, old, new, pays in (
        ("started", "inactive", "restricted", False),
        ("review", "pending", "pending", False),
        ("active", "active", "active", True),
        ("restricted", "inactive", "restricted", False),
        ("rejected", "inactive", "rejected", False),
    ):
        await local.control("accounts/stage", {"account": account, "stage": stage})
        v1 = await plain(local.sdk.v1.accounts.retrieve_async(account))
        v2 = (
            await local.sdk.v2.core.accounts.retrieve_async(account, {"include": ["configuration.recipient"]})
        ).to_dict()
        balance = v2["configuration"]["recipient"]["capabilities"]["stripe_balance"]
        assert (v1["capabilities"]["transfers"], v1["payouts_enabled"]) == (old, pays)
        assert balance["stripe_transfers"]["status"] == new
        assert balance["payouts"]["status"] == new


async def test_an_update_merges_metadata_and_tells_the_platform(local: LocalStripe) -> None:
    account = await new_v1(local)
    changed = await plain(
        local.sdk.v1.accounts.update_async(account["id"], {"email": "b@example.com", "metadata": {"x": "1"}})
    )
    assert (changed["email"], changed["metadata"]) == ("b@example.com", {"gateway_customer": "u_1", "x": "1"})
    (event,) = [one for one in local.events if one["type"] == "account.updated"]
    assert (event["account"], event["data"]["previous_attributes"]["email"]) == (account["id"], "creator@example.com")

    second = await new_v2(local)
    after = await local.sdk.v2.core.accounts.update_async(
        second["id"], {"metadata": {"gateway_customer": None, "y": "2"}}
    )
    assert after.to_dict()["metadata"] == {"y": "2"}


async def test_asking_twice_with_one_key_makes_one_account(local: LocalStripe) -> None:
    params = {"contact_email": "a@example.com"}
    made = [
        (await local.sdk.v2.core.accounts.create_async({**params}, {"idempotency_key": "k"})).id  # pyright: ignore[reportArgumentType]  # the SDK wants its own TypedDict
        for _ in range(2)
    ]
    assert len(set(made)) == 1
    await local.advance(days=29)
    assert (await local.sdk.v2.core.accounts.create_async({**params}, {"idempotency_key": "k"})).id == made[0]  # pyright: ignore[reportArgumentType]  # as above
    with pytest.raises(stripe.IdempotencyError):
        await local.sdk.v2.core.accounts.create_async({"contact_email": "b@example.com"}, {"idempotency_key": "k"})


CONTROLLER = "controller[fees][payer]=application&controller[losses][payments]=application"


@pytest.mark.parametrize(
    ("form", "code", "param"),
    [
        ("", "parameter_missing", "controller[fees][payer]"),
        ("type=express", "not_played_here", "type"),
        (
            f"{CONTROLLER}&controller[stripe_dashboard][type]=full",
            "not_played_here",
            "controller[stripe_dashboard][type]",
        ),
        (f"{CONTROLLER}&controller[stripe_dashboard][type]=express&email=x", "email_invalid", "email"),
        (f"{CONTROLLER}&controller[stripe_dashboard][type]=express&country=Utopia", "country_code_invalid", "country"),
        ("colour=red", "parameter_unknown", "colour"),
    ],
)
async def test_accounts_that_make_no_sense_are_refused(local: LocalStripe, form: str, code: str, param: str) -> None:
    assert (await local.refused("POST", "/v1/accounts", form))[:3] == (400, code, param)
    assert (await local.ok("GET", "/v1/accounts"))["data"] == []


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ("[]", "invalid_request"),
        ("{", "invalid_request"),
        ('{"contact_email": "x"}', "email_invalid"),
        ('{"colour": 1}', "parameter_unknown"),
        ('{"include": ["everything"]}', "invalid_request"),
        ('{"dashboard": "full"}', "not_played_here"),
        (
            '{"defaults": {"responsibilities": {"fees_collector": "stripe", "losses_collector": "stripe"}}}',
            "not_played_here",
        ),
        ('{"identity": {"country": "utopia"}}', "country_code_invalid"),
        ("[" * 50, "invalid_request"),
        ('{"a":' * 40 + "1" + "}" * 40, "invalid_request"),
    ],
)
async def test_the_second_generation_refuses_in_its_own_words(local: LocalStripe, body: str, code: str) -> None:
    headers = {"Content-Type": "application/json"}
    status, answer, _ = await local.api("POST", "/v2/core/accounts", body, headers=headers)
    assert (status, answer["error"]["code"]) == (400, code)
    assert set(answer["error"]) == {"type", "code", "message"}


async def test_unknown_accounts_are_refused_by_each_generation_in_its_way(local: LocalStripe) -> None:
    with pytest.raises(stripe.PermissionError):
        await local.sdk.v1.accounts.retrieve_async("acct_none")
    with pytest.raises(stripe.InvalidRequestError) as refused:
        await local.sdk.v2.core.accounts.retrieve_async("acct_none")
    assert (refused.value.http_status, refused.value.code) == (404, "not_found")
    status, code, *_ = await local.refused("GET", "/v1/balance", headers={"Stripe-Account": "acct_none"})
    assert (status, code) == (403, "account_invalid")
    form = f"account=acct_none&type=account_onboarding&return_url={RETURN}&refresh_url={REFRESH}"
    assert (await local.refused("POST", "/v1/account_links", form))[:3] == (400, "resource_missing", "account")


async def test_test_accounts_and_live_accounts_never_meet(local: LocalStripe) -> None:
    account = await creator(local)
    live = "sk_live_local"
    status, code, *_ = await local.refused("GET", f"/v1/accounts/{account}", key=live)
    assert (status, code) == (403, "account_invalid")
    status, code, *_ = await local.refused("GET", "/v1/balance", headers={"Stripe-Account": account}, key=live)
    assert (status, code) == (403, "account_invalid")


async def test_one_connected_account_does_not_see_another(local: LocalStripe) -> None:
    one, other = await creator(local), await creator(local)
    assert (await local.ok("GET", "/v1/account", headers={"Stripe-Account": one}))["id"] == one
    status, code, *_ = await local.refused("GET", f"/v1/accounts/{other}", headers={"Stripe-Account": one})
    assert (status, code) == (403, "account_invalid")
    assert (await local.refused("GET", "/v1/accounts", headers={"Stripe-Account": one}))[0] == 403
    assert (await local.ok("GET", "/v1/account"))["type"] == "standard"


async def test_an_account_with_money_is_not_closed(local: LocalStripe) -> None:
    await fund(local)
    account = await creator(local)
    moved = await transfer(local, account, 1000)
    assert (await local.refused("DELETE", f"/v1/accounts/{account}"))[1] == "account_balance_not_zero"
    await local.ok("POST", f"/v1/transfers/{moved['id']}/reversals")
    assert (await local.ok("DELETE", f"/v1/accounts/{account}")) == {
        "id": account,
        "object": "account",
        "deleted": True,
    }
    assert (await local.refused("GET", f"/v1/accounts/{account}"))[0] == 403


async def test_a_closed_account_of_the_second_generation_stays_readable(local: LocalStripe) -> None:
    account = await creator(local, v2=True)
    closed = await local.sdk.v2.core.accounts.close_async(account, {"applied_configurations": ["recipient"]})
    assert closed.closed is True
    assert (await local.sdk.v2.core.accounts.retrieve_async(account)).closed is True
    with pytest.raises(stripe.InvalidRequestError) as refused:
        await local.sdk.v2.core.accounts.update_async(account, {"display_name": "B"})
    assert refused.value.code == "account_closed"
    await fund(local)
    form = f"amount=100&currency=usd&destination={account}"
    assert (await local.refused("POST", "/v1/transfers", form))[1] == "insufficient_capabilities_for_transfer"


async def test_whoever_takes_access_away_is_gone_for_the_platform(local: LocalStripe) -> None:
    account = await creator(local)
    await local.control("accounts/deauthorize", {"account": account})
    assert told(local, account)[-1] == "account.application.deauthorized"
    assert (await local.refused("GET", "/v1/balance", headers={"Stripe-Account": account}))[:2] == (
        403,
        "account_invalid",
    )
    form = f"amount=100&currency=usd&destination={account}"
    assert (await local.refused("POST", "/v1/transfers", form))[:3] == (400, "resource_missing", "destination")
    await local.control("accounts/deauthorize", {"account": account}, answers=409)


async def test_snapshot_events_of_v2_accounts_can_be_switched_off(local: LocalStripe) -> None:
    first = await creator(local, v2=True)
    assert told(local, first) == ["account.updated"]
    await local.control("accounts/v2_snapshots", {"on": False})
    assert told(local, await creator(local, v2=True)) == []
    assert told(local, await creator(local)) == ["account.updated"]


async def test_a_login_link_is_for_accounts_that_got_somewhere(local: LocalStripe) -> None:
    account = (await new_v1(local))["id"]
    assert (await local.refused("POST", f"/v1/accounts/{account}/login_links"))[0] == 400
    await local.control("accounts/stage", {"account": account, "stage": "active"})
    link = await plain(local.sdk.v1.accounts.login_links.create_async(account))
    assert link["url"].startswith(f"{local.url}/express/")


@pytest.mark.parametrize(
    "fields",
    [{}, {"account": "acct_none", "stage": "active"}, {"account": "{id}", "stage": "rich"}, {"account": "{id}"}],
)
async def test_the_control_door_refuses_what_it_cannot_do(local: LocalStripe, fields: dict[str, str]) -> None:
    account = (await new_v1(local))["id"]
    filled = {name: value.replace("{id}", account) for name, value in fields.items()}
    await local.control("accounts/stage", filled, answers=404 if filled.get("account") == "acct_none" else 400)
    await local.control("accounts/stage", {"account": account, "stage": "active", "account_number": "1"}, answers=400)
    assert told(local, account) == []


async def test_the_summary_tells_of_accounts_and_their_money(local: LocalStripe) -> None:
    await fund(local)
    account = await creator(local)
    await transfer(local, account, 1000)
    await local.control("payouts/create", {"account": account, "amount": 300})
    platform, own = (await local.look("state"))["books"]
    assert (platform["accounts"][0]["stage"], platform["transfers"][0]["amount"]) == ("active", 1000)
    assert (own["account"], own["payouts"][0]["amount"], own["balance"]["available"][0]["amount"]) == (
        account,
        300,
        700,
    )


async def test_a_country_stripe_does_not_serve_is_refused(local: LocalStripe) -> None:
    form = f"{CONTROLLER}&controller[stripe_dashboard][type]=express&country=KP"
    assert (await local.refused("POST", "/v1/accounts", form))[:3] == (400, "country_unsupported", "country")


async def test_timeouts_after_the_work_strike_the_second_generation_too(local: LocalStripe) -> None:
    await local.control("faults", {"path": "/v2/core/accounts", "method": "POST", "kind": "drop_after"})
    with pytest.raises(stripe.APIConnectionError):
        await local.sdk.v2.core.accounts.create_async({"contact_email": "a@example.com"}, {"idempotency_key": "k"})
    made = await local.sdk.v2.core.accounts.create_async({"contact_email": "a@example.com"}, {"idempotency_key": "k"})
    (found,) = (await local.ok("GET", "/v2/core/accounts"))["data"]
    assert found["id"] == made.id
