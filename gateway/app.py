"""The composition root: the one place where the parts of the gateway are made and joined."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from importlib import resources
from pathlib import Path
from uuid import uuid4

import aiohttp
import structlog
from aiohttp import web
from prometheus_client import CollectorRegistry

from gateway.background import Background, Runner
from gateway.chores_runner import ChoreRunner
from gateway.db import Database, DatabaseUnavailable, open_database, pending
from gateway.domain.clock import Clock
from gateway.domain.identity import SCOPE_CHARGE, Caller
from gateway.domain.plans import Catalogue, load_catalogue
from gateway.domain.redirects import Allowlist
from gateway.jobs_runner import COUNT_SECONDS_MIN, JobEngine, embedded, pgqueuer
from gateway.metrics import Metrics, known_type
from gateway.server.auth import Authenticator, IssuerKeys, KeySource, SharedSecret, TokenVerifier
from gateway.server.cors import cors
from gateway.server.graphql import GraphQLEdge, add_graphql_routes
from gateway.server.graphql.requests import BODY_BYTES_MAX
from gateway.server.health import Readiness, health_routes
from gateway.server.jwks import RemoteKeys
from gateway.server.middlewares import hide_server, middlewares
from gateway.server.webhook import WEBHOOK_PATH, WebhookDoor
from gateway.services.billing import Billing, BillingRules, PortalConfiguration, Prices
from gateway.services.chores import REPORTS, Chore
from gateway.services.jobs.doing import JobEnd
from gateway.services.jobs.handlers import HANDLERS
from gateway.services.jobs.listing import KindCount, count_jobs
from gateway.services.marketplace.charging import charge_calls
from gateway.services.marketplace.queue import ChargeQueue, TooManyWaiting
from gateway.settings import JobEngineName, Settings
from gateway.stripe_service import open_stripe
from gateway.worker import EventWorker
from models.stripe_event import EventState
from resolvers.budget import Budget
from resolvers.context import Context
from resolvers.need import plan_need
from resolvers.schema import schema

log = structlog.stdlib.get_logger()

#: What the platform's runtime may send at once: 500 calls of about 1,000 bytes each.
CHARGING_BODY_BYTES_MAX = 512 * 1024
#: Charges that wait at the end have this long at least, whatever requests took of the time to stop.
DRAIN_SECONDS_MIN = 2

#: What each outcome of a try counts as. An event that another worker has now is that worker's to count.
_COUNTED = {
    EventState.DONE: Metrics.event_applied,
    EventState.IGNORED: Metrics.event_ignored,
    EventState.NEW: Metrics.event_failed,
    EventState.DEAD: Metrics.event_died,
}


@dataclass(frozen=True, slots=True)
class Gateway:
    """Everything that is open while the gateway runs."""

    settings: Settings
    clock: Clock
    wall_clock: Clock
    database: Database
    billing: Billing
    keys: KeySource
    metrics: Metrics
    jobs: JobEngine

    def worker(self) -> EventWorker:
        """A worker on this gateway's inbox."""
        return EventWorker(self.billing, watch=self._watch_applied, watch_waiting=self.metrics.oldest_event_waits)

    def chores(self) -> ChoreRunner:
        """What is done from time to time, on this gateway's database."""
        return ChoreRunner(self.billing)

    def reports(self) -> ChoreRunner:
        """What a process tells that leaves the work to others: how the database stands."""
        jobs = Chore(name="jobs_counted", every_seconds=COUNT_SECONDS_MIN, work=self._report_jobs, may_be_cut=True)
        return ChoreRunner(self.billing, chores=(*REPORTS, jobs))

    def job_runner(self) -> Runner:
        """What does this gateway's jobs."""
        return self.jobs.new_runner(
            self.billing, self.jobs.table, watch=self._watch_job, watch_counts=self._watch_job_counts
        )

    def watch_delivery(self, event_type: str, outcome: str) -> None:
        """Count a delivery at the webhook's door."""
        if outcome in {"stored", "duplicate"}:
            self.metrics.event_received(event_type=known_type(event_type))
        else:
            self.metrics.event_refused(code=outcome)

    def _watch_applied(self, event_type: str, state: EventState) -> None:
        count = _COUNTED.get(state)
        if count is not None:
            count(self.metrics, event_type=known_type(event_type))

    def _watch_job(self, *, kind: str, end: JobEnd) -> None:
        self.metrics.job_ended(kind=_known_job(kind), end=end.value)

    async def _report_jobs(self, billing: Billing) -> bool:
        self._watch_job_counts(await count_jobs(billing.database, now=billing.clock.now()))
        return False

    def _watch_job_counts(self, counts: Mapping[str, KindCount]) -> None:
        for kind in sorted(HANDLERS):
            count = counts.get(kind, KindCount())
            seconds = count.late.total_seconds()
            self.metrics.jobs_counted(kind=kind, waiting=count.waiting, dead=count.dead, late_seconds=seconds)


