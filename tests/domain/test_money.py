"""Dollars as whole numbers."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.money import (
    AMOUNT_MICROS_MAX,
    cents_to_micros,
    format_usd,
    format_usd_exact,
    format_usd_micros,
    micros_to_cents,
    micros_to_decimal,
)

amounts = st.integers(min_value=-AMOUNT_MICROS_MAX, max_value=AMOUNT_MICROS_MAX)


@given(st.integers(min_value=-(10**11), max_value=10**11))
def test_cents_survive_the_way_through_the_ledger(cents: int) -> None:
    assert micros_to_cents(cents_to_micros(cents)) == cents


@given(amounts)
def test_whole_cents_are_never_more_than_there_is(micros: int) -> None:
    assert 0 <= micros - cents_to_micros(micros_to_cents(micros)) < cents_to_micros(1)


@given(amounts)
def test_the_exact_amount_loses_nothing(micros: int) -> None:
    assert micros_to_decimal(micros) * 1_000_000 == micros


@pytest.mark.parametrize(
    ("micros", "text"),
    [
        (0, "0.00"),
        (24_997_500, "24.9975"),
        (25_000_000, "25.00"),
        (-2_500, "-0.0025"),
        (1, "0.000001"),
        (100, "0.0001"),
        (10**15, "1000000000.00"),
    ],
)
def test_an_exact_amount_has_two_to_six_decimals(micros: int, text: str) -> None:
    assert str(micros_to_decimal(micros)) == text
    assert micros_to_decimal(micros) == Decimal(text)


@pytest.mark.parametrize(
    ("cents", "text"), [(0, "$0.00"), (499, "$4.99"), (-5, "-$0.05"), (123_456, "$1,234.56"), (100, "$1.00")]
)
def test_people_read_dollars(cents: int, text: str) -> None:
    assert format_usd(cents) == text


@pytest.mark.parametrize(
    ("micros", "text"), [(24_997_500, "$24.9975"), (-10_000, "-$0.01"), (1_234_000_000, "$1,234.00")]
)
def test_people_read_exact_dollars(micros: int, text: str) -> None:
    assert format_usd_micros(micros) == text


@pytest.mark.parametrize(
    ("micros", "text"),
    [
        (0, "$0.000000"),
        (-1, "-$0.000001"),
        (24_997_500, "$24.997500"),
        (-9_007_199_254_740_993_000_001, "-$9,007,199,254,740,993.000001"),
    ],
)
def test_exact_amounts_show_all_six_decimals(micros: int, text: str) -> None:
    assert format_usd_exact(micros) == text
