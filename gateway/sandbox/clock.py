"""The sandbox's own time: real time plus whatever tests have skipped."""

from collections.abc import Generator
from contextlib import contextmanager
from datetime import datetime, timedelta

from gateway.domain.clock import Clock, unix


class SandboxClock:
    """Whole seconds since 1970 on the sandbox's clock. It only moves forward."""

    def __init__(self, source: Clock) -> None:
        self._source = source
        self._skipped_seconds = 0
        self._held_at: int | None = None

    def real_now(self) -> int:
        """The time outside, which signs webhooks: a receiver compares it with its own clock."""
        return unix(self._source.now())

    def now(self) -> int:
        if self._held_at is not None:
            return self._held_at
        return self.real_now() + self._skipped_seconds

    @property
    def skipped_seconds(self) -> int:
        return self._skipped_seconds

    def skip(self, seconds: int) -> None:
        assert seconds >= 0
        self._skipped_seconds += seconds

    @contextmanager
    def held_at(self, moment: int) -> Generator[None]:
        """Work that fell due earlier runs as of its own moment."""
        before = self._held_at
        self._held_at = moment
        try:
            yield
        finally:
            self._held_at = before

    def beside(self) -> Clock:
        """The same time for whoever lives in it too, as a gateway beside it does."""
        return _Beside(self._source, self)

    def reset(self) -> None:
        self._skipped_seconds = 0


class _Beside:
    """Real time plus what the sandbox has skipped so far, finer than its whole seconds."""

    def __init__(self, source: Clock, sandbox: SandboxClock) -> None:
        self._source = source
        self._sandbox = sandbox

    def now(self) -> datetime:
        return self._source.now() + timedelta(seconds=self._sandbox.skipped_seconds)
