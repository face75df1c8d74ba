"""Object ids in Stripe's form, from an injected source of randomness."""

import random
import string

_ALPHABET = string.ascii_letters + string.digits
_SHORT = 14
_USUAL = 24
_ACCOUNT = 16
_SESSION = 58
_LENGTHS = {
    "acct": _ACCOUNT,
    "cus": _SHORT,
    "prod": _SHORT,
    "si": _SHORT,
    "req": _SHORT,
    "cs_test": _SESSION,
    "cs_live": _SESSION,
}


class Ids:
    """Makes `prefix_` followed by letters and digits; the same seed gives the same ids in the same order."""

    def __init__(self, source: random.Random) -> None:
        self.source = source

    def new(self, prefix: str) -> str:
        return f"{prefix}_{self.letters(_LENGTHS.get(prefix, _USUAL))}"

    def letters(self, count: int) -> str:
        return "".join(self.source.choices(_ALPHABET, k=count))
