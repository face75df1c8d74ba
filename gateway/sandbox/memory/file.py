"""One file of JSON that is either whole or the one before."""

import fcntl
import os
from decimal import Decimal
from pathlib import Path
from typing import Final, cast

import orjson

from gateway.sandbox.refusals import Json

#: Grows whenever an older file can no longer be read rightly; such a file is set aside.
FORMAT_VERSION: Final = 1
_FORMAT: Final = "local-stripe"


class StateUnreadable(Exception):
    """The file is there and is not the state of this version of the local Stripe; the message says why."""


class StateFile:
    """Belongs to one process at a time. It holds secrets of webhook endpoints, so only its owner may read it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock: int | None = None

    @property
    def aside(self) -> Path:
        """Where a file goes that cannot be read."""
        return self.path.with_name(f"{self.path.name}.unreadable")

    def claim(self) -> bool:
        """Keep other processes off until `release`; whether it was free. Raises OSError."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        lock = os.open(self.path.with_name(f"{self.path.name}.lock"), os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            return False
        self._lock = lock
        return True

    def release(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def read(self) -> Json | None:
        """What was written last; None when nothing ever was.

        Raises:
            StateUnreadable: it is not JSON, not ours, or of another version.
        """
        try:
            read: object = orjson.loads(self.path.read_bytes())
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StateUnreadable(f"it cannot be opened: {error.strerror}") from error
        except orjson.JSONDecodeError as error:
            raise StateUnreadable(f"it is not JSON: {error}") from error
        whole: Json = cast("Json", read) if isinstance(read, dict) else {}
        if whole.get("format") != _FORMAT:
            raise StateUnreadable("it is JSON of another kind")
        if whole.get("version") != FORMAT_VERSION:
            raise StateUnreadable(f"its version is {whole.get('version')!r}, and this one reads {FORMAT_VERSION}")
        return whole.get("state", {})

    def write(self, state: Json) -> None:
        """Replace the file as one. Raises OSError, and TypeError for what is not JSON."""
        whole = {"format": _FORMAT, "version": FORMAT_VERSION, "state": state}
        content = orjson.dumps(whole, default=_as_text)
        beside = self.path.with_name(f"{self.path.name}.writing")
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        beside.replace(self.path)

    def set_aside(self) -> None:
        """Move the file away, over the one that was moved before it. Raises OSError."""
        self.path.replace(self.aside)


def _as_text(value: object) -> str:
    """Decimal numbers go out as text over the API too."""
    if isinstance(value, Decimal):
        return str(value)
    raise TypeError(f"{type(value).__name__} is not JSON.")
