"""The way to Stripe on a bad day: answers that come late, and so overtake each other and grow old under way."""

import asyncio
import random

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
