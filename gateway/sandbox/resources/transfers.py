"""Transfers to connected accounts and their reversals: /v1/transfers."""

from collections.abc import Iterable
from typing import Final

from gateway.sandbox.engine import reversals, transfers
from gateway.sandbox.engine.blanks import merged_metadata, or_none
from gateway.sandbox.refusals import Json
from gateway.sandbox.resources.accounts import platform_only
from gateway.sandbox.wire.operation import Call, Operation, listing, matches, operation


def _create(call: Call) -> Json:
    return transfers.create_transfer(platform_only(call), call.params)


def _update(call: Call) -> Json:
    platform, params = platform_only(call), call.params
    transfer = platform.at_path("transfer", call.id)

    def change(one: Json) -> None:
        if "description" in params:
            one["description"] = or_none(params["description"])
        if "metadata" in params:
            one["metadata"] = merged_metadata(one["metadata"], params["metadata"])

    return transfers.update_transfer(platform, transfer, change)


def _transfers(call: Call) -> Iterable[Json]:
    rows = platform_only(call).newest_first("transfer")
    return (row for row in rows if matches(row, call.params, "created destination transfer_group"))


def _reverse(call: Call) -> Json:
    platform = platform_only(call)
    transfer = platform.at_path("transfer", call.id)
    metadata = merged_metadata({}, call.params.get("metadata", {}))
    return reversals.reverse_transfer(platform, transfer, amount=call.params.get("amount"), metadata=metadata)


def _reversals(call: Call) -> Iterable[Json]:
    platform = platform_only(call)
    platform.at_path("transfer", call.id)
    return (row for row in platform.newest_first("transfer_reversal") if row["transfer"] == call.id)


OPERATIONS: Final[tuple[Operation, ...]] = (
    operation(
        "POST",
        "/v1/transfers",
        "transfer",
        "amount:i currency!:s description:s destination!:s metadata:map source_transaction:s "
        "source_type:(bank_account card fpx) transfer_group:s",
        _create,
    ),
    operation(
        "GET", "/v1/transfers/{id}", "transfer", "", lambda call: platform_only(call).at_path("transfer", call.id)
    ),
    operation("POST", "/v1/transfers/{id}", "transfer", "description:s metadata:map|''", _update),
    listing("/v1/transfers", "transfer", "created:range destination:s transfer_group:s", _transfers),
    operation(
        "POST",
        "/v1/transfers/{id}/reversals",
        "transfer_reversal",
        "amount:i description:s metadata:map|'' refund_application_fee^:b",
        _reverse,
    ),
    listing("/v1/transfers/{id}/reversals", "transfer_reversal", "", _reversals),
)
