"""What the set-up did, line by line, and the keys it wrote with."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from hashlib import sha256
from typing import cast

import orjson
import stripe

from gateway.stripe_service.connection import StripeConnection, keyed


class SetupOutcome(StrEnum):
    """What became of one object at Stripe."""

    CREATED = "created"
    REPAIRED = "repaired"
    UNCHANGED = "unchanged"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class SetupLine:
    """One line of the report: `created price pro_monthly ($29.00 every month)`."""

    outcome: SetupOutcome
    what: str
    detail: str = ""

    def __str__(self) -> str:
        return f"{self.outcome} {self.what}" + (f" ({self.detail})" if self.detail else "")


@dataclass(frozen=True, slots=True)
class SetupRun:
    """One run of the set-up: the way to Stripe, when it began, and its lines so far."""

    connection: StripeConnection
    started_at: datetime
    lines: list[SetupLine] = field(default_factory=list[SetupLine])

    def note(self, outcome: SetupOutcome, what: str, detail: str = "") -> None:
        self.lines.append(SetupLine(outcome=outcome, what=what, detail=detail))

    def options(self, name: str, params: Mapping[str, object]) -> stripe.RequestOptions:
        """A key made of the write itself and the minute of the run.

        Two runs side by side make one object; the same repair an hour later is a new write, where the bare content
        would have Stripe repeat its old answer and do nothing.
        """
        minute = self.started_at.strftime("%Y%m%d%H%M")
        return keyed(f"setup:{name}:{digest([params, minute])}")


def digest(content: object) -> str:
    """A short name for a JSON value: the same for the same content."""
    return sha256(orjson.dumps(content, option=orjson.OPT_SORT_KEYS)).hexdigest()[:32]


def covers(actual: object, wanted: object) -> bool:
    """Whether an object of Stripe's already is as wanted, whatever else it holds; lists are compared in any order."""
    if isinstance(wanted, Mapping) and isinstance(actual, Mapping):
        entries, found = cast("Mapping[str, object]", wanted), cast("Mapping[str, object]", actual)
        return all(covers(found.get(key), value) for key, value in entries.items())
    if isinstance(wanted, list) and isinstance(actual, list):
        all_wanted, all_found = cast("list[object]", wanted), cast("list[object]", actual)
        same_length = len(all_wanted) == len(all_found)
        return same_length and all(any(covers(found, want) for found in all_found) for want in all_wanted)
    return actual == wanted
