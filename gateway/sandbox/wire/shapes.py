"""The shapes parameters can have, and the short notation they are declared in.

`s` text, `i` whole number, `b` true/false, `n` number, `map` text by name, `range` a time or its bounds, `address`,
`*` anything, `(a b)` one of these words, `[x]` a list of x, `{a:s b!:i}` named parts, `x|y` either, `|''` may be
unset by an empty value. After a name, `!` means required and `^` means that Stripe knows the parameter but the local
Stripe does not act on it and says so.
"""

import re
from dataclasses import dataclass
from functools import cache
from typing import Final, Literal, TypeAlias


@dataclass(frozen=True, slots=True)
class Scalar:
    kind: Literal["text", "whole", "flag", "number"]


@dataclass(frozen=True, slots=True)
class OneOf:
    words: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ListOf:
    item: "Shape"


@dataclass(frozen=True, slots=True)
class Field:
    name: str
    shape: "Shape"
    required: bool
    played: bool


@dataclass(frozen=True, slots=True)
class Parts:
    fields: tuple[Field, ...]

    def field(self, name: str) -> Field | None:
        return next((field for field in self.fields if field.name == name), None)


@dataclass(frozen=True, slots=True)
class TextMap:
    """Names to texts: metadata."""


@dataclass(frozen=True, slots=True)
class Anything:
    """A part of Stripe's parameters that is taken as it comes."""


@dataclass(frozen=True, slots=True)
class Either:
    options: tuple["Shape", ...]
    unsettable: bool


Shape: TypeAlias = "Scalar | OneOf | ListOf | Parts | TextMap | Anything | Either"

_SCALARS: Final[dict[str, Shape]] = {
    "s": Scalar("text"),
    "i": Scalar("whole"),
    "b": Scalar("flag"),
    "n": Scalar("number"),
    "map": TextMap(),
    "*": Anything(),
}
_NAMED: Final = {
    "address": "{city:s country:s line1:s line2:s postal_code:s state:s}",
    "range": "i|{gt:i gte:i lt:i lte:i}",
}
_WORD = re.compile(r"''|[\w.*-]+|[!^:|()\[\]{}]")


@cache
def parts(notation: str) -> Parts:
    """The named parts that `notation` declares (without the outer braces)."""
    reader = _Reader(_WORD.findall(notation))
    shape = reader.parts(until=None)
    assert reader.done, f"the notation ends early: {notation!r}"
    return shape


class _Reader:
    def __init__(self, words: list[str]) -> None:
        self._words = words
        self._at = 0

    @property
    def done(self) -> bool:
        return self._at >= len(self._words)

    def _next(self) -> str:
        word = self._words[self._at]
        self._at += 1
        return word

    def _took(self, word: str) -> bool:
        if not self.done and self._words[self._at] == word:
            self._at += 1
            return True
        return False

    def parts(self, until: str | None) -> Parts:
        fields: list[Field] = []
        while not self.done and not (until is not None and self._took(until)):
            name = self._next()
            required, unplayed = self._took("!"), self._took("^")
            assert self._took(":"), f"a colon is missing after {name!r}"
            fields.append(Field(name=name, shape=self.shape(), required=required, played=not unplayed))
        return Parts(tuple(fields))

    def shape(self) -> Shape:
        options: list[Shape] = []
        unsettable = False
        while True:
            if self._took("''"):
                unsettable = True
            else:
                options.append(self._single())
            if not self._took("|"):
                break
        return options[0] if len(options) == 1 and not unsettable else Either(tuple(options), unsettable)

    def _single(self) -> Shape:
        word = self._next()
        if word == "{":
            return self.parts(until="}")
        if word == "[":
            item = self.shape()
            assert self._took("]"), "a list is not closed"
            return ListOf(item)
        if word == "(":
            words: list[str] = []
            while not self._took(")"):
                words.append(self._next())
            return OneOf(tuple(words))
        if word in _NAMED:
            return _Reader(_WORD.findall(_NAMED[word])).shape()
        return _SCALARS[word]
