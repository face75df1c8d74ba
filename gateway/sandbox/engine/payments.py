"""Payment intents, the charges that try to fulfil them, and the balance they move."""

from dataclasses import dataclass
from typing import Final, Literal

from gateway.sandbox.engine import disputes
from gateway.sandbox.engine.agenda import Turn, deed
from gateway.sandbox.engine.balance import fee_cents, move_balance
from gateway.sandbox.engine.blanks import nulls, or_none
from gateway.sandbox.engine.book import Book
from gateway.sandbox.engine.cards import GENERIC_DECLINE, Card, Conduct, Decline
from gateway.sandbox.engine.customers import face, shipping
from gateway.sandbox.refusals import Json, Refusal


@dataclass(frozen=True, slots=True)
class Attempt:
    """What charging a card came to."""

    status: Literal["paid", "processing", "declined"]
    charge: Json
    decline: Decline | None = None

    def refusal(self, intent: Json) -> Refusal:
        """The 402 an API caller gets for a declined attempt."""
        assert self.decline is not None
        return card_error(self.decline, charge=self.charge["id"], payment_intent=intent)


def card_error(decline: Decline, *, param: str | None = None, **more: object) -> Refusal:
    return Refusal(
        decline.message,
        status=402,
        type="card_error",
        code=decline.code,
        param=param,
        kept=True,
        decline_code=decline.decline_code,
        **more,
    )


def new_intent(book: Book, *, amount: int, currency: str, customer: str | None, more: Json) -> Json:
    """A payment intent; `more` is Stripe's payment_intent_data: metadata, description, transfer_group and so on."""
    intent: Json = {
        **book.stamp("pi", "payment_intent"),
        **nulls(
            "allowed_payment_method_types application application_fee_amount automatic_payment_methods canceled_at "
            "cancellation_reason customer_account excluded_payment_method_types last_payment_error latest_charge "
            "managed_payments next_action on_behalf_of payment_method payment_method_configuration_details "
            "payment_record processing review source transfer_data"
        ),
        **{name: or_none(more.get(name)) for name in _INTENT_TEXTS},
        "amount": amount,
        "amount_capturable": 0,
        "amount_received": 0,
        "capture_method": "automatic_async",
        "confirmation_method": "automatic",
        "currency": currency,
        "customer": customer,
        "metadata": dict(more.get("metadata", {})),
        "payment_method_options": {"card": {"request_three_d_secure": "automatic"}},
        "payment_method_types": ["card"],
        "shipping": shipping(more.get("shipping")),
        "status": "requires_payment_method",
    }
    intent["client_secret"] = f"{intent['id']}_secret_{book.around.ids.letters(25)}"
    book.add(intent)
    book.emit("payment_intent.created", intent)
    return intent


DELAYED: Final = frozenset({Conduct.PAYS_LATER, Conduct.NEVER_ARRIVES})
_INTENT_TEXTS: Final = (
    "description",
    "receipt_email",
    "setup_future_usage",
    "statement_descriptor",
    "statement_descriptor_suffix",
    "transfer_group",
)


def attempt(book: Book, intent: Json, method: Json, *, owner_present: bool) -> Attempt:
    """Charge `method` for `intent`. Without its owner a card that fails later is declined."""
    card = book.behind.cards[method["id"]]
    intent["payment_method"] = method["id"]
    decline = decline_of(card, owner_present=owner_present)
    charge = _new_charge(book, intent, method, card)
    if decline is not None:
        _mark_failed(book, intent, charge, decline)
        return Attempt("declined", charge, decline)
    if card.conduct in DELAYED:
        _submit(book, intent, charge)
        return Attempt("processing", charge)
    mark_paid(book, intent, charge)
    if card.conduct in {Conduct.DISPUTES, Conduct.INQUIRES}:
        book.around.agenda.at(book.now, Turn.SETTLE, book, _dispute, charge, card.conduct is Conduct.INQUIRES)
    return Attempt("paid", charge)


def _submit(book: Book, intent: Json, charge: Json) -> None:
    """A debit is on its way to the bank: its line is in the balance from now on, pending until it has cleared."""
    clears_at = book.now + book.settings.delayed_payment_seconds + book.settings.funds_available_seconds
    charge["balance_transaction"] = _take_in(book, charge, type="payment", available_on=clears_at)["id"]
    charge["status"] = "pending"
    intent["status"] = "processing"
    book.emit("charge.pending", charge)
    book.emit("payment_intent.processing", intent)


def _take_in(book: Book, charge: Json, *, type: str, available_on: int) -> Json:
    """The line of a payment: its amount less the fee."""
    return move_balance(
        book,
        type=type,
        amount=charge["amount"],
        fee=fee_cents(charge["amount"]),
        currency=charge["currency"],
        source=charge["id"],
        available_on=available_on,
    )


@deed("charge.dispute")
def _dispute(book: Book, charge: Json, inquiry: bool) -> None:
    disputes.open_dispute(book, charge, inquiry=inquiry)


def decline_of(card: Card, *, owner_present: bool) -> Decline | None:
    if card.conduct is Conduct.DECLINES:
        return card.decline or GENERIC_DECLINE
    if card.conduct is Conduct.FAILS_LATER and not owner_present:
        return GENERIC_DECLINE
    return None


