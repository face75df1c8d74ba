"""Keeping the state of a running local Stripe, and finding it again when it starts."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Final

import structlog
from aiohttp import web

from gateway.sandbox.engine.world import World
from gateway.sandbox.memory import snapshot
from gateway.sandbox.memory.file import StateFile, StateUnreadable
from gateway.sandbox.webhooks.sender import Sender
from gateway.sandbox.wire.idempotency import IdempotencyKeys

log = structlog.get_logger()

#: Of all time, what writing may take: a state so large that it is written slowly is written less often.
_WRITING_SHARE: Final = 0.05
_NOT_OURS: Final = (KeyError, ValueError, TypeError, AttributeError, IndexError, RecursionError)


class Memory:
    """Writes the state a moment after it changed and when the server stops; whatever goes wrong, the server goes on.

    A server that is killed loses what happened since the last look, `poll_seconds` ago at most.
    """

    def __init__(
        self, file: StateFile, *, world: World, keys: IdempotencyKeys, sender: Sender, poll_seconds: float
    ) -> None:
        self._file = file
        self._world = world
        self._keys = keys
        self._sender = sender
        self._poll_seconds = poll_seconds
        self._claimed = False
        self._saved_changes: int | None = None

    async def live(self, _app: web.Application) -> AsyncIterator[None]:
        """Remember at the start, keep up while the server runs, write once more at its end."""
        self._claimed = self._claim()
        if not self._claimed:
            yield
            return
        self._recall()
        keeping = asyncio.create_task(self._keep())
        yield
        keeping.cancel()
        with suppress(asyncio.CancelledError):
            await keeping
        self.save()
        self._file.release()

    def _claim(self) -> bool:
        try:
            free = self._file.claim()
        except OSError as error:
            log.warning("sandbox.state_not_kept", file=str(self._file.path), reason=error.strerror)
            return False
        if not free:
            reason = "another local Stripe uses this file; this one forgets everything when it stops"
            log.warning("sandbox.state_not_kept", file=str(self._file.path), reason=reason)
        return free

    def _recall(self) -> None:
        try:
            kept = self._file.read()
            if kept is not None:
                snapshot.bring_back(kept, self._world, keys=self._keys, sender=self._sender)
        except StateUnreadable as error:
            self._start_empty(str(error))
        except _NOT_OURS as error:
            self._start_empty(f"it does not hold together: {error!r}")

    def _start_empty(self, reason: str) -> None:
        self._world.clear()
        self._keys.clear()
        path, aside = str(self._file.path), str(self._file.aside)
        try:
            self._file.set_aside()
        except OSError as error:
            aside = f"nothing: {error.strerror}"
        outcome = "the local Stripe starts empty, and does not know the customers a database already has"
        log.warning("sandbox.state_unreadable", file=path, reason=reason, moved_to=aside, outcome=outcome)

    async def _keep(self) -> None:
        now = asyncio.get_running_loop().time
        pause_seconds = self._poll_seconds
        while True:
            await asyncio.sleep(pause_seconds)
            if self._world.changes != self._saved_changes:
                began = now()
                self.save()
                pause_seconds = max(self._poll_seconds, (now() - began) / _WRITING_SHARE)

    def save(self) -> None:
        """Write the state now. A failure is logged, and tried again with the next change."""
        if not self._claimed:
            return
        self._saved_changes = self._world.changes
        try:
            self._file.write(snapshot.take(self._world, keys=self._keys, sender=self._sender))
        except OSError as error:
            log.warning("sandbox.state_not_written", file=str(self._file.path), reason=error.strerror)
        except (TypeError, RecursionError):
            log.exception("sandbox.bug", doing="writing the state")
