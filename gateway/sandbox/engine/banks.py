"""Bank accounts that payouts go to, and what each test number does."""

from typing import Final

from gateway.sandbox.engine.book import Book
from gateway.sandbox.refusals import Json, parameter_invalid

ROUTING_NUMBER: Final = "110000000"
GOOD_NUMBER: Final = "000123456789"
#: Account numbers whose payouts come back, by the reason Stripe gives.
FAILING_NUMBERS: Final = {"000111111116": "no_account", "000111111113": "account_closed"}
FAILURE_MESSAGES: Final = {
    "no_account": "Your bank account details on file are probably incorrect. "
    "No bank account could be located with those details.",
    "account_closed": "The bank account has been closed.",
    "could_not_process": "The bank could not process this payout.",
}
_NOT_FOR_TESTS: Final = (
    f"You must use a test bank account number in test mode. Try {GOOD_NUMBER}, or {', '.join(FAILING_NUMBERS)}, "
    "which fail."
)


def problems_of(*, routing_number: str, account_number: str) -> dict[str, str]:
    """What is wrong with either number, said to whoever typed it."""
    problems: dict[str, str] = {}
    if routing_number != ROUTING_NUMBER:
        problems["routing_number"] = f"The routing number of a test bank account is {ROUTING_NUMBER}."
    if account_number != GOOD_NUMBER and account_number not in FAILING_NUMBERS:
        problems["account_number"] = _NOT_FOR_TESTS
    return problems


def set_bank(book: Book, *, routing_number: str, account_number: str) -> Json:
    """Put a bank account in the place of the one that was there.

    Raises:
        Refusal: 400 for numbers that are not test numbers.
    """
    problems = problems_of(routing_number=routing_number, account_number=account_number)
    if "routing_number" in problems:
        raise parameter_invalid(
            f"Invalid US routing number: {routing_number}; in test mode it is {ROUTING_NUMBER}.",
            param="external_account[routing_number]",
            code="routing_number_invalid",
        )
    if "account_number" in problems:
        raise parameter_invalid(
            problems["account_number"],
            param="external_account[account_number]",
            code="account_number_invalid",
        )
    former = bank_of(book)
    if former is not None:
        del book.table("bank_account")[former["id"]]
    bank: Json = {
        "id": book.new_id("ba"),
        "object": "bank_account",
        "account": book.account,
        "account_holder_name": None,
        "account_holder_type": None,
        "account_type": None,
        "available_payout_methods": ["standard"],
        "bank_name": "STRIPE TEST BANK",
        "country": "US",
        "currency": "usd",
        "default_for_currency": True,
        "fingerprint": book.around.ids.letters(16),
        "last4": account_number[-4:],
        "metadata": {},
        "routing_number": routing_number,
        "status": "new",
    }
    book.behind.bank_numbers[bank["id"]] = account_number
    return book.add(bank)


def bank_of(book: Book) -> Json | None:
    return next(iter(book.table("bank_account").values()), None)


def failure_of(book: Book, bank_id: str) -> str | None:
    """Why a payout to this bank account comes back, also when it was replaced since; None when it arrives."""
    return FAILING_NUMBERS.get(book.behind.bank_numbers.get(bank_id, ""))


def is_errored(book: Book) -> bool:
    """Whether a payout failed and nobody replaced the bank account since: no payout is made until then."""
    bank = bank_of(book)
    return bank is not None and bank["status"] == "errored"
