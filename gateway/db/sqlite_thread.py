"""One SQLite connection on a thread of its own: work is done in the order it was handed in, cancelled or not."""

import asyncio
import sqlite3
from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue
from threading import Thread
from typing import Any, TypeAlias, TypeVar, cast

T = TypeVar("T")
Open: TypeAlias = Callable[[], sqlite3.Connection]
# The result type differs from job to job, so the queue holds them without it.
_Job: TypeAlias = "tuple[asyncio.Future[Any], Callable[[sqlite3.Connection], Any]]"


class ConnectionStopped(sqlite3.OperationalError):
    """The job came after the connection's end and was not run."""


class SqliteThread:
    """Runs functions on its connection, strictly one after the other.

    The order is what makes cancelling safe: a function handed in is always run to its end, and a ROLLBACK handed in
    after it runs after it.
    """

    def __init__(self, open_connection: Open, *, name: str) -> None:
        self._loop = asyncio.get_running_loop()
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._opened: asyncio.Future[None] = self._loop.create_future()
        self._ended: asyncio.Future[None] = self._loop.create_future()
        # A daemon: a process that is told to end must not wait for a writer that waits for a lock.
        self._thread = Thread(target=self._work, args=(open_connection,), name=name, daemon=True)
        self.running = False

    @classmethod
    async def start(cls, open_connection: Open, *, name: str) -> "SqliteThread":
        """Open the connection; what the opening raises is raised here."""
        thread = cls(open_connection, name=name)
        thread.running = True
        thread._thread.start()
        try:
            await asyncio.shield(thread._opened)
        except BaseException:
            thread.stop()
            raise
        return thread

    def submit(self, job: Callable[[sqlite3.Connection], T]) -> "asyncio.Future[T]":
        """Hand in a job. Wait for it through `asyncio.shield`, or a cancel is taken for the job's end."""
        future: asyncio.Future[T] = self._loop.create_future()
        if self.running:
            self._jobs.put((future, job))
        else:
            _settle(future, None, ConnectionStopped("The connection is closed."))
        return future

    def stop(self) -> None:
        """End the thread after what it was handed."""
        if self.running:
            self.running = False
            self._jobs.put(None)

    async def aclose(self) -> None:
        self.stop()
        await asyncio.shield(self._ended)

    def _work(self, open_connection: Open) -> None:
        connection: sqlite3.Connection | None = None
        try:
            connection = open_connection()
            self._answer(self._opened, None, None)
            while (entry := self._jobs.get()) is not None:
                future, job = entry
                try:
                    result = job(connection)
                except BaseException as error:  # noqa: BLE001 - whatever it is belongs to the one who waits
                    self._answer(future, None, error)
                else:
                    self._answer(future, result, None)
        except BaseException as error:  # noqa: BLE001 - the same, for the opening
            self._answer(self._opened, None, error)
        finally:
            if connection is not None:
                connection.close()
            self._answer(self._ended, None, None)

    def _answer(self, future: "asyncio.Future[T]", result: T | None, error: BaseException | None) -> None:
        with suppress(RuntimeError):  # the loop may be gone, and with it everyone who waited
            self._loop.call_soon_threadsafe(_settle, future, result, error)


def _settle(future: "asyncio.Future[T]", result: T | None, error: BaseException | None) -> None:
    if future.done():
        return
    if error is None:
        future.set_result(cast("T", result))  # None only where T is
    else:
        future.set_exception(error)
        future.exception()  # seen: whoever waited may have been cancelled meanwhile, which is not worth a report
