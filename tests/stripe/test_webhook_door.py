"""The webhook door: Stripe's own deliveries come in, and nothing else."""

import hashlib
import hmac
from datetime import UTC, datetime, timedelta

import orjson
import pytest
import stripe
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.clock import ManualClock
from gateway.domain.redaction import REDACTED, redact
from gateway.stripe_service import StripeSettingsError, WebhookEvent, WebhookRefusal, WebhookRefused, parse_event
from tests.stripe.stripe_objects import CREATED, event

NOW = datetime.fromtimestamp(CREATED, UTC)
SECRET = "whsec_current"
OLD_SECRET = "whsec_previous"


def signed(raw: bytes, *, secret: str = SECRET, at: int = CREATED) -> str:
    """The header as the documentation describes it: HMAC-SHA256 over `<t>.<body>` with the whole secret as key."""
    digest = hmac.new(secret.encode(), f"{at}.".encode() + raw, hashlib.sha256).hexdigest()
    return f"t={at},v1={digest}"


def parse(
    raw: bytes, header: str | None, *, livemode: bool = False, secrets: tuple[str, ...] = (SECRET,)
) -> WebhookEvent:
    return parse_event(raw, header, secrets=secrets, livemode=livemode, clock=ManualClock(NOW))


def refusal(raw: bytes, header: str | None, *, livemode: bool = False) -> str:
    with pytest.raises(WebhookRefused) as caught:
        parse(raw, header, livemode=livemode)
    assert caught.value.message.endswith(".")
    return caught.value.code


def body(**changes: object) -> bytes:
    return orjson.dumps({**event(), **changes})


def test_a_signed_event_is_read() -> None:
    raw = body(account="acct_1")

    found = parse(raw, signed(raw))

    assert found == WebhookEvent(
        event_id="evt_1",
        type="checkout.session.completed",
        object_id="cs_test_a1",
        object_type="checkout.session",
        account="acct_1",
        created_at=NOW,
        api_version="2026-10-28.endive",
        livemode=False,
        payload=orjson.dumps(redact(event(account="acct_1")), option=orjson.OPT_SORT_KEYS).decode(),
    )


def test_our_signature_is_the_sdks() -> None:
    raw = body()

    assert signed(raw) == stripe.WebhookSignature.generate_signature_header(raw.decode(), SECRET, CREATED)


def test_the_same_event_gives_the_same_payload_however_it_is_spaced() -> None:
    compact, spaced = body(), orjson.dumps(event(), option=orjson.OPT_INDENT_2)

    assert parse(compact, signed(compact)).payload == parse(spaced, signed(spaced)).payload


def test_text_beyond_ascii_is_signed_and_read() -> None:
    raw = body(data={"object": {"id": "cus_1", "object": "customer", "preferred_greeting": "Łovelace 💶"}})

    assert parse(raw, signed(raw)).object_id == "cus_1"


def test_what_is_personal_is_not_kept() -> None:
    raw = body(data={"object": {"id": "cus_1", "object": "customer", "name": "Ada", "email": "ada@example.com"}})

    payload = parse(raw, signed(raw)).payload

    assert "Ada" not in payload
    assert "ada@example.com" not in payload
    assert '"id":"cus_1"' in payload


def test_an_object_without_an_id_is_an_event_too() -> None:
    raw = body(type="balance.available", data={"object": {"object": "balance"}})

    found = parse(raw, signed(raw))

    assert (found.object_type, found.object_id) == ("balance", None)


@pytest.mark.parametrize(
    ("type_", "chosen"),
    [
        ("coupon.created", "25% off"),
        ("plan.updated", "gold plan"),
        ("coupon.deleted", "Früh"),
        ("coupon.created", "x/y"),
    ],
)
def test_an_id_that_a_person_chose_is_not_kept_and_refuses_nothing(type_: str, chosen: str) -> None:
    raw = body(type=type_, data={"object": {"id": chosen, "object": type_.partition(".")[0]}})

    found = parse(raw, signed(raw))

    assert (found.type, found.object_id) == (type_, None)
    assert orjson.loads(found.payload)["data"]["object"]["id"] == REDACTED


def test_an_id_of_stripes_form_is_kept_whatever_the_type() -> None:
    raw = body(type="coupon.created", data={"object": {"id": "spring-25", "object": "coupon"}})

    assert parse(raw, signed(raw)).object_id == "spring-25"


def test_any_of_the_secrets_may_have_signed() -> None:
    raw = body()

    for secret in (SECRET, OLD_SECRET):
        assert parse(raw, signed(raw, secret=secret), secrets=(SECRET, OLD_SECRET)).event_id == "evt_1"


