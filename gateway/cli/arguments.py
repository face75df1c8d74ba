"""What the commands for stored events and purchases take: parsing only, each bound named where it is checked."""

import argparse
from collections.abc import Callable

from gateway.cli import events
from gateway.cli.explain import explain_
from gateway.cli.sync import sync
from gateway.services.events.review import LISTED_MAX, REPLAYED_MAX
from models.stripe_event import EventState

LISTED_DEFAULT = 20
REPLAYED_DEFAULT = 100
PORT_MAX = 65_535

Add = Callable[[str, Callable[..., int], str], argparse.ArgumentParser]


def add_support_commands(add: Add) -> None:
    """`events`, `sync` and `explain`: what an operator answers a customer with."""
    _add_events(add("events", events.list_, "List, show, replay or ignore stored Stripe events."))
    _add_sync(add("sync", sync, "Ask Stripe about a customer, a purchase or a subscription now; say what changed."))
    page = add("explain", explain_, "Say what happened to a purchase, a customer or an event, and what helps.")
    page.add_argument("id", help="an id of Stripe's (cs_…, cus_…, sub_…, pi_…, evt_…), of a row of ours, or a subject")
    page.add_argument("--json", action="store_true", help="print the page as JSON")


def _add_events(parent: argparse.ArgumentParser) -> None:
    jobs = parent.add_subparsers(dest="events_command", required=True, metavar="command")

    def add(name: str, job: Callable[..., int], help_text: str) -> argparse.ArgumentParser:
        command = jobs.add_parser(name, help=help_text, description=help_text)
        command.set_defaults(job=job)
        return command

    listing = add("list", events.list_, "The newest stored events that fit, newest first.")
    listing.add_argument("--state", choices=[state.value for state in EventState], help="only those in this state")
    listing.add_argument("--type", help="only this type, e.g. checkout.session.completed")
    listing.add_argument("--object", help="only those about this Stripe object, e.g. cs_…")
    listing.add_argument("--since", help="only those that arrived since: 90m, 6h, 2d, or a date")
    _add_limit(listing, default=LISTED_DEFAULT, most=LISTED_MAX)
    listing.add_argument("--json", action="store_true", help="print them as JSON")
    shown = add("show", events.show, "Everything known of one event.")
    shown.add_argument("id", help="evt_…")
    shown.add_argument("--payload", action="store_true", help="also what is kept of its JSON")
    shown.add_argument("--json", action="store_true", help="print it as JSON")
    again = add("replay", events.replay, "Set an event, or dead ones, to be done again now; asks Stripe if unknown.")
    again.add_argument("id", nargs="?", help="evt_…")
    again.add_argument("--state", choices=[EventState.DEAD.value], help="the oldest dead ones instead of one")
    _add_limit(again, default=REPLAYED_DEFAULT, most=REPLAYED_MAX)
    aside = add("ignore", events.ignore, "Set an event aside for good, with a reason that is kept.")
    aside.add_argument("id", help="evt_…")
    aside.add_argument("--reason", required=True, help="why; kept with the event")


def _add_sync(parent: argparse.ArgumentParser) -> None:
    parent.add_argument("kind", choices=["customer", "checkout", "subscription"])
    parent.add_argument("id", help="an id of Stripe's (cus_…, cs_…, sub_…), of a row of ours, or a subject")


def add_worker_arguments(worker: argparse.ArgumentParser) -> None:
    """Where a worker may be looked at; it has no other door."""
    worker.add_argument(
        "--metrics-port", type=_up_to(PORT_MAX), help="answer /metrics, /healthz and /readyz here (default: nowhere)"
    )
    worker.add_argument("--metrics-host", default="127.0.0.1", help="the address for that port (127.0.0.1)")


def _add_limit(parser: argparse.ArgumentParser, *, default: int, most: int) -> None:
    parser.add_argument("--limit", type=_up_to(most), default=default, help=f"at most so many, 1 to {most} ({default})")


def _up_to(most: int) -> Callable[[str], int]:
    def within(text: str) -> int:
        number = int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0  # noqa: PLR2004 - digits
        if not 1 <= number <= most:
            raise argparse.ArgumentTypeError(f"a whole number from 1 to {most:,}; got {text[:20]!r}")
        return number

    return within
