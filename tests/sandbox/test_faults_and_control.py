"""Faults on demand, the request log, and what the control door refuses."""

import asyncio
from typing import Any

import aiohttp
import pytest
import stripe

from gateway.sandbox.refusals import Json
from tests.sandbox.local_stripe import API_KEY, LocalStripe, local_stripe
from tests.sandbox.shop import deposit_session, open_shop, pay, subscribe, subscription

KEY = {"Idempotency-Key": "k"}


async def _customers(local: LocalStripe) -> int:
    return len((await local.ok("GET", "/v1/customers"))["data"])


async def _fault(local: LocalStripe, kind: str, **more: object) -> None:
    await local.control("faults", {"path": "/v1/customers", "method": "POST", "kind": kind, **more})


@pytest.mark.parametrize(("kind", "status"), [("status_500", 500), ("status_429", 429), ("status_409", 409)])
async def test_a_plain_fault_answers_and_does_nothing(local: LocalStripe, kind: str, status: int) -> None:
    await _fault(local, kind, count=2)
    for _ in range(2):
        answered, _, _ = await local.api("POST", "/v1/customers", headers=KEY)
        assert answered == status
    assert await _customers(local) == 0
    await local.ok("POST", "/v1/customers", headers=KEY)
    assert await _customers(local) == 1


async def test_the_sdk_gets_over_a_fault_by_itself(local: LocalStripe) -> None:
    await _fault(local, "status_500")
    made = await local.sdk.v1.customers.create_async({}, {"max_network_retries": 2, "idempotency_key": "k"})
    assert made.id.startswith("cus_")
    assert await _customers(local) == 1


async def test_a_kept_500_is_replayed(local: LocalStripe) -> None:
    await _fault(local, "status_500_kept")
    assert (await local.api("POST", "/v1/customers", headers=KEY))[0] == 500
    status, _, headers = await local.api("POST", "/v1/customers", headers=KEY)
    assert status == 500
    assert headers["Idempotent-Replayed"] == "true"
    assert await _customers(local) == 0


@pytest.mark.parametrize("kind", ["drop_after", "timeout_after", "cut_body", "slow_body"])
async def test_when_the_answer_is_lost_the_work_is_done_once(local: LocalStripe, kind: str) -> None:
    await _fault(local, kind, seconds=0.05)
    with pytest.raises(aiohttp.ClientError):
        await local.api("POST", "/v1/customers", headers=KEY)
    assert await _customers(local) == 1
    status, _, headers = await local.api("POST", "/v1/customers", headers=KEY)
    assert (status, headers["Idempotent-Replayed"]) == (200, "true")
    assert await _customers(local) == 1


@pytest.mark.parametrize("kind", ["drop_before", "timeout_before"])
async def test_when_the_request_is_lost_nothing_is_done(local: LocalStripe, kind: str) -> None:
    await _fault(local, kind, seconds=0.05)
    with pytest.raises(aiohttp.ClientError):
        await local.api("POST", "/v1/customers", headers=KEY)
    assert await _customers(local) == 0
    _, _, headers = await local.api("POST", "/v1/customers", headers=KEY)
    assert "Idempotent-Replayed" not in headers


@pytest.mark.parametrize(("kind", "status"), [("status_500_after", 500), ("not_json", 502)])
async def test_a_lying_answer_hides_work_that_was_done(local: LocalStripe, kind: str, status: int) -> None:
    await _fault(local, kind)
    headers = {"Authorization": f"Bearer {API_KEY}", **KEY}
    form: dict[str, str] = {}
    async with local.http.post(f"{local.url}/v1/customers", data=form, headers=headers) as response:
        assert response.status == status
    assert await _customers(local) == 1
    _, _, replayed = await local.api("POST", "/v1/customers", headers=KEY)
    assert replayed["Idempotent-Replayed"] == "true"


async def test_a_body_that_breaks_off_escapes_the_sdk_as_we_know_it(local: LocalStripe) -> None:
    await _fault(local, "cut_body")
    with pytest.raises((aiohttp.ClientPayloadError, stripe.APIConnectionError)):
        await local.sdk.v1.customers.create_async({})


async def test_a_fault_strikes_where_and_when_it_should(local: LocalStripe) -> None:
    await local.control("faults", {"path": "regex:^/v1/prices/[^/]+$", "kind": "status_500", "count": 5})
    await _fault(local, "status_500", skip=1)
    planned = (await local.look("faults"))["faults"]
    assert [(one["kind"], one["method"], one["count"], one["skip"]) for one in planned] == [
        ("status_500", None, 5, 0),
        ("status_500", "POST", 1, 1),
    ]
    await local.ok("GET", "/v1/prices")
    assert (await local.api("GET", "/v1/prices/x"))[0] == 500
    await local.ok("POST", "/v1/customers")
    assert (await local.api("POST", "/v1/customers"))[0] == 500
    await local.control("faults/clear")
    assert (await local.api("GET", "/v1/prices/x"))[0] == 404


