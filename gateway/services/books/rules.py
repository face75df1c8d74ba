"""What is checked, row by row, and in which order."""

from collections.abc import Iterator

from gateway.db import Dialect, Row
from gateway.db.rows import identifier, integer
from gateway.domain.charges import Call, ChargeState, Listing, charge_draft, net_of_loss
from gateway.domain.ledger import EntryKind, MalformedEntry
from gateway.domain.money import cents_to_micros
from gateway.domain.tools import Split, split_price
from gateway.services.books.days import DaysWalk
from gateway.services.books.derived import DerivedWalk
from gateway.services.books.entries import EntriesWalk
from gateway.services.books.holds import HoldsWalk
from gateway.services.books.payouts import PAYOUT_CHECKS
from gateway.services.books.statements import (
    CHARGES,
    DEBTORS,
    DEPOSITS,
    EARNED_AVAILABLE,
    EARNED_HELD,
    EARNED_PENDING,
)
from gateway.services.books.taken_back import CLEARING, DISPUTES, REFUNDS, NamelessRefundsWalk
from gateway.services.books.told import TOLD
from gateway.services.books.walk import CREATORS_AT_ONCE_MAX, Check
from gateway.services.ledger import POSTINGS_AT_ONCE_MAX, Fault, Walk, ledger_walks


def _judge_deposit(row: Row) -> Iterator[Fault]:
    session_id = str(row["session_id"])
    if row["entry_kind"] is None:
        yield Fault("deposit-entry", session_id, "The deposit is settled and has no entry.")
        return
    if row["entry_kind"] != EntryKind.DEPOSIT:
        yield Fault("deposit-entry", session_id, f"The entry of the deposit is a {row['entry_kind']}.")
    paid = cents_to_micros(integer(row, "amount_cents"))
    credited = 0 if row["credited_micros"] is None else integer(row, "credited_micros")
    if credited != paid:
        yield Fault("deposit-amount", session_id, f"{paid} was paid and the customer's wallet was given {credited}.")


def _judge_charge(row: Row) -> Iterator[Fault]:
    charge_id = str(row["id"])
    consumer_id, creator_id = identifier(row, "consumer_id"), identifier(row, "creator_id")
    gross, fee, net = (integer(row, column) for column in ("gross_micros", "fee_micros", "net_micros"))
    if fee + net != gross:
        yield Fault("charge-split", charge_id, f"The fee {fee} and the net {net} are not the gross {gross}.")
    elif split_price(gross, fee_bps=integer(row, "fee_bps")) != Split(gross, fee, net):
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
    given_back = None if row["reversal_id"] is None else row["given_back_micros"]
    if given_back != (gross if state == ChargeState.REVERSED else None):
        yield Fault("charge-reversal", charge_id, f"The charge is {state}, which its reversal in the ledger denies.")
    yield from _judge_loss(row)
    is_over = state in {ChargeState.REVERSED, ChargeState.LOST}
    if not is_over and (state == ChargeState.OWN) != (consumer_id == creator_id):
        yield Fault("charge-own", charge_id, f"The charge of {consumer_id} to {creator_id} is {state}.")


def _judge_loss(row: Row) -> Iterator[Fault]:
    charge_id, state = str(row["id"]), row["state"]
    gross, net, lost, lost_net, losses = (
        integer(row, column)
        for column in ("gross_micros", "net_micros", "lost_micros", "lost_net_micros", "losses_micros")
    )
    if lost != losses:
        yield Fault("charge-loss", charge_id, f"{lost} of the charge is lost; the disputes say {losses}.")
    if lost_net != net_of_loss(lost_micros=lost, gross_micros=gross, net_micros=net):
        yield Fault("charge-loss", charge_id, f"{lost_net} is not the creator's part of {lost}.")
    if (state == ChargeState.LOST) != (lost == gross) or (state == ChargeState.REVERSED and lost):
        yield Fault("charge-loss", charge_id, f"The charge is {state} with {lost} of {gross} lost.")


def _judge_earned(row: Row) -> Iterator[Fault]:
    balance, charges, other = (integer(row, column) for column in ("balance_micros", "charges_micros", "other_micros"))
    if balance != charges + other:
        yield Fault(
            "earned-charges",
            str(row["code"]),
            f"The account holds {balance}; its charges come to {charges}, and what else moved it to {other}.",
        )


def _judge_debtor(row: Row) -> Iterator[Fault]:
    receivable, wallet = integer(row, "balance_micros"), integer(row, "wallet_micros")
    if receivable > 0:
        yield Fault("receivable-sign", str(row["code"]), f"The receivable is {receivable}; nobody owes less than 0.")
    if receivable < 0 and wallet != 0:
        yield Fault("debtor-wallet", str(row["code"]), f"{-receivable} is owed while the wallet holds {wallet}.")


def walks(dialect: Dialect, *, postings_max: int = POSTINGS_AT_ONCE_MAX) -> tuple[Walk, ...]:
    """All there is to check, in order; `postings_max` is what a statement sums up where history is walked in parts."""
    return (
        *ledger_walks(postings_max=postings_max),
        Check(
            name="deposits",
            rule="Every settled deposit credited its customer's wallet with its amount",
            sql=DEPOSITS,
            judge=_judge_deposit,
        ),
        EntriesWalk(),
        Check(
            name="charges",
            rule="Every charge has its entry; fee and net are the gross; reversed ones are reversed in the ledger",
            sql=CHARGES,
            judge=_judge_charge,
        ),
        HoldsWalk(dialect=dialect),
        REFUNDS,
        NamelessRefundsWalk(postings_max=postings_max),
        DISPUTES,
        CLEARING,
        TOLD,
        *_sums(dialect, postings_max),
        *PAYOUT_CHECKS,
    )


def _sums(dialect: Dialect, postings_max: int) -> tuple[Walk, ...]:
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
        DaysWalk(dialect=dialect, calls_max=postings_max),
        Check(
            name="debtors",
            rule="Who owes has an empty wallet",
            sql=DEBTORS,
            judge=_judge_debtor,
        ),
        DerivedWalk(batch_max=postings_max),
    )
