"""Reading the control door's JSON: each field by name and kind, and none besides."""

from typing import Any, cast

import orjson


class ControlRefused(Exception):
    """The control door was asked for something it cannot do; the message says what was wrong."""

    def __init__(self, message: str, *, status: int = 400) -> None:
        super().__init__(message)
        self.message = message
        self.status = status


class Body:
    """A JSON object whose fields are taken one by one; `done` refuses what is left."""

    def __init__(self, raw: bytes) -> None:
        try:
            parsed: object = orjson.loads(raw) if raw.strip() else {}
        except orjson.JSONDecodeError as error:
            raise ControlRefused(f"The body is not JSON: {error}.") from error
        if not isinstance(parsed, dict):
            raise ControlRefused("The body must be a JSON object.")
        self._fields = dict(cast("dict[str, Any]", parsed))

    def text_or_none(self, name: str) -> str | None:
        value: object = self._fields.pop(name, None)
        if value is not None and (not isinstance(value, str) or not value):
            raise ControlRefused(f"`{name}` must be a text; got {value!r}.")
        return value

    def text(self, name: str) -> str:
        value = self.text_or_none(name)
        if value is None:
            raise ControlRefused(f"`{name}` is missing.")
        return value

    def one_of(self, name: str, words: tuple[str, ...], *, default: str | None = None) -> str:
        value = self.text_or_none(name) or default
        if value not in words:
            raise ControlRefused(f"`{name}` must be one of {', '.join(words)}; got {value!r}.")
        return value

    def whole_or_none(self, name: str, *, least: int = 0) -> int | None:
        value: object = self._fields.pop(name, None)
        if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < least):
            raise ControlRefused(f"`{name}` must be a whole number of at least {least}; got {value!r}.")
        return value

    def whole(self, name: str, *, default: int, least: int = 0) -> int:
        value = self.whole_or_none(name, least=least)
        return default if value is None else value

    def signed_or_none(self, name: str) -> int | None:
        value: object = self._fields.pop(name, None)
        if value is not None and (not isinstance(value, int) or isinstance(value, bool)):
            raise ControlRefused(f"`{name}` must be a whole number; got {value!r}.")
        return value

    def signed(self, name: str) -> int:
        value = self.signed_or_none(name)
        if value is None:
            raise ControlRefused(f"`{name}` is missing.")
        return value

    def seconds(self, name: str, *, default: float) -> float:
        value: object = self._fields.pop(name, None)
        if value is None:
            return default
        if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value <= 3600:  # noqa: PLR2004
            raise ControlRefused(f"`{name}` must be a number of seconds up to 3600; got {value!r}.")
        return float(value)

    def flag(self, name: str) -> bool:
        value: object = self._fields.pop(name, False)
        if not isinstance(value, bool):
            raise ControlRefused(f"`{name}` must be true or false; got {value!r}.")
        return value

    def texts(self, name: str, *, default: list[str]) -> list[str]:
        value: object = self._fields.pop(name, default)
        if not isinstance(value, list) or not all(isinstance(one, str) for one in cast("list[object]", value)):
            raise ControlRefused(f"`{name}` must be a list of texts; got {value!r}.")
        return cast("list[str]", value)

    def text_map(self, name: str) -> dict[str, str]:
        value: object = self._fields.pop(name, {})
        if not isinstance(value, dict) or not all(
            isinstance(one, str) for one in cast("dict[str, object]", value).values()
        ):
            raise ControlRefused(f"`{name}` must map names to texts; got {value!r}.")
        return cast("dict[str, str]", value)

    def done(self) -> None:
        if self._fields:
            raise ControlRefused(f"Unknown fields: {', '.join(sorted(self._fields))}.")