def test_both_signatures_of_a_rotation_are_tried() -> None:
    raw = body()
    ours, other = signed(raw), signed(raw, secret="whsec_unknown").split(",")[1]

    assert parse(raw, f"{ours},{other}").event_id == "evt_1"
    assert parse(raw, f"t={CREATED},{other},{ours.split(',')[1]}").event_id == "evt_1"


def test_other_schemes_are_ignored() -> None:
    raw = body()

    assert parse(raw, f"{signed(raw)},v0=0123,v2=whatever").event_id == "evt_1"


def test_a_copied_secret_may_end_with_a_line_break() -> None:
    raw = body()

    assert parse(raw, signed(raw), secrets=(f"{SECRET}\n",)).event_id == "evt_1"


@pytest.mark.parametrize("secrets", [(), ("",), ("   ",), (SECRET, "")])
def test_without_usable_secrets_nothing_is_checked_and_nothing_comes_in(secrets: tuple[str, ...]) -> None:
    raw = body()

    with pytest.raises(StripeSettingsError):
        parse(raw, signed(raw, secret="".join(secrets)), secrets=secrets)


GOOD = signed(body())
V1 = GOOD.split(",")[1]


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "nonsense",
        "=",
        ",",
        "t=",
        f"t={CREATED}",
        V1,
        f"t={CREATED},v1=",
        f"t={CREATED},v1=0123",
        f"t={CREATED},v0={V1[3:]}",
        f"t={CREATED}, {V1}",
        f"t= {CREATED},{V1}",
        f"t=+{CREATED},{V1}",
        f"t={str(CREATED)[0]}_{str(CREATED)[1:]},{V1}",
        f"t={CREATED}.0,{V1}",
        f"t=-1,{V1}",
        f"t={'9' * 13},{V1}",
        f"t={'9' * 12},{V1}",
        f"t={'9' * 5000},{V1}",
        f"t=٣,{V1}",
        f"t={CREATED},t={CREATED},{V1}",
        f"t={CREATED - 1},t={CREATED},{V1}",
        f"t={CREATED},v1=ключ",
        f"t={CREATED},v1=\udcff",
        f"t={CREATED},{V1}=",
        f"t={CREATED},{V1},",
        f"t={CREATED},{V1.upper()}",
        f"t={CREATED},{V1}\n",
        GOOD + ",v1=0123" * 16,
        GOOD + ",v0=" + "0" * 256 + ",v0=" + "0" * 256 * 8,
    ],
)
def test_a_header_that_is_not_stripes_is_a_bad_signature(header: str | None) -> None:
    assert refusal(body(), header) == "bad_signature"


def test_a_strangers_signature_is_bad() -> None:
    raw = body()

    assert refusal(raw, signed(raw, secret="whsec_stranger")) == "bad_signature"


def test_a_changed_body_is_a_bad_signature() -> None:
    assert refusal(body().replace(b"evt_1", b"evt_2"), GOOD) == "bad_signature"
    assert refusal(body() + b"\n", GOOD) == "bad_signature"


def test_a_changed_time_is_a_bad_signature() -> None:
    assert refusal(body(), f"t={CREATED + 1},{V1}") == "bad_signature"


@pytest.mark.parametrize("age", [-300, -299, 0, 299, 300])
def test_a_delivery_may_be_five_minutes_old_or_early(age: int) -> None:
    raw = body()

    assert parse(raw, signed(raw, at=CREATED - age)).event_id == "evt_1"


@pytest.mark.parametrize("age", [301, 86_400, CREATED, -301, -86_400])
def test_a_delivery_of_another_time_is_stale(age: int) -> None:
    raw = body()

    assert refusal(raw, signed(raw, at=CREATED - age)) == "stale_signature"


def test_a_stale_delivery_of_a_stranger_is_a_bad_signature() -> None:
    raw = body()

    assert refusal(raw, signed(raw, secret="whsec_stranger", at=CREATED - 301)) == "bad_signature"


def test_the_time_is_the_given_clocks() -> None:
    raw = body()
    clock = ManualClock(NOW)
    clock.advance(timedelta(seconds=301))

    with pytest.raises(WebhookRefused) as caught:
        parse_event(raw, signed(raw), secrets=[SECRET], livemode=False, clock=clock)
    assert caught.value.code is WebhookRefusal.STALE_SIGNATURE


