"""Money as it moved: /v1/payment_intents, /v1/charges, /v1/refunds, /v1/disputes, /v1/balance and its transactions."""

from collections.abc import Iterable
from typing import Any, Final, cast

from gateway.sandbox.engine import balance, disputes, payouts, refunds
from gateway.sandbox.engine.blanks import merged_metadata
from gateway.sandbox.refusals import Json, Refusal, parameter_invalid
from gateway.sandbox.wire.operation import Call, Operation, listing, matches, operation


def _refund(call: Call) -> Json:
    book, params = call.book, call.params
    if ("charge" in params) == ("payment_intent" in params):
        raise Refusal("One of the following params should be provided for this request: payment_intent or charge.")
    if "charge" in params:
        charge = book.in_params("charge", params["charge"], param="charge")
    else:
        charge = refunds.charge_of_payment(book, params["payment_intent"], param="payment_intent")
    return refunds.refund_charge(
        book,
        charge,
        amount=params.get("amount"),
        reason=params.get("reason"),
        metadata=merged_metadata({}, params.get("metadata", {})),
    )


def _update_dispute(call: Call) -> Json:
    dispute = call.book.at_path("dispute", call.id)
    evidence: Any = call.params.get("evidence") or {}
    if not isinstance(evidence, dict):
        raise parameter_invalid("Invalid object", param="evidence")
    if "evidence" in call.params or "submit" in call.params:
        # Stripe submits what an update brings unless told to wait.
        disputes.submit_evidence(call.book, dispute, cast("Json", evidence), submit=call.params.get("submit", True))
    if "metadata" in call.params:
        dispute["metadata"] = merged_metadata(dispute["metadata"], call.params["metadata"])
    return dispute


def _close_dispute(call: Call) -> Json:
    dispute = call.book.at_path("dispute", call.id)
    outcome = "warning_closed" if dispute["status"].startswith("warning_") else "lost"
    disputes.close_dispute(call.book, dispute, outcome=outcome)
    return dispute


def _transactions(call: Call) -> Iterable[Json]:
    for entry in call.book.newest_first("balance_transaction"):
        if "payout" in call.params and not payouts.is_of(call.book, entry, call.params["payout"]):
            continue
        if matches(entry, call.params, "created currency source type"):
            yield balance.as_of_now(call.book, entry)


def _rows(kind: str, names: str, *, more: str = "") -> Operation:
    """The list of a kind, filtered by those of its own fields that are named; `created` is always one."""
    notation = " ".join([*(f"{name}:s" for name in names.split()), more])

    def select(call: Call) -> Iterable[Json]:
        return (row for row in call.book.newest_first(kind) if matches(row, call.params, f"created {names}"))

    return listing(f"/v1/{kind}s", kind, f"created:range {notation}", select)


def _one(kind: str) -> Operation:
    def retrieve(call: Call) -> Json:
        return call.book.at_path(kind, call.id)

    more = "client_secret:s" if kind == "payment_intent" else ""
    return operation("GET", f"/v1/{kind}s/{{id}}", kind, more, retrieve)


OPERATIONS: Final[tuple[Operation, ...]] = (
    _one("payment_intent"),
    _rows("payment_intent", "customer", more="customer_account^:s"),
    _one("charge"),
    _rows("charge", "customer payment_intent transfer_group"),
    _one("refund"),
    _rows("refund", "charge payment_intent"),
    operation(
        "POST",
        "/v1/refunds",
        "refund",
        "amount:i charge:s currency^:s customer^:s instructions_email^:s metadata:map|'' origin^:s payment_intent:s "
        "reason:(duplicate fraudulent requested_by_customer) refund_application_fee^:b reverse_transfer^:b",
        _refund,
    ),
    _one("dispute"),
    _rows("dispute", "charge payment_intent"),
    operation(
        "POST",
        "/v1/disputes/{id}",
        "dispute",
        "evidence:* intended_submission_method^:s metadata:map|'' submit:b",
        _update_dispute,
    ),
    operation("POST", "/v1/disputes/{id}/close", "dispute", "", _close_dispute),
    _one("balance_transaction"),
    listing(
        "/v1/balance_transactions",
        "balance_transaction",
        "created:range currency:s payout:s source:s type:s",
        _transactions,
    ),
    operation("GET", "/v1/balance", "balance", "", lambda call: balance.balance_of(call.book)),
)
