"""Asking Stripe about many things: a few at a time, and telling one thing it does not show from its being away."""

import asyncio
from collections.abc import Coroutine, Iterable
from typing import Final, TypeVar

from gateway.domain.errors import ProviderRejected
from gateway.services.billing import Billing

_T = TypeVar("_T")

#: Things that Stripe is asked about at a time.
SIDE_BY_SIDE_MAX: Final = 4


async def side_by_side(works: Iterable[Coroutine[object, object, _T]]) -> list[_T]:
    """The results in order; where one fails, the others are finished first."""
    places = asyncio.Semaphore(SIDE_BY_SIDE_MAX)

    async def do(work: Coroutine[object, object, _T]) -> _T:
        async with places:
            return await work

    outcomes = await asyncio.gather(*(do(work) for work in works), return_exceptions=True)
    results: list[_T] = []
    for outcome in outcomes:
        if isinstance(outcome, BaseException):
            raise outcome
        results.append(outcome)
    return results


async def ask_if_stripe_answers(billing: Billing) -> None:
    """Ask for something that does not depend on what was asked before; a clear no is an answer too.

    Raises:
        ProviderUnavailable: Stripe does not answer this either.
    """
    try:
        await billing.stripe.balance_cents()
    except ProviderRejected:
        return
