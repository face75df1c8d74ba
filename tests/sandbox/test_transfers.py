"""Moving money to connected accounts and back."""

import asyncio

import pytest
import stripe

from tests.sandbox.connect import available, creator, fund, lines, new_v1, new_v2, transfer
from tests.sandbox.local_stripe import LocalStripe, plain
from tests.sandbox.shop import deposit_session, pay

FUNDED = 100_00 - 320


async def test_a_transfer_moves_money_from_one_balance_to_the_other(local: LocalStripe) -> None:
    await fund(local)
    account = await creator(local)

    made = await plain(
        local.sdk.v1.transfers.create_async(
            {
                "amount": 1500,
                "currency": "usd",
                "destination": account,
                "transfer_group": "payout_1",
                "metadata": {"gateway_payout": "p_1"},
            }
        )
    )

    assert (made["amount"], made["amount_reversed"], made["reversed"]) == (1500, 0, False)
    assert (made["destination"], made["transfer_group"], made["source_transaction"]) == (account, "payout_1", None)
    assert (await available(local), await available(local, account)) == (FUNDED - 1500, 1500)
    assert local.types()[-1] == "transfer.created"
    assert "account" not in local.events[-1]

    (taken,) = await lines(local, None, "type=transfer")
    (given,) = await lines(local, account)
    assert (taken["amount"], taken["fee"], taken["source"]) == (-1500, 0, made["id"])
    assert (given["type"], given["net"], given["source"]) == ("payment", 1500, made["destination_payment"])
    path = f"/v1/charges/{made['destination_payment']}"
    payment = await local.ok("GET", path, "expand[]=source_transfer", headers={"Stripe-Account": account})
    assert (payment["amount"], payment["source_transfer"]["id"]) == (1500, made["id"])
    whole = await local.ok("GET", f"/v1/transfers/{made['id']}", "expand[]=destination&expand[]=destination_payment")
    assert (whole["destination"]["object"], whole["destination_payment"]["id"]) == ("account", payment["id"])


async def test_transfers_are_found_by_their_group(local: LocalStripe) -> None:
    await fund(local)
    one, other = await creator(local), await creator(local, v2=True)
    first = await transfer(local, one, 100, transfer_group="g1")
    second = await transfer(local, other, 200, transfer_group="g1")
    await transfer(local, one, 300, transfer_group="g2")
    found = await plain(local.sdk.v1.transfers.list_async({"transfer_group": "g1"}))
    assert [row["id"] for row in found["data"]] == [second["id"], first["id"]]
    found = await plain(local.sdk.v1.transfers.list_async({"transfer_group": "g1", "destination": one}))
    assert [row["id"] for row in found["data"]] == [first["id"]]
    assert (await plain(local.sdk.v1.transfers.list_async({"transfer_group": "g3"})))["data"] == []
    pages = await local.sdk.v1.transfers.list_async({"limit": 1})
    assert [row.amount async for row in pages.auto_paging_iter()] == [300, 200, 100]


async def test_money_that_is_pending_cannot_be_transferred_and_the_refusal_is_remembered(local: LocalStripe) -> None:
    await pay(local, await deposit_session(local, cents=5000))
    account = await creator(local)
    form, key = f"amount=1000&currency=usd&destination={account}", {"Idempotency-Key": "k"}
    assert (await local.refused("POST", "/v1/transfers", form, headers=key))[:2] == (400, "balance_insufficient")
    await local.control("balance/available")
    assert (await available(local)) == 5000 - 175
    status, body, headers = await local.api("POST", "/v1/transfers", form, headers=key)
    assert (status, body["error"]["code"], headers["Idempotent-Replayed"]) == (400, "balance_insufficient", "true")
    assert await local.control("idempotency_keys/forget", {"key": "k"}) == {"forgotten": 1}
    assert (await local.ok("POST", "/v1/transfers", form, headers=key))["amount"] == 1000


async def test_a_charge_can_be_the_source_before_its_money_is_available(local: LocalStripe) -> None:
    session = await pay(local, await deposit_session(local, cents=5000))
    intent = await local.ok("GET", f"/v1/payment_intents/{session['payment_intent']}")
    account, charge = await creator(local), intent["latest_charge"]
    await transfer(local, account, 3000, source_transaction=charge)
    assert await available(local, account) == 0
    form = f"currency=usd&destination={account}&source_transaction={charge}"
    assert (await local.refused("POST", "/v1/transfers", f"{form}&amount=2001"))[2] == "amount"
    assert (await local.ok("POST", "/v1/transfers", form))["amount"] == 2000
    await local.control("balance/available", {"account": account})
    assert await available(local, account) == 5000


