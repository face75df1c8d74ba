"""Faults that tests ask for: what goes wrong, where, and how often."""

import re
from dataclasses import dataclass
from enum import Enum


class FaultKind(Enum):
    """What goes wrong. Before: nothing was done. After: all was done, only the answer is lost."""

    STATUS_500 = "status_500"
    STATUS_500_KEPT = "status_500_kept"
    """Fails after execution has begun, so an idempotency key remembers the 500."""
    STATUS_500_AFTER = "status_500_after"
    """The work is done, but a 500 is answered; a retry of the key gets the true answer."""
    STATUS_429 = "status_429"
    STATUS_409 = "status_409"
    TIMEOUT_BEFORE = "timeout_before"
    TIMEOUT_AFTER = "timeout_after"
    DROP_BEFORE = "drop_before"
    DROP_AFTER = "drop_after"
    CUT_BODY = "cut_body"
    """The work is done; the answer's head comes whole, its body breaks off."""
    SLOW = "slow"
    SLOW_BODY = "slow_body"
    """The work is done; the body stalls half-way, then breaks off."""
    NOT_JSON = "not_json"
    """The work is done; a proxy answers 502 with HTML."""


@dataclass(slots=True)
class Fault:
    """One planned fault; it goes when its count is used up."""

    kind: FaultKind
    path: re.Pattern[str]
    method: str | None
    count: int
    seconds: float
    skip: int = 0
    """How many matching calls pass unharmed first."""
    used: int = 0


class Faults:
    """The planned faults, first come first served."""

    def __init__(self) -> None:
        self._planned: list[Fault] = []

    def plan(self, fault: Fault) -> None:
        self._planned.append(fault)

    def take(self, method: str, path: str) -> Fault | None:
        """The fault that strikes this call, used up by one."""
        for fault in self._planned:
            if (fault.method is None or fault.method == method) and fault.path.search(path):
                if fault.skip > 0:
                    fault.skip -= 1
                    continue
                fault.used += 1
                fault.count -= 1
                if fault.count <= 0:
                    self._planned.remove(fault)
                return fault
        return None

    def planned(self) -> tuple[Fault, ...]:
        return tuple(self._planned)

    def clear(self) -> None:
        self._planned.clear()
