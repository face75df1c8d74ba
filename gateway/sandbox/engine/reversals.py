"""Taking transfers back."""

from typing import Final

from gateway.sandbox.engine.balance import available_cents, move_balance
from gateway.sandbox.engine.blanks import nulls
from gateway.sandbox.engine.book import Book
from gateway.sandbox.engine.refunds import dollars
from gateway.sandbox.refusals import Json, parameter_invalid, state_conflict

SHOWN_REVERSALS_MAX: Final = 10


def reverse_transfer(
    platform: Book, transfer: Json, *, amount: int | None = None, metadata: Json | None = None, covered: bool = True
) -> Json:
    """Take a transfer back, whole or in part; partial reversals add up.

    `covered` asks that the destination still has the money; without it its balance may fall below zero.

    Raises:
        Refusal: less is left of the transfer, or the destination's available balance does not cover it.
    """
    wanted = _reversible(transfer, amount)
    own = platform.connected(transfer["destination"])
    if covered and wanted > available_cents(own, transfer["currency"]):
        raise state_conflict(
            "Insufficient funds in the destination account's available balance to reverse this transfer "
            f"({dollars(wanted)} wanted, {dollars(max(0, available_cents(own, transfer['currency'])))} available).",
            code="balance_insufficient",
        )
    reversal: Json = {
        **platform.stamp("trr", "transfer_reversal"),
        "amount": wanted,
        "currency": transfer["currency"],
        "metadata": metadata or {},
        "source_refund": None,
        "transfer": transfer["id"],
    }
    del reversal["livemode"]
    given = move_balance(
        platform,
        type="transfer_refund",
        amount=wanted,
        currency=transfer["currency"],
        source=reversal["id"],
        available_on=platform.now,
    )
    reversal["balance_transaction"] = given["id"]
    reversal["destination_payment_refund"] = _take_back(own, transfer, reversal)["id"]
    platform.add(reversal)
    with platform.changing(transfer, "transfer.reversed"):
        transfer["amount_reversed"] += wanted
        transfer["reversed"] = transfer["amount_reversed"] == transfer["amount"]
        transfer["reversals"]["data"].insert(0, reversal)
        transfer["reversals"]["has_more"] = len(transfer["reversals"]["data"]) > SHOWN_REVERSALS_MAX
        del transfer["reversals"]["data"][SHOWN_REVERSALS_MAX:]
    return reversal


def _reversible(transfer: Json, amount: int | None) -> int:
    left: int = transfer["amount"] - transfer["amount_reversed"]
    if left == 0:
        raise state_conflict(f"Transfer {transfer['id']} is already fully reversed.", param="id")
    wanted = left if amount is None else amount
    if wanted < 1:
        raise parameter_invalid(
            "This value must be greater than or equal to 1.", param="amount", code="parameter_invalid_integer"
        )
    if wanted > left:
        raise state_conflict(
            f"Reversal amount ({dollars(wanted)}) is greater than unreversed amount on transfer ({dollars(left)})",
            param="amount",
        )
    return wanted


def _take_back(own: Book, transfer: Json, reversal: Json) -> Json:
    """The refund that the connected account sees of a reversal."""
    payment = own.get("charge", transfer["destination_payment"])
    refund: Json = {
        **own.stamp("pyr", "refund"),
        **nulls(
            "customer customer_account payment_intent payment_method reason receipt_number source_transfer_reversal"
        ),
        "amount": reversal["amount"],
        "charge": payment["id"],
        "currency": transfer["currency"],
        "metadata": {},
        "status": "succeeded",
        "transfer_reversal": reversal["id"],
    }
    del refund["livemode"]
    entry = move_balance(
        own,
        type="payment_refund",
        amount=-reversal["amount"],
        currency=transfer["currency"],
        source=refund["id"],
        available_on=own.now,
    )
    refund["balance_transaction"] = entry["id"]
    payment["amount_refunded"] += reversal["amount"]
    payment["refunded"] = payment["amount_refunded"] == payment["amount"]
    return own.add(refund)
