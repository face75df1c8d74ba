"""The jobs behind the subcommands."""

import argparse
from collections.abc import Sequence
from contextlib import AsyncExitStack
from datetime import timedelta
from pathlib import Path

import structlog

from gateway.app import Gateway, build_app, build_metrics_app, catalogue_of, open_gateway
from gateway.background import Background
from gateway.cli import serving
from gateway.cli.development import clock_of, opened_beside_stripe, sandbox_settings
from gateway.cli.jobs import engine_is_installed, install_engine
from gateway.cli.output import Refusal, complain, say
from gateway.cli.processes import supervise
from gateway.db import migrate, pending
from gateway.domain.clock import Clock, SystemClock
from gateway.domain.errors import ProviderError, ProviderUnavailable
from gateway.logs import configure_logs
from gateway.sandbox.app import build_sandbox
from gateway.server.auth import make_token
from gateway.server.graphql.routes import GRAPHQL_PATH
from gateway.services.belonging import WrongAccount, check_account
from gateway.settings import Settings
from gateway.stripe_service import open_stripe
from gateway.stripe_service.setup import SetupReport, set_up_stripe
from resolvers.schema import schema as graphql_schema

log = structlog.stdlib.get_logger()

SCHEMA_FILE = Path("schema.graphql")
DEVELOPMENT_SUBJECT = "dev-customer"
DEVELOPMENT_TOKEN_LIFETIME = timedelta(hours=24)
#: How long a scrape of a worker may take to end when the worker does.
METRICS_STOP_SECONDS = 1
#: Beyond what one process is given to finish, before its parent insists.
STOP_MARGIN_SECONDS = 10


def dev(settings: Settings, options: argparse.Namespace) -> int:
    """Gateway and local Stripe in one process, on a migrated database."""
    if settings.in_production:
        raise Refusal("`gateway dev` is for development; in production run `gateway serve`.")
    if not settings.stripe_is_local:
        raise Refusal("`gateway dev` runs its own local Stripe; unset GATEWAY_STRIPE_API_BASE or run `gateway serve`.")
    configure_logs(log_format=settings.log_format, level=settings.log_level)
    return serving.run(_dev(settings))


async def _dev(settings: Settings) -> int:
    await migrate(settings.database_url.get_secret_value())
    await install_engine(settings)
    async with opened_beside_stripe(settings) as gateway:
        await _set_up(settings, webhook_url=None, portal_return_url=_first_origin(settings), clock=gateway.clock)
        await _check_account(gateway)
        async with serving.listening(
            build_app(gateway), host=settings.host, port=settings.port, shutdown_seconds=settings.shutdown_seconds
        ):
            say(*_greeting(settings))
            await serving.until_stopped()
    return 0


def serve(settings: Settings, options: argparse.Namespace) -> int:
    """The gateway; with several workers, a parent that watches them."""
    configure_logs(log_format=settings.log_format, level=settings.log_level)
    workers = settings.workers if options.workers is None else options.workers
    if workers < 1:
        raise Refusal(f"--workers is at least 1; got {workers}.")
    if workers > 1:
        arguments = ["serve", "--workers", "1", "--reuse-port", *(["--no-events"] if options.no_events else [])]
        return serving.run(_serve_with_many(settings, arguments, count=workers))
    return serving.run(_serve(settings, with_worker=not options.no_events, reuse_port=options.reuse_port))


async def _serve_with_many(settings: Settings, arguments: Sequence[str], *, count: int) -> int:
    """Refuse what each of them would refuse, once and for good, instead of starting them again for ever."""
    async with open_gateway(settings, clock=SystemClock()) as gateway:
        await _check_ready(gateway)
    return await supervise(arguments, count=count, stop_seconds=settings.shutdown_seconds + STOP_MARGIN_SECONDS)


