"""Balances going on to bank accounts, on the schedule and when asked."""

from datetime import UTC, datetime

import pytest
import stripe

from gateway.sandbox.refusals import Json
from tests.sandbox.connect import ACCOUNT_CLOSED, NO_ACCOUNT, available, creator, fund, lines, told, transfer
from tests.sandbox.local_stripe import LocalStripe, plain

DAY = 86_400


async def _payouts(local: LocalStripe, account: str | None) -> list[Json]:
    headers = {"Stripe-Account": account} if account else None
    return (await local.ok("GET", "/v1/payouts", headers=headers))["data"]


async def test_money_goes_on_to_the_bank_by_itself(local: LocalStripe) -> None:
    await fund(local)
    account = await creator(local)
    await transfer(local, account, 1000)
    await transfer(local, account, 500)

    await local.advance(days=1)

    (payout,) = await _payouts(local, account)
    assert (payout["amount"], payout["automatic"], payout["failure_code"]) == (1500, True, None)
    assert payout["status"] in {"pending", "in_transit"}
    assert payout["created"] % DAY == 0
    assert payout["arrival_date"] - payout["created"] == 2 * DAY
    assert await available(local, account) == 0

    await local.advance(seconds=3600)
    assert (await _payouts(local, account))[0]["status"] == "in_transit"
    await local.advance(days=2)
    (payout,) = await _payouts(local, account)
    assert payout["status"] == "paid"
    assert told(local, account) == [
        "account.updated",
        "payout.created",
        "payout.updated",
        "payout.updated",
        "payout.paid",
    ]
    await local.advance(days=10)
    assert len(await _payouts(local, account)) == 1


async def test_the_lines_of_a_payout_add_up_to_it(local: LocalStripe) -> None:
    await fund(local)
    account = await creator(local)
    first = await transfer(local, account, 1000)
    await local.ok("POST", f"/v1/transfers/{first['id']}/reversals", "amount=300")
    await local.advance(days=1)
    await transfer(local, account, 250)
    await local.advance(days=1)

    second, first = await _payouts(local, account)
    for payout, amounts in ((first, [1000, -300, -700]), (second, [250, -250])):
        found = await lines(local, account, f"payout={payout['id']}")
        assert sorted(line["net"] for line in found) == sorted(amounts)
        assert {line["type"] for line in found if line["source"] == payout["id"]} == {"payout"}
    whole = await local.ok(
        "GET",
        f"/v1/payouts/{first['id']}",
        "expand[]=balance_transaction&expand[]=destination",
        headers={"Stripe-Account": account},
    )
    assert (whole["balance_transaction"]["net"], whole["destination"]["last4"]) == (-700, "6789")


@pytest.mark.parametrize(("number", "code"), [(NO_ACCOUNT, "no_account"), (ACCOUNT_CLOSED, "account_closed")])
async def test_a_payout_to_a_bad_bank_account_comes_back(local: LocalStripe, number: str, code: str) -> None:
    await fund(local)
    account = await creator(local, account_number=number)
    await transfer(local, account, 1000)
    await local.advance(days=4)

    (payout,) = await _payouts(local, account)
    assert (payout["status"], payout["failure_code"]) == ("failed", code)
    back = await local.ok(
        "GET",
        f"/v1/balance_transactions/{payout['failure_balance_transaction']}",
        headers={"Stripe-Account": account},
    )
    assert (back["type"], back["net"], back["source"]) == ("payout_failure", 1000, payout["id"])
    assert await available(local, account) == 1000
    (event,) = [one for one in local.events if one["type"] == "payout.failed"]
    assert (event["account"], event["data"]["object"]["failure_code"]) == (account, code)
    shown = await plain(local.sdk.v1.accounts.retrieve_async(account))
    assert (shown["payouts_enabled"], shown["capabilities"]["transfers"]) == (False, "active")
    assert shown["requirements"]["currently_due"] == ["external_account"]
    assert shown["external_accounts"]["data"][0]["status"] == "errored"


async def test_after_a_failure_nothing_is_paid_out_until_the_bank_account_is_replaced(local: LocalStripe) -> None:
    await fund(local)
    account = await creator(local, account_number=NO_ACCOUNT)
    await transfer(local, account, 1000)
    await local.advance(days=4)
    await transfer(local, account, 200)
    await local.advance(days=10)
    assert len(await _payouts(local, account)) == 1
    headers = {"Stripe-Account": account}
    refused = await local.refused("POST", "/v1/payouts", "amount=1&currency=usd", headers=headers)
    assert refused[:2] == (400, "payouts_not_allowed")

    await local.control("accounts/bank", {"account": account})
    assert (await plain(local.sdk.v1.accounts.retrieve_async(account)))["payouts_enabled"] is True
    await local.advance(days=4)

    second, _ = await _payouts(local, account)
    assert (second["amount"], second["status"]) == (1200, "paid")
    found = await lines(local, account, f"payout={second['id']}")
    assert sorted(line["net"] for line in found) == [-1200, 200, 1000]


