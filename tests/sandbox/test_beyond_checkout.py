"""Payments and invoices without a page, bank debits, trials and pauses: what `stripe trigger` plays through."""

import random
from datetime import UTC, datetime
from typing import cast

import pytest
import stripe

from gateway.domain.clock import ManualClock
from gateway.sandbox.ids import Ids
from gateway.sandbox.refusals import Json
from tests.sandbox.local_stripe import LocalStripe, local_stripe, plain
from tests.sandbox.shop import deposit_session, open_shop, subscribe, subscription


async def test_a_payment_intent_is_confirmed_at_once(local: LocalStripe) -> None:
    made = await plain(
        local.sdk.v1.payment_intents.create_async(
            {"amount": 2000, "currency": "usd", "payment_method": "pm_card_visa", "confirm": True}
        )
    )
    assert (made["status"], made["amount_received"]) == ("succeeded", 2000)
    assert local.types() == ["payment_intent.created", "charge.succeeded", "payment_intent.succeeded"]


async def test_a_declined_intent_is_a_card_error_that_carries_it(local: LocalStripe) -> None:
    with pytest.raises(stripe.CardError) as declined:
        await local.sdk.v1.payment_intents.create_async(
            {"amount": 2000, "currency": "usd", "payment_method": "pm_card_chargeDeclined", "confirm": True}
        )
    error = declined.value
    assert (error.http_status, error.code, error.error.decline_code) == (402, "card_declined", "generic_decline")  # pyright: ignore[reportOptionalMemberAccess]  # a card error has its body
    intent: Json = cast("Json", error.json_body)["error"]["payment_intent"]
    assert intent["status"] == "requires_payment_method"
    again = await local.ok("POST", f"/v1/payment_intents/{intent['id']}/confirm", "payment_method=pm_card_visa")
    assert again["status"] == "succeeded"
    refused = await local.refused("POST", f"/v1/payment_intents/{intent['id']}/confirm")
    assert refused[1] == "payment_intent_unexpected_state"


async def test_a_declined_payment_is_replayed_under_its_key(local: LocalStripe) -> None:
    form = "amount=2000&currency=usd&payment_method=pm_card_chargeDeclined&confirm=true"
    for replayed in (None, "true"):
        status, _, headers = await local.api("POST", "/v1/payment_intents", form, headers={"Idempotency-Key": "k"})
        assert (status, headers.get("Idempotent-Replayed")) == (402, replayed)
    assert local.types().count("charge.failed") == 1


@pytest.mark.parametrize(
    ("form", "param"),
    [
        ("currency=usd", "amount"),
        ("amount=49&currency=usd", "amount"),
        ("amount=100000000&currency=usd", "amount"),
        ("amount=100&currency=xxx", "currency"),
        ("amount=100&currency=usd&confirm=true", "payment_method"),
        ("amount=100&currency=usd&payment_method=pm_none", "payment_method"),
        ("amount=100&currency=usd&customer=cus_none", "customer"),
    ],
)
async def test_intents_that_make_no_sense_are_refused(local: LocalStripe, form: str, param: str) -> None:
    status, _, named, _ = await local.refused("POST", "/v1/payment_intents", form)
    assert (status, named, local.events) == (400, param, [])


async def test_an_invoice_is_built_finalized_and_paid_by_hand(local: LocalStripe) -> None:
    shop = await open_shop(local)
    await local.ok("POST", "/v1/invoiceitems", f"customer={shop.customer}&amount=1500&description=Work")
    draft = await local.ok("POST", "/v1/invoices", f"customer={shop.customer}&default_payment_method=pm_card_visa")
    assert (draft["status"], draft["total"], draft["billing_reason"]) == ("draft", 1500, "manual")
    await local.ok("POST", "/v1/invoiceitems", f"customer={shop.customer}&amount=500&invoice={draft['id']}")
    final = await local.ok("POST", f"/v1/invoices/{draft['id']}/finalize")
    assert (final["status"], final["total"], len(final["lines"]["data"])) == ("open", 2000, 2)
    await local.refused("POST", f"/v1/invoices/{draft['id']}/finalize")
    paid = await local.ok("POST", f"/v1/invoices/{draft['id']}/pay", "expand[]=payments.data.payment.payment_intent")
    assert (paid["status"], paid["amount_paid"], paid["parent"]) == ("paid", 2000, None)
    assert paid["payments"]["data"][0]["payment"]["payment_intent"]["amount"] == 2000
    rows = await local.ok("GET", "/v1/invoice_payments", f"invoice={draft['id']}")
    assert [row["amount_paid"] for row in rows["data"]] == [2000]


async def test_an_open_invoice_can_be_voided(local: LocalStripe) -> None:
    shop = await open_shop(local)
    await local.ok("POST", "/v1/invoiceitems", f"customer={shop.customer}&amount=1500")
    draft = await local.ok("POST", "/v1/invoices", f"customer={shop.customer}")
    await local.refused("POST", f"/v1/invoices/{draft['id']}/void")
    await local.ok("POST", f"/v1/invoices/{draft['id']}/finalize")
    assert (await local.ok("POST", f"/v1/invoices/{draft['id']}/void"))["status"] == "void"
    assert local.types()[-1] == "invoice.voided"
    assert (await local.refused("POST", f"/v1/invoices/{draft['id']}/pay"))[0] == 400