def _new_charge(book: Book, intent: Json, method: Json, card: Card) -> Json:
    charge: Json = {
        **book.stamp("ch", "charge"),
        **nulls(
            "application application_fee application_fee_amount balance_transaction failure_balance_transaction "
            "failure_code failure_message on_behalf_of receipt_number receipt_url review source source_transfer "
            "transfer_data"
        ),
        "amount": intent["amount"],
        "amount_captured": 0,
        "amount_refunded": 0,
        "billing_details": dict(method["billing_details"]),
        "calculated_statement_descriptor": book.settings.business_name.upper()[:22],
        "captured": False,
        "currency": intent["currency"],
        "customer": intent["customer"],
        "description": intent["description"],
        "disputed": False,
        "fraud_details": {},
        "metadata": dict(intent["metadata"]),
        "outcome": None,
        "paid": False,
        "payment_intent": intent["id"],
        "payment_method": method["id"],
        "payment_method_details": face(card),
        "receipt_email": intent["receipt_email"],
        "refunded": False,
        "shipping": intent["shipping"],
        "statement_descriptor": intent["statement_descriptor"],
        "statement_descriptor_suffix": intent["statement_descriptor_suffix"],
        "status": "pending",
        "transfer_group": intent["transfer_group"],
    }
    intent["latest_charge"] = charge["id"]
    return book.add(charge)


def mark_paid(book: Book, intent: Json, charge: Json) -> None:
    """The money came: the charge succeeds. The line of a debit was there since it was submitted; others get it now."""
    card = book.behind.cards[charge["payment_method"]]
    available_on = book.now
    if card.conduct is not Conduct.SKIPS_PENDING:
        available_on += book.settings.funds_available_seconds
    entry = book.find("balance_transaction", charge["balance_transaction"])
    if entry is None:
        entry = _take_in(book, charge, type="charge", available_on=available_on)
    elif entry["available_on"] > book.now:
        entry["available_on"] = available_on
    charge |= {
        "amount_captured": charge["amount"],
        "captured": True,
        "outcome": _outcome("authorized", "approved_by_network", "Payment complete."),
        "paid": True,
        "receipt_url": f"{book.around.base_url}/receipts/{charge['id']}",
        "status": "succeeded",
    }
    intent |= {
        "amount_received": intent["amount"],
        "last_payment_error": None,
        "latest_charge": charge["id"],
        "status": "succeeded",
    }
    late = intent["capture_method"] == "automatic_async" and book.settings.balance_transaction_seconds
    if not late:
        charge["balance_transaction"] = entry["id"]
    book.emit("charge.succeeded", charge)
    book.emit("payment_intent.succeeded", intent)
    if late:
        book.around.agenda.at(book.now + late, Turn.SETTLE, book, _show_balance, charge, entry["id"])


@deed("charge.balance")
def _show_balance(book: Book, charge: Json, entry_id: str) -> None:
    """Capturing was asynchronous: the charge's line of the balance becomes known a while after the payment."""
    with book.changing(charge, "charge.updated"):
        charge["balance_transaction"] = entry_id


def _mark_failed(book: Book, intent: Json, charge: Json, decline: Decline) -> None:
    charge |= {
        "failure_code": decline.code,
        "failure_message": decline.message,
        "outcome": _outcome("issuer_declined", "declined_by_network", "The bank did not return any further details."),
        "status": "failed",
    }
    intent |= {
        "last_payment_error": {
            "charge": charge["id"],
            "code": decline.code,
            "decline_code": decline.decline_code,
            "message": decline.message,
            "payment_method": book.get("payment_method", charge["payment_method"]),
            "type": "card_error",
        },
        "payment_method": None,
        "status": "requires_payment_method",
    }
    book.emit("charge.failed", charge)
    book.emit("payment_intent.payment_failed", intent)


def mark_delayed_failed(book: Book, intent: Json) -> Json:
    """A payment that was under way did not come; returns its charge. Its two lines add up to nothing, fee and all."""
    charge = book.get("charge", intent["latest_charge"])
    entry = book.find("balance_transaction", charge["balance_transaction"])
    if entry is not None:
        back = move_balance(
            book,
            type="payment_failure_refund",
            amount=-entry["amount"],
            fee=-entry["fee"],
            currency=entry["currency"],
            source=charge["id"],
            available_on=max(book.now, entry["available_on"]),
        )
        charge["failure_balance_transaction"] = back["id"]
    _mark_failed(book, intent, charge, _NEVER_CAME)
    return charge


_NEVER_CAME: Final = Decline("payment_method_provider_decline", None, "The payment did not arrive.")


def _outcome(type: str, network_status: str, seller_message: str) -> Json:
    return {
        **nulls("advice_code network_advice_code network_decline_code reason"),
        "network_status": network_status,
        "risk_level": "normal",
        "risk_score": 12,
        "seller_message": seller_message,
        "type": type,
    }


def require_chargeable(book: Book, method: Json | None) -> None:
    """Refuse before anything is changed when a charge without its owner would be declined.

    Raises:
        Refusal: 402 card_error, or 400 when there is no card at all.
    """
    if method is None:
        raise Refusal(
            "This customer has no attached payment source or default payment method. "
            "Please consider adding a default payment method.",
            code="resource_missing",
            kept=True,
        )
    decline = decline_of(book.behind.cards[method["id"]], owner_present=False)
    if decline is not None:
        raise card_error(decline)
