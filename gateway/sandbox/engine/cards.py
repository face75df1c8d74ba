"""What each card number does."""

from dataclasses import dataclass
from enum import Enum
from typing import Final


class Conduct(Enum):
    """How a card behaves once its number was taken."""

    PAYS = "pays"
    DECLINES = "declines"
    FAILS_LATER = "fails_later"
    """Pays while its owner is there; every later charge is declined."""
    PAYS_LATER = "pays_later"
    DISPUTES = "disputes"
    INQUIRES = "inquires"
    NEVER_ARRIVES = "never_arrives"
    """Is under way like one that pays later, but the money does not come."""
    SKIPS_PENDING = "skips_pending"
    """The money is available at once."""


@dataclass(frozen=True, slots=True)
class Decline:
    """Why a charge did not go through, in the words of the API."""

    code: str
    decline_code: str | None
    message: str


@dataclass(frozen=True, slots=True)
class Card:
    brand: str
    last4: str
    conduct: Conduct
    decline: Decline | None = None
    exp_month: int = 12
    exp_year: int = 2034
    kind: str = "card"
    """The type of payment method: card, or sepa_debit for a bank account."""


class CardRefused(Exception):
    """The number is no card at all; nothing was attempted."""

    def __init__(self, decline: Decline) -> None:
        super().__init__(decline.message)
        self.decline = decline


GENERIC_DECLINE: Final = Decline("card_declined", "generic_decline", "Your card was declined.")
_INVALID_NUMBER: Final = Decline("incorrect_number", None, "Your card number is incorrect.")
_INCOMPLETE_NUMBER: Final = Decline("incomplete_number", None, "Your card number is incomplete.")
_NOT_A_TEST_CARD: Final = Decline(
    "card_declined",
    "test_mode_live_card",
    "Your card was declined. Your request was in test mode, but used a non test card. "
    "For a list of valid test cards, visit: https://docs.stripe.com/testing.",
)
_DECLINES: Final = {
    "4000000000000002": GENERIC_DECLINE,
    "4000000000009995": Decline("card_declined", "insufficient_funds", "Your card has insufficient funds."),
    "4000000000009987": Decline("card_declined", "lost_card", "Your card was declined."),
    "4000000000000069": Decline("expired_card", "expired_card", "Your card has expired."),
    "4000000000000127": Decline("incorrect_cvc", "incorrect_cvc", "Your card's security code is incorrect."),
    "4000000000000119": Decline(
        "processing_error", "processing_error", "An error occurred while processing your card. Try again in a bit."
    ),
    "4000002500003155": Decline(
        "authentication_required",
        "authentication_required",
        "Your card was declined. This transaction requires authentication.",
    ),
}
_CONDUCTS: Final = {
    "4242424242424242": Conduct.PAYS,
    "4000056655665556": Conduct.PAYS,
    "5555555555554444": Conduct.PAYS,
    "378282246310005": Conduct.PAYS,
    "4000000000000341": Conduct.FAILS_LATER,
    "4000000000009979": Conduct.PAYS_LATER,
    "4000000000000259": Conduct.DISPUTES,
    "4000000000001976": Conduct.INQUIRES,
    "4000000000000077": Conduct.SKIPS_PENDING,
}
_TOKENS: Final = {
    "visa": "4242424242424242",
    "visa_debit": "4000056655665556",
    "mastercard": "5555555555554444",
    "amex": "378282246310005",
    "chargeCustomerFail": "4000000000000341",
    "createDispute": "4000000000000259",
    "createDisputeInquiry": "4000000000001976",
    "bypassPending": "4000000000000077",
    "visa_chargeDeclined": "4000000000000002",
    "chargeDeclined": "4000000000000002",
    "visa_chargeDeclinedInsufficientFunds": "4000000000009995",
}
_ACCOUNTS: Final = {
    "AT611904300234573201": Conduct.PAYS_LATER,
    "DE89370400440532013000": Conduct.PAYS_LATER,
    "AT861904300235473202": Conduct.NEVER_ARRIVES,
    "DE62370400440532013001": Conduct.NEVER_ARRIVES,
    "IT60X0542811101000000123456": Conduct.NEVER_ARRIVES,
}
_INVALID_IBAN: Final = Decline("invalid_bank_account_iban", None, "The IBAN you provided is not a test account.")
_DIGITS_MIN: Final = 13
_DIGITS_MAX: Final = 19


def read_card(number: str) -> Card:
    """The card behind a number typed by a person; blanks and dashes do not count.

    Raises:
        CardRefused: it cannot be a card number.
    """
    digits = number.replace(" ", "").replace("-", "")
    if not digits.isascii() or not digits.isdigit() or len(digits) > _DIGITS_MAX:
        raise CardRefused(_INVALID_NUMBER)
    if len(digits) < _DIGITS_MIN:
        raise CardRefused(_INCOMPLETE_NUMBER)
    if not _luhn_holds(digits):
        raise CardRefused(_INVALID_NUMBER)
    brand, last4 = _brand(digits), digits[-4:]
    if digits in _CONDUCTS:
        return Card(brand=brand, last4=last4, conduct=_CONDUCTS[digits])
    return Card(brand=brand, last4=last4, conduct=Conduct.DECLINES, decline=_DECLINES.get(digits, _NOT_A_TEST_CARD))


def card_of_token(token: str) -> Card | None:
    """The card behind `pm_card_visa`, `tok_visa` and their like; None for an unknown one."""
    for prefix in ("pm_card_", "tok_"):
        if token.startswith(prefix) and token.removeprefix(prefix) in _TOKENS:
            return read_card(_TOKENS[token.removeprefix(prefix)])
    return None


def read_iban(iban: str) -> Card:
    """The bank account behind a test IBAN, whose payments take days; one of them never pays.

    Raises:
        CardRefused: it is not one of the test accounts.
    """
    conduct = _ACCOUNTS.get(iban.replace(" ", "").upper())
    if conduct is None:
        raise CardRefused(_INVALID_IBAN)
    return Card(brand="sepa_debit", last4=iban[-4:], conduct=conduct, kind="sepa_debit")


def _luhn_holds(digits: str) -> bool:
    total = 0
    for position, digit in enumerate(reversed(digits)):
        value = int(digit) * (2 if position % 2 else 1)
        total += value - 9 if value > 9 else value  # noqa: PLR2004 - the digits of a two-digit product are summed
    return total % 10 == 0


def _brand(digits: str) -> str:
    if digits.startswith("4"):
        return "visa"
    if digits[:2] in {"34", "37"}:
        return "amex"
    if digits.startswith("5"):
        return "mastercard"
    return "unknown"