@asynccontextmanager
async def open_gateway(settings: Settings, *, clock: Clock, wall_clock: Clock | None = None) -> AsyncGenerator[Gateway]:
    """Open the database and the way to Stripe; close them at the end.

    `clock` is the time of the business. `wall_clock` judges what was signed outside, tokens and deliveries; it differs
    only where the business lives in a time that is moved by hand.

    Raises:
        DatabaseUnavailable, DatabaseUrlInvalid: there is no database to work on.
        CatalogueError, StripeSettingsError: the settings cannot be used.
    """
    metrics = Metrics(CollectorRegistry())
    catalogue = load_catalogue(_plans_text(settings.plans_file))
    jobs = _job_engine(settings, clock)
    wall_clock = wall_clock or clock
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
            jobs=jobs.table,
        )
        keys = await _keys(stack, settings, wall_clock)
        yield Gateway(
            settings=settings,
            clock=clock,
            wall_clock=wall_clock,
            database=database,
            billing=billing,
            keys=keys,
            metrics=metrics,
            jobs=jobs,
        )


def build_app(
    gateway: Gateway, *, with_worker: bool = True, with_reports: bool = True, charges: ChargeQueue | None = None
) -> web.Application:
    """The HTTP application over an open gateway; its worker runs beside it unless told otherwise.

    Without a worker it still reads now and then how the database stands, for its metrics, unless that is unwanted too.
    `charges` is what single calls are charged through, one for the process.
    """
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
        wall_clock=gateway.wall_clock,
        stored=worker.wake,
        watch=gateway.watch_delivery,
    )
    app.router.add_post(WEBHOOK_PATH, door.deliver)
    charges = charges or ChargeQueue(partial(charge_calls, gateway.billing))
    add_graphql_routes(app, _edge(gateway, charges), graphiql=not settings.in_production)
    app.router.add_routes(health_routes(readiness=_readiness(gateway), registry=gateway.metrics.registry))
    runners: list[Runner] = [gateway.reports()] if with_reports else []
    if with_worker:
        runners = [worker, gateway.chores(), gateway.job_runner()]
    run_beside(app, Background(runners, seconds=settings.shutdown_seconds), charges)
    return app


def run_beside(app: web.Application, background: Background, charges: ChargeQueue) -> None:
    """Work while the application serves. Both are told to stop at the same moment and share the time to finish.

    When no request runs any more, what was taken into the queue of charges is still charged.
    """

    async def stop(app: web.Application) -> None:
        background.stop()

    async def context(app: web.Application) -> AsyncIterator[None]:
        background.start()
        yield
        await _drain(charges, seconds=max(background.seconds_left, DRAIN_SECONDS_MIN))
        await background.end()

    app.on_shutdown.append(stop)
    app.cleanup_ctx.append(context)


def build_metrics_app(gateway: Gateway) -> web.Application:
    """The doors of operation alone, for a process that serves nobody."""
    app = web.Application()
    app.on_response_prepare.append(hide_server)
    app.router.add_routes(health_routes(readiness=_readiness(gateway), registry=gateway.metrics.registry))
    return app


def _edge(gateway: Gateway, charges: ChargeQueue) -> GraphQLEdge:
    verifier = TokenVerifier(
        keys=gateway.keys,
        clock=gateway.wall_clock,
        issuer=gateway.settings.jwt_issuer,
        audience=gateway.settings.jwt_audience,
    )

    def new_contexts(caller: Caller | None, request: web.Request) -> Callable[[], Context]:
        budget = Budget()
        return lambda: Context(gateway.billing, caller, charges, budget)

    return GraphQLEdge(
        schema,
        authenticate=Authenticator(verifier).authenticate,
        new_contexts=new_contexts,
        plan=plan_need,
        new_error_id=_new_id,
        unavailable=(DatabaseUnavailable, TooManyWaiting),
        observe=gateway.metrics.operation_executed,
        batch_max=gateway.settings.graphql_batch_max,
        introspection=not gateway.settings.in_production,
        body_bytes_max=_body_bytes_max,
    )


def _body_bytes_max(caller: Caller | None) -> int:
    """A full chargeToolCalls does not fit into what anybody may send."""
    charging = caller is not None and SCOPE_CHARGE in caller.scopes
    return CHARGING_BODY_BYTES_MAX if charging else BODY_BYTES_MAX


def _new_id() -> str:
    return uuid4().hex


def _readiness(gateway: Gateway) -> Readiness:
    async def not_applied() -> list[str]:
        return list(await pending(gateway.settings.database_url.get_secret_value()))

    return Readiness(ping=gateway.database.ping, pending=not_applied)


async def _drain(charges: ChargeQueue, *, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await charges.drain()
    except TimeoutError:
        log.warning("charges.cut_short", seconds=seconds)


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
        fee_bps=settings.platform_fee_bps,
        earnings_hold=timedelta(hours=settings.earnings_hold_hours),
        accounts_api=settings.connect_accounts_api,
        payout_minimum_cents=settings.payout_minimum_cents,
        event_payload_days=settings.event_payload_days,
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


def _known_job(kind: str) -> str:
    return kind if kind in HANDLERS else "other"


def _job_engine(settings: Settings, clock: Clock) -> JobEngine:
    return pgqueuer(clock) if settings.job_engine is JobEngineName.PGQUEUER else embedded(clock)


def catalogue_of(settings: Settings) -> Catalogue:
    """The catalogue alone, for commands that need no database."""
    return load_catalogue(_plans_text(settings.plans_file))
