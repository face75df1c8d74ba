"""`gateway payouts`: what creators are being paid, what does not get on, and what a person can do about it."""

import argparse
from collections.abc import Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from uuid import UUID

import orjson

from gateway.app import open_gateway
from gateway.cli import serving
from gateway.cli.development import clock_of
from gateway.cli.output import Refusal, say
from gateway.db import Database, open_database, pending
from gateway.domain.clock import Clock
from gateway.domain.money import format_usd
from gateway.domain.payouts import UNDER_WAY, PayoutState
from gateway.logs import configure_logs
from gateway.services.billing import Billing
from gateway.services.jobs.listing import find_job
from gateway.services.payouts import PAYOUT_JOB, cancel_payout
from gateway.services.payouts.by_hand import retry_payout
from gateway.services.payouts.listing import PayoutEntry, find_entry, history_of, list_payouts
from gateway.settings import Settings

REASON_CHARACTERS_MAX = 200


def add_arguments(command: argparse.ArgumentParser) -> None:
    """list, show, cancel and retry, with what each takes."""
    doing = command.add_subparsers(dest="doing", required=True, metavar="list | show | cancel | retry")
    listing = doing.add_parser("list", help="the newest first")
    listing.add_argument("--state", choices=[state.value for state in PayoutState], help="only these")
    listing.add_argument("--creator", help="only those of the creator with this subject")
    listing.add_argument("--stuck", action="store_true", help="only those that somebody should look at, oldest first")
    listing.add_argument("--json", action="store_true", help="a JSON object a line")
    for name, help_text in (
        ("show", "one with its attempts, transfer, reversals, bank payout, ledger entries and job"),
        ("cancel", "give the money of one back, if nothing of it is at Stripe"),
        ("retry", "do the next step of one now"),
    ):
        one = doing.add_parser(name, help=help_text, description=help_text)
        one.add_argument("id", type=_payout_id, help="the payout's id")
        if name == "cancel":
            one.add_argument("--reason", type=_reason, required=True, help="a few words that the creator will read")
        if name == "retry":
            one.add_argument(
                "--new-key",
                action="store_true",
                help="for one whose key Stripe calls used for another request, once you have seen that no transfer "
                "in its group is missing here",
            )


def payouts(settings: Settings, options: argparse.Namespace) -> int:
    """List, show, cancel or wake payouts of the live database, beside whoever makes them."""
    configure_logs(log_format=settings.log_format, level=settings.log_level)
    return serving.run(do(settings, options))


async def do(settings: Settings, options: argparse.Namespace) -> int:
    """The command itself.

    Raises:
        Refusal: there is no such payout, or it is not one to which this can be done.
    """
    url = settings.database_url.get_secret_value()
    if names := await pending(url):
        raise Refusal(f"The database lacks {', '.join(names)}; run `gateway migrate`.")
    clock = await clock_of(settings)
    if options.doing in {"list", "show"}:
        async with open_database(url) as database:
            await (_list(database, options, clock) if options.doing == "list" else _show(database, options))
        return 0
    async with open_gateway(settings, clock=clock) as gateway:
        await (_cancel if options.doing == "cancel" else _retry)(gateway.billing, options)
    return 0


async def _list(database: Database, options: argparse.Namespace, clock: Clock) -> None:
    entries = await list_payouts(
        database,
        now=clock.now(),
        state=None if options.state is None else PayoutState(options.state),
        creator=options.creator,
        stuck=options.stuck,
    )
    if options.json:
        say(*(orjson.dumps(_fields(entry)).decode() for entry in entries))
    else:
        say(*([_line(entry) for entry in entries] or ["No payout fits."]))


