"""What runs beside the server, or instead of one: begun together, told to stop together, waited for together."""

import asyncio
from collections.abc import Sequence
from typing import Protocol

import structlog

from gateway.db import spawn

log = structlog.stdlib.get_logger()


class Runner(Protocol):
    """Works until it is told to stop, then finishes what it holds; cancelled, it gives that back."""

    async def run(self) -> None: ...

    def stop(self) -> None: ...


class Background:
    """Runners that share one end: from the first word on none takes anything new, and all have the same time left.

    `seconds` is that time. It runs from `stop` on, so what requests took of it at the end is spent for these too.
    """

    def __init__(self, runners: Sequence[Runner], *, seconds: float) -> None:
        self._runners = runners
        self._seconds = seconds
        self._tasks: dict[asyncio.Task[None], str] = {}
        self._ends_at: float | None = None

    def start(self) -> None:
        """Begin to work."""
        self._tasks = {spawn(one.run(), name=type(one).__name__): type(one).__name__ for one in self._runners}

    def stop(self) -> None:
        """Take nothing new from now on; to say so again changes nothing."""
        if self._ends_at is not None:
            return
        self._ends_at = asyncio.get_running_loop().time() + self._seconds
        for one in self._runners:
            one.stop()

    @property
    def seconds_left(self) -> float:
        """How long what is under way may still take."""
        if self._ends_at is None:
            return self._seconds
        return max(self._ends_at - asyncio.get_running_loop().time(), 0)

    async def end(self) -> None:
        """Wait until everything is finished; what is not in time is cut off, and waited for until it gave back."""
        self.stop()
        if not self._tasks:
            return
        _, late = await asyncio.wait(self._tasks, timeout=self.seconds_left)
        for task in late:
            log.warning("worker.cut_short", worker=self._tasks[task], seconds=self._seconds)
            task.cancel()
        if late:
            await asyncio.wait(late)
