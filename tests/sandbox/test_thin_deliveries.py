"""Events of the second generation, and who is told of connected accounts."""

from collections.abc import AsyncIterator

import orjson
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from stripe.events import (
    V2CoreAccountIncludingConfigurationRecipientCapabilityStatusUpdatedEventNotification as CapabilityNotice,
)

from gateway.sandbox.settings import SandboxSettings
from tests.sandbox.connect import creator, fund, new_v1, new_v2, transfer
from tests.sandbox.local_stripe import LocalStripe, local_stripe
from tests.sandbox.test_webhook_delivery import Receiver

THIN, CONNECT, OWN = "whsec_thin", "whsec_connect", "whsec_own"


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


async def test_thin_events_go_to_those_who_want_them_and_are_signed_alike(
    local: LocalStripe, receiver: Receiver
) -> None:
    await local.control("webhook_endpoints", {"url": receiver.url, "secret": THIN, "thin": True})
    account = (await new_v2(local))["id"]
    await local.control("accounts/stage", {"account": account, "stage": "active"})
    await new_v1(local)
    assert (await local.control("events/wait"))["idle"] is True

    notices = [local.sdk.parse_event_notification(body, signature, THIN) for body, signature in receiver.got]

    changed = "v2.core.account[configuration.recipient].capability_status_updated"
    assert sorted(one.type for one in notices) == sorted(
        ["v2.core.account.created", changed, changed, "v2.core.account[requirements].updated"]
    )
    for body, signature in receiver.got:
        parsed = orjson.loads(body)
        assert parsed["related_object"] == {
            "id": account,
            "type": "v2.core.account",
            "url": f"/v2/core/accounts/{account}",
        }
        assert "data" not in parsed
        with pytest.raises(ValueError, match="event notification"):
            local.sdk.construct_event(body, signature, THIN)
    notice = next(one for one in notices if isinstance(one, CapabilityNotice))
    whole = await notice.fetch_event_async()
    assert whole.data.updated_capability in {"stripe_balance.payouts", "stripe_balance.stripe_transfers"}
    assert (await notice.fetch_related_object_async()).id == account


async def test_thin_events_can_be_listed_and_looked_up(local: LocalStripe) -> None:
    first, second = await creator(local, v2=True), (await new_v2(local))["id"]
    listed = (await local.ok("GET", "/v2/core/events", f"object_id={first}"))["data"]
    assert {event["related_object"]["id"] for event in listed} == {first}
    found = await local.ok("GET", "/v2/core/events", f"object_id={second}&types[0]=v2.core.account.created")
    (event,) = found["data"]
    assert (await local.sdk.v2.core.events.retrieve_async(event["id"])).type == "v2.core.account.created"
    types = ["v2.core.account.created", "v2.core.account[requirements].updated"]
    chosen = await local.sdk.v2.core.events.list_async({"object_id": first, "types": types, "limit": 1})
    assert sorted([one.type async for one in chosen.auto_paging_iter()]) == types
    everything = await local.sdk.v2.core.events.list_async({"object_id": first, "limit": 1})
    assert len([one async for one in everything.auto_paging_iter()]) == len(listed) == 4
    status, body, _ = await local.api("GET", "/v2/core/events/evt_none")
    assert (status, body["error"]["code"]) == (404, "not_found")
    assert (await local.api("GET", "/v2/core/events", "limit=0"))[0] == 400
    assert (await local.api("GET", "/v2/core/events", "page=x"))[0] == 400


async def test_closing_is_told(local: LocalStripe) -> None:
    account = await creator(local, v2=True)
    await local.control("accounts/close", {"account": account})
    newest = (await local.ok("GET", "/v2/core/events", f"object_id={account}"))["data"][0]
    assert newest["type"] == "v2.core.account.closed"
    await local.control("accounts/close", {"account": account}, answers=400)


async def test_connected_accounts_are_told_of_with_the_other_secret(receiver: Receiver) -> None:
    settings = SandboxSettings(webhook_url=receiver.url, webhook_secret=OWN, webhook_connect_secret=CONNECT)
    async with local_stripe(settings) as local:
        await fund(local)
        account = await creator(local)
        await transfer(local, account, 1000)
        await local.advance(days=4)
        assert (await local.control("events/wait"))["idle"] is True
    theirs: set[str] = set()
    for body, signature in receiver.got:
        event = orjson.loads(body)
        local.sdk.construct_event(body, signature, CONNECT if "account" in event else OWN)
        if "account" in event:
            assert event["account"] == account
            theirs.add(event["type"])
    assert theirs == {"account.updated", "payout.created", "payout.updated", "payout.paid"}
    assert "transfer.created" in receiver.types()


async def test_without_a_secret_of_its_own_the_connect_endpoint_signs_like_the_other(receiver: Receiver) -> None:
    async with local_stripe(SandboxSettings(webhook_url=receiver.url, webhook_secret=OWN)) as local:
        await creator(local)
        assert (await local.control("events/wait"))["idle"] is True
    ((body, signature),) = receiver.got
    assert local.sdk.construct_event(body, signature, OWN).type == "account.updated"


async def test_a_thin_endpoint_can_choose_its_types(local: LocalStripe, receiver: Receiver) -> None:
    wanted = {"url": receiver.url, "thin": True, "enabled_events": ["v2.core.account.created"]}
    await local.control("webhook_endpoints", wanted)
    await local.control("webhook_endpoints", {**wanted, "enabled_events": ["account.updated"]}, answers=400)
    await creator(local, v2=True)
    assert (await local.control("events/wait"))["idle"] is True
    assert receiver.types() == ["v2.core.account.created"]


@pytest.mark.parametrize("thin", [True, False])
async def test_no_endpoint_gets_events_of_the_other_style(local: LocalStripe, receiver: Receiver, thin: bool) -> None:
    await local.control("webhook_endpoints", {"url": receiver.url, "thin": thin})
    await local.ok("POST", "/v1/customers", "name=A")
    await new_v2(local)
    assert (await local.control("events/wait"))["idle"] is True
    assert receiver.types() == ["v2.core.account.created" if thin else "customer.created"]
