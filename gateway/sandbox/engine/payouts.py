"""Paying balances out to bank accounts: on the schedule, or when asked."""

from typing import Final

from gateway.sandbox.engine import account_face, accounts, banks, payout_schedule
from gateway.sandbox.engine.agenda import Turn, deed
from gateway.sandbox.engine.balance import available_cents, move_balance
from gateway.sandbox.engine.blanks import nulls
from gateway.sandbox.engine.book import Book
from gateway.sandbox.engine.refunds import dollars
from gateway.sandbox.refusals import Json, parameter_invalid, state_conflict

_DAY_SECONDS: Final = 86_400
UNDER_WAY: Final = frozenset({"pending", "in_transit"})
CURRENCY: Final = "usd"


@deed(payout_schedule.DAILY_RUN)
def run_schedule(book: Book, planned_at: int) -> None:
    """Pay out all that is available; nothing happens while the bank account has failed."""
    if book.behind.next_payout_at != planned_at:
        return
    book.behind.next_payout_at = None
    if not _pays_out(book) or payout_schedule.schedule_of(book)["interval"] == "manual":
        return
    pay_out_everything(book)
    if any(entry["available_on"] > book.now for entry in book.table("balance_transaction").values()):
        payout_schedule.plan(book)


def pay_out_everything(book: Book) -> Json | None:
    """An automatic payout of what is available, less what is to be left; None when nothing can be paid out."""
    amount = available_cents(book, CURRENCY) - retained_cents(book)
    if amount <= 0 or not _pays_out(book):
        return None
    return _pay_out(book, amount=amount, currency=CURRENCY, automatic=True)


def retained_cents(book: Book) -> int:
    """What the schedule leaves in the balance."""
    kept: int = book.behind.payout_schedule.get("minimum_balance_by_currency", {}).get(CURRENCY, 0)
    return kept


def _pays_out(book: Book) -> bool:
    if book.account is None:
        return not banks.is_errored(book)
    record = book.platform.find("connected_account", book.account)
    return record is not None and account_face.pays_out(book, record)


def create_payout(
    book: Book,
    *,
    amount: int,
    currency: str = CURRENCY,
    description: str | None = None,
    metadata: Json | None = None,
    statement_descriptor: str | None = None,
) -> Json:
    """Pay out on request.

    Raises:
        Refusal: payouts are not allowed, there is no bank account, or the balance does not cover it.
    """
    if amount < 1:
        raise parameter_invalid(
            "This value must be greater than or equal to 1.", param="amount", code="parameter_invalid_integer"
        )
    if book.account is not None and banks.bank_of(book) is None:
        raise state_conflict(f"Sorry, you don't have any external accounts in that currency ({currency})")
    if not _pays_out(book):
        raise state_conflict(
            "Cannot create payouts: they are not enabled for this account.", code="payouts_not_allowed"
        )
    available = available_cents(book, currency)
    if amount > available:
        raise state_conflict(
            "You have insufficient funds in your Stripe account for this transfer. Your card balance is too low "
            f"({dollars(max(0, available))} available).",
            code="balance_insufficient",
        )
    return _pay_out(
        book,
        amount=amount,
        currency=currency,
        automatic=False,
        description=description,
        metadata=metadata or {},
        statement_descriptor=statement_descriptor,
    )