@pytest.mark.parametrize(
    ("iban", "ends"),
    [("AT611904300234573201", "async_payment_succeeded"), ("AT861904300235473202", "async_payment_failed")],
)
async def test_a_bank_debit_is_under_way_for_days(local: LocalStripe, iban: str, ends: str) -> None:
    session = await deposit_session(local)
    page = await local.ok("GET", f"/v1/payment_pages/{session['id']}")
    assert page["total_summary"]["due"] == 2500
    method = await local.ok("POST", "/v1/payment_methods", f"type=sepa_debit&sepa_debit[iban]={iban}")
    assert method["sepa_debit"]["last4"] == iban[-4:]
    path = f"/v1/payment_pages/{session['id']}/confirm"
    assert (await local.refused("POST", path, f"payment_method={method['id']}&expected_amount=1"))[0] == 400
    confirmed = await local.ok("POST", path, f"payment_method={method['id']}&expected_amount=2500")
    assert (confirmed["status"], confirmed["payment_status"]) == ("complete", "unpaid")
    await local.advance(days=3)
    assert local.types()[-1] == f"checkout.session.{ends}"


@pytest.mark.parametrize(
    ("form", "status"),
    [
        ("type=card", 400),
        ("type=card&card[number]=4242424242424241", 402),
        ("type=card&card[token]=tok_none", 400),
        ("type=sepa_debit&sepa_debit[iban]=DE00", 402),
        ("type=cash", 400),
    ],
)
async def test_payment_methods_that_are_none_are_refused(local: LocalStripe, form: str, status: int) -> None:
    assert (await local.refused("POST", "/v1/payment_methods", form))[0] == status


@pytest.mark.parametrize(
    ("behavior", "status", "told"),
    [
        ("pause", "paused", "customer.subscription.paused"),
        ("cancel", "canceled", "customer.subscription.deleted"),
        ("create_invoice", "past_due", "invoice.payment_failed"),
    ],
)
async def test_a_trial_that_ends_without_a_card(local: LocalStripe, behavior: str, status: str, told: str) -> None:
    shop = await open_shop(local)
    made = await local.ok(
        "POST",
        "/v1/subscriptions",
        f"customer={shop.customer}&items[0][price]={shop.monthly}&trial_period_days=7"
        f"&trial_settings[end_behavior][missing_payment_method]={behavior}",
    )
    assert made["status"] == "trialing"
    await local.advance(seconds=7 * 86_400 + 3601)
    assert (await subscription(local, made["id"]))["status"] == status
    assert told in local.types()


async def test_a_trial_can_be_ended_now(local: LocalStripe) -> None:
    shop = await open_shop(local)
    made = await local.control("subscriptions/create", {"customer": shop.customer, "price": shop.monthly})
    trial = await local.ok(
        "POST",
        "/v1/subscriptions",
        f"customer={shop.customer}&items[0][price]={shop.monthly}&trial_period_days=7",
    )
    ended = await local.ok("POST", f"/v1/subscriptions/{trial['id']}", "trial_end=now")
    assert (made["status"], ended["status"]) == ("active", "active")
    await local.advance(seconds=3601)
    assert [one["amount_paid"] for one in local.objects("invoice.paid")] == [2900, 0, 2900]
    await local.advance(days=8)
    assert local.types().count("invoice.paid") == 3


async def test_a_subscription_is_paused_and_resumed_through_the_api(local: LocalStripe) -> None:
    bought = await subscribe(local, await open_shop(local))
    paused = await plain(local.sdk.v1.subscriptions.pause_async(bought["id"]))
    assert paused["status"] == "paused"
    assert paused["status_details"]["paused"]["subscription"]["type"] == "pause_requested"
    assert local.types()[-1] == "customer.subscription.paused"
    with pytest.raises(stripe.InvalidRequestError):
        await local.sdk.v1.subscriptions.pause_async(bought["id"])
    resumed = await plain(local.sdk.v1.subscriptions.resume_async(bought["id"]))
    assert resumed["status"] == "active"
    assert "status_details" not in resumed
    assert local.types()[-1] == "customer.subscription.resumed"


async def test_the_same_seed_gives_the_same_world() -> None:
    async def ids() -> list[str]:
        async with local_stripe(clock=ManualClock(datetime(2026, 1, 31, tzinfo=UTC))) as local:
            bought = await subscribe(local, await open_shop(local))
            return [bought["id"], bought["latest_invoice"], *(event["id"] for event in local.events)]

    assert await ids() == await ids()


async def test_a_plan_bought_on_the_31st_renews_on_the_last_of_february() -> None:
    clock = ManualClock(datetime(2027, 1, 31, 12, tzinfo=UTC))
    async with local_stripe(clock=clock) as local:
        bought = await subscribe(local, await open_shop(local))
        ends = [bought["items"]["data"][0]["current_period_end"]]
        for _ in range(3):
            await local.advance(to=ends[-1] + 3600)
            ends.append((await subscription(local, bought["id"]))["items"]["data"][0]["current_period_end"])
        days = [datetime.fromtimestamp(end, UTC).strftime("%m-%d %H") for end in ends]
        assert days == ["02-28 12", "03-31 12", "04-30 12", "05-31 12"]


def test_ids_look_like_stripes() -> None:
    ids = Ids(random.Random(1))
    assert ids.new("cs_test").startswith("cs_test_")
    assert len(ids.new("cs_test")) == len("cs_test_") + 58
    assert len(ids.new("cus")) == len("cus_") + 14
    assert len({ids.new("pi") for _ in range(1000)}) == 1000
