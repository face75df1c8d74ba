"""What each payment, refund, dispute, transfer and payout does to an account's balance."""

from typing import Final

from gateway.sandbox.engine import payout_schedule
from gateway.sandbox.engine.book import Book
from gateway.sandbox.refusals import Json

FEE_PER_THOUSAND: Final = 29
FEE_FIXED_CENTS: Final = 30


def fee_cents(amount_cents: int) -> int:
    """2.9 % and 30 cents, halves rounded up, in whole cents."""
    return (amount_cents * FEE_PER_THOUSAND + 500) // 1000 + FEE_FIXED_CENTS


def move_balance(
    book: Book, *, type: str, amount: int, fee: int = 0, currency: str, source: str | None, available_on: int
) -> Json:
    """One line of the account's balance; `fee` is taken off `amount`."""
    entry = book.stamp("txn", "balance_transaction")
    del entry["livemode"]
    entry |= {
        "amount": amount,
        "available_on": available_on,
        "balance_type": "payments",
        "currency": currency,
        "description": None,
        "exchange_rate": None,
        "fee": fee,
        "fee_details": [_fee_detail(fee, currency)] if fee else [],
        "net": amount - fee,
        "reporting_category": _CATEGORIES.get(type, type),
        "source": source,
        "status": "available" if available_on <= book.now else "pending",
        "type": type,
    }
    book.add(entry)
    payout_schedule.plan(book)
    return entry


_CATEGORIES: Final = {
    "adjustment": "dispute",
    "payment": "charge",
    "payment_failure_refund": "charge_failure",
    "payment_refund": "refund",
    "payout_cancel": "payout_reversal",
    "payout_failure": "payout_reversal",
    "transfer_refund": "transfer",
}


def _fee_detail(fee: int, currency: str) -> Json:
    return {
        "amount": fee,
        "application": None,
        "currency": currency,
        "description": "Stripe processing fees",
        "type": "stripe_fee",
    }


def balance_of(book: Book) -> Json:
    """The sums by currency: available by now, and pending."""
    available: dict[str, int] = {}
    pending: dict[str, int] = {}
    for entry in book.table("balance_transaction").values():
        sums = available if entry["available_on"] <= book.now else pending
        sums[entry["currency"]] = sums.get(entry["currency"], 0) + entry["net"]
    currencies = sorted(available.keys() | pending.keys()) or ["usd"]
    return {
        "object": "balance",
        "available": [_amount(available.get(currency, 0), currency) for currency in currencies],
        "livemode": book.livemode,
        "pending": [_amount(pending.get(currency, 0), currency) for currency in currencies],
    }


def available_cents(book: Book, currency: str) -> int:
    """What can be transferred or paid out now; below zero when more was taken back than there was."""
    entries = book.table("balance_transaction").values()
    return sum(one["net"] for one in entries if one["currency"] == currency and one["available_on"] <= book.now)


def has_money(book: Book) -> bool:
    """Whether any currency's balance is not zero, pending money included."""
    sums: dict[str, int] = {}
    for entry in book.table("balance_transaction").values():
        sums[entry["currency"]] = sums.get(entry["currency"], 0) + entry["net"]
    return any(sums.values())


def make_available(book: Book) -> int:
    """End the waiting of all pending money; returns how many lines that were."""
    waiting = [one for one in book.table("balance_transaction").values() if one["available_on"] > book.now]
    for entry in waiting:
        entry["available_on"] = book.now
        entry["status"] = "available"
    payout_schedule.plan(book)
    return len(waiting)


def _amount(cents: int, currency: str) -> Json:
    return {"amount": cents, "currency": currency, "source_types": {"card": cents}}


def as_of_now(book: Book, entry: Json) -> Json:
    """A balance line with the status it has by now."""
    return {**entry, "status": "available" if entry["available_on"] <= book.now else "pending"}
