"""Changing subscriptions behind the caller's back, as a person in Stripe's dashboard would."""

from typing import Final

from gateway.sandbox.control.body import Body, ControlRefused
from gateway.sandbox.control.money import find
from gateway.sandbox.engine import customers, pauses, renewals, subscriptions
from gateway.sandbox.engine.book import Book
from gateway.sandbox.engine.cards import CardRefused, read_card
from gateway.sandbox.engine.subscriptions import ItemOrder, SubscriptionOrder
from gateway.sandbox.engine.world import World
from gateway.sandbox.refusals import Json

STATUSES: Final = ("active", "past_due", "unpaid", "paused", "incomplete", "trialing", "canceled")


def create(world: World, body: Body) -> Json:
    """Subscribe a customer directly; the card is saved for it and charged."""
    book, customer = find(world, "customer", body.text("customer"))
    price = _price(book, body)
    number = body.text_or_none("card_number") or "4242424242424242"
    quantity, metadata = body.whole("quantity", default=1, least=1), body.text_map("metadata")
    body.done()
    if customer["id"] in book.behind.deleted:
        raise ControlRefused(f"The customer {customer['id']!r} is deleted.", status=409)
    try:
        method = customers.new_payment_method(book, read_card(number))
    except CardRefused as refused:
        raise ControlRefused(refused.decline.message) from refused
    customers.attach(book, method, customer, make_default=True)
    order = SubscriptionOrder(
        customer=customer,
        items=(ItemOrder(price, quantity),),
        metadata=metadata,
        method=method["id"],
    )
    subscription = subscriptions.begin(book, order)
    renewals.watch(book, subscription)
    return subscription


def _price(book: Book, body: Body) -> Json:
    named, key = body.text_or_none("price"), body.text_or_none("lookup_key")
    if (named is None) == (key is None):
        raise ControlRefused("Name exactly one of price, lookup_key.")
    for price in book.table("price").values():
        if price["id"] == named or (key is not None and price["lookup_key"] == key):
            if price["type"] != "recurring":
                raise ControlRefused(f"The price {price['id']} is not recurring.", status=409)
            return price
    raise ControlRefused(f"There is no price {named or key!r}.", status=404)


def _living(world: World, body: Body) -> tuple[Book, Json]:
    book, subscription = find(world, "subscription", body.text("subscription"))
    if subscription["status"] in subscriptions.ENDED:
        raise ControlRefused(f"The subscription is {subscription['status']} already.", status=409)
    return book, subscription


def cancel(world: World, body: Body) -> Json:
    """End at once, or with the period (`at_period_end`), which sets the flag as the dashboard does."""
    book, subscription = _living(world, body)
    at_period_end = body.flag("at_period_end")
    body.done()
    if at_period_end:
        end = subscriptions.current_period(subscription)[1]
        subscriptions.schedule_cancel(book, subscription, cancel_at=end, by_flag=True)
    else:
        subscriptions.cancel(book, subscription, reason="cancellation_requested")
    return subscription


def pause(world: World, body: Body) -> Json:
    book, subscription = _living(world, body)
    body.done()
    pauses.pause(book, subscription)
    return subscription


def resume(world: World, body: Body) -> Json:
    book, subscription = _living(world, body)
    body.done()
    pauses.resume(book, subscription)
    return subscription


def set_status(world: World, body: Body) -> Json:
    """Force a status that the rules would reach in days only."""
    book, subscription = _living(world, body)
    status = body.one_of("status", STATUSES)
    body.done()
    if status == "canceled":
        subscriptions.cancel(book, subscription, reason="cancellation_requested")
    else:
        with book.changing(subscription, "customer.subscription.updated"):
            subscription["status"] = status
    return subscription