async def _show(database: Database, options: argparse.Namespace) -> None:
    entry = await _found(database, options)
    history = await history_of(database, entry)
    job = await find_job(database, kind=PAYOUT_JOB, key=str(entry.id))
    jobs: list[Mapping[str, object]] = []
    if job is not None:
        jobs = [{"state": job.state, "due_at": job.due_at, "attempts": job.attempts, "reason": job.reason}]
    say(*(f"{name:<16} {value}" for name, value in _fields(entry).items() if value is not None))
    for title, rows in (
        ("attempt", history.attempts),
        ("reversal", history.reversals),
        ("bank payout", history.bank_payouts),
        ("ledger entry", history.ledger),
        ("job", jobs),
    ):
        say(*(f"{title:<16} {_row(row)}" for row in rows))


async def _cancel(billing: Billing, options: argparse.Namespace) -> None:
    message = f"Canceled: {options.reason}. The money is available again."
    if not await cancel_payout(billing, options.id, message=message):
        raise _too_late(await _found(billing.database, options))
    entry = await _found(billing.database, options)
    say(f"{entry.id} is canceled; {format_usd(entry.amount_cents)} is available to {entry.creator} again.")


async def _retry(billing: Billing, options: argparse.Namespace) -> None:
    if not await retry_payout(billing, options.id, new_key=options.new_key):
        entry = await _found(billing.database, options)
        if options.new_key and entry.state in UNDER_WAY:
            raise Refusal(f"{entry.id} has no key that was used for another request; retry it without --new-key.")
        raise Refusal(f"{entry.id} is {entry.state.value}; only what is under way can be retried.")
    say(f"{options.id} is due now.")


async def _found(database: Database, options: argparse.Namespace) -> PayoutEntry:
    entry = await find_entry(database, options.id)
    if entry is None:
        raise Refusal(f"There is no payout {options.id}.")
    return entry


def _too_late(entry: PayoutEntry) -> Refusal:
    if entry.state in UNDER_WAY:
        return Refusal(f"{entry.id} is {entry.state.value}: Stripe may have been asked, so it cannot be canceled.")
    return Refusal(f"{entry.id} is {entry.state.value}; only what is not at Stripe yet can be canceled.")


def _payout_id(given: str) -> UUID:
    try:
        return UUID(given)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{given[:40]!r} is not the id of a payout") from None


def _reason(given: str) -> str:
    words = given.strip().rstrip(".")
    if not 0 < len(words) <= REASON_CHARACTERS_MAX or not words.isprintable():
        raise argparse.ArgumentTypeError(f"a reason has 1 to {REASON_CHARACTERS_MAX} printable characters")
    return words


def _line(entry: PayoutEntry) -> str:
    requested = entry.requested_at.isoformat(timespec="seconds")
    amount = format_usd(entry.amount_cents)
    line = f"{entry.state.value:<10} {requested}  {entry.id}  {amount:>12}  {entry.creator}"
    notes = [
        f"waits for {entry.waits_for.value}" if entry.waits_for else None,
        f"{format_usd(entry.returned_cents)} came back" if entry.returned_cents else None,
        entry.failure_code,
    ]
    return "  ".join([line, *(note for note in notes if note)])


def _fields(entry: PayoutEntry) -> Mapping[str, object]:
    return {
        "id": str(entry.id),
        "creator": entry.creator,
        "amount_cents": entry.amount_cents,
        "returned_cents": entry.returned_cents,
        "state": entry.state.value,
        "manual": entry.manual,
        "period": entry.period,
        "waits_for": _shown(entry.waits_for),
        "due_at": _shown(entry.due_at),
        "attempts": entry.attempts,
        "destination": entry.destination,
        "transfer_id": entry.transfer_id,
        "bank_payout_id": entry.bank_payout_id,
        "arrival_at": _shown(entry.arrival_at),
        "failure_code": entry.failure_code,
        "failure_message": entry.failure_message,
        "requested_at": _shown(entry.requested_at),
        "transferred_at": _shown(entry.transferred_at),
        "ended_at": _shown(entry.ended_at),
    }


def _row(row: Mapping[str, object]) -> str:
    named: Sequence[str] = [f"{name}={_shown(value)}" for name, value in row.items() if value is not None]
    return "  ".join(named)


def _shown(value: object) -> str | None:
    """A value as text; the same of both engines."""
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, StrEnum):
        return value.value
    return None if value is None else str(value)
