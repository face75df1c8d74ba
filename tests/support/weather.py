"""The way to Stripe on a bad day: answers that come late, and so overtake each other and grow old under way."""

import asyncio
import random
from dataclasses import dataclass, field

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

#: How many of a hundred requests are held up, on the way there and on the way back each.
HELD_UP_PERCENT = 30
#: How many of those answers that a plan is made of grow old on the way back, and by how much more.
OLD_PERCENT = 40
OLD_FACTOR = 10
OLD_PATH = "/v1/subscriptions"


def late_answers(dice: random.Random, *, seconds_max: float) -> Middleware:
    """Holds some requests before Stripe sees them and some answers after Stripe gave them; only those of the API.

    They are held for up to `seconds_max`, lists of subscriptions often for up to ten times as long.
    """

    def seconds(percent: int = HELD_UP_PERCENT, factor: int = 1) -> float:
        return dice.uniform(0, seconds_max * factor) if dice.randrange(100) < percent else 0.0

    @web.middleware
    async def hold_up(request: web.Request, handler: Handler) -> web.StreamResponse:
        if not request.path.startswith("/v1/"):
            return await handler(request)
        await asyncio.sleep(seconds())
        response = await handler(request)
        await asyncio.sleep(seconds(OLD_PERCENT, OLD_FACTOR) if request.path == OLD_PATH else seconds())
        return response

    return hold_up


@dataclass(eq=False)
class Poison:
    """Answers requests about chosen things with an error, every time; those about others reach Stripe.

    `about` are texts of which one is in the request's address. `asked` are the addresses so answered.
    """

    about: set[str] = field(default_factory=set[str])
    status: int = 500
    code: str | None = None
    asked: list[str] = field(default_factory=list[str])

    def everything(self) -> None:
        self.about.add("/v1/")

    def shows_nothing(self) -> None:
        """As to the key of another account."""
        self.status, self.code = web.HTTPNotFound.status_code, "resource_missing"
        self.everything()

    def cured(self) -> None:
        self.about.clear()

    def as_weather(self) -> Middleware:
        @web.middleware
        async def refuse(request: web.Request, handler: Handler) -> web.StreamResponse:
            address = request.path_qs
            if not any(text in address for text in self.about):
                return await handler(request)
            self.asked.append(address)
            kind = "invalid_request_error" if self.status < web.HTTPInternalServerError.status_code else "api_error"
            error = {"type": kind, "message": "poisoned"} | ({"code": self.code} if self.code else {})
            return web.json_response({"error": error}, status=self.status)

        return refuse
