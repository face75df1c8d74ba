"""Enums of the schema: every value has a sentence of its own."""

from collections.abc import Mapping
from enum import StrEnum
from typing import TypeVar

import strawberry
from strawberry.types.enum import has_enum_definition

_Value = TypeVar("_Value", bound=StrEnum)


def publish_enum(enum: type[_Value], *, description: str, values: Mapping[_Value, str]) -> None:
    """Make an enum, of the domain or of the schema alone, one of the schema's."""
    assert list(values) == list(enum), "each value is described, in its order"
    strawberry.enum(enum, description=description)
    assert has_enum_definition(enum), "made in the line above"
    told = {value.name: sentence for value, sentence in values.items()}
    for value in enum.__strawberry_definition__.values:
        value.description = told[value.name]
