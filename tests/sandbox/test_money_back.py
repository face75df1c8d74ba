"""Refunds, disputes and the balance."""

import pytest
import stripe

from gateway.sandbox.engine.balance import fee_cents
from gateway.sandbox.refusals import Json
from tests.sandbox.local_stripe import PAYS_LATER, LocalStripe, plain
from tests.sandbox.shop import deposit_session, open_shop, pay


async def _paid(local: LocalStripe, cents: int = 2500, card: str | None = None) -> Json:
    """The charge of a paid deposit."""
    session = await pay(local, await deposit_session(local, cents=cents), card)
    intent = await local.ok("GET", f"/v1/payment_intents/{session['payment_intent']}", "expand[]=latest_charge")
    return intent["latest_charge"]


@pytest.mark.parametrize(
    ("amount", "fee"), [(50, 31), (500, 45), (1000, 59), (2500, 103), (1017, 59), (1018, 60), (50000, 1480)]
)
def test_the_fee_is_whole_cents_with_halves_up(amount: int, fee: int) -> None:
    assert fee_cents(amount) == fee


async def test_partial_refunds_add_up_to_the_charge_and_no_further(local: LocalStripe) -> None:
    charge = await _paid(local)
    first = await plain(
        local.sdk.v1.refunds.create_async(
            {"payment_intent": charge["payment_intent"], "amount": 1000, "metadata": {"a": "1"}}
        )
    )
    assert (first["amount"], first["status"], first["charge"], first["metadata"]) == (
        1000,
        "succeeded",
        charge["id"],
        {"a": "1"},
    )
    assert local.types()[-2:] == ["charge.refunded", "refund.created"]
    assert local.objects("charge.refunded")[0]["amount_refunded"] == 1000
    assert local.objects("charge.refunded")[0]["refunded"] is False

    status, _, param, message = await local.refused("POST", "/v1/refunds", f"charge={charge['id']}&amount=1501")
    assert (status, param) == (400, "amount")
    assert message == "Refund amount ($15.01) is greater than unrefunded amount on charge ($15.00)"
    await local.ok("POST", "/v1/refunds", f"charge={charge['id']}")
    assert local.objects("charge.refunded")[1]["refunded"] is True
    assert (await local.refused("POST", "/v1/refunds", f"charge={charge['id']}"))[1] == "charge_already_refunded"

    after = await local.ok("GET", f"/v1/charges/{charge['id']}", "expand[]=refunds")
    assert (after["amount_refunded"], [one["amount"] for one in after["refunds"]["data"]]) == (2500, [1500, 1000])
    listed = await local.ok("GET", "/v1/refunds", f"payment_intent={charge['payment_intent']}")
    assert len(listed["data"]) == 2


@pytest.mark.parametrize(
    ("form", "code"),
    [
        ("", None),
        ("charge=ch_none", "resource_missing"),
        ("payment_intent=pi_none", "resource_missing"),
        ("charge={charge}&payment_intent={intent}", None),
        ("charge={charge}&amount=0", None),
        ("charge={charge}&amount=-5", None),
        ("charge={charge}&amount=1.5", "parameter_invalid_integer"),
        ("charge={charge}&reason=regret", None),
        ("charge={charge}&reverse_transfer=true", "not_played_here"),
    ],
)
async def test_refunds_that_make_no_sense_are_refused(local: LocalStripe, form: str, code: str | None) -> None:
    charge = await _paid(local)
    before = len(local.events)
    filled = form.replace("{charge}", charge["id"]).replace("{intent}", charge["payment_intent"])
    status, known, _, _ = await local.refused("POST", "/v1/refunds", filled)
    assert (status, known, len(local.events)) == (400, code, before)


async def test_what_was_never_paid_cannot_be_refunded(local: LocalStripe) -> None:
    session = await pay(local, await deposit_session(local), PAYS_LATER)
    status, code, *_ = await local.refused("POST", "/v1/refunds", f"payment_intent={session['payment_intent']}")
    assert (status, code) == (400, "payment_intent_unexpected_state")


async def test_a_refused_refund_is_remembered_under_its_key(local: LocalStripe) -> None:
    charge = await _paid(local)
    await local.control("refunds", {"charge": charge["id"]})
    key = {"Idempotency-Key": "refund:1"}
    await local.refused("POST", "/v1/refunds", f"charge={charge['id']}", headers=key)
    _, _, headers = await local.api("POST", "/v1/refunds", f"charge={charge['id']}", headers=key)
    assert headers["Idempotent-Replayed"] == "true"


async def test_the_control_door_refunds_by_session(local: LocalStripe) -> None:
    session = await pay(local, await deposit_session(local))
    made = await local.control("refunds", {"checkout_session": session["id"], "amount": 700})
    assert (made["object"], made["amount"]) == ("refund", 700)
    assert (await local.control("refunds", {"payment_intent": session["payment_intent"]}))["amount"] == 1800
    await local.control("refunds", {"checkout_session": session["id"]}, answers=400)
    await local.control("refunds", {"checkout_session": "cs_none"}, answers=404)
    await local.control("refunds", {"charge": "ch_x", "colour": 1}, answers=404)


