"""Scalars of the contract that GraphQL does not have: BigInt, Decimal and DateTime."""

import re
from datetime import UTC, datetime
from decimal import Decimal
from typing import Final, NewType

import strawberry
from graphql import GraphQLError
from strawberry.types.scalar import ScalarDefinition

BigInt = NewType("BigInt", int)

_BITS_64_MAX: Final = 2**63 - 1
#: Digits an input may have. More than 64 bits are read, so that the field's own limits are what refuses them.
DIGITS_MAX: Final = 40
_WHOLE = re.compile(rf"-?[0-9]{{1,{DIGITS_MAX}}}", re.ASCII)


def _serialize(value: object) -> str:
    assert isinstance(value, int), "a BigInt is an int"
    assert -_BITS_64_MAX - 1 <= value <= _BITS_64_MAX, "a BigInt fits into 64 bits"
    return str(value)


def _parse(value: object) -> BigInt:
    """Read a decimal string or an integer; a float may have lost digits already, so it is refused."""
    if isinstance(value, str) and _WHOLE.fullmatch(value):
        return BigInt(int(value))
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 10**DIGITS_MAX:
        return BigInt(value)
    shown = repr(value)[: DIGITS_MAX + 2]
    raise GraphQLError(
        f"A BigInt is a whole number, sent as a string or an integer without fraction or exponent; got {shown}.",
        extensions={"code": "BAD_REQUEST"},
    )


BIG_INT: Final[ScalarDefinition] = strawberry.scalar(
    name="BigInt",
    description="A 64-bit whole number, sent as a decimal string ('2500'). Accepts a string or an integer; no floats.",
    serialize=_serialize,
    parse_value=_parse,
)


#: What a Decimal as input may have before and after its point: together what decimal arithmetic keeps exactly.
WHOLE_DIGITS_MAX: Final = 18
DECIMALS_MAX: Final = 10
_EXACT = re.compile(rf"-?[0-9]{{1,{WHOLE_DIGITS_MAX}}}(?:\.[0-9]{{1,{DECIMALS_MAX}}})?", re.ASCII)


def _serialize_decimal(value: object) -> str:
    assert isinstance(value, Decimal), "a Decimal is a Decimal"
    assert value.is_finite(), "an amount is a number"
    return f"{value:f}"


def _parse_decimal(value: object) -> Decimal:
    """Read digits with a point, as text, or an integer.

    A number with a fraction has been a float on its way here, so it is refused whatever it says; so are exponents,
    blanks and the words for what is no number.
    """
    whole = isinstance(value, int) and not isinstance(value, bool)
    if (whole or isinstance(value, str)) and _EXACT.fullmatch(str(value)):
        return Decimal(str(value))
    shown = repr(value)[: DIGITS_MAX + 2]
    raise GraphQLError(
        f"A Decimal is sent as a string of digits, with a point and up to {DECIMALS_MAX} decimals ('0.0025'), or as an "
        f"integer; got {shown}.",
        extensions={"code": "BAD_REQUEST"},
    )


def _serialize_moment(value: object) -> str:
    assert isinstance(value, datetime), "a DateTime is a datetime"
    assert value.tzinfo is not None, "a moment knows its time zone"
    return value.astimezone(UTC).isoformat()


#: Only ever an answer: no input holds a moment.
DATE_TIME: Final[ScalarDefinition] = strawberry.scalar(
    name="DateTime", description="ISO 8601 with time zone, always UTC.", serialize=_serialize_moment
)


DECIMAL: Final[ScalarDefinition] = strawberry.scalar(
    name="Decimal",
    description="An exact decimal, sent as a string ('24.9975'). Accepts a string of digits or an integer; no floats.",
    serialize=_serialize_decimal,
    parse_value=_parse_decimal,
)
