"""The `gateway` command: one subcommand a job, each a sentence in --help."""

import argparse
import os
from collections.abc import Callable, Sequence
from pathlib import Path

from gateway import __version__
from gateway.cli import commands
from gateway.cli.arguments import add_support_commands, add_worker_arguments
from gateway.cli.books import books
from gateway.cli.jobs import add_arguments as add_job_arguments
from gateway.cli.jobs import jobs
from gateway.cli.output import Refusal, complain
from gateway.cli.payouts import add_arguments as add_payout_arguments
from gateway.cli.payouts import payouts
from gateway.cli.reconcile import add_arguments as add_reconcile_arguments
from gateway.cli.reconcile import reconcile
from gateway.db import DatabaseError
from gateway.domain.errors import ProviderError
from gateway.domain.plans import CatalogueError
from gateway.settings import SettingsError, load_settings
from gateway.stripe_service import PricesNotReady, StripeSettingsError

ENV_FILE = Path(".env")
DEVELOPMENT_SECRET_FILE = Path("var/dev-jwt-secret")

#: Exit statuses of a command that could not run, where it has no other, and of one that was interrupted.
REFUSED, INTERRUPTED = 1, 130
#: What stops a command with a sentence instead of a traceback.
_EXPECTED = (Refusal, DatabaseError, ProviderError, CatalogueError, PricesNotReady, StripeSettingsError, OSError)


def build_parser() -> argparse.ArgumentParser:
    """Every subcommand with its arguments; also read by the tests that check the container files."""
    parser = argparse.ArgumentParser(prog="gateway", description="A GraphQL billing gateway in front of Stripe.")
    parser.set_defaults(refused=REFUSED)
    parser.add_argument("--version", action="version", version=f"gateway {__version__}")
    subcommands = parser.add_subparsers(dest="command", required=True, metavar="command")

    def add(name: str, job: Callable[..., int], help_text: str) -> argparse.ArgumentParser:
        command = subcommands.add_parser(name, help=help_text, description=help_text)
        command.set_defaults(job=job)
        return command

    add("dev", commands.dev, "Run the gateway and the local Stripe together, for development.")
    serve = add("serve", commands.serve, "Run the gateway.")
    serve.add_argument("--workers", type=int, help="processes that share the port (default: GATEWAY_WORKERS)")
    serve.add_argument("--no-events", action="store_true", help="leave events, chores and jobs to `gateway worker`")
    serve.add_argument("--reuse-port", action="store_true", help=argparse.SUPPRESS)
    add_worker_arguments(
        add("worker", commands.worker, "Do the background work, apart from serving; any number may run.")
    )
    audit = add("books", books, "Check every row that is money; exits with 1 when one is at fault.")
    audit.add_argument("--json", action="store_true", help="print the report as JSON")
    add_reconcile_arguments(
        add("reconcile", reconcile, "Compare a day of the ledger with Stripe; exits with 1 when they differ.")
    )
    add_job_arguments(add("jobs", jobs, "Look at background jobs, or give one another try."))
    add_payout_arguments(add("payouts", payouts, "Look at payouts; cancel one, or give one another try."))
    add_support_commands(add)
    add("sandbox", commands.sandbox, "Run the local Stripe alone.")
    add("migrate", commands.migrate_database, "Bring the database's schema up to this release.")
    schema = add("schema", commands.schema, "Print the GraphQL schema.")
    schema.add_argument("--check", action="store_true", help="compare with schema.graphql instead")
    token = add("token", commands.token, "Make a token for development, signed with GATEWAY_JWT_SECRET.")
    token.add_argument("--sub", required=True, help="the customer's subject")
    token.add_argument("--scope", action="append", default=[], help="e.g. billing:charge; may be repeated")
    setup = add(
        "stripe-setup", commands.stripe_setup, "Create or repair products, prices, portal and webhook at Stripe."
    )
    setup.add_argument("--webhook-url", help="public address of this gateway's webhook route; unset leaves it alone")
    setup.add_argument(
        "--portal-return-url", help="where the portal leads back to (default: the first redirect origin)"
    )
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit status. What a person can mend is a sentence on standard error.

    `refused` is the status of a command that says more by its status than that it could not run.
    """
    options = build_parser().parse_args(arguments)
    status = _run(options)
    return options.refused if status is None else status


def _run(options: argparse.Namespace) -> int | None:
    """Run a command; None when it could not be run, which has been said."""
    if options.job is commands.schema:
        return commands.schema(options)
    try:
        settings = load_settings(os.environ, env_file=ENV_FILE, jwt_secret_file=DEVELOPMENT_SECRET_FILE)
        return options.job(settings, options)
    except SettingsError as error:
        complain("The settings cannot be used:", *error.problems)
    except PricesNotReady as error:
        complain("Stripe does not sell what plans.toml says:", *error.problems, "Run `gateway stripe-setup`.")
    except _EXPECTED as error:
        complain(str(error))
    except KeyboardInterrupt:
        return INTERRUPTED
    return None
