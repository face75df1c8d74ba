"""Group commit: calls that arrive side by side share transactions, and each caller is answered after the commit."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from gateway.db import spawn
from gateway.domain.charges import Call, ChargeOutcome

#: Calls that share one transaction; more wait for the next.
GROUP_CALLS_MAX: Final = 200
#: Groups under way at once; a consumer's calls always go the same lane, so lanes do not wait for each other's wallets.
#: They do wait for each other's creators, and two half groups cost more than a whole one: one lane was the fastest.
LANES: Final = 1
#: Calls waiting in one process before new ones are refused: some seconds' worth of work.
WAITING_CALLS_MAX: Final = 20_000

#: Batches waiting in one process for their turn before new ones are refused.
WAITING_BATCHES_MAX: Final = 100

Charge = Callable[[Sequence[Call]], Awaitable[list[ChargeOutcome]]]


class TooManyWaiting(Exception):
    """More calls wait than can be charged soon; nothing was done with this one."""


class ChargeQueue:
    """Collects calls and charges them in groups.

    No timer: while one group is being committed the next one gathers, so a lone call waits for nothing and a crowd
    shares. A group that fails is answered with its failure to each of its callers.
    """

    def __init__(self, charge: Charge, *, lanes: int = LANES, group_max: int = GROUP_CALLS_MAX) -> None:
        self._charge = charge
        self._turns = asyncio.Semaphore(lanes)
        self._batches = 0
        self._lanes = tuple(_Lane(self._charge_in_turn, group_max) for _ in range(lanes))

    async def charge(self, call: Call) -> ChargeOutcome:
        """Charge one call; returns once its outcome is committed.

        Raises:
            TooManyWaiting: the queue is full.
            DatabaseUnavailable: nothing can be said; the same call may be sent again.
        """
        return await self._lanes[call.consumer_id.int % len(self._lanes)].submit(call)

    async def charge_batch(self, calls: Sequence[Call]) -> list[ChargeOutcome]:
        """Charge calls in a transaction of their own, in turn with the groups and other batches of this process.

        Side by side they would wait for each other's creators in the database, which costs more than waiting here.

        Raises:
            TooManyWaiting: too many batches wait.
            DatabaseUnavailable: nothing can be said; the same calls may be sent again.
        """
        if self._batches >= WAITING_BATCHES_MAX:
            raise TooManyWaiting
        self._batches += 1
        try:
            return await self._charge_in_turn(calls)
        finally:
            self._batches -= 1

    async def _charge_in_turn(self, calls: Sequence[Call]) -> list[ChargeOutcome]:
        async with self._turns:
            return await self._charge(calls)

    async def drain(self) -> None:
        """Wait until every call taken so far is answered."""
        await asyncio.gather(*(lane.drain() for lane in self._lanes))


class _Lane:
    def __init__(self, charge: Charge, group_max: int) -> None:
        self._charge = charge
        self._group_max = group_max
        self._waiting: deque[tuple[Call, asyncio.Future[ChargeOutcome]]] = deque()
        self._task: asyncio.Task[None] | None = None

    async def submit(self, call: Call) -> ChargeOutcome:
        if len(self._waiting) >= WAITING_CALLS_MAX:
            raise TooManyWaiting
        answer: asyncio.Future[ChargeOutcome] = asyncio.get_running_loop().create_future()
        self._waiting.append((call, answer))
        if self._task is None or self._task.done():
            self._task = spawn(self._work(), name="charge-lane")
        # A caller that gives up does not take its call out of a group that may be committed already.
        return await asyncio.shield(answer)

    async def drain(self) -> None:
        while self._task is not None and not self._task.done():
            await asyncio.wait([self._task])

    async def _work(self) -> None:
        while self._waiting:
            group = [self._waiting.popleft() for _ in range(min(self._group_max, len(self._waiting)))]
            try:
                outcomes = await self._charge([call for call, _ in group])
            except Exception as error:  # noqa: BLE001 - handed on to each caller, whatever it is
                for _, answer in group:
                    _fail(answer, error)
                continue
            except asyncio.CancelledError:
                # The loop is ending: nobody is left waiting for an answer that will not come.
                for _, answer in (*group, *self._waiting):
                    answer.cancel()
                self._waiting.clear()
                raise
            for (_, answer), outcome in zip(group, outcomes, strict=True):
                if not answer.done():
                    answer.set_result(outcome)


def _fail(answer: asyncio.Future[ChargeOutcome], error: Exception) -> None:
    if not answer.done():
        answer.set_exception(error)
        answer.exception()  # a caller that went away does not make this an unretrieved error
