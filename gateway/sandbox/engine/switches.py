"""Changing what a subscription is for, and what that costs in the middle of a period."""

from dataclasses import dataclass
from typing import Literal

from gateway.sandbox.engine import invoices, renewals, subscriptions
from gateway.sandbox.engine.blanks import merged_metadata
from gateway.sandbox.engine.book import Book
from gateway.sandbox.engine.catalog import plan_of
from gateway.sandbox.engine.customers import saved_method
from gateway.sandbox.engine.payments import require_chargeable
from gateway.sandbox.engine.periods import step_from
from gateway.sandbox.engine.subscriptions import ItemOrder, new_item
from gateway.sandbox.refusals import Json, parameter_invalid

Proration = Literal["create_prorations", "always_invoice", "none"]


@dataclass(frozen=True, slots=True)
class Target:
    """One item as it shall be: `item` None adds it, `price` None removes it."""

    item: Json | None
    price: Json | None
    quantity: int = 1
    metadata: Json | str | None = None


@dataclass(frozen=True, slots=True)
class Switch:
    """A worked-out change: the items afterwards, the lines it costs, and whether a new period begins."""

    targets: tuple[Target, ...]
    lines: tuple[Json, ...]
    restarts: bool
    period: tuple[int, int]
    invoiced_now: bool


def plan_switch(
    book: Book, subscription: Json, targets: tuple[Target, ...], *, proration: Proration, at: int | None = None
) -> Switch:
    """Work out a change without making it; previews end here.

    Credits and charges are the amounts times the rest of the period in seconds, halves rounded away from zero.
    """
    moment = book.now if at is None else at
    start, end = subscriptions.current_period(subscription)
    if not start <= moment <= end:
        raise parameter_invalid("The proration date must lie within the current period.", param="proration_date")
    rhythm = _rhythm(subscription, targets)
    restarts = rhythm != rhythm_of(subscription["items"]["data"][0]["price"])
    period = (moment, step_from(moment, interval=rhythm[0], count=rhythm[1], steps=1)) if restarts else (start, end)
    lines: list[Json] = []
    trialing = subscription["status"] == "trialing"
    if proration != "none" and not trialing:
        for target in targets:
            lines += _prorated(book, subscription, target, moment=moment, period=(start, end), credit_only=restarts)
    return Switch(
        targets=targets,
        lines=tuple(lines),
        restarts=restarts and not trialing,
        period=period,
        invoiced_now=(restarts or proration == "always_invoice") and not trialing,
    )


def rhythm_of(price: Json) -> tuple[str, int]:
    return price["recurring"]["interval"], price["recurring"]["interval_count"]


def _rhythm(subscription: Json, targets: tuple[Target, ...]) -> tuple[str, int]:
    """The rhythm all items have afterwards; a mixture is not played here."""
    touched = {target.item["id"] for target in targets if target.item is not None}
    prices = [target.price for target in targets if target.price is not None]
    prices += [item["price"] for item in subscription["items"]["data"] if item["id"] not in touched]
    if not prices:
        raise parameter_invalid("A subscription must have at least one item.", param="items")
    for price in prices:
        if price["type"] != "recurring" or not price["active"]:
            raise parameter_invalid(
                f"The price {price['id']} must be active and recurring to be subscribed to.", param="items"
            )
    rhythms = {rhythm_of(price) for price in prices}
    currencies = {price["currency"] for price in prices} | {subscription["currency"]}
    if len(rhythms) > 1 or len(currencies) > 1:
        raise parameter_invalid("All items of a subscription must share one interval and one currency.", param="items")
    return rhythms.pop()


def _prorated(
    book: Book, subscription: Json, target: Target, *, moment: int, period: tuple[int, int], credit_only: bool
) -> list[Json]:
    lines: list[Json] = []
    rest = (moment, period[1])
    length = period[1] - period[0]
    before = target.item
    if before is not None:
        amount = -share(before["price"]["unit_amount"] * before["quantity"], part=rest[1] - rest[0], whole=length)
        lines.append(
            _line(
                book,
                subscription,
                price=before["price"],
                quantity=before["quantity"],
                amount=amount,
                period=rest,
                words="Unused time on",
            )
        )
    if target.price is not None and not credit_only:
        amount = share(target.price["unit_amount"] * target.quantity, part=rest[1] - rest[0], whole=length)
        lines.append(
            _line(
                book,
                subscription,
                price=target.price,
                quantity=target.quantity,
                amount=amount,
                period=rest,
                words="Remaining time on",
            )
        )
    return lines


