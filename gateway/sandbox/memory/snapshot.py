"""The state of the local Stripe as JSON, and back."""

from dataclasses import asdict
from typing import Any

from gateway.sandbox.engine import thin_events
from gateway.sandbox.engine.agenda import Turn
from gateway.sandbox.engine.book import Behind, Book
from gateway.sandbox.engine.cards import Card, Conduct, Decline
from gateway.sandbox.engine.world import Scope, World
from gateway.sandbox.memory.sharing import fold, unfold
from gateway.sandbox.refusals import Json
from gateway.sandbox.webhooks.sender import Delivery, Sender
from gateway.sandbox.wire.idempotency import IdempotencyKeys


def take(world: World, *, keys: IdempotencyKeys, sender: Sender) -> Json:
    """Everything but faults, the request log, the record of deliveries and the sessions of `stripe listen`."""
    around = world.around
    state: Json = {
        "books": [_book_row(book) for book in world.books()],
        "agenda": [
            {"due_at": one.due_at, "turn": one.turn, **_whose(one.book), "deed": one.deed, "arguments": one.arguments}
            for one in around.agenda.entries()
        ],
    }
    return {
        **fold(state),
        "skipped_seconds": around.clock.skipped_seconds,
        "seeded_endpoint": world.seeded_endpoint,
        "seeded_connect_endpoint": world.seeded_connect_endpoint,
        # Events are copies that share nothing, and most of the state; they need no folding.
        "events": [{**_whose(book), "rows": list(book.table("event").values())} for book in world.books()],
        "undelivered": [
            {**_whose(one.book), "endpoint": one.endpoint["id"], "event": one.event["id"]}
            for one in sender.undelivered()
        ],
        "idempotency_keys": keys.rows(now=around.clock.now()),
    }


def bring_back(kept: Json, world: World, *, keys: IdempotencyKeys, sender: Sender) -> None:
    """Make an empty world what it was when `kept` was taken.

    Raises:
        KeyError, ValueError, TypeError, AttributeError, IndexError, RecursionError: `take` did not make this; the world
            is left in an unknown state.
    """
    world.around.clock.skip(_not_negative(kept["skipped_seconds"]))
    world.seeded_endpoint = kept["seeded_endpoint"]
    world.seeded_connect_endpoint = kept.get("seeded_connect_endpoint")
    state = unfold(kept)
    for row in state["books"]:
        _fill(_book_of(world, row), row)
    for row in kept["events"]:
        for event in row["rows"]:
            _book_of(world, row).add(event)
    for row in state["agenda"]:
        book, arguments = _book_of(world, row), tuple(row["arguments"])
        world.around.agenda.put(row["due_at"], Turn(row["turn"]), book, deed=row["deed"], arguments=arguments)
    keys.restore(kept["idempotency_keys"])
    sender.queue([found for row in kept["undelivered"] if (found := _delivery(world, row)) is not None])


def _not_negative(seconds: int) -> int:
    if seconds < 0:
        raise ValueError(f"The clock cannot have been moved by {seconds} seconds.")
    return seconds


def _whose(book: Book) -> Json:
    return {"account": book.account, "livemode": book.livemode}


def _book_of(world: World, row: Json) -> Book:
    return world.book(Scope(account=row["account"], livemode=row["livemode"]))


def _book_row(book: Book) -> Json:
    behind = book.behind
    return {
        **_whose(book),
        "objects": [list(table.values()) for kind, table in book.tables().items() if table and kind != "event"],
        "cards": {method: {**asdict(card), "conduct": card.conduct.value} for method, card in behind.cards.items()},
        "session_orders": behind.session_orders,
        "session_lines": behind.session_lines,
        "pending_lines": behind.pending_lines,
        "endpoint_secrets": behind.endpoint_secrets,
        "connect_endpoints": sorted(behind.connect_endpoints),
        "portal_expiries": behind.portal_expiries,
        "deleted": sorted(behind.deleted),
        "thin_endpoints": sorted(behind.thin_endpoints),
        "bank_numbers": behind.bank_numbers,
        "paid_out_with": behind.paid_out_with,
        "payout_schedule": behind.payout_schedule,
        "next_payout_at": behind.next_payout_at,
        "v2_by_snapshot": behind.v2_by_snapshot,
    }


def _fill(book: Book, row: Json) -> None:
    for table in row["objects"]:
        for one in table:
            book.add(one)
    book.behind = Behind(
        cards={method: _card(fields) for method, fields in row["cards"].items()},
        session_orders=row["session_orders"],
        session_lines=row["session_lines"],
        pending_lines=row["pending_lines"],
        endpoint_secrets=row["endpoint_secrets"],
        connect_endpoints=set(row["connect_endpoints"]),
        portal_expiries=row["portal_expiries"],
        deleted=set(row["deleted"]),
        # A file from before there were connected accounts has none of these.
        thin_endpoints=set(row.get("thin_endpoints", [])),
        bank_numbers=row.get("bank_numbers", {}),
        paid_out_with=row.get("paid_out_with", {}),
        payout_schedule=row.get("payout_schedule", {}),
        next_payout_at=row.get("next_payout_at"),
        v2_by_snapshot=row.get("v2_by_snapshot"),
    )


def _card(fields: dict[str, Any]) -> Card:
    decline = Decline(**fields["decline"]) if fields["decline"] else None
    changed: dict[str, Any] = {"conduct": Conduct(fields["conduct"]), "decline": decline}
    return Card(**{**fields, **changed})


def _delivery(world: World, row: Json) -> Delivery | None:
    """A delivery whose endpoint and event are still there."""
    book = _book_of(world, row)
    endpoint = book.find("webhook_endpoint", row["endpoint"])
    event = _event(world, row["event"])
    return Delivery(book, event, endpoint) if endpoint is not None and event is not None else None


def _event(world: World, id: str) -> Json | None:
    """An event of either style."""
    for kind in ("event", thin_events.OBJECT):
        holder = world.book_with(kind, id)
        if holder is not None:
            return holder.get(kind, id)
    return None