async def _serve(settings: Settings, *, with_worker: bool, reuse_port: bool) -> int:
    async with open_gateway(settings, clock=SystemClock()) as gateway:
        await _check_ready(gateway)
        async with serving.listening(
            build_app(gateway, with_worker=with_worker),
            host=settings.host,
            port=settings.port,
            shutdown_seconds=settings.shutdown_seconds,
            reuse_port=reuse_port,
        ):
            await serving.until_stopped()
    return 0


def worker(settings: Settings, options: argparse.Namespace) -> int:
    """Background work only: events, chores and jobs."""
    configure_logs(log_format=settings.log_format, level=settings.log_level)
    return serving.run(_worker(settings, metrics_host=options.metrics_host, metrics_port=options.metrics_port))


async def _worker(settings: Settings, *, metrics_host: str, metrics_port: int | None) -> int:
    async with AsyncExitStack() as stack:
        gateway = await stack.enter_async_context(open_gateway(settings, clock=SystemClock()))
        await _check_ready(gateway)
        if metrics_port is not None:
            door = serving.listening(
                build_metrics_app(gateway), host=metrics_host, port=metrics_port, shutdown_seconds=METRICS_STOP_SECONDS
            )
            await stack.enter_async_context(door)
        runners = (gateway.worker(), gateway.chores(), gateway.job_runner())
        background = Background(runners, seconds=settings.shutdown_seconds)
        background.start()
        await serving.until_stopped()
        await background.end()  # whoever is cut short gives back what it holds, while the database is open
    return 0


async def _check_ready(gateway: Gateway) -> None:
    """Refuse to start on a schema that is not this release's, or with the key of another account.

    Nothing else at Stripe stops it: wallets, charging and webhooks go on while a price is amiss or a key is wrong.
    """
    names = await pending(gateway.settings.database_url.get_secret_value())
    if names:
        raise Refusal(f"The database lacks {', '.join(names)}; run `gateway migrate`.")
    if not await engine_is_installed(gateway.settings, gateway.database):
        raise Refusal("The database lacks the tables of pgqueuer; run `gateway migrate`.")
    try:
        await _check_account(gateway)
        book = await gateway.billing.prices.book()
    except ProviderError as error:
        tell = log.warning if isinstance(error, ProviderUnavailable) else log.error
        tell("start.unchecked", reason=f"{error} The account is checked again, and prices when they are needed.")
    else:
        if book.problems:
            log.error("prices.not_ready", problems=book.problems)


async def _check_account(gateway: Gateway) -> None:
    """Refuse to start on a database that was filled from another Stripe account."""
    try:
        await check_account(gateway.billing, handed_to=gateway.settings.stripe_account)
    except WrongAccount as wrong:
        raise Refusal(str(wrong)) from wrong


def sandbox(settings: Settings, options: argparse.Namespace) -> int:
    """The local Stripe."""
    if settings.in_production:
        raise Refusal("The local Stripe is for development; it keeps nobody's money.")
    configure_logs(log_format=settings.log_format, level=settings.log_level)
    return serving.run(_sandbox(settings))


async def _sandbox(settings: Settings) -> int:
    app = await build_sandbox(sandbox_settings(settings), clock=SystemClock())
    async with serving.listening(
        app, host=settings.host, port=settings.sandbox_port, shutdown_seconds=settings.shutdown_seconds
    ):
        say(f"The local Stripe listens on http://{settings.host}:{settings.sandbox_port}.")
        await serving.until_stopped()
    return 0


def migrate_database(settings: Settings, options: argparse.Namespace) -> int:
    """Apply what is pending and say what that was."""
    configure_logs(log_format=settings.log_format, level=settings.log_level)
    return serving.run(_migrate(settings))


async def _migrate(settings: Settings) -> int:
    applied = list(await migrate(settings.database_url.get_secret_value()))
    if await install_engine(settings):
        applied.append("the tables of pgqueuer")
    say(*(f"applied {name}" for name in applied) if applied else ["Nothing to apply: the schema is up to date."])
    return 0