def share(amount: int, *, part: int, whole: int) -> int:
    """`amount * part / whole` in whole cents, halves rounded up; all are non-negative."""
    return (2 * amount * part + whole) // (2 * whole)


def _line(
    book: Book,
    subscription: Json,
    *,
    price: Json,
    quantity: int,
    amount: int,
    period: tuple[int, int],
    words: str,
) -> Json:
    product = book.get("product", price["product"])
    details = {
        "invoice_item": book.new_id("ii"),
        "proration": True,
        "proration_details": {"credited_items": None},
        "subscription": subscription["id"],
    }
    return invoices.line(
        book,
        amount=amount,
        price=price,
        quantity=quantity,
        description=f"{words} {product['name']}",
        period=period,
        parent={
            "invoice_item_details": details,
            "subscription_item_details": None,
            "type": "invoice_item_details",
        },
        subscription=subscription["id"],
    )


def apply_switch(book: Book, subscription: Json, switch: Switch, *, error_if_incomplete: bool = False) -> None:
    """Make the change: items and period now, prorations on an invoice now or with the next one.

    Raises:
        Refusal: 402, when `error_if_incomplete` and the card would be declined; nothing was changed.
    """
    customer = book.get("customer", subscription["customer"])
    method = saved_method(book, customer, preferred=subscription["default_payment_method"])
    if error_if_incomplete and switch.invoiced_now and _due_now(switch) > 0:
        require_chargeable(book, method)
    with book.changing(subscription, "customer.subscription.updated"):
        _set_items(book, subscription, switch)
        invoice = None
        if switch.invoiced_now:
            invoice = invoices.keep(book, switch_invoice(book, subscription, switch))
            subscription["latest_invoice"] = invoice["id"]
        elif switch.lines:
            book.behind.pending_lines.setdefault(subscription["id"], []).extend(switch.lines)
    if switch.restarts:
        renewals.watch(book, subscription)
    if invoice is not None:
        invoices.finalize(book, invoice)
        renewals.collect(book, subscription, invoice)


def _due_now(switch: Switch) -> int:
    fresh = sum(one.price["unit_amount"] * one.quantity for one in switch.targets if one.price and switch.restarts)
    return fresh + sum(line["amount"] for line in switch.lines)


def switch_invoice(book: Book, subscription: Json, switch: Switch) -> Json:
    """The invoice for a change that is charged at once, with what was pending before; the items are changed already."""
    lines = [*book.behind.pending_lines.pop(subscription["id"], []), *switch.lines]
    if switch.restarts:
        lines += [invoices.item_line(book, item, period=switch.period) for item in subscription["items"]["data"]]
    return invoices.draft_invoice(
        book,
        customer=book.get("customer", subscription["customer"]),
        lines=lines,
        reason="subscription_update",
        subscription=subscription,
        period=(book.now, book.now),
        currency=subscription["currency"],
    )


def _set_items(book: Book, subscription: Json, switch: Switch) -> None:
    rows: list[Json] = subscription["items"]["data"]
    for target in switch.targets:
        if target.item is None:
            assert target.price is not None
            order = ItemOrder(target.price, target.quantity, metadata_or_none(target.metadata))
            rows.append(new_item(book, subscription["id"], order, period=switch.period))
        elif target.price is None:
            rows.remove(target.item)
        else:
            target.item.update(price=target.price, plan=plan_of(target.price), quantity=target.quantity)
            if target.metadata is not None:
                target.item["metadata"] = merged_metadata(target.item["metadata"], target.metadata)
    for item in rows:
        item |= {"current_period_start": switch.period[0], "current_period_end": switch.period[1]}
    if switch.restarts:
        subscription["billing_cycle_anchor"] = switch.period[0]
        if subscription["cancel_at_period_end"]:
            subscriptions.schedule_cancel_quietly(book, subscription, switch.period[1])


def metadata_or_none(sent: Json | str | None) -> Json:
    return sent if isinstance(sent, dict) else {}
