"""Thin events at the webhook's door: those about accounts come in as pointers, all others stay out."""

from datetime import UTC, datetime

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.stripe_service import THIN_EVENTS, WebhookEvent, WebhookRefusal, WebhookRefused
from tests.stripe.test_webhook_door import parse, refusal, signed

ACCOUNT = {"id": "acct_1", "type": "v2.core.account", "url": "/v2/core/accounts/acct_1"}


def thin(**changes: object) -> bytes:
    return orjson.dumps(
        {
            "id": "evt_test_1",
            "object": "v2.core.event",
            "type": "v2.core.account[requirements].updated",
            "created": "2026-11-30T12:00:00.000Z",
            "livemode": False,
            "reason": None,
            "related_object": ACCOUNT,
            **changes,
        }
    )


@pytest.mark.parametrize("kind", THIN_EVENTS)
def test_a_thin_event_about_an_account_is_a_pointer_to_it(kind: str) -> None:
    raw = thin(type=kind)

    found = parse(raw, signed(raw))

    assert found == WebhookEvent(
        event_id="evt_test_1",
        type=kind,
        object_id="acct_1",
        object_type="v2.core.account",
        account="acct_1",
        created_at=datetime(2026, 11, 30, 12, tzinfo=UTC),
        api_version=None,
        livemode=False,
        payload=orjson.dumps(
            {**orjson.loads(raw), "related_object": {**ACCOUNT, "url": "[redacted]"}}, option=orjson.OPT_SORT_KEYS
        ).decode(),
    )


def test_of_a_thin_event_too_nothing_personal_is_kept() -> None:
    reason = {"type": "request", "request": {"id": "req_1", "idempotency_key": "onboard ada@example.com"}}
    raw = thin(reason=reason, data={"account_person": "Ada Lovelace"}, context="acct_1")

    kept = orjson.loads(parse(raw, signed(raw)).payload)

    assert kept["reason"] == {"type": "request", "request": {"id": "req_1", "idempotency_key": "[redacted]"}}
    assert kept["data"] == {"account_person": "[redacted]"}
    assert (kept["created"], kept["context"]) == ("2026-11-30T12:00:00.000Z", "acct_1")


def test_an_event_about_a_part_of_an_account_names_the_account_in_its_context() -> None:
    person = {"id": "person_1", "type": "v2.core.account_person", "url": "/v2/core/accounts/acct_1/persons/person_1"}
    raw = thin(type="v2.core.account_person.updated", related_object=person, context="acct_1")

    found = parse(raw, signed(raw))

    assert (found.object_id, found.account) == ("person_1", "acct_1")


@pytest.mark.parametrize("kind", ["v1.account.updated", "v1.invoice.paid", "v2.core.event_destination.ping", "x"])
def test_every_other_thin_event_is_refused(kind: str) -> None:
    raw = thin(type=kind)

    assert refusal(raw, signed(raw)) == WebhookRefusal.THIN_EVENT


def test_a_thin_event_of_the_other_mode_is_refused() -> None:
    raw = thin(livemode=True)

    assert refusal(raw, signed(raw)) == WebhookRefusal.WRONG_MODE


def test_a_thin_event_that_nobody_signed_is_refused() -> None:
    raw = thin()

    assert refusal(raw, signed(raw, secret="whsec_somebody_elses")) == WebhookRefusal.BAD_SIGNATURE


@pytest.mark.parametrize(
    "changes",
    [
        {"type": None},
        {"type": 7},
        {"id": "evt_1/../x"},
        {"created": 1_700_000_000},
        {"created": "yesterday"},
        {"created": "2026-11-30T12:00:00"},
        {"livemode": "no"},
        {"related_object": {"id": 5, "type": "v2.core.account"}},
        {"related_object": {"id": "acct_1"}},
        {"related_object": {"id": "acct_../../x", "type": "v2.core.account"}},
        {"related_object": None, "context": "../x"},
        {"related_object": None, "context": 5},
    ],
)
def test_what_is_not_of_stripes_form_is_refused(changes: dict[str, object]) -> None:
    raw = thin(**changes)

    assert refusal(raw, signed(raw)) == WebhookRefusal.BAD_PAYLOAD


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=8,
)


@given(
    changes=st.dictionaries(st.sampled_from(["id", "type", "created", "livemode", "related_object", "context"]), _JSON)
)
def test_nothing_that_is_signed_breaks_the_door(changes: dict[str, object]) -> None:
    raw = thin(**changes)

    try:
        parse(raw, signed(raw))
    except WebhookRefused as refused:
        assert refused.message.endswith(".")  # noqa: PT017 - both ends are right
