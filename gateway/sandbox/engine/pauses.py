"""Pausing and resuming subscriptions: nothing is charged and no period begins in between."""

from typing import Final

from gateway.sandbox.engine import renewals
from gateway.sandbox.engine.book import Book
from gateway.sandbox.refusals import Json, state_conflict

_PAUSABLE: Final = frozenset({"active", "past_due", "trialing", "unpaid"})


def pause(book: Book, subscription: Json) -> None:
    """Pause because someone asked for it.

    Raises:
        Refusal: its billing mode is classic, or its status is not one that runs.
    """
    if subscription["billing_mode"]["type"] != "flexible":
        raise state_conflict("Only subscriptions with flexible billing mode can be paused.")
    if subscription["status"] not in _PAUSABLE:
        raise state_conflict(f"A subscription with status {subscription['status']} cannot be paused.")
    renewals.mark_paused(book, subscription, reason="pause_requested")


def resume(book: Book, subscription: Json) -> None:
    """Go on. When the period ended meanwhile, the present one of the old rhythm begins and is invoiced.

    Raises:
        Refusal: it is not paused.
    """
    if subscription["status"] != "paused":
        raise state_conflict(f"Only paused subscriptions can be resumed; this one is {subscription['status']}.")
    subscription["status"] = "active"
    subscription.pop("status_details", None)
    book.emit("customer.subscription.resumed", subscription)
    renewals.catch_up(book, subscription)
