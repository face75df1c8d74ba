"""`gateway reconcile`: one day's ledger beside Stripe's balance, for a person or a script."""

import argparse
from datetime import date, timedelta

import orjson

from gateway.app import open_gateway
from gateway.cli import serving
from gateway.cli.development import clock_of
from gateway.cli.output import Refusal, complain, say
from gateway.db import DatabaseError, pending
from gateway.domain.errors import ProviderError
from gateway.domain.money import format_usd_micros
from gateway.domain.reconciliation import Difference
from gateway.logs import configure_logs
from gateway.services.reconciling import FutureDay, Reconciliation, accept, mark_reconciled, reconcile_day
from gateway.settings import Settings

#: Exit statuses: the two sides agree; they do not; nobody can say.
AGREED, DIFFERENT, UNKNOWN = 0, 1, 2


def add_arguments(command: argparse.ArgumentParser) -> None:
    command.set_defaults(refused=UNKNOWN)
    command.add_argument("--day", help="the UTC day, YYYY-MM-DD (default: yesterday)")
    command.add_argument(
        "--no-heal",
        action="store_true",
        help="settle nothing again; fees, subscriptions and bank transfers are booked all the same",
    )
    command.add_argument("--json", action="store_true", help="print the report as JSON")
    command.add_argument(
        "--accept",
        metavar="SUBJECT",
        action="append",
        default=[],
        help="first accept this open difference as it is (not one that is only timing)",
    )


def reconcile(settings: Settings, options: argparse.Namespace) -> int:
    """Compare one day with Stripe; exits with 0 when nothing is open, 1 for differences, 2 when it could not."""
    configure_logs(log_format=settings.log_format, level=settings.log_level)
    try:
        return serving.run(_reconcile(settings, options))
    except (Refusal, FutureDay, DatabaseError, ProviderError) as refusal:
        complain(str(refusal))
        return UNKNOWN


async def _reconcile(settings: Settings, options: argparse.Namespace) -> int:
    clock = await clock_of(settings)
    day = _day(options.day, today=clock.now().date())
    if names := await pending(settings.database_url.get_secret_value()):
        raise Refusal(f"The database lacks {', '.join(names)}; run `gateway migrate`.")
    async with open_gateway(settings, clock=clock) as gateway:
        for subject in options.accept:
            if not await accept(gateway.billing, subject):
                raise Refusal(f"There is no open difference {subject!r}.")
        report = await reconcile_day(gateway.billing, day, with_healing=not options.no_heal)
        if not options.no_heal:
            await mark_reconciled(gateway.billing, day)
    say(*([_as_json(report)] if options.json else _as_text(report)))
    return DIFFERENT if report.open else AGREED


def _day(text: str | None, *, today: date) -> date:
    if text is None:
        return today - timedelta(days=1)
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise Refusal(f"--day is a date such as 2026-11-30; got {text!r}.") from None


def _as_text(report: Reconciliation) -> list[str]:
    lines = [f"{report.day}: {_counted(report.lines, 'line')} at Stripe, {report.booked:,} booked from them."]
    lines += [f"  healed         {one.subject}: {one.sentence}" for one in report.healed]
    for one in report.differences:
        lines += [f"  {one.kind.value:<14} {one.subject}: {one.sentence}", f"  {'':<14} {one.action}"]
    count = len(report.open)
    if count:
        return [*lines, f"{count} {'difference is' if count == 1 else 'differences are'} open."]
    return [*lines, "The ledger and Stripe agree."]


def _counted(number: int, noun: str) -> str:
    return f"{number:,} {noun if number == 1 else f'{noun}s'}"


def _as_json(report: Reconciliation) -> str:
    return orjson.dumps(
        {
            "day": report.day.isoformat(),
            "agreed": not report.open,
            "lines": report.lines,
            "booked": report.booked,
            "differences": [_difference(one) for one in report.differences],
            "healed": [_difference(one) for one in report.healed],
        }
    ).decode()


def _difference(one: Difference) -> dict[str, str | bool]:
    return {
        "kind": one.kind.value,
        "open": one.is_open,
        "subject": one.subject,
        "ours": format_usd_micros(one.ours_micros),
        "theirs": format_usd_micros(one.theirs_micros),
        "sentence": one.sentence,
        "action": one.action,
    }