@pytest.mark.parametrize("stage", ["new", "started", "review", "restricted", "rejected"])
async def test_an_account_that_is_not_ready_receives_nothing(local: LocalStripe, stage: str) -> None:
    await fund(local)
    for account in (await new_v1(local), await new_v2(local)):
        if stage != "new":
            await local.control("accounts/stage", {"account": account["id"], "stage": stage})
        status, code, _, message = await local.refused(
            "POST", "/v1/transfers", f"amount=100&currency=usd&destination={account['id']}"
        )
        assert (status, code) == (400, "insufficient_capabilities_for_transfer")
        assert message == (
            "Your destination account needs to have at least one of the following capabilities enabled: "
            "transfers, crypto_transfers, legacy_payments"
        )
    assert await available(local) == FUNDED


@pytest.mark.parametrize(
    ("form", "code", "param"),
    [
        ("currency=usd&destination={account}", "parameter_missing", "amount"),
        ("amount=1&destination={account}", "parameter_missing", "currency"),
        ("amount=1&currency=usd", "parameter_missing", "destination"),
        ("amount=0&currency=usd&destination={account}", "parameter_invalid_integer", "amount"),
        ("amount=-5&currency=usd&destination={account}", "parameter_invalid_integer", "amount"),
        ("amount=1.5&currency=usd&destination={account}", "parameter_invalid_integer", "amount"),
        ("amount=100000000&currency=usd&destination={account}", "amount_too_large", "amount"),
        ("amount=99999999&currency=usd&destination={account}", "balance_insufficient", None),
        ("amount=9681&currency=usd&destination={account}", "balance_insufficient", None),
        ("amount=1&currency=eur&destination={account}", "balance_insufficient", None),
        ("amount=1&currency=usd&destination=acct_none", "resource_missing", "destination"),
        (
            "amount=1&currency=usd&destination={account}&source_transaction=ch_x",
            "resource_missing",
            "source_transaction",
        ),
    ],
)
async def test_transfers_that_make_no_sense_move_nothing(
    local: LocalStripe, form: str, code: str, param: str | None
) -> None:
    await fund(local)
    account = await creator(local)
    refused = await local.refused("POST", "/v1/transfers", form.replace("{account}", account))
    assert refused[:3] == (400, code, param)
    assert (await available(local), await available(local, account)) == (FUNDED, 0)


async def test_the_last_cent_can_be_transferred_and_not_one_more(local: LocalStripe) -> None:
    await fund(local)
    account = await creator(local)
    asked = [local.api("POST", "/v1/transfers", f"amount=4840&currency=usd&destination={account}") for _ in range(5)]
    statuses = sorted([status for status, _, _ in await asyncio.gather(*asked)])
    assert statuses == [200, 200, 400, 400, 400]
    assert (await available(local), await available(local, account)) == (0, FUNDED)


async def test_partial_reversals_add_up_to_the_transfer_and_no_further(local: LocalStripe) -> None:
    await fund(local)
    account = await creator(local)
    made = await transfer(local, account, 1500)

    first = await plain(
        local.sdk.v1.transfers.reversals.create_async(made["id"], {"amount": 500, "metadata": {"a": "1"}})
    )

    assert (first["amount"], first["transfer"], first["metadata"]) == (500, made["id"], {"a": "1"})
    told = local.objects("transfer.reversed")[0]
    assert (told["amount_reversed"], told["reversed"]) == (500, False)
    path = f"/v1/transfers/{made['id']}/reversals"
    status, _, param, message = await local.refused("POST", path, "amount=1001")
    assert (status, param) == (400, "amount")
    assert message == "Reversal amount ($10.01) is greater than unreversed amount on transfer ($10.00)"
    second = await local.ok("POST", path)
    assert (second["amount"], local.objects("transfer.reversed")[1]["reversed"]) == (1000, True)
    assert (await local.refused("POST", path))[0] == 400
    assert (await local.refused("POST", path, "amount=0"))[0] == 400

    assert [row["id"] for row in (await local.ok("GET", path))["data"]] == [second["id"], first["id"]]
    whole = await local.ok("GET", f"/v1/transfers/{made['id']}")
    assert [row["id"] for row in whole["reversals"]["data"]] == [second["id"], first["id"]]
    assert (await available(local), await available(local, account)) == (FUNDED, 0)
    assert [row["type"] for row in await lines(local, account)] == ["payment", "payment_refund", "payment_refund"]
    assert [row["net"] for row in await lines(local, None, "type=transfer_refund")] == [500, 1000]


