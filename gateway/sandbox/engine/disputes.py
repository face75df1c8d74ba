"""Card holders who want their money back from their bank."""

from typing import Final, Literal

from gateway.sandbox.engine.balance import move_balance
from gateway.sandbox.engine.book import Book
from gateway.sandbox.refusals import Json, state_conflict

DISPUTE_FEE_CENTS: Final = 1500
ANSWER_SECONDS: Final = 9 * 86_400
_OPEN: Final = frozenset({"needs_response", "under_review", "warning_needs_response", "warning_under_review"})


def open_dispute(
    book: Book, charge: Json, *, amount: int | None = None, reason: str = "fraudulent", inquiry: bool = False
) -> Json:
    """Dispute a paid charge. An inquiry only warns; a real one takes the money and a fee at once.

    Raises:
        Refusal: the charge was not paid, or is disputed already.
    """
    if not charge["paid"]:
        raise state_conflict(f"Charge {charge['id']} was not paid and cannot be disputed.")
    if charge["disputed"]:
        raise state_conflict(f"Charge {charge['id']} is disputed already.", code="charge_disputed")
    wanted = charge["amount_captured"] if amount is None else amount
    if not 0 < wanted <= charge["amount_captured"]:
        raise state_conflict(
            f"A dispute of charge {charge['id']} is between 1 and {charge['amount_captured']}; got {wanted}.",
            param="amount",
        )
    dispute: Json = {
        **book.stamp("du", "dispute"),
        "amount": wanted,
        "balance_transactions": [],
        "charge": charge["id"],
        "currency": charge["currency"],
        "enhanced_eligibility_types": [],
        "evidence": {},
        "evidence_details": {
            "due_by": book.now + ANSWER_SECONDS,
            "enhanced_eligibility": {},
            "has_evidence": False,
            "past_due": False,
            "submission_count": 0,
            "submission_method": "not_submitted",
        },
        "intended_submission_method": None,
        "is_charge_refundable": inquiry,
        "metadata": {},
        "payment_intent": charge["payment_intent"],
        "payment_method_details": {"card": {"brand": "visa", "case_type": "chargeback"}, "type": "card"},
        "reason": reason,
        "status": "warning_needs_response" if inquiry else "needs_response",
    }
    book.add(dispute)
    if inquiry:
        book.emit("charge.dispute.created", dispute)
        return dispute
    with book.changing(charge, "charge.updated"):
        charge["disputed"] = True
    _move(book, dispute, amount=-wanted, fee=DISPUTE_FEE_CENTS)
    book.emit("charge.dispute.created", dispute)
    book.emit("charge.dispute.funds_withdrawn", dispute)
    return dispute


def _move(book: Book, dispute: Json, *, amount: int, fee: int) -> None:
    entry = move_balance(
        book,
        type="adjustment",
        amount=amount,
        fee=fee,
        currency=dispute["currency"],
        source=dispute["id"],
        available_on=book.now,
    )
    dispute["balance_transactions"].append(entry)


def submit_evidence(book: Book, dispute: Json, evidence: Json, *, submit: bool) -> None:
    """Hand in evidence; submitting puts the dispute under review."""
    _require_open(dispute)
    with book.changing(dispute, "charge.dispute.updated"):
        dispute["evidence"] = {**dispute["evidence"], **evidence}
        dispute["evidence_details"]["has_evidence"] = bool(dispute["evidence"])
        if submit:
            dispute["evidence_details"]["submission_count"] += 1
            dispute["evidence_details"]["submission_method"] = "manual"
            dispute["status"] = dispute["status"].replace("needs_response", "under_review")


def close_dispute(book: Book, dispute: Json, *, outcome: Literal["won", "lost", "warning_closed"]) -> None:
    """Decide a dispute: won brings the money back, lost keeps it away; an inquiry can only be closed as such.

    Raises:
        Refusal: it is decided already, or the outcome does not fit its kind.
    """
    _require_open(dispute)
    inquiry = dispute["status"].startswith("warning_")
    if inquiry != (outcome == "warning_closed"):
        raise state_conflict(f"A dispute with status {dispute['status']} cannot become {outcome}.")
    with book.changing(dispute, "charge.dispute.closed"):
        dispute["status"] = outcome
        dispute["is_charge_refundable"] = outcome == "warning_closed"
        if outcome == "won":
            _move(book, dispute, amount=dispute["amount"], fee=0)
    if outcome == "won":
        with book.changing(book.get("charge", dispute["charge"]), "charge.updated"):
            book.get("charge", dispute["charge"])["disputed"] = False
        book.emit("charge.dispute.funds_reinstated", dispute)


def _require_open(dispute: Json) -> None:
    if dispute["status"] not in _OPEN:
        raise state_conflict(f"This dispute is already closed: its status is {dispute['status']}.")
