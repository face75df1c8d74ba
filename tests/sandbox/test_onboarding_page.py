"""The page where the owner of a connected account hands in what Stripe wants to know."""

from datetime import datetime

import pytest
import stripe
from stripe.params.v2.core import AccountLinkCreateParamsUseCaseAccountOnboarding

from tests.sandbox.connect import ACCOUNT_CLOSED, REFRESH, RETURN, creator, new_v1, new_v2
from tests.sandbox.local_stripe import LocalStripe, plain


async def _link(local: LocalStripe, account: str) -> str:
    made = await local.sdk.v1.account_links.create_async(
        {"account": account, "type": "account_onboarding", "return_url": RETURN, "refresh_url": REFRESH}
    )
    return made.url


async def _link_v2(local: LocalStripe, account: str, *, return_url: str | None = RETURN) -> str:
    onboarding: AccountLinkCreateParamsUseCaseAccountOnboarding = {"refresh_url": REFRESH}
    if return_url is not None:
        onboarding["return_url"] = return_url
    made = await local.sdk.v2.core.account_links.create_async(
        {"account": account, "use_case": {"type": "account_onboarding", "account_onboarding": onboarding}}
    )
    return made.url


async def _open(local: LocalStripe, url: str) -> tuple[int, str | None, str]:
    """Status, where it leads, and the page."""
    async with local.http.get(url, allow_redirects=False) as response:
        return response.status, response.headers.get("Location"), await response.text()


async def _answer(local: LocalStripe, url: str, **fields: str) -> tuple[int, str | None, str]:
    async with local.http.post(url, data=fields, allow_redirects=False) as response:
        return response.status, response.headers.get("Location"), await response.text()


async def test_finishing_makes_an_account_ready(local: LocalStripe) -> None:
    account = (await new_v1(local))["id"]
    url = await _link(local, account)
    status, _, page = await _open(local, url)
    assert status == 200
    for told in ("Example Platform", "creator@example.com", account, 'value="finish"', "Test mode: no real money"):
        assert told in page
    assert "<script" not in page

    assert (await _answer(local, url, outcome="finish"))[:2] == (303, RETURN)

    ready = await plain(local.sdk.v1.accounts.retrieve_async(account))
    assert (ready["capabilities"]["transfers"], ready["payouts_enabled"]) == ("active", True)
    assert ready["requirements"]["currently_due"] == []
    assert ready["external_accounts"]["data"][0]["last4"] == "6789"
    assert local.types()[-1] == "account.updated"


@pytest.mark.parametrize(
    ("outcome", "status"),
    [("finish", "active"), ("review", "pending"), ("later", "restricted"), ("refuse", "rejected")],
)
async def test_each_button_leads_back_and_says_nothing_of_what_became_of_it(
    local: LocalStripe, outcome: str, status: str
) -> None:
    account = (await new_v2(local))["id"]
    assert (await _answer(local, await _link_v2(local, account), outcome=outcome))[:2] == (303, RETURN)
    shown = await local.sdk.v2.core.accounts.retrieve_async(account, {"include": ["configuration.recipient"]})
    balance = shown.to_dict()["configuration"]["recipient"]["capabilities"]["stripe_balance"]
    assert balance["stripe_transfers"]["status"] == status


async def test_a_link_works_once(local: LocalStripe) -> None:
    account = (await new_v1(local))["id"]
    url = await _link(local, account)
    assert (await _open(local, url))[0] == 200
    assert (await _open(local, url))[:2] == (303, REFRESH)  # opening it used it up
    assert (await _answer(local, url, outcome="later"))[:2] == (303, RETURN)  # the page that is open goes on
    events = len(local.events)
    assert (await _open(local, url))[:2] == (303, REFRESH)
    assert (await _answer(local, url, outcome="finish"))[:2] == (303, REFRESH)
    assert len(local.events) == events
    assert (await _answer(local, await _link(local, account), outcome="finish"))[:2] == (303, RETURN)


