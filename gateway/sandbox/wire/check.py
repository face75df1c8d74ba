"""Checking what was sent against the shape an operation declares, with Stripe's refusals."""

import re
from decimal import Decimal, InvalidOperation
from typing import Any, Final, cast

from gateway.sandbox.refusals import (
    Json,
    Refusal,
    not_played,
    parameter_invalid,
    parameter_missing,
    parameter_unknown,
)
from gateway.sandbox.wire.shapes import Anything, Either, ListOf, OneOf, Parts, Scalar, Shape, TextMap

METADATA_KEYS_MAX: Final = 50
METADATA_KEY_CHARACTERS_MAX: Final = 40
METADATA_VALUE_CHARACTERS_MAX: Final = 500
TEXT_CHARACTERS_MAX: Final = 5000
_WHOLE = re.compile(r"-?[0-9]{1,18}")


def check_parts(sent: dict[str, Any], shape: Parts, *, path: str = "") -> Json:
    """The typed values of `sent`; unknown names come first, then missing ones, as Stripe reports them.

    Raises:
        Refusal: 400, naming the parameter in bracket notation.
    """
    for name in sent:
        if shape.field(name) is None:
            raise parameter_unknown(_join(path, name))
    values: Json = {}
    for field in shape.fields:
        here = _join(path, field.name)
        if field.name not in sent:
            if field.required:
                raise parameter_missing(here)
            continue
        if not field.played:
            raise not_played(here)
        value = check(sent[field.name], field.shape, path=here)
        if value == "" and field.required:
            raise _empty(here)
        values[field.name] = value
    return values


def check(sent: object, shape: Shape, *, path: str) -> Any:  # noqa: ANN401 - the shape decides the type
    match shape:
        case Parts():
            return check_parts(_named(sent, path=path), shape, path=path)
        case ListOf(item):
            return [check(one, item, path=f"{path}[{index}]") for index, one in enumerate(_listed(sent, path=path))]
        case TextMap():
            return _text_map(_named(sent, path=path), path=path)
        case Either():
            return _either(sent, shape, path=path)
        case OneOf() | Scalar():
            return _single(_text(sent, path=path), shape, path=path)
        case Anything():
            return sent


def _single(text: str, shape: OneOf | Scalar, *, path: str) -> str | int | bool | Decimal:
    if isinstance(shape, OneOf):
        return _one_of(text, shape.words, path=path)
    return _scalar(text, shape.kind, path=path)


def _join(path: str, name: str) -> str:
    return f"{path}[{name}]" if path else name


def _named(sent: object, *, path: str) -> dict[str, Any]:
    if not isinstance(sent, dict):
        raise parameter_invalid("Invalid object", param=path)
    return cast("dict[str, Any]", sent)


def _listed(sent: object, *, path: str) -> list[Any]:
    """A list, given as `[]` parts or as numbered ones, which count in their numbers' order."""
    if isinstance(sent, list):
        return cast("list[Any]", sent)
    if isinstance(sent, dict):
        numbered = cast("dict[str, Any]", sent)
        if numbered and all(key.isdecimal() for key in numbered):
            return [numbered[key] for key in sorted(numbered, key=int)]
    raise parameter_invalid("Invalid array", param=path)


def _text(sent: object, *, path: str) -> str:
    if not isinstance(sent, str):
        kind = "array" if isinstance(sent, list) else "hash"
        raise parameter_invalid(f"Invalid value: a string is wanted here, not an {kind}.", param=path)
    return sent


def _text_map(sent: dict[str, Any], *, path: str) -> dict[str, str]:
    if len(sent) > METADATA_KEYS_MAX:
        raise parameter_invalid(f"Metadata can hold {METADATA_KEYS_MAX} keys; got {len(sent)}.", param=path)
    for key, value in sent.items():
        here = f"{path}[{key}]"
        text = _text(value, path=here)
        if len(key) > METADATA_KEY_CHARACTERS_MAX:
            raise parameter_invalid(
                f"Metadata keys can be up to {METADATA_KEY_CHARACTERS_MAX} characters long; got {len(key)}.", param=here
            )
        if len(text) > METADATA_VALUE_CHARACTERS_MAX:
            raise parameter_invalid(
                f"Metadata values can be up to {METADATA_VALUE_CHARACTERS_MAX} characters long; got {len(text)}.",
                param=here,
            )
    return cast("dict[str, str]", sent)


def _either(sent: object, shape: Either, *, path: str) -> Any:  # noqa: ANN401 - the shape decides the type
    if sent == "" and shape.unsettable:
        return ""
    refusal: Refusal | None = None
    for option in shape.options:
        try:
            return check(sent, option, path=path)
        except Refusal as error:
            # The option whose kind fits tells what is wrong; the others only say that they do not fit.
            fits = isinstance(sent, str) == isinstance(option, Scalar | OneOf)
            refusal = error if refusal is None or fits else refusal
    assert refusal is not None
    raise refusal


def _one_of(text: str, words: tuple[str, ...], *, path: str) -> str:
    if text in words:
        return text
    if text == "":
        raise _empty(path)
    allowed = words[0] if len(words) == 1 else f"{', '.join(words[:-1])}, or {words[-1]}"
    raise parameter_invalid(f"Invalid {path}: must be one of {allowed}", param=path)


def _scalar(text: str, kind: str, *, path: str) -> str | int | bool | Decimal:
    if kind == "text":
        if len(text) > TEXT_CHARACTERS_MAX:
            raise parameter_invalid(
                f"Invalid string: must be at most {TEXT_CHARACTERS_MAX} characters", param=path, code="value_too_long"
            )
        return text
    if text == "":
        raise _empty(path)
    if kind == "whole":
        if _WHOLE.fullmatch(text) is None:
            raise parameter_invalid(f"Invalid integer: {text}", param=path, code="parameter_invalid_integer")
        return int(text)
    if kind == "flag":
        if text not in ("true", "false"):
            raise parameter_invalid(f"Invalid boolean: {text}", param=path)
        return text == "true"
    return _number(text, path=path)


def _number(text: str, *, path: str) -> int | Decimal:
    try:
        number = Decimal(text)
    except InvalidOperation as error:
        raise parameter_invalid(f"Invalid decimal: {text}", param=path) from error
    if not number.is_finite():
        raise parameter_invalid(f"Invalid decimal: {text}", param=path)
    return int(number) if number == number.to_integral_value() else number


def _empty(path: str) -> Refusal:
    message = (
        f"You passed an empty string for '{path}'. We assume empty values are an attempt to unset a parameter; "
        f"however '{path}' cannot be unset. You should remove '{path}' from your request or supply a non-empty value."
    )
    return parameter_invalid(message, param=path, code="parameter_invalid_empty")
