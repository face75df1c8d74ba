"""The composition root: the one place where the parts of the gateway are made and joined."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from importlib import resources
from pathlib import Path
from uuid import uuid4

import aiohttp
import structlog
from aiohttp import web
from prometheus_client import CollectorRegistry

from gateway.db import Database, DatabaseUnavailable, open_database, pending, spawn
from gateway.domain.clock import Clock
from gateway.domain.identity import Caller
from gateway.domain.plans import Catalogue, load_catalogue
from gateway.domain.redirects import Allowlist
from gateway.metrics import Metrics
from gateway.server.auth import Authenticator, IssuerKeys, KeySource, SharedSecret, TokenVerifier
from gateway.server.cors import cors
from gateway.server.graphql import GraphQLEdge, add_graphql_routes
from gateway.server.health import Readiness, health_routes
from gateway.server.jwks import RemoteKeys
from gateway.server.middlewares import hide_server, middlewares
from gateway.server.webhook import WEBHOOK_PATH, WebhookDoor
from gateway.services.billing import Billing, BillingRules, PortalConfiguration, Prices
from gateway.settings import Settings
from gateway.stripe_service import ACCOUNT_EVENTS, open_stripe
from gateway.worker import EventWorker
from models.stripe_event import EventState
from resolvers.context import Context
from resolvers.need import plan_need
from resolvers.schema import schema

log = structlog.stdlib.get_logger()


@dataclass(frozen=True, slots=True)
class Gateway:
    """Everything that is open while the gateway runs."""

    settings: Settings
    clock: Clock
    database: Database
    billing: Billing
    keys: KeySource
    metrics: Metrics

    def worker(self) -> EventWorker:
        """A worker on this gateway's inbox."""
        return EventWorker(self.billing, watch=self._watch_applied, watch_waiting=self.metrics.oldest_event_waits)

    def watch_delivery(self, event_type: str, outcome: str) -> None:
        """Count a delivery at the webhook's door."""
        if outcome in {"stored", "duplicate"}:
            self.metrics.event_received(event_type=_known(event_type))
        else:
            self.metrics.event_refused(code=outcome)

    def _watch_applied(self, event_type: str, state: EventState) -> None:
        if state in {EventState.DONE, EventState.IGNORED}:
            self.metrics.event_applied(event_type=_known(event_type))
        elif state is EventState.DEAD:
            self.metrics.event_died(event_type=_known(event_type))


@asynccontextmanager
async def open_gateway(settings: Settings, *, clock: Clock) -> AsyncGenerator[Gateway]:
    """Open the database and the way to Stripe; close them at the end.

    Raises:
        DatabaseUnavailable, DatabaseUrlInvalid: there is no database to work on.
        CatalogueError, StripeSettingsError: the settings cannot be used.
    """
    metrics = Metrics(CollectorRegistry())
    catalogue = load_catalogue(_plans_text(settings.plans_file))
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(
            open_database(settings.database_url.get_secret_value(), retried=metrics.transaction_retried)
        )
        stripe = await stack.enter_async_context(
            open_stripe(
                api_key=settings.stripe_api_key.get_secret_value(),
                api_base=settings.stripe_api_base,
                timeout_seconds=settings.stripe_timeout_seconds,
                observe=metrics.stripe_called,
            )
        )
        billing = Billing(
            database=database,
            stripe=stripe,
            clock=clock,
            catalogue=catalogue,
            prices=Prices(stripe, catalogue, clock),
            portal=PortalConfiguration(stripe, settings.stripe_portal_configuration),
            redirects=Allowlist.parse(settings.redirect_origins, secure_only=settings.in_production),
            rules=_rules(settings),
            watch=metrics,
        )
        keys = await _keys(stack, settings, clock)
        yield Gateway(settings=settings, clock=clock, database=database, billing=billing, keys=keys, metrics=metrics)


