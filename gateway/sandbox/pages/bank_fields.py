"""The two fields of a bank account, which several pages ask for."""

from dataclasses import dataclass, field
from typing import Final

from gateway.sandbox.engine.banks import FAILING_NUMBERS, GOOD_NUMBER, ROUTING_NUMBER
from gateway.sandbox.hosted_setup import BankNumbers
from gateway.sandbox.pages.forms import Form

_MEANINGS: Final = {
    "no_account": "Payouts fail: no such account",
    "account_closed": "Payouts fail: account closed",
}
#: The bank accounts the local Stripe gives a meaning, and that meaning.
TEST_BANKS: Final = (
    (GOOD_NUMBER, "Payouts arrive"),
    *((number, _MEANINGS[reason]) for number, reason in FAILING_NUMBERS.items()),
)


@dataclass(frozen=True, slots=True)
class BankFields:
    """The fields as the page shows them: what was typed, and beside each what is wrong with it."""

    routing_number: str = ROUTING_NUMBER
    account_number: str = ""
    problems: dict[str, str] = field(default_factory=dict[str, str])


def typed_bank(form: Form) -> BankNumbers:
    """What was typed; fields left empty mean the bank account that works."""
    routing = "".join(form.get("routing_number", "").split()) or ROUTING_NUMBER
    return BankNumbers(routing, "".join(form.get("account_number", "").split()) or GOOD_NUMBER)


def shown_again(form: Form, problems: dict[str, str]) -> BankFields:
    """What was typed stays as it was typed."""
    return BankFields(form.get("routing_number", ROUTING_NUMBER), form.get("account_number", ""), problems)
