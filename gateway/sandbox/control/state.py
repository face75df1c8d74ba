"""A summary of the whole state for people."""

from datetime import UTC, datetime

from gateway.sandbox.engine import balance
from gateway.sandbox.engine.book import Book
from gateway.sandbox.engine.world import World
from gateway.sandbox.refusals import Json


def summary(world: World) -> Json:
    """What there is: the time, what falls due next, and each book's objects in short."""
    around = world.around
    due = around.agenda.next_due()
    return {
        "time": _moment(around.clock.now()),
        "next_due": _moment(due) if due is not None else None,
        "books": [_book(book) for book in world.books()],
    }


def _moment(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat()


def _book(book: Book) -> Json:
    return {
        "account": book.account,
        "mode": book.mode,
        "balance": balance.balance_of(book),
        "counts": {kind: len(rows) for kind, rows in sorted(book.tables().items())},
        "checkout_sessions": [
            {name: one[name] for name in ("id", "mode", "status", "payment_status", "amount_total", "customer", "url")}
            for one in book.newest_first("checkout.session")
        ],
        "subscriptions": [_subscription(one) for one in book.newest_first("subscription")],
        "accounts": [
            {name: one[name] for name in ("id", "email", "stage", "closed", "connected")}
            for one in book.newest_first("connected_account")
        ],
        "transfers": [
            {name: one[name] for name in ("id", "destination", "amount", "amount_reversed", "transfer_group")}
            for one in book.newest_first("transfer")[:20]
        ],
        "payouts": [
            {name: one[name] for name in ("id", "amount", "status", "automatic", "failure_code")}
            for one in book.newest_first("payout")[:20]
        ],
        "events": [
            {name: one[name] for name in ("id", "type", "pending_webhooks")} for one in book.newest_first("event")[:20]
        ],
    }


def _subscription(subscription: Json) -> Json:
    item: Json = subscription["items"]["data"][0]
    return {
        "id": subscription["id"],
        "customer": subscription["customer"],
        "status": subscription["status"],
        "price": item["price"]["lookup_key"] or item["price"]["id"],
        "current_period_end": _moment(item["current_period_end"]),
        "cancel_at": subscription["cancel_at"],
    }