async def test_a_reversal_needs_the_money_to_be_there(local: LocalStripe) -> None:
    await fund(local)
    account = await creator(local)
    made = await transfer(local, account, 1500)
    await local.control("payouts/create", {"account": account, "amount": 1000})
    path = f"/v1/transfers/{made['id']}/reversals"
    assert (await local.refused("POST", path))[:2] == (400, "balance_insufficient")
    assert (await local.ok("POST", path, "amount=500"))["amount"] == 500
    await local.control("transfers/reverse", {"transfer": made["id"], "amount": 400})
    assert await available(local, account) == -400
    assert local.objects("transfer.reversed")[-1]["amount_reversed"] == 900


async def test_only_words_of_a_transfer_can_be_changed(local: LocalStripe) -> None:
    await fund(local)
    made = await transfer(local, await creator(local), 1500)
    changed = await plain(local.sdk.v1.transfers.update_async(made["id"], {"metadata": {"a": "1"}}))
    assert changed["metadata"] == {"a": "1"}
    assert local.types()[-1] == "transfer.updated"
    assert (await local.refused("POST", f"/v1/transfers/{made['id']}", "amount=1"))[1] == "parameter_unknown"
    assert (await local.refused("GET", "/v1/transfers/tr_none"))[:2] == (404, "resource_missing")
    assert (await local.refused("POST", "/v1/transfers/tr_none/reversals"))[:2] == (404, "resource_missing")
    assert (await local.refused("GET", "/v1/transfers/tr_none/reversals"))[:2] == (404, "resource_missing")


async def test_a_connected_account_cannot_transfer(local: LocalStripe) -> None:
    await fund(local)
    one, other = await creator(local), await creator(local)
    await transfer(local, one, 1000)
    form, headers = f"amount=100&currency=usd&destination={other}", {"Stripe-Account": one}
    assert (await local.refused("POST", "/v1/transfers", form, headers=headers))[0] == 403
    assert (await local.refused("GET", "/v1/transfers", headers=headers))[0] == 403


@pytest.mark.parametrize("kind", ["timeout_after", "drop_after", "cut_body", "status_500_after", "not_json"])
async def test_a_lost_answer_is_found_again_by_its_group_and_by_its_key(local: LocalStripe, kind: str) -> None:
    await fund(local)
    account = await creator(local)
    await local.control("faults", {"path": "/v1/transfers", "method": "POST", "kind": kind, "seconds": 0.01})
    params: stripe.params.TransferCreateParams = {
        "amount": 700,
        "currency": "usd",
        "destination": account,
        "transfer_group": "g",
    }
    with pytest.raises(Exception):  # noqa: B017, PT011 - the SDK lets several kinds through
        await local.sdk.v1.transfers.create_async(params, {"idempotency_key": "k"})
    (found,) = (await plain(local.sdk.v1.transfers.list_async({"transfer_group": "g"})))["data"]
    again = await local.sdk.v1.transfers.create_async(params, {"idempotency_key": "k"})
    assert again.id == found["id"]
    assert await available(local, account) == 700


async def test_a_500_kept_under_a_key_stays_until_the_key_is_forgotten(local: LocalStripe) -> None:
    await fund(local)
    account = await creator(local)
    await local.control("faults", {"path": "/v1/transfers", "kind": "status_500_kept"})
    form, key = f"amount=700&currency=usd&destination={account}", {"Idempotency-Key": "k"}
    for _ in range(2):
        assert (await local.refused("POST", "/v1/transfers", form, headers=key))[0] == 500
    assert await available(local, account) == 0
    await local.advance(days=1)
    first = await local.ok("POST", "/v1/transfers", form, headers=key)
    await local.advance(days=1)
    # The key is unknown by now: whoever relies on it alone pays twice.
    second = await local.ok("POST", "/v1/transfers", form, headers=key)
    assert first["id"] != second["id"]