def test_a_thin_event_is_named_as_such() -> None:
    raw = orjson.dumps(
        {
            "id": "evt_1",
            "object": "v2.core.event",
            "type": "v1.account.updated",
            "created": "2026-11-01T00:00:00.000Z",
            "livemode": False,
            "related_object": {"id": "acct_1", "type": "account", "url": "/v1/accounts/acct_1"},
        }
    )

    assert refusal(raw, signed(raw)) == "thin_event"


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"not json",
        b"\xff\xfe{}",
        b"\xef\xbb\xbf{}",
        b"[]",
        b"null",
        b'"evt_1"',
        b"5",
        b"{}",
        b"NaN",
        b'{"id":"\\ud800"}',
        b"[" * 100_000,
        b'{"a":' * 2_000 + b"1" + b"}" * 2_000,
        body(object="charge"),
        body(object=None),
        body(object=["event"]),
        body(id=None),
        body(id=""),
        body(id=5),
        body(id="cus_1"),
        body(id="evt_"),
        body(id="evt_1\n"),
        body(id="evt_1'; --"),
        body(id="evt_" + "1" * 251),
        body(type=None),
        body(type=""),
        body(type="x" * 256),
        body(type="charge refunded"),
        body(created=None),
        body(created="now"),
        body(created=1.5),
        body(created=True),
        body(created=-1),
        body(created=10**18),
        body(livemode=None),
        body(livemode="false"),
        body(livemode=0),
        body(data=None),
        body(data=[]),
        body(data={}),
        body(data={"object": None}),
        body(data={"object": "cs_test_a1"}),
        body(data={"object": {"id": 5, "object": "charge"}}),
        body(data={"object": {"id": "", "object": "charge"}}),
        body(data={"object": {"id": "ch_1/../x", "object": "charge"}}),
        body(data={"object": {"id": "c" * 256, "object": "charge"}}),
        body(data={"object": {"id": "ch_1", "object": "<b>"}}),
        body(account=""),
        body(account="cus_1"),
        body(account={"id": "acct_1"}),
        body(api_version=""),
        body(api_version=5),
        body(api_version="v" * 65),
    ],
)
def test_a_signed_body_that_is_no_event_is_a_bad_payload(raw: bytes) -> None:
    assert refusal(raw, signed(raw)) == "bad_payload"


def test_an_event_nested_too_deeply_to_be_written_again_is_a_bad_payload() -> None:
    deep = b'{"object":{"id":"x_1","object":"x","deep":' + b'{"a":' * 300 + b"1" + b"}" * 300 + b"}}"
    raw = body(data="DATA").replace(b'"DATA"', deep)

    assert refusal(raw, signed(raw)) == "bad_payload"


@pytest.mark.parametrize("theirs", [True, False])
def test_an_event_of_the_other_mode_is_refused(*, theirs: bool) -> None:
    raw = body(livemode=theirs)

    assert refusal(raw, signed(raw), livemode=not theirs) == "wrong_mode"
    assert parse(raw, signed(raw), livemode=theirs).livemode is theirs


def test_a_live_endpoint_expects_test_events_of_connected_accounts() -> None:
    cases = {
        (False, "acct_1"): True,  # what Stripe sends to live Connect endpoints
        (False, None): False,
        (True, "acct_1"): False,
        (True, None): False,
    }

    for (theirs, account), expected in cases.items():
        raw = body(livemode=theirs, **({} if account is None else {"account": account}))
        with pytest.raises(WebhookRefused) as refused:
            parse(raw, signed(raw), livemode=not theirs)
        assert (refused.value.code, refused.value.expected) == ("wrong_mode", expected)


@given(raw=st.binary(max_size=200), header=st.none() | st.text(max_size=200))
def test_nothing_a_stranger_sends_raises_anything_else(raw: bytes, header: str | None) -> None:
    with pytest.raises(WebhookRefused):
        parse(raw, header)


@given(
    changes=st.dictionaries(
        st.sampled_from(["id", "object", "type", "created", "livemode", "data", "account", "api_version"]),
        st.recursive(
            st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.text(max_size=20),
            lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
            max_leaves=8,
        ),
    )
)
def test_whatever_is_signed_is_an_event_or_refused(changes: dict[str, object]) -> None:
    raw = orjson.dumps({**event(), **changes})

    try:
        found = parse(raw, signed(raw))
    except WebhookRefused as refused:
        assert refused.code in {"bad_payload", "thin_event", "wrong_mode"}  # noqa: PT017 - both ends are right
    else:
        assert found.event_id.startswith("evt_")
