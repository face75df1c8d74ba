"""What is remembered of connected accounts and their money over a restart."""

import orjson

from gateway.sandbox.settings import SandboxSettings
from tests.sandbox.connect import NO_ACCOUNT, available, creator, fund, lines, new_v2, transfer
from tests.sandbox.local_stripe import LocalStripe, plain
from tests.sandbox.test_remembering import again, file_of, first, settings

__all__ = ["settings"]


async def _payouts(local: LocalStripe, account: str) -> list[tuple[int, str]]:
    listed = await local.ok("GET", "/v1/payouts", headers={"Stripe-Account": account})
    return [(one["amount"], one["status"]) for one in listed["data"]]


async def test_accounts_and_their_money_go_on(settings: SandboxSettings) -> None:
    async with first(settings) as local:
        await fund(local)
        good, bad = await creator(local), await creator(local, account_number=NO_ACCOUNT, v2=True)
        made = await transfer(local, good, 1000)
        await transfer(local, bad, 500)
        before = await plain(local.sdk.v1.accounts.retrieve_async(good))

    async with again(settings) as local:
        assert await plain(local.sdk.v1.accounts.retrieve_async(good)) == before
        assert await plain(local.sdk.v1.transfers.retrieve_async(made["id"])) == made
        assert (await available(local, good), await available(local, bad)) == (1000, 500)
        await local.advance(days=1)

    async with again(settings, seed=9) as local:
        await local.advance(days=2)
        assert await _payouts(local, good) == [(1000, "paid")]
        assert await _payouts(local, bad) == [(500, "failed")]
        payout = (await local.ok("GET", "/v1/payouts", headers={"Stripe-Account": good}))["data"][0]["id"]
        assert len(await lines(local, good, f"payout={payout}")) == 2
        await local.control("accounts/bank", {"account": bad})

    async with again(settings, seed=10) as local:
        await local.advance(days=4)
        assert await _payouts(local, bad) == [(500, "paid"), (500, "failed")]


async def test_a_link_of_before_still_works_once(settings: SandboxSettings) -> None:
    async with first(settings) as local:
        account = (await new_v2(local))["id"]
        link = await local.sdk.v2.core.account_links.create_async(
            {
                "account": account,
                "use_case": {"type": "account_onboarding", "account_onboarding": {"refresh_url": "https://a.test/"}},
            }
        )
        token = link.url.rpartition("/")[2]
        await local.control("webhook_endpoints", {"url": "http://127.0.0.1:9/none", "thin": True})

    async with again(settings) as local:
        async with local.http.post(f"{local.url}/setup/{token}", data={"outcome": "finish"}) as response:
            assert response.status == 200
        assert (await plain(local.sdk.v1.accounts.retrieve_async(account)))["payouts_enabled"] is True
        (event,) = (await local.ok("GET", "/v2/core/events", "types[0]=v2.core.account.created"))["data"]
        assert event["related_object"]["id"] == account


async def test_a_file_from_before_connected_accounts_is_still_read(settings: SandboxSettings) -> None:
    async with first(settings) as local:
        made = await local.ok("POST", "/v1/customers", "name=A")
    whole = orjson.loads(file_of(settings).read_bytes())
    news = ["thin_endpoints", "bank_numbers", "paid_out_with", "payout_schedule", "next_payout_at", "v2_by_snapshot"]
    for book in whole["state"]["root"]["books"]:
        for name in news:
            book.pop(name)
    whole["state"].pop("seeded_connect_endpoint")
    file_of(settings).write_bytes(orjson.dumps(whole))

    async with again(settings) as local:
        assert (await local.ok("GET", "/v1/customers"))["data"][0]["id"] == made["id"]
        await creator(local)
