"""Paid tools: what a call may cost, and how its price is shared between the platform and the creator."""

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Final

from gateway.domain.errors import AmountOutOfRange, InvalidInput
from gateway.domain.money import MICROS_PER_DOLLAR, format_usd_micros, micros_to_decimal

#: $0.0001 and $100 a call.
PRICE_MICROS_MIN: Final = 100
PRICE_MICROS_MAX: Final = 100 * MICROS_PER_DOLLAR
PRICE_DECIMALS_MAX: Final = 6
#: Of a refused price, so much is said back.
ECHO_CHARACTERS_MAX: Final = 40
_PRICE_MIN: Final = micros_to_decimal(PRICE_MICROS_MIN)
_PRICE_MAX: Final = micros_to_decimal(PRICE_MICROS_MAX)
TOOL_ID_CHARACTERS_MAX: Final = 100
TOOL_NAME_CHARACTERS_MAX: Final = 100
CALL_ID_CHARACTERS_MAX: Final = 128
BPS_WHOLE: Final = 10_000


class ToolKind(StrEnum):
    """What is sold by the call."""

    TOOL = "TOOL"
    FUNCTION = "FUNCTION"
    AGENT = "AGENT"


@dataclass(frozen=True, slots=True)
class Split:
    """A price shared out, in micro-dollars; fee + net is the gross, always."""

    gross_micros: int
    fee_micros: int
    net_micros: int


def split_price(gross_micros: int, *, fee_bps: int) -> Split:
    """The platform's fee, rounded down to a micro-dollar, and the creator's rest."""
    assert gross_micros > 0, "a call costs something"
    assert 0 <= fee_bps <= BPS_WHOLE, "a share is at most the whole"
    fee = gross_micros * fee_bps // BPS_WHOLE
    return Split(gross_micros=gross_micros, fee_micros=fee, net_micros=gross_micros - fee)


def price_in_micros(price: Decimal) -> int:
    """A price as sent, in whole micro-dollars.

    Raises:
        InvalidInput: it is no number, or has more decimals than a price may have.
        AmountOutOfRange: a call may not cost so little, or so much.
    """
    path = ("input", "pricePerCall")
    if not price.is_finite() or _decimals(price) > PRICE_DECIMALS_MAX:
        raise InvalidInput(f"A price has at most {PRICE_DECIMALS_MAX} decimals; got {_as_typed(price)}.", path=path)
    # Comparing is exact at any size, which arithmetic on a stranger's Decimal is not: it rounds, or overflows.
    if not _PRICE_MIN <= price <= _PRICE_MAX:
        low, high = format_usd_micros(PRICE_MICROS_MIN), format_usd_micros(PRICE_MICROS_MAX)
        raise AmountOutOfRange(
            f"A call costs between {low} and {high}; got ${_as_typed(price)}.",
            minimum_micros=PRICE_MICROS_MIN,
            maximum_micros=PRICE_MICROS_MAX,
            path=path,
        )
    return int(price.scaleb(PRICE_DECIMALS_MAX))


def _as_typed(price: Decimal) -> str:
    """A stranger's number for a sentence: 0.0000001 rather than 1E-7, and never longer than a line."""
    exponent = price.as_tuple().exponent
    plain = isinstance(exponent, int) and -ECHO_CHARACTERS_MAX < exponent <= 0
    return (f"{price:f}" if plain else str(price))[:ECHO_CHARACTERS_MAX]


def _decimals(price: Decimal) -> int:
    """How many decimals a finite number needs: one for 1.500, none for 0.000."""
    _, digits, exponent = price.as_tuple()
    assert isinstance(exponent, int), "a finite number"
    zeros = next((place for place, digit in enumerate(reversed(digits)) if digit), None)
    return 0 if zeros is None else -exponent - zeros


def checked_name(text: str, *, longest: int, path: tuple[str, ...]) -> str:
    """A text for an id or a name: visible characters, without blanks at its ends, no longer than it may be."""
    if not 0 < len(text) <= longest or text != text.strip() or not text.isprintable():
        raise InvalidInput(
            f"{path[-1]} is 1 to {longest} printable characters without blanks at its ends; got {text[:40]!r}.",
            path=path,
        )
    return text


def checked_id(text: str, *, longest: int, path: tuple[str, ...]) -> str:
    """The platform's own id of something: visible ASCII, so that it can be part of a ledger entry's name."""
    if not 0 < len(text) <= longest or not all("!" <= character <= "~" for character in text):
        raise InvalidInput(f"{path[-1]} is 1 to {longest} visible ASCII characters; got {text[:40]!r}.", path=path)
    return text
