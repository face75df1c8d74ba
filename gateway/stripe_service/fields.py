"""Reading JSON objects of Stripe's: each field is asked for with its type, and a wrong one is named."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeVar, cast

from gateway.domain.clock import from_unix

_T = TypeVar("_T")

#: 9999-12-31: later seconds are no dates.
UNIX_SECONDS_MAX = 253_402_300_799


class MalformedAnswer(Exception):
    """An object of Stripe's lacks a field or has it in another type; the message names the field, never its value."""


@dataclass(frozen=True, slots=True)
class Fields:
    """A JSON object; absent and null are the same to every `maybe_` reader."""

    values: Mapping[str, object]

    @classmethod
    def of(cls, value: object, *, name: str) -> "Fields":
        if not isinstance(value, Mapping):
            raise MalformedAnswer(f"{name} is not an object")
        return cls(cast("Mapping[str, object]", value))

    def text(self, name: str) -> str:
        return self._there(name, self.maybe_text(name))

    def maybe_text(self, name: str) -> str | None:
        value = self.values.get(name)
        if value is None or isinstance(value, str):
            return value
        raise MalformedAnswer(f"{name} is not a text")

    def whole(self, name: str) -> int:
        return self._there(name, self.maybe_whole(name))

    def maybe_whole(self, name: str) -> int | None:
        value = self.values.get(name)
        if value is None or type(value) is int:
            return value
        raise MalformedAnswer(f"{name} is not a whole number")

    def flag(self, name: str) -> bool:
        return self._there(name, self.maybe_flag(name))

    def maybe_flag(self, name: str) -> bool | None:
        value = self.values.get(name)
        if value is None or isinstance(value, bool):
            return value
        raise MalformedAnswer(f"{name} is not true or false")

    def moment(self, name: str) -> datetime:
        return self._there(name, self.maybe_moment(name))

    def maybe_moment(self, name: str) -> datetime | None:
        seconds = self.maybe_whole(name)
        if seconds is None:
            return None
        if not 0 <= seconds <= UNIX_SECONDS_MAX:
            raise MalformedAnswer(f"{name} is not a date")
        return from_unix(seconds)

    def instant(self, name: str) -> datetime:
        """A time as the second generation of the API writes it: ISO 8601 with its zone."""
        try:
            moment = datetime.fromisoformat(self.text(name))
        except ValueError:
            raise MalformedAnswer(f"{name} is not a date") from None
        if moment.tzinfo is None:
            raise MalformedAnswer(f"{name} has no time zone")
        return moment.astimezone(UTC)

    def ref(self, name: str) -> str:
        return self._there(name, self.maybe_ref(name))

    def maybe_ref(self, name: str) -> str | None:
        """The id of another object, whether Stripe sent the bare id or the whole object."""
        whole = self.maybe_child(name)
        return whole.text("id") if whole is not None else self.maybe_text(name)

    def child(self, name: str) -> "Fields":
        return Fields.of(self.values.get(name), name=name)

    def maybe_child(self, name: str) -> "Fields | None":
        """The object under a name; None where there is none, or only its id."""
        return self.child(name) if isinstance(self.values.get(name), Mapping) else None

    def children(self, name: str = "data") -> tuple["Fields", ...]:
        """The objects of a list field."""
        value = self.values.get(name)
        if not isinstance(value, list):
            raise MalformedAnswer(f"{name} is not a list")
        return tuple(Fields.of(entry, name=name) for entry in cast("list[object]", value))

    def texts(self, name: str) -> tuple[str, ...]:
        """The texts of a list field; absent is empty."""
        value = self.values.get(name)
        entries = cast("list[object]", value) if isinstance(value, list) else []
        return tuple(entry for entry in entries if isinstance(entry, str))

    def metadata(self) -> dict[str, str]:
        """Metadata as Stripe keeps it: texts only; absent (on a deleted object) is empty."""
        entries = self.maybe_child("metadata")
        return {k: v for k, v in entries.values.items() if isinstance(v, str)} if entries else {}

    @staticmethod
    def _there(name: str, value: _T | None) -> _T:
        if value is None:
            raise MalformedAnswer(f"{name} is missing")
        return value
