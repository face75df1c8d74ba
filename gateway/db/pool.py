"""A bounded pool whose every step is safe to cancel: nothing is lost, nothing is handed out twice."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from gateway.db.errors import DatabaseUnavailable

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class PoolCounts:
    """How full a pool is: `open` includes what is being opened; the rest of it that is not `idle` is in use."""

    open: int
    idle: int
    waiting: int


class Pool(Generic[T]):
    """Hands out at most `size_max` things, the most recently used first.

    `size` counts what is idle, handed out or being opened. A caller past the bound waits its turn for at most
    `acquire_seconds_max`.
    """

    def __init__(
        self,
        *,
        open_one: Callable[[], Awaitable[T]],
        usable: Callable[[T], bool],
        dispose: Callable[[T], None],
        size_max: int,
        acquire_seconds_max: float,
    ) -> None:
        self._open_one = open_one
        self._usable = usable
        self._dispose = dispose
        self._size_max = size_max
        self._acquire_seconds_max = acquire_seconds_max
        self._idle: list[T] = []
        # A waiter is given either a thing or, with None, a place in `size` to open one of its own.
        self._waiters: deque[asyncio.Future[T | None]] = deque()
        self._emptied = asyncio.Event()
        self._emptied.set()
        self.size = 0
        self.closed = False

    @property
    def counts(self) -> PoolCounts:
        waiting = sum(not waiter.done() for waiter in self._waiters)
        return PoolCounts(open=self.size, idle=len(self._idle), waiting=waiting)

    async def acquire(self) -> T:
        """Take a thing; raises DatabaseUnavailable when none falls free in time."""
        if self.closed:
            raise DatabaseUnavailable("The database is closed.")
        while self._idle:
            thing = self._idle.pop()
            if self._usable(thing):
                return thing
            self._dispose(thing)
            self._shrink()
        if self.size < self._size_max:
            self._grow()
            return await self._open()
        return await self._wait()

    def release(self, thing: T) -> None:
        """Give a thing back; a broken one is dropped and its place offered to the next who waits."""
        if self.closed or not self._usable(thing):
            self._dispose(thing)
            self._give_up_place()
            return
        waiter = self._next_waiter()
        if waiter is None:
            self._idle.append(thing)
        else:
            waiter.set_result(thing)

    async def drain(self, *, seconds_max: float) -> list[T]:
        """Close for newcomers, wait for what is handed out, and return what is idle for the caller to close."""
        self.closed = True
        while (waiter := self._next_waiter()) is not None:
            waiter.set_exception(DatabaseUnavailable("The database is closed."))
        idle, self._idle = self._idle, []
        for _ in idle:
            self._shrink()
        try:
            async with asyncio.timeout(seconds_max):
                await self._emptied.wait()
        except TimeoutError:
            pass  # whoever still holds one drops it on release
        return idle

    async def _open(self) -> T:
        try:
            return await self._open_one()
        except BaseException:
            self._give_up_place()
            raise

    async def _wait(self) -> T:
        waiter: asyncio.Future[T | None] = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        try:
            async with asyncio.timeout(self._acquire_seconds_max):
                thing = await waiter
        except BaseException as error:
            self._hand_on(waiter)
            if isinstance(error, TimeoutError):
                raise DatabaseUnavailable(
                    f"All {self._size_max} connections stayed busy for {self._acquire_seconds_max:g} s."
                ) from error
            raise
        return await self._open() if thing is None else thing

    def _hand_on(self, waiter: asyncio.Future[T | None]) -> None:
        """Pass on what a waiter was given in the very moment it gave up."""
        if not waiter.done():
            waiter.cancel()
        elif not waiter.cancelled() and waiter.exception() is None:
            thing = waiter.result()
            if thing is None:
                self._give_up_place()
            else:
                self.release(thing)

    def _give_up_place(self) -> None:
        waiter = None if self.closed else self._next_waiter()
        if waiter is None:
            self._shrink()
        else:
            waiter.set_result(None)

    def _next_waiter(self) -> asyncio.Future[T | None] | None:
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                return waiter
        return None

    def _grow(self) -> None:
        self.size += 1
        self._emptied.clear()

    def _shrink(self) -> None:
        self.size -= 1
        if self.size == 0:
            self._emptied.set()
