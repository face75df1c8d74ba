"""Payments without a page: creating and confirming payment intents, and what stands behind a checkout page."""

from typing import Final

from gateway.sandbox.engine import checkout, standalone
from gateway.sandbox.engine.payments import card_error
from gateway.sandbox.refusals import Json, Refusal, missing_in_path, parameter_missing
from gateway.sandbox.resources.customers import use_method
from gateway.sandbox.wire.operation import Call, Operation, operation

_SHIPPING: Final = (
    "shipping:{address!:{city:s country:s line1:s line2:s postal_code:s state:s} carrier:s name!:s phone:s "
    "tracking_number:s}|''"
)


def _method(call: Call) -> Json | None:
    named: str | None = call.params.get("payment_method")
    return use_method(call.book, named, param="payment_method") if named else None


def _create(call: Call) -> Json:
    return standalone.open_intent(call.book, call.params, _method(call))


def _confirm(call: Call) -> Json:
    intent = call.book.at_path("payment_intent", call.id)
    present = not call.params.get("off_session", False)
    standalone.confirm_intent(call.book, intent, _method(call), owner_present=present)
    return intent


def _page(call: Call) -> Json:
    """What the script of a checkout page reads; its id is the session's."""
    session = call.book.find("checkout.session", call.id)
    if session is None:
        raise missing_in_path("payment_page", call.id)
    total = session["amount_total"]
    return {
        "id": session["id"],
        "object": "checkout.session",
        "session_id": session["id"],
        "livemode": session["livemode"],
        "mode": session["mode"],
        "status": session["status"],
        "payment_status": session["payment_status"],
        "currency": session["currency"],
        "total_summary": {"due": total, "subtotal": session["amount_subtotal"], "total": total},
    }


def _confirm_page(call: Call) -> Json:
    """What pressing the button of a checkout page does."""
    book = call.book
    session = book.find("checkout.session", call.id)
    if session is None:
        raise missing_in_path("payment_page", call.id)
    method = _method(call)
    if method is None:
        raise parameter_missing("payment_method")
    expected: int | None = call.params.get("expected_amount")
    if expected is not None and expected != session["amount_total"]:
        raise Refusal("The amount has changed; please check it again.", code="checkout_amount_mismatch")
    email: str | None = method["billing_details"]["email"]
    paid = checkout.pay(book, session, book.behind.cards[method["id"]], email=email)
    if paid.decline is not None:
        raise card_error(paid.decline)
    return _page(call)


OPERATIONS: Final[tuple[Operation, ...]] = (
    operation(
        "POST",
        "/v1/payment_intents",
        "payment_intent",
        "amount!:i currency!:s automatic_payment_methods:{allow_redirects:(always never) enabled!:b} "
        "capture_method:(automatic automatic_async) confirm:b customer:s description:s metadata:map|'' off_session:b "
        "payment_method:s payment_method_types:[s] receipt_email:s return_url:s "
        f"setup_future_usage:(off_session on_session) {_SHIPPING} statement_descriptor:s "
        "statement_descriptor_suffix:s transfer_data^:* transfer_group:s",
        _create,
    ),
    operation(
        "POST",
        "/v1/payment_intents/{id}/confirm",
        "payment_intent",
        "off_session:b payment_method:s return_url:s",
        _confirm,
    ),
    operation("GET", "/v1/payment_pages/{id}", "payment_page", "", _page),
    operation(
        "POST",
        "/v1/payment_pages/{id}/confirm",
        "payment_page",
        "payment_method:s expected_amount:i expected_payment_method_type:s key:s return_url:s",
        _confirm_page,
    ),
)
