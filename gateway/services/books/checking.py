"""The audit of everything that is money: the ledger, and every row that says what an entry of it was for."""

from collections.abc import Iterator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Final, Protocol

from gateway.db import Dialect, Parameters, Row
from gateway.domain.charges import Call, ChargeState, Listing, charge_draft
from gateway.domain.ledger import EntryKind, MalformedEntry
from gateway.domain.money import cents_to_micros
from gateway.domain.tools import Split, split_price
from gateway.services.books.payouts import PAYOUT_CHECKS
from gateway.services.books.statements import (
    CHARGES,
    DAYS,
    DEBTORS,
    DEPOSITS,
    DERIVED,
    EARNED_AVAILABLE,
    EARNED_HELD,
    EARNED_PENDING,
    ENTRIES,
)
from gateway.services.books.walk import CREATORS_AT_ONCE_MAX, Check
from gateway.services.ledger import FAULTS_MAX, Fault, Reader, verify_books
from gateway.services.ledger.rows import as_int, as_uuid


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What one check looked at, in rows read, and what it found."""

    name: str
    rule: str
    rows: int
    faults: tuple[Fault, ...]


@dataclass(frozen=True, slots=True)
class BooksReport:
    """All checks, in the order in which they were made."""

    results: tuple[CheckResult, ...]

    @property
    def faults(self) -> tuple[Fault, ...]:
        return tuple(fault for result in self.results for fault in result.faults)


class BooksReader(Reader, Protocol):
    """A `Database`, or a `Connection` for what its transaction sees."""

    @property
    def dialect(self) -> Dialect: ...


async def check_books(reader: BooksReader, *, faults_max: int = FAULTS_MAX) -> BooksReport:
    """Check every invariant; a report without faults is what one wants.

    Reads in batches of one statement each, hence each of one consistent view, so it may run beside the writers, and
    memory does not grow with the books. Each check stops at `faults_max` faults.

    Raises:
        DatabaseUnavailable: nothing can be said.
    """
    counting = _CountingReader(reader)
    ledger = await verify_books(counting, faults_max=faults_max)
    results = [CheckResult("ledger", _LEDGER_RULE, counting.rows, tuple(ledger))]
    for check in _checks(reader.dialect):
        counting = _CountingReader(reader)
        faults: list[Fault] = []
        async with aclosing(check.faults(counting)) as found:
            async for fault in found:
                faults.append(fault)
                if len(faults) >= faults_max:
                    break
        results.append(CheckResult(check.name, check.rule, counting.rows, tuple(faults)))
    return BooksReport(tuple(results))


class _CountingReader:
    """Reads through another reader and counts the rows."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self.rows = 0

    async def fetch(self, sql: str, params: Parameters = ()) -> list[Row]:
        rows = await self._reader.fetch(sql, params)
        self.rows += len(rows)
        return rows

    async def fetch_one(self, sql: str, params: Parameters = ()) -> Row | None:
        row = await self._reader.fetch_one(sql, params)
        self.rows += row is not None
        return row


def _judge_deposit(row: Row) -> Iterator[Fault]:
    session_id = str(row["session_id"])
    if row["entry_kind"] is None:
        yield Fault("deposit-entry", session_id, "The deposit is settled and has no entry.")
        return
    if row["entry_kind"] != EntryKind.DEPOSIT:
        yield Fault("deposit-entry", session_id, f"The entry of the deposit is a {row['entry_kind']}.")
    paid = cents_to_micros(as_int(row["amount_cents"]))
    credited = 0 if row["credited_micros"] is None else as_int(row["credited_micros"])
    if credited != paid:
        yield Fault("deposit-amount", session_id, f"{paid} was paid and the customer's wallet was given {credited}.")


def _judge_entry(row: Row) -> Iterator[Fault]:
    idem, kind = str(row["idem"]), row["kind"]
    if kind == EntryKind.DEPOSIT and row["checkout_id"] is None:
        yield Fault("entry-deposit", idem, "The entry credits a deposit of which no settled checkout knows.")
    if kind == EntryKind.TOOL_CALL and row["charge_id"] is None:
        yield Fault("entry-charge", idem, "The entry pays for a call of which no charge knows.")
    if kind == EntryKind.REVERSAL and row["reversed_state"] != ChargeState.REVERSED:
        yield Fault("entry-reversal", idem, "The entry takes back a charge that is not marked as reversed.")