async def _net(local: LocalStripe) -> int:
    balance = await plain(local.sdk.v1.balance.retrieve_async())
    return sum(part["amount"] for part in (*balance["available"], *balance["pending"]))


async def test_a_dispute_takes_the_money_and_winning_brings_it_back(local: LocalStripe) -> None:
    charge = await _paid(local)
    assert await _net(local) == 2397

    dispute = await local.control("disputes/open", {"charge": charge["id"], "reason": "product_not_received"})

    assert (dispute["status"], dispute["amount"], dispute["reason"]) == ("needs_response", 2500, "product_not_received")
    assert local.types()[-3:] == ["charge.updated", "charge.dispute.created", "charge.dispute.funds_withdrawn"]
    assert await _net(local) == 2397 - 2500 - 1500
    assert (await local.refused("POST", "/v1/refunds", f"charge={charge['id']}"))[1] == "charge_disputed"
    await local.control("disputes/open", {"charge": charge["id"]}, answers=400)

    reviewed = await local.ok("POST", f"/v1/disputes/{dispute['id']}", "evidence[uncategorized_text]=sent&submit=true")
    assert reviewed["status"] == "under_review"
    assert local.types()[-1] == "charge.dispute.updated"

    won = await local.control("disputes/close", {"dispute": dispute["id"], "outcome": "won"})
    assert won["status"] == "won"
    assert local.types()[-3:] == ["charge.dispute.closed", "charge.updated", "charge.dispute.funds_reinstated"]
    assert await _net(local) == 2397 - 1500
    assert len((await local.ok("GET", f"/v1/disputes/{dispute['id']}"))["balance_transactions"]) == 2
    await local.control("disputes/close", {"dispute": dispute["id"], "outcome": "lost"}, answers=400)


async def test_a_lost_dispute_keeps_the_money_away(local: LocalStripe) -> None:
    charge = await _paid(local)
    dispute = await local.control("disputes/open", {"charge": charge["id"], "amount": 1000})
    await local.control("disputes/close", {"dispute": dispute["id"], "outcome": "warning_closed"}, answers=400)
    lost = await plain(local.sdk.v1.disputes.close_async(dispute["id"]))
    assert lost["status"] == "lost"
    assert "charge.dispute.funds_reinstated" not in local.types()
    assert await _net(local) == 2397 - 1000 - 1500
    with pytest.raises(stripe.InvalidRequestError):
        await local.sdk.v1.disputes.close_async(dispute["id"])


async def test_an_inquiry_only_warns(local: LocalStripe) -> None:
    charge = await _paid(local)
    inquiry = await local.control("disputes/open", {"charge": charge["id"], "inquiry": True})
    assert (inquiry["status"], inquiry["is_charge_refundable"]) == ("warning_needs_response", True)
    assert "charge.dispute.funds_withdrawn" not in local.types()
    await local.control("disputes/close", {"dispute": inquiry["id"], "outcome": "won"}, answers=400)
    closed = await local.control("disputes/close", {"dispute": inquiry["id"], "outcome": "warning_closed"})
    assert closed["status"] == "warning_closed"
    assert await _net(local) == 2397


async def test_one_card_is_disputed_by_its_owner_right_away(local: LocalStripe) -> None:
    charge = await _paid(local, card="4000000000000259")
    await local.advance(seconds=1)
    (dispute,) = (await local.ok("GET", "/v1/disputes", f"charge={charge['id']}"))["data"]
    assert dispute["status"] == "needs_response"


@pytest.mark.parametrize("fields", [{"amount": 0}, {"amount": 2501}, {"charge": "ch_none"}, {"amount": "5"}, {"x": 1}])
async def test_disputes_that_make_no_sense_are_refused(local: LocalStripe, fields: Json) -> None:
    charge = await _paid(local)
    expected = 404 if "charge" in fields else 400
    await local.control("disputes/open", {"charge": charge["id"], **fields}, answers=expected)
    assert "charge.dispute.created" not in local.types()


async def test_card_money_is_pending_for_two_days(local: LocalStripe) -> None:
    charge = await _paid(local)
    assert charge["balance_transaction"] is None
    await local.advance(seconds=2)
    assert local.types()[-1] == "charge.updated"
    assert local.events[-1]["data"]["previous_attributes"] == {"balance_transaction": None}
    (charge,) = local.objects("charge.updated")
    entry = await local.ok("GET", f"/v1/balance_transactions/{charge['balance_transaction']}", "expand[]=source")
    assert (entry["status"], entry["available_on"] - entry["created"]) == ("pending", 2 * 86_400)
    assert (entry["source"]["id"], entry["fee_details"][0]["amount"]) == (charge["id"], 103)
    assert (await local.ok("GET", "/v1/balance"))["available"][0]["amount"] == 0
    await local.advance(days=2)
    assert (await local.ok("GET", "/v1/balance"))["available"][0]["amount"] == 2397
    (listed,) = (await local.ok("GET", "/v1/balance_transactions", "type=charge"))["data"]
    assert listed["status"] == "available"