async def test_a_payout_that_was_paid_can_still_fail(local: LocalStripe) -> None:
    await fund(local)
    account = await creator(local)
    await transfer(local, account, 1000)
    await local.advance(days=4)
    (payout,) = await _payouts(local, account)
    assert payout["status"] == "paid"

    failed = await local.control("payouts/fail", {"payout": payout["id"], "reason": "could_not_process"})

    assert (failed["status"], failed["failure_code"]) == ("failed", "could_not_process")
    types = told(local, account)
    assert types.index("payout.paid") < types.index("payout.failed")
    assert await available(local, account) == 1000
    await local.control("payouts/fail", {"payout": payout["id"]}, answers=400)
    await local.control("payouts/arrive", {"payout": payout["id"]}, answers=409)


async def test_an_account_on_the_manual_schedule_is_paid_when_asked(local: LocalStripe) -> None:
    await fund(local)
    account = await creator(local)
    options: stripe.RequestOptions = {"stripe_account": account}
    changed = await local.sdk.v1.balance_settings.update_async(
        {"payments": {"payouts": {"schedule": {"interval": "manual"}}}}, options
    )
    assert changed.to_dict()["payments"]["payouts"]["schedule"] == {"interval": "manual"}
    assert told(local, account)[-1] == "balance_settings.updated"
    await transfer(local, account, 1000)
    await local.advance(days=10)
    assert await _payouts(local, account) == []

    made = await plain(local.sdk.v1.payouts.create_async({"amount": 400, "currency": "usd"}, options))

    assert (made["status"], made["automatic"]) == ("pending", False)
    assert await available(local, account) == 600
    canceled = await plain(local.sdk.v1.payouts.cancel_async(made["id"], None, options))
    assert canceled["status"] == "canceled"
    assert await available(local, account) == 1000
    assert told(local, account)[-1] == "payout.canceled"
    with pytest.raises(stripe.InvalidRequestError):
        await local.sdk.v1.payouts.cancel_async(made["id"], None, options)
    await local.advance(days=3)
    assert (await _payouts(local, account))[0]["status"] == "canceled"


@pytest.mark.parametrize(
    ("form", "code"),
    [
        ("amount=1001&currency=usd", "balance_insufficient"),
        ("amount=0&currency=usd", "parameter_invalid_integer"),
        ("amount=1&currency=eur", "balance_insufficient"),
        ("amount=1", "parameter_missing"),
        ("amount=1&currency=usd&method=instant", None),
    ],
)
async def test_payouts_that_make_no_sense_are_refused(local: LocalStripe, form: str, code: str | None) -> None:
    await fund(local)
    account = await creator(local)
    await transfer(local, account, 1000)
    headers = {"Stripe-Account": account}
    assert (await local.refused("POST", "/v1/payouts", form, headers=headers))[:2] == (400, code)
    assert await available(local, account) == 1000


async def test_an_automatic_payout_cannot_be_canceled(local: LocalStripe) -> None:
    await fund(local)
    account = await creator(local)
    await transfer(local, account, 1000)
    made = await local.control("payouts/create", {"account": account, "automatic": True})
    path, headers = f"/v1/payouts/{made['id']}/cancel", {"Stripe-Account": account}
    assert (await local.refused("POST", path, headers=headers))[1] == "payout_not_cancelable"
    await local.control("payouts/create", {"account": account, "automatic": True}, answers=409)
    assert (await local.control("payouts/arrive", {"payout": made["id"]}))["status"] == "paid"


@pytest.mark.parametrize(
    ("schedule", "weekdays", "month_days"),
    [
        ({"interval": "weekly", "weekly_payout_days": ["tuesday", "friday"]}, {1, 4}, set[int]()),
        ({"interval": "monthly", "monthly_payout_days": [31]}, set[int](), {28, 29, 30, 31}),
    ],
)
async def test_other_schedules_keep_to_their_days(
    local: LocalStripe, schedule: Json, weekdays: set[int], month_days: set[int]
) -> None:
    await fund(local)
    account = await creator(local)
    await local.sdk.v1.balance_settings.update_async(
        {"payments": {"payouts": {"schedule": schedule}}},  # pyright: ignore[reportArgumentType]  # the SDK wants its own TypedDict
        {"stripe_account": account},
    )
    for _ in range(4):
        await transfer(local, account, 100)
        await local.advance(to_next_due=True)
    await local.advance(days=40)
    days = [datetime.fromtimestamp(one["created"], UTC) for one in await _payouts(local, account)]
    assert days
    for day in days:
        assert day.weekday() in weekdays or day.day in month_days