def _judge_charge(row: Row) -> Iterator[Fault]:
    charge_id = str(row["id"])
    consumer_id, creator_id = as_uuid(row["consumer_id"]), as_uuid(row["creator_id"])
    gross, fee, net = (as_int(row[column]) for column in ("gross_micros", "fee_micros", "net_micros"))
    if fee + net != gross:
        yield Fault("charge-split", charge_id, f"The fee {fee} and the net {net} are not the gross {gross}.")
    elif split_price(gross, fee_bps=as_int(row["fee_bps"])) != Split(gross, fee, net):
        yield Fault("charge-share", charge_id, f"The fee {fee} is not {row['fee_bps']} basis points of {gross}.")
    call = Call(str(row["call_id"]), str(row["tool_id"]), consumer_id)
    try:
        draft = charge_draft(call, Listing(call.tool_id, creator_id, gross), Split(gross, fee, net))
    except MalformedEntry as error:
        yield Fault("charge-entry", charge_id, f"No entry can be what the charge says: {error}")
    else:
        if (row["idem"], row["digest"]) != (draft.idem, draft.digest):
            yield Fault("charge-entry", charge_id, "The entry of the charge is missing, or not what the charge says.")
    if row["wallet_micros"] != row["wallet_after_micros"]:
        yield Fault("charge-wallet", charge_id, "The balance that was answered is not the one after the entry.")
    state = row["state"]
    if (state == ChargeState.REVERSED) != (row["reversal_id"] is not None):
        yield Fault("charge-reversal", charge_id, f"The charge is {state}, which its reversal in the ledger denies.")
    if state != ChargeState.REVERSED and (state == ChargeState.OWN) != (consumer_id == creator_id):
        yield Fault("charge-own", charge_id, f"The charge of {consumer_id} to {creator_id} is {state}.")


def _judge_earned(row: Row) -> Iterator[Fault]:
    balance, charges, other = (as_int(row[column]) for column in ("balance_micros", "charges_micros", "other_micros"))
    if balance != charges + other:
        yield Fault(
            "earned-charges",
            str(row["code"]),
            f"The account holds {balance}; its charges come to {charges}, and what else moved it to {other}.",
        )


def _judge_day(row: Row) -> Iterator[Fault]:
    if row["day"] is None:
        return
    parts = ("gross_micros", "fee_micros", "net_micros", "calls")
    shown = tuple(as_int(row[part]) for part in parts)
    sold = tuple(as_int(row[f"sold_{part}"]) for part in parts)
    if shown != sold:
        yield Fault("day-charges", f"{row['id']} {row['day']}", f"The day shows {shown}; its charges come to {sold}.")


def _judge_debtor(row: Row) -> Iterator[Fault]:
    receivable, wallet = as_int(row["balance_micros"]), as_int(row["wallet_micros"])
    if receivable > 0:
        yield Fault("receivable-sign", str(row["code"]), f"The receivable is {receivable}; nobody owes less than 0.")
    if receivable < 0 and wallet != 0:
        yield Fault("debtor-wallet", str(row["code"]), f"{-receivable} is owed while the wallet holds {wallet}.")


def _judge_derived(row: Row) -> Iterator[Fault]:
    known, total = as_int(row["known_micros"]), as_int(row["total_micros"])
    if known != total:
        yield Fault("derived-checkpoint", str(row["code"]), f"Checkpoint and tail say {known}; postings say {total}.")


_LEDGER_RULE: Final = "Entries are sealed, balanced and unchanged; balances are the sums of their postings"


def _checks(dialect: Dialect) -> tuple[Check, ...]:
    return (
        Check(
            name="deposits",
            rule="Every settled deposit credited its customer's wallet with its amount",
            sql=DEPOSITS,
            judge=_judge_deposit,
        ),
        Check(
            name="entries",
            rule="Every deposit, call and reversal in the ledger has the row it is about",
            sql=ENTRIES,
            judge=_judge_entry,
        ),
        Check(
            name="charges",
            rule="Every charge has its entry; fee and net are the gross; reversed ones are reversed in the ledger",
            sql=CHARGES,
            judge=_judge_charge,
        ),
        *_sums(dialect),
        *PAYOUT_CHECKS,
    )


def _sums(dialect: Dialect) -> tuple[Check, ...]:
    return (
        Check(
            name="pending",
            rule="What a creator has pending is what its pending charges come to",
            sql=EARNED_PENDING,
            judge=_judge_earned,
            at_once=CREATORS_AT_ONCE_MAX,
        ),
        Check(
            name="held",
            rule="What of a creator is held is what its held and own charges come to",
            sql=EARNED_HELD,
            judge=_judge_earned,
            at_once=CREATORS_AT_ONCE_MAX,
        ),
        Check(
            name="available",
            rule="What a creator has available is what its available charges come to, less what was paid out",
            sql=EARNED_AVAILABLE,
            judge=_judge_earned,
            at_once=CREATORS_AT_ONCE_MAX,
        ),
        Check(
            name="days",
            rule="Each day of a creator shows the charges of that day that stand",
            sql=DAYS[dialect],
            judge=_judge_day,
            at_once=CREATORS_AT_ONCE_MAX,
        ),
        Check(
            name="debtors",
            rule="Who owes has an empty wallet",
            sql=DEBTORS,
            judge=_judge_debtor,
        ),
        Check(
            name="derived",
            rule="Checkpoint and tail of a platform account are the sum of its postings",
            sql=DERIVED,
            judge=_judge_derived,
        ),
    )
