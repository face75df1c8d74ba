"""Form bodies and query strings in Stripe's bracket notation, decoded to nested values."""

import re
from typing import Any, Final, cast
from urllib.parse import parse_qsl

from gateway.sandbox.refusals import Refusal

FORM_FIELDS_MAX: Final = 1000
DEPTH_MAX: Final = 12
_KEY = re.compile(r"([^\[\]]+)((?:\[[^\[\]]*\])*)")
_PART = re.compile(r"\[([^\[\]]*)\]")
_APPEND = ""


def decode_form(text: str) -> dict[str, Any]:
    """Decode `a=1&b[c]=2&d[0][e]=3&f[]=4&g[][h]=5`. A scalar given twice keeps its last value.

    Values are text, dicts (also of numbered parts: only the parameter's shape can tell a list) and lists of `[]`.
    """
    if not text:
        return {}
    try:
        pairs = parse_qsl(text, keep_blank_values=True, max_num_fields=FORM_FIELDS_MAX, errors="strict")
    except ValueError as error:
        raise Refusal("Invalid request: the body is not a form (application/x-www-form-urlencoded).") from error
    root: dict[str, Any] = {}
    for key, value in pairs:
        _place(root, _parts(key), value, key=key)
    return root


def _parts(key: str) -> list[str]:
    match = _KEY.fullmatch(key)
    if match is None:
        raise Refusal(f"Invalid request: the parameter name {key!r} is malformed.", param=key)
    parts = [match.group(1), *_PART.findall(match.group(2))]
    if len(parts) > DEPTH_MAX:
        raise Refusal(f"Invalid request: the parameter {key!r} is nested too deep.", param=key)
    return parts


def _place(root: dict[str, Any], parts: list[str], value: str, *, key: str) -> None:
    holder: Any = root
    for position in range(len(parts) - 1):
        holder = _descend(holder, parts[position:], key=key)
    last = parts[-1]
    if isinstance(holder, list):
        if last != _APPEND:
            raise _clash(key)
        cast("list[Any]", holder).append(value)
        return
    if isinstance(holder.get(last), dict | list):
        raise _clash(key)
    holder[last] = value


def _descend(holder: Any, parts: list[str], *, key: str) -> Any:  # noqa: ANN401 - the tree is text, dicts and lists
    """The container under `parts[0]`, made when it is not there: a list when `[]` follows, else a dict."""
    here, after = parts[0], parts[1]
    wanted = list if after == _APPEND else dict
    if isinstance(holder, list):
        return _list_element(cast("list[Any]", holder), parts, wanted=wanted, key=key)
    child = holder.setdefault(here, wanted())
    if not isinstance(child, wanted):
        raise _clash(key)
    return cast("Any", child)


def _list_element(holder: list[Any], parts: list[str], *, wanted: type, key: str) -> Any:  # noqa: ANN401 - as above
    """`a[][b]` continues the last element until it would repeat one of its names; then a new element begins."""
    if parts[0] != _APPEND:
        raise _clash(key)
    last: object = holder[-1] if holder else None
    if isinstance(last, wanted) and not (len(parts) == 2 and parts[1] in cast("dict[str, Any]", last)):  # noqa: PLR2004
        return last
    fresh: Any = wanted()
    holder.append(fresh)
    return fresh


def _clash(key: str) -> Refusal:
    return Refusal(f"Invalid request: the parameter {key!r} is given as a value and as a container.", param=key)
