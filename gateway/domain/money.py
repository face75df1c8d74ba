"""Dollars as whole numbers: cents towards Stripe, millionths of a dollar in the ledger."""

from decimal import Decimal

MICROS_PER_CENT = 10_000
CENTS_PER_DOLLAR = 100
MICROS_PER_DOLLAR = MICROS_PER_CENT * CENTS_PER_DOLLAR
CURRENCY = "usd"

#: The largest amount the ledger is asked to hold: far below 64 bits, far above any wallet ($1 billion).
AMOUNT_MICROS_MAX = 10**15


def cents_to_micros(cents: int) -> int:
    return cents * MICROS_PER_CENT


def micros_to_cents(micros: int) -> int:
    """Whole cents, rounded down (towards minus infinity): what can be moved through Stripe."""
    return micros // MICROS_PER_CENT


def micros_to_decimal(micros: int) -> Decimal:
    """The exact amount in dollars with at least two and at most six decimals: 24.9975, 25.00."""
    exact = Decimal(micros).scaleb(-6)
    trimmed = exact.normalize()
    exponent = trimmed.as_tuple().exponent
    assert isinstance(exponent, int), "a finite amount"
    return exact.quantize(Decimal(1).scaleb(min(exponent, -2)))


def format_usd(cents: int) -> str:
    """A person's spelling of whole cents: $1,234.56, -$0.05."""
    sign, rest = ("-", -cents) if cents < 0 else ("", cents)
    return f"{sign}${rest // CENTS_PER_DOLLAR:,}.{rest % CENTS_PER_DOLLAR:02d}"


def format_usd_micros(micros: int) -> str:
    """A person's spelling of an exact amount: $24.9975, $25.00."""
    sign, rest = ("-", -micros) if micros < 0 else ("", micros)
    return f"{sign}${micros_to_decimal(rest):,f}"


def format_usd_exact(micros: int) -> str:
    """All six decimals of an exact amount, so that a column of them can be compared: $24.997500, -$0.000001."""
    sign, rest = ("-", -micros) if micros < 0 else ("", micros)
    return f"{sign}${rest // MICROS_PER_DOLLAR:,}.{rest % MICROS_PER_DOLLAR:06d}"
