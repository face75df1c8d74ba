"""What is kept of an event: pointers, times and amounts, and nobody's name."""

import json
from typing import Any

import pytest

from gateway.domain.redaction import LEVELS_MAX, REDACTED, TooDeep, pointers_only, redact

#: A person in every place where Stripe's objects have one.
SECRETS = (
    "Ada Lovelace",
    "ada@example.com",
    "+44 20 7946 0000",
    "12 St James's Square",
    "SW1Y 4JH",
    "4242",
    "fp_Xt5EWLLDS7FJjR1c",
    "203.0.113.7",
    "https://pay.stripe.com/receipts/secret",
    "pi_1_secret_x",
    "Acme Ltd",
)


def event(**happened: object) -> dict[str, Any]:
    return {"id": "evt_1", "object": "event", "type": "charge.refunded", "data": {"object": happened}}


CHARGE = event(
    id="ch_1",
    object="charge",
    amount=2500,
    amount_refunded=500,
    currency="usd",
    created=1_700_000_000,
    livemode=False,
    status="succeeded",
    customer={"id": "cus_1", "object": "customer", "email": "ada@example.com", "name": "Ada Lovelace"},
    payment_intent="pi_1",
    receipt_email="ada@example.com",
    receipt_url="https://pay.stripe.com/receipts/secret",
    client_secret="pi_1_secret_x",
    billing_details={"address": {"line1": "12 St James's Square", "postal_code": "SW1Y 4JH"}, "name": "Ada Lovelace"},
    shipping={"phone": "+44 20 7946 0000"},
    payment_method_details={"card": {"last4": "4242", "fingerprint": "fp_Xt5EWLLDS7FJjR1c"}},
    metadata={"gateway_customer": "ada@example.com", "gateway_checkout": "0192", "company": "Acme Ltd"},
    custom_fields=[{"key": "company", "text": {"value": "Acme Ltd"}}],
    something_new=[{"buyer_name": "Ada Lovelace", "client_ip": "203.0.113.7", "amount": 7}],
)


def test_no_person_is_left_wherever_stripe_puts_one() -> None:
    kept = json.dumps(redact(CHARGE))

    assert [secret for secret in SECRETS if secret in kept] == []


def test_pointers_amounts_times_and_states_are_left() -> None:
    happened: Any = redact(CHARGE)["data"]
    happened = happened["object"]

    assert {name: happened[name] for name in ("id", "amount", "amount_refunded", "currency", "created", "status")} == {
        "id": "ch_1",
        "amount": 2500,
        "amount_refunded": 500,
        "currency": "usd",
        "created": 1_700_000_000,
        "status": "succeeded",
    }
    assert happened["customer"]["id"] == "cus_1"
    assert happened["payment_intent"] == "pi_1"
    assert happened["livemode"] is False
    assert happened["metadata"] == {"gateway_checkout": "0192"}
    assert happened["something_new"][0]["amount"] == 7


def test_what_people_typed_is_not_kept_under_whatever_name() -> None:
    typed = event(
        id="acct_1",
        cancellation_details={"comment": "I am Ada, call 555", "feedback": "too_expensive", "reason": "Ada wants out"},
        business_profile={"support_url": "https://ada.example", "product_description": "Ada sells"},
        tos_acceptance={"ip": "203.0.113.7", "user_agent": "Ada's browser", "date": 1_700_000_000},
        settings={"payments": {"statement_descriptor": "ADA"}},
        individual={"id_number": "123-45", "dob": {"day": 10, "month": 12, "year": 1815}},
        payment_method={"card": {"exp_month": 12, "exp_year": 2030, "last4": "4242"}},
        nickname="Ada's visa",
        footer="Ada",
        custom_text={"submit": {"message": "Ada"}},
        currently_due=["individual.id_number", "Ada Lovelace"],
        address={"state": "Ada"},
    )

    kept = redact(typed)

    happened: Any = kept["data"]
    happened = happened["object"]
    assert "ada" not in json.dumps(kept).lower()
    assert happened["cancellation_details"] == {"comment": REDACTED, "feedback": "too_expensive", "reason": REDACTED}
    assert happened["individual"] == {
        "id_number": REDACTED,
        "dob": {"day": REDACTED, "month": REDACTED, "year": REDACTED},
    }
    assert happened["payment_method"]["card"] == dict.fromkeys(("exp_month", "exp_year", "last4"), REDACTED)
    assert happened["currently_due"] == ["individual.id_number", REDACTED]


def test_null_stays_null_and_says_that_there_was_nothing() -> None:
    happened: Any = redact(event(id="cus_1", email=None, name="Ada", shipping={}))["data"]

    assert happened["object"] == {"id": "cus_1", "email": None, "name": REDACTED, "shipping": {}}


def test_what_was_sent_is_not_changed() -> None:
    before = json.dumps(CHARGE)

    redact(CHARGE)

    assert json.dumps(CHARGE) == before


def test_nesting_is_bounded() -> None:
    deep: Any = 1
    for _ in range(LEVELS_MAX + 1):
        deep = {"a": deep}

    with pytest.raises(TooDeep):
        redact({"data": deep})


def test_of_a_dropped_payload_the_pointers_are_left() -> None:
    assert pointers_only(CHARGE) == {
        "id": "evt_1",
        "object": "event",
        "type": "charge.refunded",
        "data": {"object": {"id": "ch_1", "object": "charge", "customer": "cus_1", "payment_intent": "pi_1"}},
    }


@pytest.mark.parametrize("odd", [{}, {"data": None}, {"data": {"object": []}}, {"data": "x"}])
def test_pointers_of_anything_are_an_event_without_pointers(odd: dict[str, Any]) -> None:
    assert pointers_only(odd) == {"data": {"object": {}}}
