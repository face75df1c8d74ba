"""Events for `stripe listen`: the CLI opens a websocket, and forwards what arrives there."""

import asyncio
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

import orjson
from aiohttp import WSMsgType, web

from gateway.sandbox.engine.book import Book
from gateway.sandbox.engine.world import World
from gateway.sandbox.refusals import Json
from gateway.sandbox.webhooks.signing import signature_header
from gateway.sandbox.wire.operation import Call, Operation, operation

PROTOCOL: Final = "stripecli-devproxy-v1"
RECONNECT_SECONDS: Final = 3600
WAITING_MAX: Final = 1000
_FORWARDS: Final = (
    "forward_to_url:s forward_connect_to_url:s forward_thin_to_url:s forward_thin_connect_to_url:s "
    "device_name:s websocket_features:[s] filters:*"
)


@dataclass(slots=True, eq=False)
class _Listener:
    """One open websocket and what waits to go through it."""

    livemode: bool
    waiting: asyncio.Queue[Json] = field(default_factory=lambda: asyncio.Queue[Json](WAITING_MAX))


class Listeners:
    """The sessions of the CLI; they sign with the same secret as the endpoint of the settings."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._modes: dict[str, bool] = {}
        self._open: set[_Listener] = set()

    def operation(self) -> Operation:
        return operation("POST", "/v1/stripecli/sessions", "stripecli.session", _FORWARDS, self._begin)

    def add_routes(self, app: web.Application) -> None:
        app.router.add_get("/stripecli/subscribe/{id}", self._listen)
        app.on_shutdown.append(self._close)

    def _begin(self, call: Call) -> Json:
        id = call.book.new_id("cliws")  # noqa: A001 - as the API names it
        self._modes[id] = call.book.livemode
        settings = self._world.around.settings
        host = self._world.around.base_url.partition("://")[2]
        return {
            "websocket_id": id,
            # The CLI takes this scheme only, and leaves the encryption out when told --no-wss.
            "websocket_url": f"wss://{host}/stripecli/subscribe/{id}",
            "websocket_authorized_feature": "webhooks",
            "secret": settings.webhook_secret,
            "reconnect_delay": RECONNECT_SECONDS,
            "default_version": settings.api_version,
            "latest_version": settings.api_version,
            "display_connect_filter_warning": False,
        }

    def publish(self, book: Book, event: Json) -> None:
        """Hand an event to every listener of its mode; one that cannot keep up loses the newest."""
        for listener in self._open:
            if listener.livemode == book.livemode:
                with suppress(asyncio.QueueFull):
                    listener.waiting.put_nowait(self._envelope(event))

    def _envelope(self, event: Json) -> Json:
        settings, clock = self._world.around.settings, self._world.around.clock
        body = orjson.dumps({**event, "api_version": settings.api_version}, option=orjson.OPT_INDENT_2)
        signature = signature_header(body, [settings.webhook_secret], at=clock.real_now())
        ids = self._world.around.ids
        return {
            "type": "webhook_event",
            "webhook_id": ids.new("wh"),
            "webhook_conversation_id": ids.new("wc"),
            "event_payload": body.decode(),
            "http_headers": {"Content-Type": "application/json; charset=utf-8", "Stripe-Signature": signature},
            # None means the account's own version; the CLI drops events of any other.
            "endpoint": {"api_version": None},
        }

    async def _listen(self, request: web.Request) -> web.StreamResponse:
        livemode = self._modes.get(request.match_info["id"])
        if livemode is None:
            return web.Response(status=404)
        socket = web.WebSocketResponse(protocols=(PROTOCOL,), heartbeat=20)
        await socket.prepare(request)
        listener = _Listener(livemode)
        self._open.add(listener)
        sending = asyncio.create_task(_send(socket, listener))
        try:
            async for message in socket:
                # Acknowledgements and the answers of the forwarded-to server arrive here; they change nothing.
                if message.type is WSMsgType.ERROR:
                    break
        finally:
            self._open.discard(listener)
            sending.cancel()
            with suppress(asyncio.CancelledError):
                await sending
        return socket

    async def _close(self, _app: web.Application) -> None:
        """End the listeners, so that the server need not wait for them."""
        for listener in tuple(self._open):
            with suppress(asyncio.QueueFull):
                listener.waiting.put_nowait({})


async def _send(socket: web.WebSocketResponse, listener: _Listener) -> None:
    """Send what waits; the empty message closes."""
    while message := await listener.waiting.get():
        await socket.send_str(orjson.dumps(message).decode())
    await socket.close()
