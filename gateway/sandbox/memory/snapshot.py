"""The state of the local Stripe as JSON, and back."""

from dataclasses import asdict
from typing import Any

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
        "connected_accounts": sorted(world.connected_accounts),
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
    world.connected_accounts.update(kept["connected_accounts"])
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
    )


def _card(fields: dict[str, Any]) -> Card:
    decline = Decline(**fields["decline"]) if fields["decline"] else None
    changed: dict[str, Any] = {"conduct": Conduct(fields["conduct"]), "decline": decline}
    return Card(**{**fields, **changed})


def _delivery(world: World, row: Json) -> Delivery | None:
    """A delivery whose endpoint and event are still there."""
    book = _book_of(world, row)
    endpoint = book.find("webhook_endpoint", row["endpoint"])
    holder = world.book_with("event", row["event"])
    if endpoint is None or holder is None:
        return None
    return Delivery(book, holder.get("event", row["event"]), endpoint)
