"""What was asked of the API, so that tests can say that something was asked, or was not."""

from collections import deque
from dataclasses import dataclass, field
from typing import Any

from gateway.sandbox.refusals import Json


@dataclass(slots=True)
class LoggedRequest:
    """One request; `status` is 0 while it runs and when no answer went out."""

    request_id: str
    at: int
    method: str
    path: str
    params: Json = field(default_factory=dict[str, Any])
    idempotency_key: str | None = None
    account: str | None = None
    version: str | None = None
    status: int = 0
    replayed: bool = False
    fault: str | None = None


class RequestLog:
    """The latest requests, oldest first."""

    def __init__(self, *, kept_max: int) -> None:
        self._rows: deque[LoggedRequest] = deque(maxlen=kept_max)

    def add(self, row: LoggedRequest) -> None:
        self._rows.append(row)

    def rows(self) -> tuple[LoggedRequest, ...]:
        return tuple(self._rows)

    def clear(self) -> None:
        self._rows.clear()
