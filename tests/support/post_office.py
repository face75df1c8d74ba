"""Takes what Stripe sends out, keeps it, and hands it on when, how often and in whatever order the test wants."""

import time
from collections import deque
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Final, cast

import aiohttp
import orjson
from aiohttp import web

from gateway.sandbox.webhooks.signing import signature_header
from gateway.server.webhook import WEBHOOK_PATH
from tests.support.gateway import browser, free_socket, serving, url_of
from tests.support.stripe_door import Json

#: A delivery nobody answers is given up after this; Stripe would wait about as long.
ANSWER_SECONDS_MAX: Final = 20.0
REFUSALS_MAX: Final = 10
WRONG_SECRET: Final = "whsec_somebody_else"


@dataclass(frozen=True, slots=True)
class Letter:
    """One event as Stripe sent it."""

    event_id: str
    type: str
    customer: str | None
    body: bytes


@dataclass(eq=False)
class PostOffice:
    """`letters` are all that came, oldest first; `came` hears of each. `refusals` are the latest words of gateways."""

    url: str
    http: aiohttp.ClientSession
    now: Callable[[], int]
    letters: list[Letter] = field(default_factory=list[Letter])
    refusals: deque[str] = field(default_factory=lambda: deque(maxlen=REFUSALS_MAX))
    came: Callable[[Letter], None] | None = None

    async def take(self, request: web.Request) -> web.Response:
        letter = read_letter(await request.read())
        self.letters.append(letter)
        if self.came is not None:
            self.came(letter)
        return web.Response()

    async def deliver(self, letter: Letter, *, to: str, secret: str) -> int | None:
        """Hand an event to the gateway at `to`, signed now; its status, or None when nobody answered."""
        return await self.hand_in(letter.body, signature_header(letter.body, [secret], at=self.now()), to=to)

    async def deliver_forged(self, letter: Letter, *, to: str) -> int | None:
        """The same event under another id, signed by somebody who does not know the secret."""
        body = letter.body.replace(letter.event_id.encode(), b"evt_forged" + letter.event_id.encode())
        return await self.hand_in(body, signature_header(body, [WRONG_SECRET], at=self.now()), to=to)

    async def hand_in(self, body: bytes, signature: str, *, to: str) -> int | None:
        headers = {"Stripe-Signature": signature, "Content-Type": "application/json"}
        try:
            async with self.http.post(f"{to}{WEBHOOK_PATH}", data=body, headers=headers) as response:
                said = await response.text()
                if response.status != HTTPStatus.OK:
                    self.refusals.append(f"{response.status} {said}")
                return response.status
        except (aiohttp.ClientError, TimeoutError, OSError):
            return None


def read_letter(body: bytes) -> Letter:
    event = cast("Json", orjson.loads(body))
    about = cast("Json", event["data"]["object"])
    customer = about["id"] if about["object"] == "customer" else about.get("customer")
    return Letter(event_id=event["id"], type=event["type"], customer=customer, body=body)


def real_now() -> int:
    return int(time.time())


@asynccontextmanager
async def open_post_office(*, now: Callable[[], int] = real_now) -> AsyncGenerator[PostOffice]:
    """A post office on a free port; `now` is the time letters are signed at."""
    door = free_socket()
    timeout = aiohttp.ClientTimeout(total=ANSWER_SECONDS_MAX)
    async with browser(timeout) as http:
        office = PostOffice(url=f"{url_of(door)}/letters", http=http, now=now)
        app = web.Application(client_max_size=1024**2)
        app.router.add_post("/letters", office.take)
        async with serving(app, door):
            yield office