async def test_what_is_to_be_left_stays(local: LocalStripe) -> None:
    await fund(local)
    account = await creator(local)
    form = "payments[payouts][minimum_balance_by_currency][usd]=300"
    settings = await local.ok("POST", "/v1/balance_settings", form, headers={"Stripe-Account": account})
    assert settings["payments"]["payouts"]["minimum_balance_by_currency"] == {"usd": 300}
    await transfer(local, account, 1000)
    await local.advance(days=1)
    assert [one["amount"] for one in await _payouts(local, account)] == [700]


async def test_a_debt_is_worked_off_before_anything_is_paid_out(local: LocalStripe) -> None:
    await fund(local)
    account = await creator(local)
    made = await transfer(local, account, 1000)
    await local.advance(days=1)
    await local.control("transfers/reverse", {"transfer": made["id"], "amount": 400})
    assert await available(local, account) == -400
    await transfer(local, account, 300)
    await local.advance(days=3)
    assert [one["amount"] for one in await _payouts(local, account)] == [1000]
    await transfer(local, account, 300)
    await local.advance(days=3)
    assert [one["amount"] for one in await _payouts(local, account)] == [200, 1000]


async def test_the_platform_pays_itself_out_when_told_or_by_the_day(local: LocalStripe) -> None:
    await fund(local)
    await local.advance(days=5)
    assert await _payouts(local, None) == []
    made = await local.control("payouts/create", {"amount": 1000})
    assert (made["amount"], made["automatic"], await available(local)) == (1000, False, 8680)
    assert local.events[-1]["type"] == "payout.created"
    assert "account" not in local.events[-1]

    await local.ok("POST", "/v1/balance_settings", "payments[payouts][schedule][interval]=daily")
    await local.advance(days=1)
    newest, _ = await _payouts(local, None)
    assert (newest["amount"], newest["automatic"]) == (8680, True)
    found = await lines(local, None, f"payout={newest['id']}")
    assert sum(line["net"] for line in found) == 0
    assert {line["type"] for line in found} == {"charge", "payout"}


async def test_lines_can_be_filtered_by_everything_stripe_filters_by(local: LocalStripe) -> None:
    await fund(local)
    account = await creator(local)
    made = await transfer(local, account, 1000)
    first = (await lines(local))[0]
    assert [line["type"] for line in await lines(local)] == ["charge", "transfer"]
    assert [line["type"] for line in await lines(local, None, f"source={made['id']}")] == ["transfer"]
    assert [line["type"] for line in await lines(local, None, "type=charge")] == ["charge"]
    assert await lines(local, None, "currency=eur") == []
    assert await lines(local, None, f"created[gt]={first['created'] + 100}") == []
    assert len(await lines(local, None, f"created[gte]={first['created']}&created[lt]={first['created'] + 100}")) == 2
    assert (await local.refused("GET", "/v1/balance_transactions/txn_none"))[:2] == (404, "resource_missing")
    headers = {"Stripe-Account": account}
    refused = await local.refused("GET", f"/v1/balance_transactions/{first['id']}", headers=headers)
    assert refused[:2] == (404, "resource_missing")


async def test_lines_that_fit_nothing_can_be_planted(local: LocalStripe) -> None:
    await fund(local)
    account = await creator(local)
    await transfer(local, account, 1000)
    charge, moved = await lines(local)
    extra = await local.control("balance/plant", {"amount": -250, "type": "stripe_fee"})
    assert (extra["net"], extra["source"]) == (-250, None)
    await local.control("balance/alter", {"balance_transaction": charge["id"], "amount": 9000})
    await local.control("balance/alter", {"balance_transaction": moved["id"], "missing": True})
    assert [(line["type"], line["net"]) for line in await lines(local)] == [("charge", 8680), ("stripe_fee", -250)]
    for fields in ({}, {"amount": 1, "missing": True}, {"amount": "1"}):
        given = {"balance_transaction": charge["id"], **fields}
        await local.control("balance/alter", given, answers=400)
    await local.control("balance/plant", {}, answers=400)
    await local.control("balance/alter", {"balance_transaction": "txn_none", "amount": 1}, answers=404)


async def test_a_payout_on_its_way_goes_to_the_bank_account_it_was_made_for(local: LocalStripe) -> None:
    """Replacing the bank account turns later payouts, not this one."""
    await fund(local)
    account = await creator(local)
    await transfer(local, account, 1000)
    await local.advance(days=1)

    await local.control("accounts/bank", {"account": account})
    await local.advance(days=3)

    (payout,) = await _payouts(local, account)
    assert (payout["status"], payout["failure_code"]) == ("paid", None)
