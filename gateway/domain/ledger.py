"""The ledger's grammar in plain Python: accounts, and entries whose lines sum to zero.

Amounts are signed micro-dollars. Plus is what we owe or have earned, minus what is owed to us or held for us, so every
entry sums to zero and so does the whole ledger.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache
from typing import Final
from uuid import UUID, uuid5

from gateway.domain.money import AMOUNT_MICROS_MAX, format_usd_micros

IDEM_CHARACTERS_MAX: Final = 200
TEXT_CHARACTERS_MAX: Final = 255
LINES_MIN: Final = 2
#: Accounts of one kind that a process remembers, a few megabytes; making one anew takes some microseconds.
ACCOUNTS_KEPT_MAX: Final = 10_000

#: Account ids are UUIDv5 of the code in this namespace: any node knows the id without asking. Never change it.
ACCOUNT_NAMESPACE: Final = UUID("422c1cd6-20fc-4a2e-9788-f3c9ab6b22c1")

_IDEM: Final = re.compile(r"[a-z]+:[!-~]+")
_DIGEST_VERSION: Final = 1


class AccountKind(StrEnum):
    """What a bucket is for; the first part of its code."""

    WALLET = "wallet"
    RECEIVABLE = "receivable"
    EARN_PENDING = "earn_pending"
    EARN_AVAILABLE = "earn_available"
    EARN_HELD = "earn_held"
    TRANSIT = "transit"
    REFUND_TRANSIT = "refund_transit"
    STRIPE = "stripe"
    BANK = "bank"
    FEES = "fees"
    SUBSCRIPTIONS = "subscriptions"
    STRIPE_FEES = "stripe_fees"
    BAD_DEBT = "bad_debt"


#: The platform's own accounts. Everyone's entries touch them, so a cached balance would be a queue for everyone.
PLATFORM_KINDS: Final = frozenset(
    {
        AccountKind.STRIPE,
        AccountKind.BANK,
        AccountKind.FEES,
        AccountKind.SUBSCRIPTIONS,
        AccountKind.STRIPE_FEES,
        AccountKind.BAD_DEBT,
    }
)

#: Kinds that may go below zero: a receivable is a debt to us, and a reversal may take back what was paid out.
_BOTTOMLESS_KINDS: Final = PLATFORM_KINDS | {AccountKind.RECEIVABLE, AccountKind.EARN_AVAILABLE}


class EntryKind(StrEnum):
    """What happened, in the words of docs/ledger.md."""

    DEPOSIT = "deposit"
    TOOL_CALL = "tool_call"
    RELEASE = "release"
    REVERSAL = "reversal"
    REFUND = "refund"
    DISPUTE = "dispute"
    DISPUTE_REVERSAL = "dispute_reversal"
    BAD_DEBT = "bad_debt"
    PAYOUT = "payout"
    PAYOUT_CONFIRMED = "payout_confirmed"
    PAYOUT_RETURNED = "payout_returned"
    STRIPE_FEE = "stripe_fee"
    SUBSCRIPTION = "subscription"
    BANK_TRANSFER = "bank_transfer"
    ADJUSTMENT = "adjustment"


class MalformedEntry(ValueError):
    """An entry or account that cannot exist, whatever the balances are: a mistake in our code, not a refusal."""


class LedgerRefusal(Exception):
    """The ledger will not record an entry; nothing of it was written. Services say it in the caller's words."""


@dataclass(frozen=True, slots=True)
class Account:
    """Names one bucket. Owned kinds have an owner (our customer, creator or payout row), platform kinds have none.

    `code` is its name in the books, `id` the key of its row, which follows from the code.
    """

    kind: AccountKind
    owner_id: UUID | None = None
    code: str = field(init=False, compare=False)
    id: UUID = field(init=False, compare=False)

    def __post_init__(self) -> None:
        code = self.kind.value if self.owner_id is None else f"{self.kind.value}:{self.owner_id}"
        if (self.owner_id is None) != (self.kind in PLATFORM_KINDS):
            raise MalformedEntry(f"A platform account has no owner and any other has one; got {code!r}.")
        object.__setattr__(self, "code", code)
        object.__setattr__(self, "id", uuid5(ACCOUNT_NAMESPACE, code))

    @property
    def cached(self) -> bool:
        return self.kind not in PLATFORM_KINDS

    @property
    def floor_at_zero(self) -> bool:
        return self.kind not in _BOTTOMLESS_KINDS


STRIPE: Final = Account(AccountKind.STRIPE)
BANK: Final = Account(AccountKind.BANK)
FEES: Final = Account(AccountKind.FEES)
SUBSCRIPTIONS: Final = Account(AccountKind.SUBSCRIPTIONS)
STRIPE_FEES: Final = Account(AccountKind.STRIPE_FEES)
BAD_DEBT: Final = Account(AccountKind.BAD_DEBT)