async def test_the_log_tells_what_was_asked(local: LocalStripe) -> None:
    await local.ok("POST", "/v1/customers", "metadata[a]=1", headers=KEY)
    await local.ok("POST", "/v1/customers", "metadata[a]=1", headers=KEY)
    await local.refused("GET", "/v1/prices/none")
    rows = (await local.look("requests"))["requests"]
    assert [(row["method"], row["path"], row["status"], row["replayed"]) for row in rows] == [
        ("POST", "/v1/customers", 200, False),
        ("POST", "/v1/customers", 200, True),
        ("GET", "/v1/prices/none", 404, False),
    ]
    assert (rows[0]["params"], rows[0]["idempotency_key"]) == ({"metadata": {"a": "1"}}, "k")
    assert (await local.control("requests/clear"))["requests"] == []


async def test_a_fault_shows_in_the_log(local: LocalStripe) -> None:
    await _fault(local, "drop_after")
    with pytest.raises(aiohttp.ClientError):
        await local.api("POST", "/v1/customers")
    (row,) = (await local.look("requests"))["requests"]
    assert (row["status"], row["fault"]) == (0, "drop_after")


@pytest.mark.parametrize(
    ("path", "raw"),
    [
        ("faults", b"{"),
        ("faults", b"[]"),
        ("faults", b'{"path": "/v1"}'),
        ("faults", b'{"path": "/v1", "kind": "explode"}'),
        ("faults", b'{"path": "regex:(", "kind": "status_500"}'),
        ("faults", b'{"path": "/v1", "kind": "status_500", "count": 0}'),
        ("faults", b'{"path": "/v1", "kind": "status_500", "count": true}'),
        ("faults", b'{"path": "/v1", "kind": "status_500", "seconds": -1}'),
        ("faults", b'{"path": 1, "kind": "status_500"}'),
        ("faults", b'{"path": "/v1", "kind": "status_500", "when": "now"}'),
        ("payments/settle", b"{}"),
        ("payments/settle", b'{"checkout_session": "a", "payment_intent": "b"}'),
        ("checkout/pay", b"{}"),
        ("subscriptions/create", b'{"customer": ""}'),
        ("subscriptions/status", b'{"subscription": 1}'),
        ("disputes/close", b"{}"),
        ("events/release", b'{"seed": "x"}'),
        ("events/release", b'{"copies": 101}'),
        ("events/wait", b'{"timeout_seconds": "long"}'),
        ("webhook_endpoints", b'{"url": "nowhere"}'),
        ("webhook_endpoints", b'{"url": "https://a.test", "enabled_events": "*"}'),
        ("webhook_endpoints", b'{"url": "https://a.test", "enabled_events": ["no.such"]}'),
        ("clock/advance", b'{"seconds": 1, "to_next_due": 1}'),
        ("faults", b"\xff\xfe"),
    ],
)
async def test_junk_is_refused_with_a_message(local: LocalStripe, path: str, raw: bytes) -> None:
    async with local.http.post(f"{local.url}/_sandbox/{path}", data=raw) as response:
        assert response.status == 400
        assert (await response.json())["error"]["message"]


@pytest.mark.parametrize(
    ("path", "fields"),
    [
        ("payments/settle", {"checkout_session": "cs_none"}),
        ("payments/fail", {"payment_intent": "pi_none"}),
        ("checkout/pay", {"checkout_session": "cs_none"}),
        ("subscriptions/cancel", {"subscription": "sub_none"}),
        ("subscriptions/create", {"customer": "cus_none", "price": "price_none"}),
        ("disputes/close", {"dispute": "du_none", "outcome": "won"}),
        ("nothing", {}),
    ],
)
async def test_what_is_not_there_is_404(local: LocalStripe, path: str, fields: Json) -> None:
    await local.control(path, fields, answers=404)


async def test_nothing_is_settled_before_anything_was_paid(local: LocalStripe) -> None:
    session = await deposit_session(local)
    await local.control("payments/settle", {"checkout_session": session["id"]}, answers=409)


