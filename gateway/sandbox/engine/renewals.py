"""The rhythm of subscriptions: new periods, their invoices, retries, and what follows when nobody pays."""

from typing import Final

from gateway.sandbox.engine import invoices, subscriptions
from gateway.sandbox.engine.agenda import Turn, deed
from gateway.sandbox.engine.book import Book
from gateway.sandbox.engine.customers import saved_method
from gateway.sandbox.engine.periods import period_at
from gateway.sandbox.refusals import Json

DAY_SECONDS: Final = 86_400
_RENEWING: Final = frozenset({"active", "past_due", "trialing", "unpaid"})


def watch(book: Book, subscription: Json) -> None:
    """Renew the subscription when its present period ends; called once for each period."""
    end = subscriptions.current_period(subscription)[1]
    book.around.agenda.at(end, Turn.RENEW, book, _renew, subscription, end)
    if subscription["status"] == "trialing":
        notice = max(book.now, end - subscriptions.TRIAL_NOTICE_SECONDS)
        book.around.agenda.at(notice, Turn.SETTLE, book, _tell_of_trial_end, subscription, end)


@deed("subscription.tell_of_trial_end")
def _tell_of_trial_end(book: Book, subscription: Json, end: int) -> None:
    if subscription["status"] == "trialing" and subscription["trial_end"] == end:
        book.emit("customer.subscription.trial_will_end", subscription)


@deed("subscription.renew")
def _renew(book: Book, subscription: Json, due: int) -> None:
    former = subscriptions.current_period(subscription)
    if former[1] != due or subscription["status"] not in _RENEWING:
        return
    if subscription["status"] == "trialing" and _ends_with_its_trial(book, subscription):
        return
    recurring: Json = subscription["items"]["data"][0]["price"]["recurring"]
    period = period_at(
        subscription["billing_cycle_anchor"],
        book.now,
        interval=recurring["interval"],
        count=recurring["interval_count"],
    )
    with book.changing(subscription, "customer.subscription.updated"):
        for item in subscription["items"]["data"]:
            item |= {"current_period_start": period[0], "current_period_end": period[1]}
        if subscription["status"] == "trialing":
            subscription["status"] = "active"
        invoice = _cycle_invoice(book, subscription, former=former, period=period)
        subscription["latest_invoice"] = invoice["id"]
    watch(book, subscription)
    _plan_collection(book, subscription, invoice)


def _ends_with_its_trial(book: Book, subscription: Json) -> bool:
    """A trial that ends without a card pauses or cancels the subscription where it was made so."""
    customer = book.get("customer", subscription["customer"])
    wanted: str = subscription["trial_settings"]["end_behavior"]["missing_payment_method"]
    has_card = saved_method(book, customer, preferred=subscription["default_payment_method"]) is not None
    if has_card or wanted == "create_invoice":
        return False
    if wanted == "pause":
        mark_paused(book, subscription, reason="trial_end_without_payment_method")
    else:
        subscriptions.cancel(book, subscription, reason="payment_failed")
    return True


def mark_paused(book: Book, subscription: Json, *, reason: str) -> None:
    paused = {"subscription": {"type": reason}, "transitioned_at": book.now, "type": "subscription"}
    with book.changing(subscription, "customer.subscription.updated"):
        subscription |= {"status": "paused", "status_details": {"paused": paused}}
    book.emit("customer.subscription.paused", subscription)


def end_trial(book: Book, subscription: Json) -> None:
    """End a trial now: the first period that is paid for begins."""
    subscription |= {"trial_end": book.now, "billing_cycle_anchor": book.now}
    for item in subscription["items"]["data"]:
        item["current_period_end"] = book.now
    _renew(book, subscription, book.now)


def _cycle_invoice(book: Book, subscription: Json, *, former: tuple[int, int], period: tuple[int, int]) -> Json:
    lines = book.behind.pending_lines.pop(subscription["id"], [])
    lines += [invoices.item_line(book, item, period=period) for item in subscription["items"]["data"]]
    invoice = invoices.draft_invoice(
        book,
        customer=book.get("customer", subscription["customer"]),
        lines=lines,
        reason="subscription_cycle",
        subscription=subscription,
        period=former,
        currency=subscription["currency"],
    )
    return invoices.keep(book, invoice)


