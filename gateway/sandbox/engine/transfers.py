"""Moving money from the platform's balance to connected accounts'."""

from collections.abc import Callable
from typing import Final

from gateway.sandbox.engine import accounts
from gateway.sandbox.engine.balance import available_cents, move_balance
from gateway.sandbox.engine.blanks import list_of, nulls
from gateway.sandbox.engine.book import Book
from gateway.sandbox.engine.refunds import dollars
from gateway.sandbox.refusals import Json, missing_in_params, parameter_invalid, parameter_missing, state_conflict

AMOUNT_CENTS_MAX: Final = 99_999_999


def create_transfer(platform: Book, params: Json) -> Json:
    """Move money to a connected account.

    Raises:
        Refusal: the destination is unknown or may not receive, or the balance does not cover it. Only the last two
            are kept by an idempotency key, as they come up once execution has begun.
    """
    record = accounts.account_at(platform, params["destination"])
    if record is None:
        raise missing_in_params("destination", params["destination"], param="destination")
    charge = _source(platform, params)
    amount = _amount(params, left=None if charge is None else _left_of(platform, charge))
    if not accounts.can_receive(record):
        raise state_conflict(
            "Your destination account needs to have at least one of the following capabilities enabled: "
            "transfers, crypto_transfers, legacy_payments",
            code="insufficient_capabilities_for_transfer",
        )
    if charge is None and amount > available_cents(platform, params["currency"]):
        raise state_conflict(
            "You have insufficient available funds in your Stripe account. Try adding funds directly to your "
            "available balance by creating Charges using the 4000000000000077 test card. See: "
            "https://docs.stripe.com/testing#available-balance",
            code="balance_insufficient",
        )
    transfer: Json = {
        **platform.stamp("tr", "transfer"),
        "amount": amount,
        "amount_reversed": 0,
        "currency": params["currency"],
        "description": params.get("description"),
        "destination": record["id"],
        "metadata": params.get("metadata", {}),
        "reversed": False,
        "source_transaction": charge["id"] if charge else None,
        "source_type": params.get("source_type", "card"),
        "transfer_group": params.get("transfer_group") or (charge and charge["transfer_group"]),
    }
    transfer["reversals"] = list_of([], url=f"/v1/transfers/{transfer['id']}/reversals")
    _move(platform, transfer, available_on=_available_on(platform, charge))
    platform.add(transfer)
    platform.emit("transfer.created", transfer)
    return transfer


def _source(platform: Book, params: Json) -> Json | None:
    """The charge whose money is moved before it is available."""
    if "source_transaction" not in params:
        return None
    charge = platform.in_params("charge", params["source_transaction"], param="source_transaction")
    if not charge["paid"] or charge["currency"] != params["currency"]:
        raise parameter_invalid(
            f"The charge {charge['id']} cannot be the source of this transfer: it is unpaid or in another currency.",
            param="source_transaction",
        )
    return charge


def _amount(params: Json, *, left: int | None) -> int:
    """What is asked for, at most what is `left` of a charge; all of that when nothing is asked for."""
    amount: int | None = params.get("amount", left)
    if amount is None:
        raise parameter_missing("amount")
    if amount < 1:
        raise parameter_invalid(
            "This value must be greater than or equal to 1.", param="amount", code="parameter_invalid_integer"
        )
    if amount > AMOUNT_CENTS_MAX:
        raise parameter_invalid(
            f"Amount must be no more than {dollars(AMOUNT_CENTS_MAX)}.", param="amount", code="amount_too_large"
        )
    if left is not None and amount > left:
        raise parameter_invalid(
            f"The transfer amount ({dollars(amount)}) is greater than what is left of the source transaction "
            f"({dollars(left)}).",
            param="amount",
        )
    return amount


def _left_of(platform: Book, charge: Json) -> int:
    transfers = platform.table("transfer").values()
    moved = sum(one["amount"] for one in transfers if one["source_transaction"] == charge["id"])
    left: int = charge["amount_captured"] - moved
    return left


def _available_on(platform: Book, charge: Json | None) -> int:
    if charge is None:
        return platform.now
    lines = platform.table("balance_transaction").values()
    entry = next(one for one in lines if one["source"] == charge["id"])  # the charge may not name it yet
    return max(platform.now, entry["available_on"])


def _move(platform: Book, transfer: Json, *, available_on: int) -> None:
    own = platform.connected(transfer["destination"])
    taken = move_balance(
        platform,
        type="transfer",
        amount=-transfer["amount"],
        currency=transfer["currency"],
        source=transfer["id"],
        available_on=available_on,
    )
    payment = _payment(own, transfer)
    given = move_balance(
        own,
        type="payment",
        amount=transfer["amount"],
        currency=transfer["currency"],
        source=payment["id"],
        available_on=available_on,
    )
    payment["balance_transaction"] = given["id"]
    transfer["balance_transaction"] = taken["id"]
    transfer["destination_payment"] = payment["id"]


def _payment(own: Book, transfer: Json) -> Json:
    """What the connected account sees of a transfer."""
    return own.add(
        {
            **own.stamp("py", "charge"),
            **nulls(
                "application application_fee application_fee_amount balance_transaction "
                "calculated_statement_descriptor customer description failure_balance_transaction failure_code "
                "failure_message on_behalf_of outcome payment_intent payment_method receipt_email receipt_number "
                "receipt_url review shipping source statement_descriptor statement_descriptor_suffix transfer_data "
                "transfer_group"
            ),
            "amount": transfer["amount"],
            "amount_captured": transfer["amount"],
            "amount_refunded": 0,
            "billing_details": {"address": None, **nulls("email name phone tax_id")},
            "captured": True,
            "currency": transfer["currency"],
            "disputed": False,
            "fraud_details": {},
            "metadata": {},
            "paid": True,
            "payment_method_details": {"stripe_account": {}, "type": "stripe_account"},
            "refunded": False,
            "source_transfer": transfer["id"],
            "status": "succeeded",
        }
    )


def update_transfer(platform: Book, transfer: Json, change: Callable[[Json], None]) -> Json:
    with platform.changing(transfer, "transfer.updated"):
        change(transfer)
    return transfer
