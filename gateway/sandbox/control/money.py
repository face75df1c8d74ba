"""What happens to payments outside the API: delayed ones arrive or not, banks take money back."""

from gateway.sandbox.control.body import Body, ControlRefused
from gateway.sandbox.engine import checkout, disputes, refunds
from gateway.sandbox.engine.book import Book
from gateway.sandbox.engine.cards import CardRefused, read_card
from gateway.sandbox.engine.world import World
from gateway.sandbox.refusals import Json


def find(world: World, kind: str, id: str) -> tuple[Book, Json]:
    """An object in whichever book holds it.

    Raises:
        ControlRefused: 404.
    """
    book = world.book_with(kind, id)
    if book is None:
        raise ControlRefused(f"There is no {kind} {id!r}.", status=404)
    return book, book.get(kind, id)


def _intent(world: World, body: Body) -> tuple[Book, Json]:
    """The payment intent named directly, or by the checkout session or invoice it pays."""
    intent, session, invoice = (body.text_or_none(name) for name in ("payment_intent", "checkout_session", "invoice"))
    if (intent is not None) + (session is not None) + (invoice is not None) != 1:
        raise ControlRefused("Name exactly one of payment_intent, checkout_session, invoice.")
    if intent is not None:
        return find(world, "payment_intent", intent)
    if session is not None:
        book, _ = find(world, "checkout.session", session)
        paying = book.behind.session_orders[session].get("intent")
    else:
        assert invoice is not None
        book, _ = find(world, "invoice", invoice)
        rows = book.table("invoice_payment").values()
        paying = next((row["payment"]["payment_intent"] for row in rows if row["invoice"] == invoice), None)
    if paying is None:
        raise ControlRefused(f"Nothing was paid for {session or invoice!r} yet.", status=409)
    return book, book.get("payment_intent", paying)


def settle(world: World, body: Body) -> Json:
    book, intent = _intent(world, body)
    body.done()
    checkout.settle_delayed(book, intent)
    return {"payment_intent": intent["id"], "status": intent["status"]}


def fail(world: World, body: Body) -> Json:
    book, intent = _intent(world, body)
    body.done()
    checkout.fail_delayed(book, intent)
    return {"payment_intent": intent["id"], "status": intent["status"]}


def _charge(world: World, body: Body) -> tuple[Book, Json]:
    named = body.text_or_none("charge")
    if named is not None:
        return find(world, "charge", named)
    book, intent = _intent(world, body)
    if intent["latest_charge"] is None:
        raise ControlRefused(f"The payment {intent['id']} has no charge.", status=409)
    return book, book.get("charge", intent["latest_charge"])


def refund(world: World, body: Body) -> Json:
    book, charge = _charge(world, body)
    amount, reason = body.whole_or_none("amount", least=1), body.text_or_none("reason")
    body.done()
    return refunds.refund_charge(book, charge, amount=amount, reason=reason)


def fail_refund(world: World, body: Body) -> Json:
    """The bank does not take a refund: the money comes back to the balance."""
    book, made = find(world, "refund", body.text("refund"))
    body.done()
    refunds.fail_refund(book, made)
    return made


def open_dispute(world: World, body: Body) -> Json:
    book, charge = _charge(world, body)
    amount, inquiry = body.whole_or_none("amount", least=1), body.flag("inquiry")
    reason = body.text_or_none("reason") or "fraudulent"
    body.done()
    return disputes.open_dispute(book, charge, amount=amount, reason=reason, inquiry=inquiry)


def close_dispute(world: World, body: Body) -> Json:
    book, dispute = find(world, "dispute", body.text("dispute"))
    outcome = body.one_of("outcome", ("won", "lost", "warning_closed"))
    body.done()
    match outcome:
        case "won" | "lost" | "warning_closed":
            disputes.close_dispute(book, dispute, outcome=outcome)
        case _:
            raise AssertionError(outcome)
    return dispute


def pay_session(world: World, body: Body) -> Json:
    """Pay a session as a person on its page would."""
    book, session = find(world, "checkout.session", body.text("checkout_session"))
    number, email = body.text_or_none("card_number") or "4242424242424242", body.text_or_none("email")
    body.done()
    try:
        card = read_card(number)
    except CardRefused as refused:
        raise ControlRefused(refused.decline.message, status=402) from refused
    paid = checkout.pay(book, session, card, email=email)
    if paid.decline is not None:
        raise ControlRefused(paid.decline.message, status=402)
    return session
