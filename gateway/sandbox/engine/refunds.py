"""Giving money back."""

from typing import Final

from gateway.sandbox.engine.agenda import Turn, deed
from gateway.sandbox.engine.balance import move_balance
from gateway.sandbox.engine.blanks import nulls
from gateway.sandbox.engine.book import Book
from gateway.sandbox.refusals import Json, Refusal, parameter_invalid, state_conflict


def refund_charge(
    book: Book, charge: Json, *, amount: int | None = None, reason: str | None = None, metadata: Json | None = None
) -> Json:
    """Refund what is left of a charge, or `amount` of it; partial refunds add up.

    Raises:
        Refusal: the charge was not paid, is refunded or disputed already, or has less left.
    """
    wanted = _refundable(charge, amount)
    refund: Json = {
        **book.stamp("re", "refund"),
        **nulls("customer_account receipt_number source_transfer_reversal transfer_reversal"),
        "amount": wanted,
        "charge": charge["id"],
        "currency": charge["currency"],
        "customer": charge["customer"],
        "destination_details": {"card": {"type": "refund", "reference_status": "pending"}, "type": "card"},
        "metadata": dict(metadata or {}),
        "payment_intent": charge["payment_intent"],
        "payment_method": charge["payment_method"],
        "reason": reason,
        "status": "succeeded",
    }
    del refund["livemode"]
    entry = move_balance(
        book,
        type="refund",
        amount=-wanted,
        fee=0,
        currency=charge["currency"],
        source=refund["id"],
        available_on=book.now,
    )
    refund["balance_transaction"] = entry["id"]
    book.add(refund)
    with book.changing(charge, "charge.refunded"):
        charge["amount_refunded"] += wanted
        charge["refunded"] = charge["amount_refunded"] == charge["amount_captured"]
    book.emit("refund.created", refund)
    book.around.agenda.at(book.now + book.settings.refund_reference_seconds, Turn.SETTLE, book, give_reference, refund)
    return refund


@deed("refund.reference")
def give_reference(book: Book, refund: Json) -> None:
    """The bank's reference of a refund becomes known."""
    if refund["status"] != "succeeded":
        return
    with book.changing(refund, *_UPDATED):
        reference = {"reference": book.around.ids.letters(16), "reference_status": "available"}
        refund["destination_details"]["card"] = {**refund["destination_details"]["card"], **reference}


def fail_refund(book: Book, refund: Json) -> None:
    """A refund that seemed done comes back: the charge is not refunded, the money is in the balance again.

    Raises:
        Refusal: it failed already, or is no refund to a card.
    """
    if refund["status"] != "succeeded" or refund["transfer_reversal"] is not None:
        raise state_conflict(f"The refund {refund['id']} is {refund['status']} already.")
    entry = move_balance(
        book,
        type="refund_failure",
        amount=refund["amount"],
        currency=refund["currency"],
        source=refund["id"],
        available_on=book.now,
    )
    with book.changing(book.get("charge", refund["charge"]), "charge.updated") as charge:
        charge["amount_refunded"] -= refund["amount"]
        charge["refunded"] = False
    with book.changing(refund, *_UPDATED):
        refund["status"] = "failed"
        refund["failure_reason"] = "expired_or_canceled_card"
        refund["failure_balance_transaction"] = entry["id"]
    book.emit("refund.failed", refund)


_UPDATED: Final = ("refund.updated", "charge.refund.updated")


def _refundable(charge: Json, amount: int | None) -> int:
    if not charge["paid"]:
        raise state_conflict(
            f"This charge ({charge['id']}) has not been captured and cannot be refunded.", param="charge"
        )
    if charge["disputed"]:
        raise state_conflict(
            f"Charge {charge['id']} has been charged back; cannot issue a refund.", code="charge_disputed"
        )
    left: int = charge["amount_captured"] - charge["amount_refunded"]
    if left == 0:
        raise state_conflict(f"Charge {charge['id']} has already been refunded.", code="charge_already_refunded")
    if amount is None:
        return left
    if amount <= 0:
        raise parameter_invalid("This value must be greater than or equal to 1.", param="amount")
    if amount > left:
        raise state_conflict(
            f"Refund amount ({dollars(amount)}) is greater than unrefunded amount on charge ({dollars(left)})",
            param="amount",
        )
    return amount


def dollars(cents: int) -> str:
    return f"${cents // 100:,}.{cents % 100:02d}"


def charge_of_payment(book: Book, intent_id: str, *, param: str) -> Json:
    """The charge that paid an intent.

    Raises:
        Refusal: the intent is unknown, or nothing was paid.
    """
    intent = book.in_params("payment_intent", intent_id, param=param)
    charge = book.find("charge", intent["latest_charge"])
    if charge is None or intent["status"] != "succeeded":
        raise Refusal(
            f"This PaymentIntent ({intent_id}) does not have a successful charge to refund.",
            code="payment_intent_unexpected_state",
            param=param,
            kept=True,
        )
    return charge