def _pay_out(book: Book, *, amount: int, currency: str, automatic: bool, **more: object) -> Json:
    bank = banks.bank_of(book) or _platforms_bank(book)
    arrives_at = (book.now // _DAY_SECONDS + book.settings.payout_arrival_days) * _DAY_SECONDS
    arrives_at = max(arrives_at, book.now + book.settings.payout_submit_seconds)
    payout: Json = {
        **book.stamp("po", "payout"),
        **nulls(
            "application_fee application_fee_amount failure_balance_transaction failure_code failure_message "
            "original_payout payout_method reversed_by trace_id"
        ),
        "amount": amount,
        "arrival_date": arrives_at,
        "automatic": automatic,
        "currency": currency,
        "description": "STRIPE PAYOUT" if automatic else None,
        "destination": bank["id"],
        "metadata": {},
        "method": "standard",
        "reconciliation_status": "completed" if automatic else "not_applicable",
        "source_type": "card",
        "statement_descriptor": None,
        "status": "pending",
        "type": "bank_account",
        **more,
    }
    entry = move_balance(
        book, type="payout", amount=-amount, currency=currency, source=payout["id"], available_on=book.now
    )
    payout["balance_transaction"] = entry["id"]
    if automatic:
        _link(book, payout)
    book.add(payout)
    book.emit("payout.created", payout)
    book.around.agenda.at(book.now + book.settings.payout_submit_seconds, Turn.COLLECT, book, submit, payout)
    book.around.agenda.at(arrives_at, Turn.SETTLE, book, arrive, payout)
    return payout


def _platforms_bank(book: Book) -> Json:
    return banks.set_bank(book, routing_number=banks.ROUTING_NUMBER, account_number=banks.GOOD_NUMBER)


def _link(book: Book, payout: Json) -> None:
    """Note which lines of the balance an automatic payout pays out; their sum is its amount."""
    paid_with = book.behind.paid_out_with
    for line, entry in book.table("balance_transaction").items():
        if line not in paid_with and entry["available_on"] <= book.now:
            paid_with[line] = payout["id"]


def is_of(book: Book, entry: Json, payout: str) -> bool:
    """Whether a line of the balance went out with a payout, or is the payout's own."""
    return book.behind.paid_out_with.get(entry["id"]) == payout or entry["source"] == payout


@deed("payout.submit")
def submit(book: Book, payout: Json) -> None:
    if payout["status"] == "pending":
        with book.changing(payout, "payout.updated"):
            payout["status"] = "in_transit"
            payout["trace_id"] = {"status": "pending", "value": None}


@deed("payout.arrive")
def arrive(book: Book, payout: Json) -> None:
    """The bank takes the money, or sends it back."""
    if payout["status"] not in UNDER_WAY:
        return
    reason = banks.failure_of(book, payout["destination"])
    if reason is not None:
        fail(book, payout, reason=reason)
        return
    with book.changing(payout, "payout.updated"):
        payout["status"] = "paid"
        payout["trace_id"] = {"status": "supported", "value": f"{payout['created']:022d}"}
    book.emit("payout.paid", payout)


def fail(book: Book, payout: Json, *, reason: str) -> None:
    """A payout comes back, perhaps after it was paid: the money is in the balance again, the bank account has failed.

    Raises:
        Refusal: it failed or was canceled already.
    """
    if payout["status"] not in {*UNDER_WAY, "paid"}:
        raise state_conflict(f"The payout {payout['id']} is {payout['status']} already.")
    entry = _give_back(book, payout, type="payout_failure")
    with book.changing(payout, "payout.updated"):
        payout["status"] = "failed"
        payout["failure_balance_transaction"] = entry["id"]
        payout["failure_code"] = reason
        payout["failure_message"] = banks.FAILURE_MESSAGES[reason]
    book.emit("payout.failed", payout)
    bank = book.find("bank_account", payout["destination"])
    record = book.platform.find("connected_account", book.account)
    if bank is None:
        return
    if record is None:
        bank["status"] = "errored"
        return
    with accounts.telling(book.platform, record), book.changing(bank, "account.external_account.updated"):
        bank["status"] = "errored"


def cancel(book: Book, payout: Json) -> Json:
    """Stop a payout on request that is still pending.

    Raises:
        Refusal: it is automatic, or on its way already.
    """
    if payout["automatic"] or payout["status"] != "pending":
        raise state_conflict(
            f"Payout {payout['id']} cannot be canceled: its status is {payout['status']}"
            f"{' and it is automatic' if payout['automatic'] else ''}.",
            code="payout_not_cancelable",
        )
    entry = _give_back(book, payout, type="payout_cancel")
    with book.changing(payout, "payout.updated"):
        payout["status"] = "canceled"
        payout["failure_balance_transaction"] = entry["id"]
    book.emit("payout.canceled", payout)
    return payout


def _give_back(book: Book, payout: Json, *, type: str) -> Json:
    return move_balance(
        book,
        type=type,
        amount=payout["amount"],
        currency=payout["currency"],
        source=payout["id"],
        available_on=book.now,
    )
