"""Prices of tools: exact in, exactly shared."""

from decimal import Decimal

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.domain.errors import AmountOutOfRange, InvalidInput
from gateway.domain.money import micros_to_decimal
from gateway.domain.tools import (
    BPS_WHOLE,
    PRICE_MICROS_MAX,
    PRICE_MICROS_MIN,
    checked_id,
    checked_name,
    price_in_micros,
    split_price,
)

PATH = ("input", "name")


@given(st.integers(1, PRICE_MICROS_MAX), st.integers(0, BPS_WHOLE))
@example(1, BPS_WHOLE)
@example(PRICE_MICROS_MAX, 0)
def test_fee_and_net_are_the_whole_price_whatever_the_share(gross: int, fee_bps: int) -> None:
    split = split_price(gross, fee_bps=fee_bps)

    assert split.fee_micros + split.net_micros == split.gross_micros == gross
    assert split.fee_micros >= 0
    assert split.net_micros >= 0
    assert 0 <= gross * fee_bps - split.fee_micros * BPS_WHOLE < BPS_WHOLE


@pytest.mark.parametrize(
    ("gross", "fee_bps", "fee"),
    [
        (2_500, 2_000, 500),
        (101, 2_000, 20),
        (4, 2_000, 0),
        (999_999, 3_333, 333_299),
        (100, 0, 0),
        (100, 10_000, 100),
    ],
)
def test_the_fee_is_rounded_down_to_a_millionth(gross: int, fee_bps: int, fee: int) -> None:
    assert split_price(gross, fee_bps=fee_bps).fee_micros == fee


@given(st.integers(PRICE_MICROS_MIN, PRICE_MICROS_MAX), st.integers(0, 60))
def test_a_price_comes_in_exactly_however_many_zeros_it_ends_in(micros: int, zeros: int) -> None:
    price = micros_to_decimal(micros)

    assert price_in_micros(price) == micros
    assert price_in_micros(Decimal(f"{price:f}{'0' * zeros}")) == micros
    assert price_in_micros(price.normalize()) == micros


@given(st.integers(PRICE_MICROS_MIN, PRICE_MICROS_MAX - 1), st.integers(0, 60), st.integers(1, 9))
@example(PRICE_MICROS_MIN, 40, 1)
def test_a_seventh_decimal_is_refused_however_far_behind_it_is(micros: int, zeros: int, digit: int) -> None:
    price = Decimal(f"{Decimal(micros).scaleb(-6):f}{'0' * zeros}{digit}")

    with pytest.raises(InvalidInput, match="at most 6 decimals") as refusal:
        price_in_micros(price)

    assert refusal.value.path == ("input", "pricePerCall")


@pytest.mark.parametrize("text", ["NaN", "-NaN", "sNaN", "Infinity", "-Infinity", "1E-7", "1E-999999", "0.0000001"])
def test_what_is_no_price_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput):
        price_in_micros(Decimal(text))


def test_a_refused_price_is_said_back_as_it_was_typed() -> None:
    with pytest.raises(InvalidInput, match=r"got 0\.0000001\."):
        price_in_micros(Decimal("0.0000001"))


@pytest.mark.parametrize(
    "text",
    ["0", "-0", "0E-30", "0.000099", "-1", "-0.0001", "100.000001", "1E+2000", "1E+999999", "-1E+999999", "9" * 400],
)
def test_a_price_out_of_range_is_refused_with_the_range(text: str) -> None:
    with pytest.raises(AmountOutOfRange, match=r"between \$0\.0001 and \$100\.00") as refusal:
        price_in_micros(Decimal(text))

    assert (refusal.value.minimum_micros, refusal.value.maximum_micros) == (100, 100_000_000)


@pytest.mark.parametrize(
    ("text", "micros"), [("0.0001", 100), ("100", 100_000_000), ("1E2", 100_000_000), ("0.0025", 2_500)]
)
def test_prices_at_the_edges_are_taken(text: str, micros: int) -> None:
    assert price_in_micros(Decimal(text)) == micros


@pytest.mark.parametrize("text", ["", "a" * 11, " a", "a ", "a\nb", "\x00", "\ud800", "a\u200bb"])
def test_a_name_is_printable_and_not_too_long(text: str) -> None:
    with pytest.raises(InvalidInput, match="1 to 10 printable"):
        checked_name(text, longest=10, path=PATH)


@pytest.mark.parametrize("text", ["", "a" * 11, "a b", "ä", "\x00", "\x7f", "\ud800"])
def test_an_id_is_visible_ascii_and_not_too_long(text: str) -> None:
    with pytest.raises(InvalidInput, match="1 to 10 visible ASCII"):
        checked_id(text, longest=10, path=PATH)


def test_good_names_and_ids_come_back_as_they_are() -> None:
    assert checked_name("Übersetzer 2", longest=20, path=PATH) == "Übersetzer 2"
    assert checked_id("t:1/~!", longest=20, path=PATH) == "t:1/~!"
