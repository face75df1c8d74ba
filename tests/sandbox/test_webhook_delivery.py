"""Events on their way: signed, tried again, held, shuffled and doubled."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import orjson
import pytest
import stripe
from aiohttp import web
from aiohttp.test_utils import TestServer

from gateway.sandbox.app import WORLD
from gateway.sandbox.engine import accounts
from gateway.sandbox.refusals import Json
from gateway.sandbox.settings import SandboxSettings
from gateway.sandbox.webhooks.signing import signature_header
from tests.sandbox.local_stripe import LocalStripe, local_stripe

SECRET = "whsec_test"


@dataclass(slots=True)
class Receiver:
    """A webhook endpoint that remembers; its answers are given first to last, then always 200."""

    url: str = ""
    answers: list[int] = field(default_factory=list[int])
    got: list[tuple[bytes, str]] = field(default_factory=list[tuple[bytes, str]])
    stall: asyncio.Event | None = None

    async def take(self, request: web.Request) -> web.Response:
        self.got.append((await request.read(), request.headers["Stripe-Signature"]))
        if self.stall is not None:
            await self.stall.wait()
        status = self.answers.pop(0) if self.answers else 200
        return web.Response(status=status, headers={"Location": "/elsewhere"} if status == 302 else None)

    def types(self) -> list[str]:
        return [orjson.loads(body)["type"] for body, _ in self.got]


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    receiver = Receiver()
    app = web.Application()
    app.router.add_post("/hook", receiver.take)
    server = TestServer(app, host="127.0.0.1")
    await server.start_server()
    receiver.url = str(server.make_url("/hook"))
    yield receiver
    await server.close()


@pytest.fixture
async def local(receiver: Receiver) -> AsyncIterator[LocalStripe]:
    settings = SandboxSettings(
        webhook_url=receiver.url,
        webhook_secret=SECRET,
        webhook_retry_seconds=(0.01, 0.02),
        webhook_timeout_seconds=0.2,
        stop_grace_seconds=0.3,
    )
    async with local_stripe(settings) as running:
        yield running


async def _settled(local: LocalStripe) -> None:
    assert (await local.control("events/wait", {"timeout_seconds": 3}))["idle"] is True


async def _customer(local: LocalStripe, name: str = "A") -> Json:
    return await local.ok("POST", "/v1/customers", f"name={name}")


async def test_an_event_arrives_signed_and_is_what_the_api_lists(local: LocalStripe, receiver: Receiver) -> None:
    made = await _customer(local)
    await _settled(local)
    ((body, signature),) = receiver.got
    event = local.sdk.construct_event(body, signature, SECRET)
    assert (event.type, event.data.object["id"]) == ("customer.created", made["id"])
    listed = await local.ok("GET", f"/v1/events/{event.id}")
    assert listed["pending_webhooks"] == 0
    assert {**orjson.loads(body), "pending_webhooks": 0} == listed
    with pytest.raises(stripe.SignatureVerificationError):
        local.sdk.construct_event(body, signature, "whsec_other")


async def test_the_signature_is_in_real_time_even_when_the_clock_was_moved(
    local: LocalStripe, receiver: Receiver
) -> None:
    await local.advance(days=400)
    await _customer(local)
    await _settled(local)
    body, signature = receiver.got[-1]
    real = (await local.look("clock"))["real_now"]
    assert abs(int(signature.split(",")[0].removeprefix("t=")) - real) < 5
    assert orjson.loads(body)["created"] > real + 399 * 86_400


def test_the_signature_is_the_one_stripe_documents() -> None:
    header = signature_header(b'{"id":"evt_1"}', ["whsec_a", "whsec_b"], at=1_700_000_000)
    expected = [
        stripe.WebhookSignature.generate_signature_header('{"id":"evt_1"}', secret, 1_700_000_000)
        for secret in ("whsec_a", "whsec_b")
    ]
    assert header == f"{expected[0]},{expected[1].split(',')[1]}"


@pytest.mark.parametrize("failures", [[500], [302], [404, 503]])
async def test_a_failed_delivery_is_tried_again(local: LocalStripe, receiver: Receiver, failures: list[int]) -> None:
    receiver.answers = list(failures)
    await _customer(local)
    await _settled(local)
    assert receiver.types() == ["customer.created"] * (len(failures) + 1)
    attempts = (await local.look("events/attempts"))["attempts"]
    assert [one["status"] for one in attempts] == [*failures, 200]
    assert [one["number"] for one in attempts] == list(range(1, len(failures) + 2))
    assert local.events[0]["pending_webhooks"] == 0


async def test_the_schedule_ends_and_the_event_stays_pending(local: LocalStripe, receiver: Receiver) -> None:
    receiver.answers = [500, 500, 500, 500]
    await _customer(local)
    await _settled(local)
    assert len(receiver.got) == 3
    found = await local.ok("GET", "/v1/events", "delivery_success=false&type=customer.*")
    assert [one["pending_webhooks"] for one in found["data"]] == [1]
    receiver.answers.clear()
    await local.control("events/resend", {"event": found["data"][0]["id"]})
    await _settled(local)
    assert (await local.ok("GET", "/v1/events", "delivery_success=false"))["data"] == []


async def test_an_endpoint_that_does_not_answer_is_a_failure(local: LocalStripe, receiver: Receiver) -> None:
    receiver.stall = asyncio.Event()
    await _customer(local)
    await _settled(local)
    attempts = (await local.look("events/attempts"))["attempts"]
    assert [one["status"] for one in attempts] == [None, None, None]
    receiver.stall.set()


async def test_an_endpoint_that_is_gone_is_a_failure() -> None:
    async with local_stripe(SandboxSettings(webhook_url="http://127.0.0.1:9/x", webhook_retry_seconds=())) as local:
        await _customer(local)
        await _settled(local)
        assert [one["status"] for one in (await local.look("events/attempts"))["attempts"]] == [None]


async def test_events_go_out_side_by_side(local: LocalStripe, receiver: Receiver) -> None:
    receiver.stall = asyncio.Event()
    for name in "ABC":
        await _customer(local, name)
    async with asyncio.timeout(1):
        while len(receiver.got) < 3:
            await asyncio.sleep(0.005)
    receiver.stall.set()


async def test_held_events_are_released_in_order_or_shuffled(local: LocalStripe, receiver: Receiver) -> None:
    await local.control("events/hold")
    for name in "ABCDEF":
        await _customer(local, name)
    assert receiver.got == []
    assert len((await local.look("events/attempts"))["held"]) == 6
    assert (await local.control("events/release"))["released"] == 6
    await _settled(local)
    names = [orjson.loads(body)["data"]["object"]["name"] for body, _ in receiver.got]
    assert names == list("ABCDEF")

    await local.control("events/hold")
    for name in "ABCDEF":
        await _customer(local, name)
    await local.control("events/release", {"seed": 3, "copies": 2})
    await _settled(local)
    shuffled = [orjson.loads(body)["data"]["object"]["name"] for body, _ in receiver.got[6:]]
    assert sorted(shuffled) == sorted("ABCDEF" * 2)
    assert shuffled != sorted(shuffled)


async def test_an_event_can_be_sent_again_and_doubled(local: LocalStripe, receiver: Receiver) -> None:
    await _customer(local)
    answer = await local.control("events/resend", {"type": "customer.created", "copies": 3})
    assert answer["deliveries"] == 3
    await _settled(local)
    assert receiver.types() == ["customer.created"] * 4
    assert len({orjson.loads(body)["id"] for body, _ in receiver.got}) == 1
    await local.control("events/resend", {"event": "evt_none"}, answers=404)
    await local.control("events/resend", {}, answers=400)


async def test_an_endpoint_hears_only_what_it_asked_for(local: LocalStripe, receiver: Receiver) -> None:
    made = await local.ok(
        "POST",
        "/v1/webhook_endpoints",
        f"url={receiver.url}&enabled_events[]=product.created&api_version=2026-10-28.endive",
    )
    assert made["secret"].startswith("whsec_")
    assert "secret" not in await local.ok("GET", f"/v1/webhook_endpoints/{made['id']}")
    await _customer(local)
    await local.ok("POST", "/v1/products", "name=A")
    await _settled(local)
    assert sorted(receiver.types()) == ["customer.created", "product.created", "product.created"]
    secrets = {signature.split(",")[1] for body, signature in receiver.got if b"product.created" in body}
    assert len(secrets) == 2


async def test_a_disabled_or_deleted_endpoint_hears_nothing_more(local: LocalStripe, receiver: Receiver) -> None:
    endpoint = (await local.ok("GET", "/v1/webhook_endpoints"))["data"][-1]
    disabled = await local.ok("POST", f"/v1/webhook_endpoints/{endpoint['id']}", "disabled=true")
    assert disabled["status"] == "disabled"
    await _customer(local)
    await local.ok("POST", f"/v1/webhook_endpoints/{endpoint['id']}", "disabled=false&enabled_events[]=*")
    gone = await local.ok("DELETE", f"/v1/webhook_endpoints/{endpoint['id']}")
    assert gone["deleted"] is True
    await _customer(local)
    await _settled(local)
    assert receiver.got == []
    assert local.events[-1]["pending_webhooks"] == 0


@pytest.mark.parametrize(
    ("form", "param"),
    [
        ("enabled_events[]=*", "url"),
        ("url=https://a.test", "enabled_events"),
        ("url=nowhere&enabled_events[]=*", "url"),
        ("url=https://a.test&enabled_events[]=invoice.payed", "enabled_events[0]"),
        ("url=https://a.test&enabled_events[]=*&api_version=2026-01-01", "api_version"),
    ],
)
async def test_endpoints_that_make_no_sense_are_refused(local: LocalStripe, form: str, param: str) -> None:
    status, _, named, _ = await local.refused("POST", "/v1/webhook_endpoints", form)
    assert (status, named) == (400, param)


async def test_connect_endpoints_hear_of_connected_accounts_only(local: LocalStripe, receiver: Receiver) -> None:
    world = local.app[WORLD]
    account = accounts.new_account(world.platform, {}, api="v1")["id"]
    url = receiver.url
    for seeded in (await local.ok("GET", "/v1/webhook_endpoints"))["data"]:
        if seeded["id"] == world.seeded_connect_endpoint:
            await local.ok("DELETE", f"/v1/webhook_endpoints/{seeded['id']}")
    connect = await local.control("webhook_endpoints", {"url": url, "secret": "whsec_connect", "connect": True})
    assert connect["secret"] == "whsec_connect"

    await local.ok("POST", "/v1/customers", "name=theirs", headers={"Stripe-Account": account})
    await _customer(local, "ours")
    await _settled(local)

    assert (await local.ok("GET", "/v1/customers"))["data"][0]["name"] == "ours"
    for body, signature in receiver.got:
        event = orjson.loads(body)
        theirs = event["data"]["object"]["name"] == "theirs"
        assert event.get("account") == (account if theirs else None)
        local.sdk.construct_event(body, signature, "whsec_connect" if theirs else SECRET)
    assert len({orjson.loads(body)["id"] for body, _ in receiver.got}) == 2


async def test_an_endpoint_of_another_version_is_told_so(local: LocalStripe, receiver: Receiver) -> None:
    await local.control("webhook_endpoints", {"url": receiver.url, "api_version": "2025-08-27.basil"})
    await _customer(local)
    await _settled(local)
    assert {orjson.loads(body)["api_version"] for body, _ in receiver.got} == {"2026-10-28.endive", "2025-08-27.basil"}


async def test_stopping_lets_a_delivery_under_way_finish(receiver: Receiver) -> None:
    receiver.stall = asyncio.Event()
    async with local_stripe(SandboxSettings(webhook_url=receiver.url)) as local:
        await _customer(local)
        while not receiver.got:
            await asyncio.sleep(0.005)
        asyncio.get_running_loop().call_later(0.05, receiver.stall.set)
    assert local.events[0]["pending_webhooks"] == 0


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("type=customer.created&types[]=a", 400),
        ("types[]=customer.created&types[]=product.created", 200),
        ("limit=1", 200),
    ],
)
async def test_events_are_listed_by_type(local: LocalStripe, query: str, status: int) -> None:
    await _customer(local)
    answered, _, _ = await local.api("GET", "/v1/events", query)
    assert answered == status