async def test_links_expire_after_five_and_after_ten_minutes(local: LocalStripe) -> None:
    account = (await new_v1(local))["id"]
    old, new = await _link(local, account), await _link_v2(local, account)
    await local.advance(seconds=290)
    assert (await _answer(local, old, outcome="dance"))[0] == 422
    await local.advance(seconds=11)
    assert (await _open(local, old))[:2] == (303, REFRESH)
    assert (await _open(local, new))[0] == 200
    await local.advance(seconds=300)
    assert (await _answer(local, new, outcome="finish"))[:2] == (303, REFRESH)  # nor is the page's own form taken


async def test_a_link_tells_when_it_expires(local: LocalStripe) -> None:
    account = (await new_v1(local))["id"]
    form = f"account={account}&type=account_onboarding&return_url={RETURN}&refresh_url={REFRESH}"
    link = await local.ok("POST", "/v1/account_links", form)
    assert link["expires_at"] - link["created"] == 300
    second = await local.sdk.v2.core.account_links.create_async(
        {
            "account": account,
            "use_case": {"type": "account_onboarding", "account_onboarding": {"refresh_url": REFRESH}},
        }
    )
    lasts = datetime.fromisoformat(second.expires_at) - datetime.fromisoformat(second.created)
    assert lasts.total_seconds() == 600


async def test_a_bank_account_can_be_one_that_fails_later(local: LocalStripe) -> None:
    account = (await new_v1(local))["id"]
    url = await _link(local, account)
    status, _, page = await _answer(local, url, outcome="finish", routing_number="123", account_number="")
    assert (status, "The routing number of a test bank account is 110000000." in page) == (422, True)
    assert 'id="routing_number-problem"' in page
    assert 'id="account_number-problem"' not in page
    status, _, page = await _answer(local, url, outcome="finish", account_number="000<b>")
    assert (status, "You must use a test bank account number" in page) == (422, True)
    assert (await _answer(local, url, outcome="dance"))[0] == 422
    assert (await _answer(local, url, outcome="finish", account_number=ACCOUNT_CLOSED))[0] == 303
    bank = (await plain(local.sdk.v1.accounts.retrieve_async(account)))["external_accounts"]["data"][0]
    assert (bank["last4"], bank["status"]) == ("1113", "new")


async def test_each_field_says_what_is_wrong_with_it_and_keeps_what_was_typed(local: LocalStripe) -> None:
    account = (await new_v1(local))["id"]
    url = await _link(local, account)

    status, _, page = await _answer(local, url, outcome="finish", routing_number="999999999", account_number="12 34")

    assert status == 422
    for told in (
        'value="999999999"',
        'value="12 34"',
        'id="routing_number-problem" role="alert">The routing number of a test bank account is 110000000.',
        'id="account_number-problem" role="alert">You must use a test bank account number',
    ):
        assert told in page
    assert (await plain(local.sdk.v1.accounts.retrieve_async(account)))["details_submitted"] is False


@pytest.mark.parametrize("outcome", ["finish", "review", "later"])
async def test_whom_stripe_refused_reaches_nothing_on_the_page(local: LocalStripe, outcome: str) -> None:
    account = (await new_v1(local))["id"]
    await local.control("accounts/stage", {"account": account, "stage": "rejected"})
    url = await _link(local, account)
    _, _, page = await _open(local, url)
    assert "Stripe has refused this account." in page
    assert 'value="finish"' not in page

    status = (await _answer(local, url, outcome=outcome))[0]

    assert status == (303 if outcome == "later" else 409)
    shown = await plain(local.sdk.v1.accounts.retrieve_async(account))
    assert (shown["requirements"]["disabled_reason"], shown["payouts_enabled"]) == ("rejected.other", False)


async def _update_link(local: LocalStripe, account: str) -> str:
    made = await local.sdk.v2.core.account_links.create_async(
        {
            "account": account,
            "use_case": {
                "type": "account_update",
                "account_update": {"refresh_url": REFRESH, "return_url": RETURN},
            },
        }
    )
    assert made.use_case.type == "account_update"
    return made.url