async def test_one_card_skips_the_waiting(local: LocalStripe) -> None:
    await _paid(local, card="4000000000000077")
    assert (await local.ok("GET", "/v1/balance"))["available"][0]["amount"] == 2397


async def test_payments_carry_what_the_session_was_given(local: LocalStripe) -> None:
    shop = await open_shop(local)
    session = await deposit_session(
        local,
        customer=shop.customer,
        payment_intent_data={"metadata": {"a": "1"}, "transfer_group": "tg", "description": "Deposit"},
    )
    paid = await pay(local, session)
    intent = await local.ok("GET", f"/v1/payment_intents/{paid['payment_intent']}", "expand[]=latest_charge")
    for one in (intent, intent["latest_charge"]):
        assert (one["metadata"], one["transfer_group"], one["description"]) == ({"a": "1"}, "tg", "Deposit")
        assert one["customer"] == shop.customer
    (listed,) = (await local.ok("GET", "/v1/charges", "transfer_group=tg"))["data"]
    assert listed["id"] == intent["latest_charge"]["id"]
    (found,) = (await local.ok("GET", "/v1/payment_intents", f"customer={shop.customer}"))["data"]
    assert found["id"] == intent["id"]


async def test_a_refund_is_told_of_again_when_the_bank_names_it(local: LocalStripe) -> None:
    charge = await _paid(local)
    await local.ok("POST", "/v1/refunds", f"charge={charge['id']}&amount=1000")
    await local.advance(seconds=3600)
    assert local.types()[-2:] == ["refund.updated", "charge.refund.updated"]
    (told,) = local.objects("refund.updated")
    assert told["destination_details"]["card"]["reference_status"] == "available"


async def test_a_refund_that_seemed_done_can_fail(local: LocalStripe) -> None:
    charge = await _paid(local)
    made = await local.ok("POST", "/v1/refunds", f"charge={charge['id']}")
    assert await _net(local) == 2397 - 2500

    failed = await local.control("refunds/fail", {"refund": made["id"]})

    assert (failed["status"], failed["failure_reason"]) == ("failed", "expired_or_canceled_card")
    assert local.types()[-4:] == ["charge.updated", "refund.updated", "charge.refund.updated", "refund.failed"]
    assert await _net(local) == 2397
    after = await local.ok("GET", f"/v1/charges/{charge['id']}")
    assert (after["refunded"], after["amount_refunded"]) == (False, 0)
    await local.control("refunds/fail", {"refund": made["id"]}, answers=400)
    await local.advance(days=1)
    assert local.types()[-2:] == ["refund.failed", "charge.updated"]  # the latter only names the balance transaction
    await local.ok("POST", "/v1/refunds", f"charge={charge['id']}")


async def test_a_debit_is_in_the_balance_as_soon_as_it_is_submitted(local: LocalStripe) -> None:
    charge = await _paid(local, card=PAYS_LATER)
    (line,) = (await local.ok("GET", "/v1/balance_transactions"))["data"]
    assert (line["id"], line["source"]) == (charge["balance_transaction"], charge["id"])
    assert (line["type"], line["reporting_category"], line["status"]) == ("payment", "charge", "pending")
    assert (line["amount"], line["fee"], line["net"]) == (2500, 103, 2397)
    assert line["available_on"] - line["created"] == 5 * 86_400

    await local.control("payments/settle", {"payment_intent": charge["payment_intent"]})

    (settled,) = (await local.ok("GET", "/v1/balance_transactions"))["data"]
    assert settled["id"] == line["id"]
    assert (await local.ok("GET", f"/v1/charges/{charge['id']}"))["balance_transaction"] == line["id"]
    await local.advance(days=2)
    assert (await local.ok("GET", "/v1/balance"))["available"][0]["amount"] == 2397


async def test_a_debit_that_fails_is_taken_back_by_a_line_of_its_own(local: LocalStripe) -> None:
    charge = await _paid(local, card=PAYS_LATER)

    await local.control("payments/fail", {"payment_intent": charge["payment_intent"]})

    back, line = (await local.ok("GET", f"/v1/balance_transactions?source={charge['id']}"))["data"]
    assert (line["type"], back["type"], back["reporting_category"]) == (
        "payment",
        "payment_failure_refund",
        "charge_failure",
    )
    assert (back["amount"], back["fee"], back["net"] + line["net"]) == (-2500, -103, 0)
    failed = await local.ok("GET", f"/v1/charges/{charge['id']}")
    assert (failed["status"], failed["balance_transaction"], failed["failure_balance_transaction"]) == (
        "failed",
        line["id"],
        back["id"],
    )
    balance = await local.ok("GET", "/v1/balance")
    assert (balance["available"][0]["amount"], balance["pending"][0]["amount"]) == (0, 0)
    await local.advance(days=6)
    assert (await local.ok("GET", "/v1/balance"))["available"][0]["amount"] == 0
