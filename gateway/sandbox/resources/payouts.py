"""Payouts to bank accounts and their schedule: /v1/payouts, /v1/balance_settings."""

from collections.abc import Iterable
from typing import Final

from gateway.sandbox.engine import payout_schedule, payouts
from gateway.sandbox.engine.book import Book
from gateway.sandbox.refusals import Json, parameter_invalid
from gateway.sandbox.wire.operation import Call, Operation, listing, matches, operation


def _create(call: Call) -> Json:
    params = call.params
    return payouts.create_payout(
        call.book,
        amount=params["amount"],
        currency=params["currency"],
        description=params.get("description"),
        metadata=params.get("metadata"),
        statement_descriptor=params.get("statement_descriptor"),
    )


def _cancel(call: Call) -> Json:
    return payouts.cancel(call.book, call.book.at_path("payout", call.id))


def _payouts(call: Call) -> Iterable[Json]:
    for row in call.book.newest_first("payout"):
        if matches(row, call.params, "arrival_date created destination status"):
            yield row


def _settings(book: Book) -> Json:
    schedule = payout_schedule.schedule_of(book)
    minimum: Json | None = schedule.pop("minimum_balance_by_currency", None)
    return {
        "object": "balance_settings",
        "payments": {
            "debit_negative_balances": True,
            "payouts": {
                # Stripe describes null here as well, which its Python SDK cannot read.
                "automatic_transfer_rules_by_currency": {},
                "minimum_balance_by_currency": minimum,
                "schedule": schedule,
                "statement_descriptor": None,
                "status": "enabled",
            },
            "settlement_timing": {"delay_days": payout_schedule.DELAY_DAYS, "start_of_day": None},
        },
    }


def _change_settings(call: Call) -> Json:
    book = call.book
    wanted: Json = call.params.get("payments", {}).get("payouts", {})
    before = _settings(book)
    schedule: Json = {**payout_schedule.schedule_of(book), **wanted.get("schedule", {})}
    for day in schedule.get("monthly_payout_days", []):
        if not 1 <= day <= payout_schedule.MONTH_DAY_MAX:
            raise parameter_invalid(
                f"A day of the month is 1 to {payout_schedule.MONTH_DAY_MAX}; got {day}.",
                param="payments[payouts][schedule][monthly_payout_days]",
            )
    if "minimum_balance_by_currency" in wanted:
        schedule["minimum_balance_by_currency"] = wanted["minimum_balance_by_currency"] or {}
    book.behind.payout_schedule = schedule
    payout_schedule.plan(book)
    after = _settings(book)
    if after != before:
        book.emit("balance_settings.updated", after)
    return after


_SCHEDULE: Final = (
    f"{{interval:({' '.join(payout_schedule.INTERVALS)}) weekly_payout_days:[({' '.join(payout_schedule.WEEKDAYS)})] "
    "monthly_payout_days:[i]}"
)

OPERATIONS: Final[tuple[Operation, ...]] = (
    operation(
        "POST",
        "/v1/payouts",
        "payout",
        "amount!:i currency!:s description:s destination^:s metadata:map method:(standard) payout_method^:s "
        "source_type:(bank_account card fpx) statement_descriptor:s",
        _create,
    ),
    operation("GET", "/v1/payouts/{id}", "payout", "", lambda call: call.book.at_path("payout", call.id)),
    operation("POST", "/v1/payouts/{id}/cancel", "payout", "", _cancel),
    listing("/v1/payouts", "payout", "arrival_date:range created:range destination:s status:s", _payouts),
    operation("GET", "/v1/balance_settings", "balance_settings", "", lambda call: _settings(call.book)),
    operation(
        "POST",
        "/v1/balance_settings",
        "balance_settings",
        "payments:{debit_negative_balances^:b payouts:{automatic_transfer_rules_by_currency^:* "
        f"minimum_balance_by_currency:{{usd:i}}|'' schedule:{_SCHEDULE} statement_descriptor^:s}} "
        "settlement_timing^:*}",
        _change_settings,
    ),
)