async def test_the_page_for_changes_replaces_the_bank_account(local: LocalStripe) -> None:
    account = await creator(local, v2=True)
    url = await _update_link(local, account)
    status, _, page = await _open(local, url)
    assert status == 200
    assert ("Replace your bank account" in page, "ending in 6789" in page, 'value="refuse"' in page) == (
        True,
        True,
        False,
    )

    assert (await _answer(local, url, outcome="refuse"))[0] == 422
    assert (await _answer(local, url, outcome="finish", account_number=ACCOUNT_CLOSED))[:2] == (303, RETURN)

    assert (await _open(local, url))[:2] == (303, REFRESH)
    bank = (await plain(local.sdk.v1.accounts.retrieve_async(account)))["external_accounts"]["data"][0]
    assert (bank["last4"], bank["status"]) == ("1113", "new")
    assert "account.external_account.created" in local.types()


async def test_leaving_the_page_for_changes_changes_nothing(local: LocalStripe) -> None:
    account = await creator(local, v2=True)
    events = len(local.events)
    assert (await _answer(local, await _update_link(local, account), outcome="later"))[:2] == (303, RETURN)
    assert len(local.events) == events


async def test_an_account_that_was_never_set_up_has_nothing_to_change(local: LocalStripe) -> None:
    account = (await new_v2(local))["id"]
    with pytest.raises(stripe.InvalidRequestError) as refused:
        await _update_link(local, account)
    assert "has not completed onboarding" in str(refused.value)


async def test_leaving_again_takes_nothing_back(local: LocalStripe) -> None:
    account = (await new_v1(local))["id"]
    await _answer(local, await _link(local, account), outcome="finish")
    await _answer(local, await _link(local, account), outcome="later")
    assert (await plain(local.sdk.v1.accounts.retrieve_async(account)))["payouts_enabled"] is True


async def test_without_a_return_address_the_page_says_that_it_is_over(local: LocalStripe) -> None:
    account = (await new_v2(local))["id"]
    status, _, page = await _answer(local, await _link_v2(local, account, return_url=None), outcome="finish")
    assert (status, "That is all for now" in page) == (200, True)


async def test_strangers_find_nothing(local: LocalStripe) -> None:
    for path in ("/setup/none", "/setup/%00", "/setup/..%2f"):
        assert (await _open(local, f"{local.url}{path}"))[0] == 404
        assert (await _answer(local, f"{local.url}{path}", outcome="finish"))[0] == 404


@pytest.mark.parametrize(
    ("form", "code", "param"),
    [
        ("type=account_onboarding", "parameter_missing", "refresh_url"),
        (f"type=account_onboarding&refresh_url={REFRESH}", "parameter_missing", "return_url"),
        (f"type=account_onboarding&refresh_url={REFRESH}&return_url=/x", "url_invalid", "return_url"),
        (f"type=account_onboarding&refresh_url=javascript:1&return_url={RETURN}", "url_invalid", "refresh_url"),
        (f"type=account_update&refresh_url={REFRESH}&return_url={RETURN}", None, "type"),
        (f"type=dance&refresh_url={REFRESH}&return_url={RETURN}", None, "type"),
    ],
)
async def test_links_that_make_no_sense_are_refused(
    local: LocalStripe, form: str, code: str | None, param: str
) -> None:
    account = (await new_v1(local))["id"]
    assert (await local.refused("POST", "/v1/account_links", f"account={account}&{form}"))[:3] == (400, code, param)


async def test_a_closed_account_gets_no_link_and_its_old_one_is_worth_nothing(local: LocalStripe) -> None:
    account = (await new_v2(local))["id"]
    url = await _link_v2(local, account)
    await local.control("accounts/close", {"account": account})
    assert (await _open(local, url))[:2] == (303, REFRESH)
    with pytest.raises(stripe.InvalidRequestError) as refused:
        await _link_v2(local, account)
    assert refused.value.code == "account_closed"