def _plan_collection(book: Book, subscription: Json, invoice: Json) -> None:
    """A draft waits an hour, so that others may add to it; a paused or unpaid subscription's is not collected."""
    pause: Json | None = subscription["pause_collection"]
    if subscription["status"] == "unpaid" or (pause and pause["behavior"] == "keep_as_draft"):
        invoice["auto_advance"] = False
        return
    at = book.now + book.settings.invoice_draft_seconds
    invoice["automatically_finalizes_at"] = at
    book.around.agenda.at(at, Turn.COLLECT, book, _finalize_and_collect, subscription, invoice)


@deed("invoice.finalize_and_collect")
def _finalize_and_collect(book: Book, subscription: Json, invoice: Json) -> None:
    if invoice["status"] != "draft" or not invoice["auto_advance"]:
        return
    invoices.finalize(book, invoice)
    pause: Json | None = subscription["pause_collection"]
    if pause and pause["behavior"] == "void":
        invoices.void(book, invoice)
    elif pause:
        with book.changing(invoice, "invoice.marked_uncollectible"):
            invoice["status"] = "uncollectible"
            invoice["status_transitions"]["marked_uncollectible_at"] = book.now
    else:
        collect(book, subscription, invoice)


def collect(book: Book, subscription: Json, invoice: Json, *, method: Json | None = None) -> None:
    """Try to collect an open invoice of a subscription, and let the subscription follow from the result."""
    customer = book.get("customer", subscription["customer"])
    chosen = method or saved_method(book, customer, preferred=subscription["default_payment_method"])
    attempt = invoices.pay(book, invoice, chosen)
    if invoice["status"] == "paid":
        revive(book, subscription)
    elif attempt is None or attempt.status == "declined":
        after_failure(book, subscription, invoice)


def revive(book: Book, subscription: Json) -> None:
    """A paid invoice makes a subscription whose payment was missing active again, unless another one is open."""
    owing = any(
        invoice["status"] == "open" and subscriptions.subscription_id_of(invoice) == subscription["id"]
        for invoice in book.table("invoice").values()
    )
    customer = book.get("customer", subscription["customer"])
    if not owing and customer["delinquent"]:
        with book.changing(customer, "customer.updated"):
            customer["delinquent"] = False
    if not owing and subscription["status"] in {"past_due", "unpaid", "incomplete"}:
        with book.changing(subscription, "customer.subscription.updated"):
            subscription["status"] = "active"


def after_failure(book: Book, subscription: Json, invoice: Json) -> None:
    """Plan the next try; after the last one do what the settings say."""
    if subscription["status"] in {"canceled", "incomplete", "incomplete_expired"}:
        return
    tries: int = invoice["attempt_count"]
    days = book.settings.payment_retry_days
    customer = book.get("customer", subscription["customer"])
    if not customer["delinquent"]:
        with book.changing(customer, "customer.updated"):
            customer["delinquent"] = True
    at = book.now + days[tries - 1] * DAY_SECONDS if tries <= len(days) else None
    with book.changing(invoice, "invoice.updated"):
        invoice["next_payment_attempt"] = at
    if at is not None:
        book.around.agenda.at(at, Turn.COLLECT, book, _retry, subscription, invoice, at)
    _set_owing_status(book, subscription, last=tries > len(days))


def _set_owing_status(book: Book, subscription: Json, *, last: bool) -> None:
    if last and book.settings.after_retries == "cancel":
        subscriptions.cancel(book, subscription, reason="payment_failed")
        return
    status = "unpaid" if last and book.settings.after_retries == "unpaid" else "past_due"
    with book.changing(subscription, "customer.subscription.updated"):
        subscription["status"] = status


@deed("invoice.retry")
def _retry(book: Book, subscription: Json, invoice: Json, planned: int) -> None:
    if invoice["status"] == "open" and invoice["next_payment_attempt"] == planned:
        collect(book, subscription, invoice)


def catch_up(book: Book, subscription: Json) -> None:
    """After a pause: renew at once when the period ended meanwhile, else watch the one that still runs."""
    end = subscriptions.current_period(subscription)[1]
    if end <= book.now:
        _renew(book, subscription, end)