def build_app(gateway: Gateway, *, with_worker: bool = True) -> web.Application:
    """The HTTP application over an open gateway; its worker runs beside it unless told otherwise."""
    settings = gateway.settings
    app = web.Application(
        middlewares=[*middlewares(observe=gateway.metrics.request_answered), cors(gateway.billing.redirects)]
    )
    app.on_response_prepare.append(hide_server)
    worker = gateway.worker()
    door = WebhookDoor(
        database=gateway.database,
        secrets=[secret.get_secret_value() for secret in settings.stripe_webhook_secrets],
        livemode=settings.livemode,
        clock=gateway.clock,
        stored=worker.wake,
        watch=gateway.watch_delivery,
    )
    app.router.add_post(WEBHOOK_PATH, door.deliver)
    add_graphql_routes(app, _edge(gateway), graphiql=not settings.in_production)
    app.router.add_routes(health_routes(readiness=_readiness(gateway), registry=gateway.metrics.registry))
    if with_worker:
        app.cleanup_ctx.append(_running(worker, seconds=settings.shutdown_seconds))
    return app


def _edge(gateway: Gateway) -> GraphQLEdge:
    verifier = TokenVerifier(
        keys=gateway.keys,
        clock=gateway.clock,
        issuer=gateway.settings.jwt_issuer,
        audience=gateway.settings.jwt_audience,
    )

    def new_context(caller: Caller | None, request: web.Request) -> Context:
        return Context(gateway.billing, caller)

    return GraphQLEdge(
        schema,
        authenticate=Authenticator(verifier).authenticate,
        new_context=new_context,
        plan=plan_need,
        new_error_id=_new_id,
        unavailable=(DatabaseUnavailable,),
        observe=gateway.metrics.operation_executed,
        batch_max=gateway.settings.graphql_batch_max,
        introspection=not gateway.settings.in_production,
    )


def _new_id() -> str:
    return uuid4().hex


def _readiness(gateway: Gateway) -> Readiness:
    async def not_applied() -> list[str]:
        return list(await pending(gateway.settings.database_url.get_secret_value()))

    return Readiness(ping=gateway.database.ping, pending=not_applied)


def _running(worker: EventWorker, *, seconds: int):  # noqa: ANN202 - aiohttp's own shape of a clean-up context
    async def context(app: web.Application) -> AsyncIterator[None]:
        task = spawn(worker.run(), name="event-worker")
        yield
        worker.stop()
        try:
            async with asyncio.timeout(seconds):
                await asyncio.shield(task)
        except TimeoutError:
            log.warning("worker.cut_short", seconds=seconds)
            task.cancel()
            await asyncio.wait([task])

    return context


def _plans_text(file: Path | None) -> str:
    """The catalogue: the named file, else the one in the project, else the one in the package."""
    if file is not None:
        return file.read_text()
    beside = Path(__file__).parent.parent / "plans.toml"
    return beside.read_text() if beside.is_file() else resources.files("gateway").joinpath("plans.toml").read_text()


def _rules(settings: Settings) -> BillingRules:
    return BillingRules(
        deposit_minimum_cents=settings.deposit_minimum_cents,
        deposit_maximum_cents=settings.deposit_maximum_cents,
        past_due_grace=timedelta(hours=settings.past_due_grace_hours),
    )


async def _keys(stack: AsyncExitStack, settings: Settings, clock: Clock) -> KeySource:
    """The shared secret, or the issuer's keys over a connection of their own."""
    if settings.jwt_jwks_url is None:
        assert settings.jwt_secret is not None, "the settings demand exactly one of the two"
        return SharedSecret(settings.jwt_secret.get_secret_value())
    session = await stack.enter_async_context(aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()))
    keys = RemoteKeys(session=session, url=settings.jwt_jwks_url, clock=clock)
    stack.push_async_callback(keys.close)
    return IssuerKeys(keys)


def _known(event_type: str) -> str:
    """A label from a closed set, whatever Stripe invents next."""
    return event_type if event_type in ACCOUNT_EVENTS else "other"


def catalogue_of(settings: Settings) -> Catalogue:
    """The catalogue alone, for commands that need no database."""
    return load_catalogue(_plans_text(settings.plans_file))
