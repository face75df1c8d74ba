"""The door for Stripe's events: check, store, answer; the work comes after."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

import structlog
from aiohttp import hdrs, web

from gateway.db import Database, DatabaseUnavailable
from gateway.domain.clock import Clock
from gateway.services.events.inbox import store_event
from gateway.stripe_service import API_VERSION, WebhookEvent, WebhookRefused, parse_event

log = structlog.stdlib.get_logger()

WEBHOOK_PATH: Final = "/api/billing/webhook"
BODY_BYTES_MAX: Final = 512 * 1024
BODY_SECONDS_MAX: Final = 10
#: Versions that get a line; nobody who can sign sends more.
VERSIONS_NOTED_MAX: Final = 20
CHUNK_BYTES: Final = 64 * 1024
RETRY_AFTER_SECONDS: Final = "5"


class WebhookDoor:
    """Stores what Stripe delivers.

    `livemode` is the mode of our key: events of the other one are refused. `clock` says when an event came,
    `wall_clock` how old a signature is. `stored` is called after the commit, so that a worker in this process starts at
    once; `watch` hears of every delivery and its outcome.
    """

    def __init__(
        self,
        *,
        database: Database,
        secrets: Sequence[str],
        livemode: bool,
        clock: Clock,
        wall_clock: Clock,
        stored: Callable[[], None],
        watch: Callable[[str, str], None],
    ) -> None:
        self._database = database
        self._secrets = tuple(secrets)
        self._livemode = livemode
        self._clock = clock
        self._wall_clock = wall_clock
        self._stored = stored
        self._watch = watch
        self._versions: set[str | None] = {API_VERSION}

    async def deliver(self, request: web.Request) -> web.Response:
        """200 once the event is safe; 4xx for what is no event of ours; 5xx only if Stripe should send it again."""
        try:
            event = self._read(await _body(request), request)
        except WebhookRefused as refusal:
            if refusal.expected:
                return web.json_response({"received": True, "stored": False, "reason": refusal.code})
            self._watch("unknown", refusal.code)
            log.warning("webhook.refused", code=refusal.code, message=refusal.message)
            return _refusal(refusal.code, refusal.message)
        except _BodyRefused as refusal:
            self._watch("unknown", refusal.code)
            return _refusal(refusal.code, str(refusal), status=refusal.status)
        try:
            new = await store_event(self._database, event, now=self._clock.now())
        except DatabaseUnavailable as error:
            self._watch(event.type, "not_stored")
            log.warning("webhook.not_stored", event_id=event.event_id, reason=str(error))
            answer = _refusal("unavailable", "The event could not be stored; send it again.", status=503)
            answer.headers[hdrs.RETRY_AFTER] = RETRY_AFTER_SECONDS
            return answer
        self._watch(event.type, "stored" if new else "duplicate")
        self._note_version(event)
        log.info("webhook.stored", event_id=event.event_id, type=event.type, new=new)
        self._stored()
        return web.json_response({"received": True, "duplicate": not new})

    def _note_version(self, event: WebhookEvent) -> None:
        """An endpoint of another version is worth a line, once; what it sends is only ever used as a pointer."""
        if event.api_version not in self._versions and len(self._versions) < VERSIONS_NOTED_MAX:
            self._versions.add(event.api_version)
            log.warning("webhook.other_version", api_version=event.api_version, ours=API_VERSION)

    def _read(self, raw: bytes, request: web.Request) -> WebhookEvent:
        headers = request.headers.getall("Stripe-Signature", [])
        return parse_event(
            raw,
            headers[0] if len(headers) == 1 else None,
            secrets=self._secrets,
            clock=self._wall_clock,
            livemode=self._livemode,
        )


class _BodyRefused(Exception):
    """The body is not one that can be checked."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


async def _body(request: web.Request) -> bytes:
    """The raw bytes, bounded in size and time; never inflated, because Stripe signs what it sends."""
    if request.headers.get(hdrs.CONTENT_ENCODING, "identity").lower() != "identity":
        raise _BodyRefused(415, "bad_payload", "Events are not compressed.")
    too_large = _BodyRefused(413, "bad_payload", f"An event has at most {BODY_BYTES_MAX} bytes.")
    if (request.content_length or 0) > BODY_BYTES_MAX:
        raise too_large
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_SECONDS_MAX):
            async for chunk in request.content.iter_chunked(CHUNK_BYTES):
                body += chunk
                if len(body) > BODY_BYTES_MAX:
                    raise too_large
    except TimeoutError:
        raise _BodyRefused(408, "bad_payload", f"The body took longer than {BODY_SECONDS_MAX} seconds.") from None
    except (web.RequestPayloadError, ConnectionError):
        raise _BodyRefused(400, "bad_payload", "The body ended before it was complete.") from None
    return bytes(body)


def _refusal(code: str, message: str, *, status: int = 400) -> web.Response:
    return web.json_response({"error": {"code": code, "message": message}}, status=status)
