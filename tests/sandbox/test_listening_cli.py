"""What `stripe listen` gets: a session, a websocket, events with a signature it can pass on."""

import asyncio

import aiohttp
import orjson

from tests.sandbox.local_stripe import LocalStripe


async def _listen(local: LocalStripe, socket_id: str) -> aiohttp.ClientWebSocketResponse:
    url = f"{local.url.replace('http', 'ws', 1)}/stripecli/subscribe/{socket_id}?websocket_feature=webhooks"
    return await local.http.ws_connect(url, protocols=("stripecli-devproxy-v1",))


async def test_a_listener_gets_signed_events(local: LocalStripe) -> None:
    session = await local.ok("POST", "/v1/stripecli/sessions", "device_name=d&websocket_features[]=webhooks")
    assert session["websocket_url"].startswith("wss://127.0.0.1:")
    socket = await _listen(local, session["websocket_id"])
    made = await local.ok("POST", "/v1/customers", "name=A")

    async with asyncio.timeout(2):
        message = orjson.loads(await socket.receive_str())
    event = local.sdk.construct_event(
        message["event_payload"].encode(), message["http_headers"]["Stripe-Signature"], session["secret"]
    )
    assert (message["type"], event.type, event.data.object["id"]) == ("webhook_event", "customer.created", made["id"])

    await socket.send_json({"type": "event_ack", "webhook_id": message["webhook_id"]})
    await socket.send_str("junk")
    await local.ok("POST", "/v1/products", "name=A")
    async with asyncio.timeout(2):
        assert "product.created" in await socket.receive_str()
    await socket.close()


async def test_modes_are_listened_to_apart(local: LocalStripe) -> None:
    session = await local.ok("POST", "/v1/stripecli/sessions")
    socket = await _listen(local, session["websocket_id"])
    await local.api("POST", "/v1/customers", "name=live", key="sk_live_x")
    await local.ok("POST", "/v1/customers", "name=test")
    async with asyncio.timeout(2):
        assert '\\"name\\": \\"test\\"' in await socket.receive_str()
    await socket.close()


async def test_an_unknown_session_is_404(local: LocalStripe) -> None:
    async with local.http.get(f"{local.url}/stripecli/subscribe/none") as response:
        assert response.status == 404


async def test_a_listener_does_not_keep_the_server_from_stopping(local: LocalStripe) -> None:
    session = await local.ok("POST", "/v1/stripecli/sessions")
    await _listen(local, session["websocket_id"])
