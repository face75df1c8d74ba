"""Amounts, dates and addresses as the pages spell them."""

import pytest

from gateway.sandbox.hosted import PriceLine
from gateway.sandbox.pages.rendering import csp_source, redirect
from gateway.sandbox.pages.wording import amount_text, date_text, moment_text, renewals, status_text


@pytest.mark.parametrize(
    ("cents", "currency", "text"),
    [(2900, "usd", "$29.00"), (5, "USD", "$0.05"), (-123_456, "usd", "-$1,234.56"), (2900, "eur", "29.00 EUR")],
)
def test_amounts_come_from_whole_cents(cents: int, currency: str, text: str) -> None:
    assert amount_text(cents, currency) == text


def test_dates_are_days_in_utc() -> None:
    assert date_text(1_795_374_600) == "22 November 2026"
    assert date_text(1_798_761_599) == "31 December 2026"
    assert date_text(1_798_761_600) == "1 January 2027"
    assert moment_text(1_798_761_599) == "31 December 2026, 23:59 UTC"


def test_renewals_add_up_by_interval_and_leave_one_off_lines_out() -> None:
    lines = (
        PriceLine("Pro", 2900, "month"),
        PriceLine("Seat", 100, "month"),
        PriceLine("Domain", 1200, "year"),
        PriceLine("Set-up", 5000, None),
    )
    assert renewals(lines, "usd") == ["$30.00 per month", "$12.00 per year"]
    assert renewals(lines[3:], "usd") == []


def test_status_that_is_not_known_is_shown_in_words() -> None:
    assert status_text("past_due") == "Payment overdue"
    assert status_text("some_new_state") == "Some new state"


@pytest.mark.parametrize(
    ("url", "source"),
    [
        ("https://app.example.com/a?b=c", "https://app.example.com"),
        ("HTTP://LocalHost:5173/?x", "http://localhost:5173"),
        ("https://app.example.com", "https://app.example.com"),
        ("http://[::1]:5173/done", "http:"),
        ("https://b\u00fccher.example/", "https:"),
        ("https://user@app.example.com/", "https:"),
        ("https://app.example.com; script-src *", "https:"),
        ("myapp://done", "myapp:"),
        ("nonsense", "'self'"),
        ("", "'self'"),
    ],
)
def test_csp_source_is_an_origin_or_a_scheme_and_never_more(url: str, source: str) -> None:
    assert csp_source(url) == source


def test_redirect_keeps_a_good_url_byte_for_byte() -> None:
    url = "https://app.example.com/a%2Fb?session_id=cs_test_1&x=%7B1%7D&y=~a+b#part"
    assert redirect(url).headers["Location"] == url


def test_redirect_lets_no_line_break_into_a_header() -> None:
    location = redirect("https://app.example.com/\r\nSet-Cookie: a=b\u00e9").headers["Location"]
    assert location == "https://app.example.com/%0D%0ASet-Cookie:%20a=b%C3%A9"
