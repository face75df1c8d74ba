"""Keeps the chores going beside the event worker: each on its own, so that none waits for or falls with another."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import structlog

from gateway.db import DatabaseUnavailable, spawn
from gateway.domain.errors import ProviderMisconfigured, ProviderUnavailable
from gateway.services.billing import Billing
from gateway.services.chores import CHORES, Chore

log = structlog.stdlib.get_logger()

#: A chore that failed is tried again after this at the latest, however seldom it usually runs.
RETRY_SECONDS_MAX = 30.0
#: Between two rounds of a chore that has more to do: the database is there for others too.
BREATH_SECONDS = 0.05

Sleep = Callable[[float], Awaitable[None]]


class ChoreRunner:
    """Runs every chore round after round until it is told to stop; any number of runners may run, anywhere.

    `sleep` is how it waits between rounds.
    """

    def __init__(self, billing: Billing, *, chores: Sequence[Chore] = CHORES, sleep: Sleep = asyncio.sleep) -> None:
        self._billing = billing
        self._chores = chores
        self._sleep = sleep
        self._stopping = asyncio.Event()
        self._may_be_cut: list[asyncio.Task[None]] = []

    def stop(self) -> None:
        """Finish the rounds under way, begin no new ones."""
        self._stopping.set()
        for task in self._may_be_cut:
            task.cancel()

    async def run(self) -> None:
        """Work until stopped. No failure ends a chore: it is logged, and the next round tries again."""
        if self._stopping.is_set():
            return
        tasks = {spawn(self._keep(chore), name=f"chore:{chore.name}"): chore for chore in self._chores}
        self._may_be_cut = [task for task, chore in tasks.items() if chore.may_be_cut]
        try:
            if tasks:
                await asyncio.wait(tasks)
        except asyncio.CancelledError:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            raise

    async def _keep(self, chore: Chore) -> None:
        while not self._stopping.is_set():
            await self._pause(await self._round(chore))

    async def _round(self, chore: Chore) -> float:
        """Do one round; returns the seconds until the next."""
        try:
            async with asyncio.timeout(chore.round_seconds_max):
                more = await chore.work(self._billing)
        except DatabaseUnavailable as error:
            log.warning("chore.database_away", chore=chore.name, reason=str(error))
        except (ProviderUnavailable, ProviderMisconfigured) as error:
            log.warning("chore.stripe_away", chore=chore.name, reason=str(error))
        except Exception:
            log.exception("chore.failed", chore=chore.name)
        else:
            return BREATH_SECONDS if more else chore.every_seconds
        return min(chore.every_seconds, RETRY_SECONDS_MAX)

    async def _pause(self, seconds: float) -> None:
        """Sleep, but not past the stop."""
        sleeping = asyncio.ensure_future(self._sleep(seconds))
        stopping = asyncio.ensure_future(self._stopping.wait())
        try:
            await asyncio.wait({sleeping, stopping}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            sleeping.cancel()
            stopping.cancel()
