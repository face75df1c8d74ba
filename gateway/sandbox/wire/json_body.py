"""JSON bodies of the second generation, as the same texts and containers that a form is decoded to."""

from typing import Any, cast

import orjson

from gateway.sandbox.refusals import Refusal

DEPTH_MAX = 12


def decode_json(body: bytes) -> dict[str, Any]:
    """Decode a JSON object; null becomes the empty text, which unsets.

    Raises:
        Refusal: it is not a JSON object, or nested too deep.
    """
    try:
        parsed: object = orjson.loads(body) if body.strip() else {}
    except orjson.JSONDecodeError as error:
        raise Refusal(f"Invalid request: the body is not JSON ({error}).") from error
    if not isinstance(parsed, dict):
        raise Refusal("Invalid request: the body must be a JSON object.")
    return {name: _texts(value, depth=1) for name, value in cast("dict[str, Any]", parsed).items()}


def _texts(value: Any, *, depth: int) -> Any:  # noqa: ANN401 - JSON
    if depth > DEPTH_MAX:
        raise Refusal("Invalid request: the body is nested too deep.")
    match value:
        case dict():
            return {name: _texts(one, depth=depth + 1) for name, one in cast("dict[str, Any]", value).items()}
        case list():
            return [_texts(one, depth=depth + 1) for one in cast("list[Any]", value)]
        case bool():
            return "true" if value else "false"
        case None:
            return ""
        case _:
            return str(value)