async def test_a_subscription_can_appear_from_elsewhere(local: LocalStripe) -> None:
    shop = await open_shop(local)
    made = await local.control(
        "subscriptions/create", {"customer": shop.customer, "lookup_key": "pro_yearly", "metadata": {"a": "1"}}
    )
    seen = await subscription(local, made["id"])
    assert (seen["status"], seen["items"]["data"][0]["price"]["id"], seen["metadata"]) == (
        "active",
        shop.yearly,
        {"a": "1"},
    )
    assert local.types().count("checkout.session.completed") == 0
    await local.advance(days=367)
    assert local.types().count("invoice.paid") == 2
    for fields in ({"price": "price_none"}, {"lookup_key": "none"}):
        await local.control("subscriptions/create", {"customer": shop.customer, **fields}, answers=404)
    await local.control("subscriptions/create", {"customer": shop.customer}, answers=400)
    await local.control(
        "subscriptions/create", {"customer": shop.customer, "price": shop.monthly, "card_number": "1"}, answers=400
    )


async def test_a_subscription_is_changed_from_elsewhere(local: LocalStripe) -> None:
    bought = await subscribe(local, await open_shop(local))
    name = {"subscription": bought["id"]}
    planned = await local.control("subscriptions/cancel", {**name, "at_period_end": True})
    assert (planned["cancel_at_period_end"], planned["cancel_at"] is not None) == (True, True)
    assert (await local.control("subscriptions/pause", name))["status"] == "paused"
    await local.control("subscriptions/pause", name, answers=400)
    assert (await local.control("subscriptions/resume", name))["status"] == "active"
    await local.control("subscriptions/resume", name, answers=400)
    await local.control("subscriptions/status", {**name, "status": "past_due"})
    await local.control("subscriptions/status", {**name, "status": "happy"}, answers=400)
    ended = await local.control("subscriptions/cancel", name)
    assert ended["status"] == "canceled"
    await local.control("subscriptions/cancel", name, answers=409)
    for expected in ("paused", "resumed", "updated", "deleted"):
        assert f"customer.subscription.{expected}" in local.types()


async def test_a_paused_subscription_does_not_renew_until_it_is_resumed(local: LocalStripe) -> None:
    bought = await subscribe(local, await open_shop(local))
    await local.control("subscriptions/pause", {"subscription": bought["id"]})
    await local.advance(days=70)
    assert local.types().count("invoice.created") == 1
    await local.control("subscriptions/resume", {"subscription": bought["id"]})
    await local.advance(seconds=3700)
    assert local.types().count("invoice.paid") == 2
    period = (await subscription(local, bought["id"]))["items"]["data"][0]
    now = (await local.look("clock"))["now"]
    assert period["current_period_start"] < now < period["current_period_end"]


async def test_a_reset_forgets_everything(local: LocalStripe) -> None:
    await pay(local, await deposit_session(local))
    await local.advance(days=5)
    await _fault(local, "status_500")
    await local.control("reset")
    state = await local.look("state")
    assert state["next_due"] is None
    clock = await local.look("clock")
    assert clock["now"] == clock["real_now"]
    assert (await local.look("requests"))["requests"] == []
    assert await _customers(local) == 0
    await local.ok("POST", "/v1/customers")


async def test_the_state_is_readable(local: LocalStripe) -> None:
    shop = await open_shop(local)
    bought = await subscribe(local, shop)
    await deposit_session(local, customer=shop.customer)
    (book,) = (await local.look("state"))["books"]
    assert book["subscriptions"][0]["id"] == bought["id"]
    assert book["subscriptions"][0]["price"] == "pro_monthly"
    assert [one["status"] for one in book["checkout_sessions"]] == ["open", "complete"]
    assert book["counts"]["customer"] == 1


async def test_hundreds_at_once_leave_whole_objects(local: LocalStripe) -> None:
    shop = await open_shop(local)

    async def one(index: int) -> Any:  # noqa: ANN401 - gathered only
        session = await deposit_session(local, customer=shop.customer, cents=500 + index)
        return await pay(local, session)

    paid = await asyncio.gather(*(one(index) for index in range(100)))
    assert sorted(session["amount_total"] for session in paid) == list(range(500, 600))
    assert local.types().count("checkout.session.completed") == 100
    assert len({session["payment_intent"] for session in paid}) == 100


async def test_a_request_kept_waiting_does_not_keep_the_server_from_stopping() -> None:
    started = asyncio.get_running_loop().time()
    async with local_stripe() as local:
        await _fault(local, "timeout_after", seconds=60)
        waiting = asyncio.create_task(local.api("POST", "/v1/customers"))
        while not local.events:
            await asyncio.sleep(0.005)
    with pytest.raises(aiohttp.ClientError):
        await waiting
    assert asyncio.get_running_loop().time() - started < 30