def schema(options: argparse.Namespace) -> int:
    """The schema's text, or whether schema.graphql holds it."""
    printed = graphql_schema.as_str() + "\n"
    if not options.check:
        say(printed.rstrip("\n"))
        return 0
    if SCHEMA_FILE.is_file() and SCHEMA_FILE.read_text() == printed:
        return 0
    return complain("schema.graphql is not what the code says; run `gateway schema > schema.graphql`.")


def token(settings: Settings, options: argparse.Namespace) -> int:
    """A token, alone on its line."""
    say(_token(settings, options.sub, tuple(options.scope)))
    return 0


def _token(settings: Settings, subject: str, scopes: tuple[str, ...] = ()) -> str:
    if settings.in_production or settings.jwt_secret is None:
        raise Refusal("Tokens are made here in development only, with GATEWAY_JWT_SECRET.")
    return make_token(
        secret=settings.jwt_secret.get_secret_value(),
        subject=subject,
        now=SystemClock().now(),
        lifetime=DEVELOPMENT_TOKEN_LIFETIME,
        scopes=scopes,
        issuer=settings.jwt_issuer,
        audience=settings.jwt_audience,
    )


def stripe_setup(settings: Settings, options: argparse.Namespace) -> int:
    """Create or repair what the gateway needs at Stripe, and say it line by line."""
    configure_logs(log_format=settings.log_format, level=settings.log_level)
    return_url = options.portal_return_url or _first_origin(settings)
    return serving.run(_stripe_setup(settings, options.webhook_url, return_url))


async def _stripe_setup(settings: Settings, webhook_url: str | None, return_url: str) -> int:
    clock = await clock_of(settings)
    report = await _set_up(settings, webhook_url=webhook_url, portal_return_url=return_url, clock=clock)
    say(*(str(line) for line in report.lines))
    if report.webhook_secrets:
        say("", "Signing secrets of what is new, shown this once; put them first into GATEWAY_STRIPE_WEBHOOK_SECRETS:")
        say(",".join(report.webhook_secrets))
    return 0


async def _set_up(settings: Settings, *, webhook_url: str | None, portal_return_url: str, clock: Clock) -> SetupReport:
    async with open_stripe(
        api_key=settings.stripe_api_key.get_secret_value(),
        api_base=settings.stripe_api_base,
        timeout_seconds=settings.stripe_timeout_seconds,
    ) as stripe:
        return await set_up_stripe(
            stripe,
            catalogue_of(settings),
            webhook_url=webhook_url,
            portal_return_url=portal_return_url,
            clock=clock,
            accounts_api=settings.connect_accounts_api,
        )


def _first_origin(settings: Settings) -> str:
    """The first origin without a wildcard; a portal that was not given a return address leads there."""
    for origin in settings.redirect_origins:
        if "*" not in origin:
            return f"{origin}/"
    raise Refusal("GATEWAY_REDIRECT_ORIGINS names no origin without a wildcard; give --portal-return-url.")


def _greeting(settings: Settings) -> list[str]:
    base = f"http://{settings.host}:{settings.port}"
    bearer = _token(settings, DEVELOPMENT_SUBJECT)
    query = '{"query":"{ plan { tier status } wallet { balance { amount } } }"}'
    return [
        "",
        f"The gateway listens on {base}, the local Stripe on http://{settings.host}:{settings.sandbox_port}.",
        f"GraphiQL, signed in: {base}{GRAPHQL_PATH}#token={bearer}",
        "",
        f"A development token for {DEVELOPMENT_SUBJECT}:",
        f"  {bearer}",
        "Try it:",
        f"  curl -s {base}{GRAPHQL_PATH} -H 'Content-Type: application/json' \\",
        f"    -H 'Authorization: Bearer {bearer}' \\",
        f"    -d '{query}'",
        "Pay with 4242 4242 4242 4242; Ctrl-C stops both.",
        "",
    ]
