# ruff: noqa: S608 - SQL written by hand on purpose, from constants
"""The ledger's rows written by hand: entries, and postings of many entries in one statement."""

from collections.abc import Sequence
from uuid import UUID

from gateway.db import Database
from gateway.domain.ledger import STRIPE, Account
from tests.services.ledger_drafts import ANN_WALLET, deposit, recorded, release, tool_call

# What the ledger holds before each attempt.
WALLET_MICROS = 10_000_000
WALLET_SEQ = 2
AVAILABLE_MICROS = 2_000_000

Line = tuple[int, Account, int, int | None, int | None]


def entry_id(number: int) -> UUID:
    return UUID(int=0x01900000_0000_7000_8000_000000000E00 + number)


def posting_id(number: int) -> UUID:
    return UUID(int=0x01900000_0000_7000_8000_000000000F00 + number)


def open_entries(*numbers: int) -> str:
    rows = ", ".join(
        f"('{entry_id(number)}', 'raw:{number}', '{'0' * 64}', 'adjustment', '', '2026-11-22 12:00:00.000000+00:00')"
        for number in numbers
    )
    return f"INSERT INTO ledger_entry (id, idem, digest, kind, description, created_at) VALUES {rows}"


def seal(*numbers: int) -> str:
    return "UPDATE ledger_entry SET sealed = true WHERE id IN ({})".format(
        ", ".join(f"'{entry_id(number)}'" for number in numbers)
    )


def on_wallet(number: int, amount_micros: int, *, place: int, total: int) -> Line:
    """A posting that is the wallet's first, second, ... since `prepare`, and leaves it with `total` more than then."""
    return number, ANN_WALLET, amount_micros, WALLET_SEQ + place, WALLET_MICROS + total


def from_stripe(number: int, amount_micros: int) -> Line:
    return number, STRIPE, amount_micros, None, None


def values(lines: Sequence[Line], *, first: int = 1) -> str:
    """The lines as rows; `first` is the number of the first one's id."""
    rows = (
        f"('{posting_id(place)}', '{entry_id(number)}', '{account.id}', {amount}, "
        f"{'NULL' if seq is None else seq}, {'NULL' if after is None else after})"
        for place, (number, account, amount, seq, after) in enumerate(lines, start=first)
    )
    return ", ".join(rows)


def postings(*lines: Line, first: int = 1) -> str:
    """One statement that writes the lines in this order."""
    return (
        "INSERT INTO posting (id, entry_id, account_id, amount_micros, seq, balance_after_micros) "
        f"VALUES {values(lines, first=first)}"
    )


async def prepare(database: Database) -> None:
    await recorded(database, deposit(25_000_000))
    await recorded(database, tool_call(15_000_000))
    await recorded(database, release(AVAILABLE_MICROS))
