"""Accounts: /v1/account."""

from typing import Final

from gateway.sandbox.refusals import Json
from gateway.sandbox.wire.operation import Call, Operation, operation

#: Whose key every platform key is: the same from one start to the next, with or without a state file.
PLATFORM_ACCOUNT_ID: Final = "acct_1LocalStripePlatform"


def _own(call: Call) -> Json:
    return {
        "id": call.book.account or PLATFORM_ACCOUNT_ID,
        "object": "account",
        "charges_enabled": True,
        "country": "US",
        "default_currency": "usd",
        "details_submitted": True,
        "email": "platform@example.com",
        "payouts_enabled": True,
        "type": "standard",
    }


OPERATIONS: Final[tuple[Operation, ...]] = (operation("GET", "/v1/account", "account", "", _own),)
