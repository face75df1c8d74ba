"""Everything one account holds in one mode: its objects, what changed, and the events that tell of it."""

import copy
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, cast

from gateway.sandbox.clock import SandboxClock
from gateway.sandbox.engine.agenda import Agenda
from gateway.sandbox.engine.cards import Card
from gateway.sandbox.ids import Ids
from gateway.sandbox.refusals import Json, missing_in_params, missing_in_path
from gateway.sandbox.settings import SandboxSettings


@dataclass(frozen=True, slots=True)
class Origin:
    """The API request that causes what happens now; it is named in the events."""

    request_id: str
    idempotency_key: str | None


@dataclass(slots=True)
class Surroundings:
    """What all books share."""

    settings: SandboxSettings
    clock: SandboxClock
    ids: Ids
    agenda: Agenda
    publish: "Callable[[Book, Json], None]"
    in_other_mode: "Callable[[Book, str, str], bool]"
    book_of: "Callable[[str | None, bool], Book]"
    """The book of an account (None: the platform) in a mode."""
    elsewhere: "Callable[[Book, str, str], Json | None]"
    """An object of another account's book of the same mode."""
    publish_thin: "Callable[[Book, Json], None]"
    base_url: str = "http://localhost"
    origin: Origin | None = None


@dataclass(slots=True)
class Behind:
    """What Stripe knows and never shows, by object id."""

    cards: dict[str, Card] = field(default_factory=dict[str, Card])
    session_orders: dict[str, Json] = field(default_factory=dict[str, Json])
    session_lines: dict[str, list[Json]] = field(default_factory=dict[str, list[Json]])
    pending_lines: dict[str, list[Json]] = field(default_factory=dict[str, list[Json]])
    endpoint_secrets: dict[str, list[str]] = field(default_factory=dict[str, list[str]])
    connect_endpoints: set[str] = field(default_factory=set[str])
    portal_expiries: dict[str, int] = field(default_factory=dict[str, int])
    deleted: set[str] = field(default_factory=set[str])
    thin_endpoints: set[str] = field(default_factory=set[str])
    bank_numbers: dict[str, str] = field(default_factory=dict[str, str])
    paid_out_with: dict[str, str] = field(default_factory=dict[str, str])
    """The payout that each line of the balance went out with."""
    payout_schedule: Json = field(default_factory=dict[str, Any])
    next_payout_at: int | None = None
    v2_by_snapshot: bool | None = None
    """What the settings say about snapshot events of v2 accounts, unless it was switched since."""


_NAMES = {
    "checkout.session": "checkout.session",
    "billing_portal.session": "portal session",
    "connected_account": "account",
}


class Book:
    """The objects are kept as they are returned, with ids where Stripe would expand on request.

    Every change is made without awaiting, so no request sees another's half-done work.
    """

    def __init__(self, *, account: str | None, livemode: bool, around: Surroundings) -> None:
        self.account = account
        self.livemode = livemode
        self.around = around
        self.behind = Behind()
        self._tables: dict[str, dict[str, Json]] = {}

    @property
    def now(self) -> int:
        return self.around.clock.now()

    @property
    def settings(self) -> SandboxSettings:
        return self.around.settings

    @property
    def mode(self) -> str:
        return "live" if self.livemode else "test"

    @property
    def platform(self) -> "Book":
        """The platform's book in the same mode."""
        return self.around.book_of(None, self.livemode)

    def connected(self, account: str) -> "Book":
        """A connected account's book in the same mode."""
        return self.around.book_of(account, self.livemode)

    def new_id(self, prefix: str) -> str:
        return self.around.ids.new(prefix)

    def stamp(self, prefix: str, object: str) -> Json:
        """The fields nearly every object begins with."""
        return {"id": self.new_id(prefix), "object": object, "created": self.now, "livemode": self.livemode}

    def table(self, kind: str) -> dict[str, Json]:
        return self._tables.setdefault(kind, {})

    def tables(self) -> dict[str, dict[str, Json]]:
        return self._tables

    def add(self, thing: Json) -> Json:
        self.table(thing["object"])[thing["id"]] = thing
        return thing

    def newest_first(self, kind: str) -> list[Json]:
        return list(reversed(self.table(kind).values()))

    def find(self, kind: str, id: str | None) -> Json | None:
        return self.table(kind).get(id) if id is not None else None

    def get(self, kind: str, id: str) -> Json:
        """The object a caller knows to be there."""
        return self.table(kind)[id]

    def at_path(self, kind: str, id: str) -> Json:
        """The object a request names in its address.

        Raises:
            Refusal: 404 resource_missing.
        """
        thing = self.find(kind, id)
        if thing is None:
            raise missing_in_path(_NAMES.get(kind, kind), id, hint=self._hint(kind, id))
        return thing

    def in_params(self, kind: str, id: str, *, param: str, deleted_too: bool = False) -> Json:
        """The object a request names in a parameter; a deleted customer is missing unless `deleted_too`.

        Raises:
            Refusal: 400 resource_missing with the parameter.
        """
        thing = self.find(kind, id)
        if thing is None or (id in self.behind.deleted and not deleted_too):
            raise missing_in_params(_NAMES.get(kind, kind), id, param=param, hint=self._hint(kind, id))
        return thing

    def _hint(self, kind: str, id: str) -> str:
        """What Stripe adds when the key is of the wrong mode."""
        if not self.around.in_other_mode(self, kind, id):
            return ""
        other = "test" if self.livemode else "live"
        return f"; a similar object exists in {other} mode, but a {self.mode} mode key was used to make this request."

    def emit(self, type: str, thing: Json, previous: Json | None = None) -> Json:
        """Record an event with the object as it is now, and hand it to its endpoints."""
        origin = self.around.origin
        content: Json = {"object": copy.deepcopy(thing)}
        if previous is not None:
            content["previous_attributes"] = previous
        event: Json = {
            **self.stamp("evt", "event"),
            "api_version": self.settings.api_version,
            "data": content,
            "pending_webhooks": 0,
            "request": {
                "id": origin.request_id if origin else None,
                "idempotency_key": origin.idempotency_key if origin else None,
            },
            "type": type,
        }
        if self.account is not None:
            event["account"] = self.account
        self.add(event)
        self.around.publish(self, event)
        return event

    @contextmanager
    def changing(self, thing: Json, *events: str) -> Generator[Json]:
        """Emit `events` with what changed inside the block; a block that changes nothing emits nothing."""
        before = copy.deepcopy(thing)
        yield thing
        previous = differences(before, thing)
        if previous:
            for event in events:
                self.emit(event, thing, previous)


def differences(before: Json, after: Json) -> Json:
    """The former values of what differs: named parts one by one, lists and scalars whole."""
    previous: Json = {}
    for name in before.keys() | after.keys():
        old: Any = before.get(name)
        new: Any = after.get(name)
        if old == new:
            continue
        if isinstance(old, dict) and isinstance(new, dict):
            previous[name] = differences(cast("Json", old), cast("Json", new))
        else:
            previous[name] = old
    return previous