@lru_cache(ACCOUNTS_KEPT_MAX)
def wallet(customer_id: UUID) -> Account:
    return Account(AccountKind.WALLET, customer_id)


@dataclass(frozen=True, slots=True)
class Line:
    """What an entry does to one account."""

    account: Account
    amount_micros: int


@dataclass(frozen=True, slots=True, kw_only=True)
class EntryDraft:
    """An entry as asked for: at least two lines on different accounts that sum to zero.

    A part that comes to nothing (the fee of a call too cheap for one) is left out, not written as zero.

    `idem` is `<event>:<its id>`, the name under which it happens once. `ref` is what it is about (a Stripe id), kept
    for people. `reverses` is the entry taken back; one entry can be taken back once.

    Raises:
        MalformedEntry: the lines do not balance, or a text is empty, too long or not printable.
    """

    idem: str
    kind: EntryKind
    lines: tuple[Line, ...]
    ref: str | None = None
    reverses: UUID | None = None
    description: str = ""

    def __post_init__(self) -> None:
        if len(self.idem) > IDEM_CHARACTERS_MAX or _IDEM.fullmatch(self.idem) is None:
            raise MalformedEntry(
                f"idem is '<event>:<id>' in at most {IDEM_CHARACTERS_MAX} visible ASCII characters; got {self.idem!r}."
            )
        for text in (self.ref, self.description):
            if text is not None and (len(text) > TEXT_CHARACTERS_MAX or not text.isprintable()):
                raise MalformedEntry(
                    f"ref and description are at most {TEXT_CHARACTERS_MAX} printable characters; got {text!r}."
                )
        _check_lines(self.idem, self.lines)

    @property
    def digest(self) -> str:
        """SHA-256 of what is asked for; the wording of the description may change without making it another entry."""
        return entry_digest(
            kind=self.kind,
            ref=self.ref,
            reverses=self.reverses,
            amounts={line.account.code: line.amount_micros for line in self.lines},
        )


def entry_digest(*, kind: str, ref: str | None, reverses: UUID | None, amounts: Mapping[str, int]) -> str:
    """The hexadecimal digest of an entry's content; `amounts` maps account codes to micro-dollars."""
    reversed_id = None if reverses is None else str(reverses)
    content = [_DIGEST_VERSION, str(kind), ref, reversed_id, sorted(amounts.items())]
    return hashlib.sha256(json.dumps(content, separators=(",", ":")).encode()).hexdigest()


class FloorBroken(LedgerRefusal):
    """An account that may not go below zero would.

    `balance_micros` is what it holds, `required_micros` what the entry takes from it.
    """

    def __init__(self, account: Account, *, balance_micros: int, required_micros: int) -> None:
        has, needs = format_usd_micros(balance_micros), format_usd_micros(required_micros)
        super().__init__(f"{account.code} holds {has} and the entry takes {needs}.")
        self.account = account
        self.balance_micros = balance_micros
        self.required_micros = required_micros


class EntryConflict(LedgerRefusal):
    """The idem was recorded before with another content, or what the draft reverses is already reversed."""

    def __init__(self, idem: str, message: str) -> None:
        super().__init__(message)
        self.idem = idem


@dataclass(frozen=True, slots=True)
class Recorded:
    """An entry that stands in the books.

    `created` is False when it already stood there. `balances` are what its cached accounts held right after it, then
    as now: a replay answers what the first call answered.
    """

    entry_id: UUID
    created: bool
    balances: Mapping[Account, int]


def deposit_draft(*, customer_id: UUID, session_id: str, amount_micros: int) -> EntryDraft:
    """A paid deposit: Stripe holds it for us, the customer's wallet has it. One Checkout Session credits once."""
    if amount_micros <= 0:
        raise MalformedEntry(f"A deposit adds to the wallet; got {amount_micros} micro-dollars.")
    return EntryDraft(
        idem=f"dep:{session_id}",
        kind=EntryKind.DEPOSIT,
        lines=(Line(STRIPE, -amount_micros), Line(wallet(customer_id), amount_micros)),
        ref=session_id,
        description="Deposit",
    )


def _check_lines(idem: str, lines: tuple[Line, ...]) -> None:
    if len(lines) < LINES_MIN or len({line.account for line in lines}) != len(lines):
        raise MalformedEntry(f"An entry has at least {LINES_MIN} lines, each on another account; see {idem!r}.")
    for line in lines:
        amount = line.amount_micros
        if type(amount) is not int or not 0 < abs(amount) <= AMOUNT_MICROS_MAX:
            raise MalformedEntry(
                f"An amount is a whole number of micro-dollars, not 0, up to {AMOUNT_MICROS_MAX}; got {amount!r}."
            )
    total = sum(line.amount_micros for line in lines)
    if total != 0:
        raise MalformedEntry(f"The lines of an entry sum to zero; those of {idem!r} sum to {total}.")
