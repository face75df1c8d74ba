"""The whole platform in one process: the local Stripe, the gateway in front of it, and the time both live in."""

import asyncio
import socket
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any, Final

import aiohttp
from aiohttp import web
from aiohttp.typedefs import Middleware

from gateway.app import Gateway, build_app, catalogue_of, open_gateway
from gateway.db import Database
from gateway.domain.clock import Clock, ManualClock
from gateway.domain.ledger import STRIPE, STRIPE_FEES, SUBSCRIPTIONS, EntryKind, deposit_draft
from gateway.domain.money import cents_to_micros
from gateway.sandbox.app import build_sandbox
from gateway.sandbox.settings import SandboxSettings
from gateway.server.auth import make_token
from gateway.server.webhook import WEBHOOK_PATH
from gateway.services.billing import Billing, PortalConfiguration, Prices
from gateway.services.customers import customer_id_of
from gateway.services.ledger import balance, record_many
from gateway.settings import Settings, load_settings
from gateway.stripe_service import StripeService, open_stripe
from gateway.stripe_service.setup import set_up_stripe
from gateway.worker import EventWorker
from tests.support.books import assert_books_balance
from tests.support.person import APP, Person
from tests.support.stripe_door import API_KEY, StripeDoor

JWT_SECRET: Final = "a secret of the tests, long enough for HS256"
START: Final = datetime(2026, 11, 2, 9, 0, tzinfo=UTC)

#: As Stripe does, where a test lives with it.
CLEARING_TOLD_AFTER_SECONDS: Final = 2
PATIENCE_SECONDS: Final = 20.0
POLL_SECONDS: Final = 0.02
#: How long a gateway that meets faults waits for an answer of Stripe.
HASTY_SECONDS: Final = 1.0
#: How long Stripe keeps it waiting: longer than that.
HANG_SECONDS: Final = 1.3

#: Kinds of entries that follow from the lines of Stripe's balance.
_FROM_BALANCE: Final = (EntryKind.STRIPE_FEE.value, EntryKind.SUBSCRIPTION.value)

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Node:
    """One gateway. `worker` is for those who want to do its background work by hand, step by step."""

    url: str
    gateway: Gateway
    worker: EventWorker


@dataclass(frozen=True, slots=True, eq=False)
class Platform:
    """Everything that runs, and the ways to look at it from outside."""

    nodes: Sequence[Node]
    stripe: StripeDoor
    clock: Clock
    http: aiohttp.ClientSession
    with_worker: bool
    _names: "count[int]"

    @property
    def database(self) -> Database:
        return self.nodes[0].gateway.database

    @property
    def billing(self) -> Billing:
        return self.nodes[0].gateway.billing

    def person(self, subject: str | None = None, *, node: int = 0) -> Person:
        """Somebody signed in; without a subject, somebody nobody has seen before."""
        chosen = subject or f"person-{next(self._names)}"
        return Person(subject=chosen, url=self.nodes[node].url, http=self.http, token=lambda: self.token(chosen))

    def stranger(self) -> Person:
        """Somebody who is not signed in."""
        return Person(subject="", url=self.nodes[0].url, http=self.http, token=None)

    def token(self, subject: str) -> str:
        """A token that is good for an hour from now."""
        return make_token(secret=JWT_SECRET, subject=subject, now=self.clock.now(), lifetime=timedelta(hours=1))

    async def advance(self, **by: float) -> datetime:
        """Let time pass for the gateway and for Stripe alike, and let happen there what falls due."""
        assert isinstance(self.clock, ManualClock), "only a clock of ours can be moved"
        now = self.clock.advance(timedelta(**by))
        await self.stripe.look("clock")
        return now

    async def work(self) -> int:
        """Apply by hand what is due in the inbox; returns how many events were tried."""
        assert not self.with_worker, "the worker does it by itself"
        tried = 0
        while now := await self.nodes[0].worker.work_once():
            tried += now
        return tried

    async def delivered(self) -> None:
        """Wait until Stripe has nothing more to deliver."""
        assert await self.stripe.idle(), "Stripe still has events that nobody takes"

    async def settled(self) -> None:
        """Wait until every event Stripe has sent is stored and applied."""

        async def nothing_open() -> None:
            await self.delivered()
            if not self.with_worker:
                await self.work()
            assert await self.events_in("new", "doing") == 0

        await eventually(nothing_open)

    async def events_in(self, *states: str) -> int:
        """How many stored events are in one of these states."""
        rows = await self.database.fetch("SELECT state FROM stripe_event")
        return sum(row["state"] in states for row in rows)

    async def checkouts(self, subject: str) -> list[Json]:
        """Our rows about this person's purchases, oldest first."""
        rows = await self.database.fetch(
            "SELECT mode, state, session_id, tier, amount_cents, stripe_customer_id FROM checkout "
            "WHERE customer_id = $1 ORDER BY created_at, id",
            (customer_id_of(subject),),
        )
        return [dict(row) for row in rows]

    async def entries(self) -> int:
        """How many entries the whole ledger has."""
        row = await self.database.fetch_one("SELECT count(*) AS entries FROM ledger_entry")
        assert row is not None
        assert isinstance(row["entries"], int)
        return row["entries"]

    async def effects(self) -> int:
        """How many entries people and events have caused: not what follows from Stripe's balance.

        Reconciliation books that whenever it comes by, which is at the start of each worker too.
        """
        row = await self.database.fetch_one(
            f"SELECT count(*) AS entries FROM ledger_entry WHERE kind NOT IN {_FROM_BALANCE}"  # noqa: S608 - a constant
        )
        assert row is not None
        assert isinstance(row["entries"], int)
        return row["entries"]

    async def credit(self, person: Person, cents: Iterable[int]) -> None:
        """Deposits straight into the ledger, without Stripe: one for each number, of as many cents."""
        drafts = [
            deposit_draft(
                customer_id=customer_id_of(person.subject),
                session_id=f"cs_{person.subject}_{amount_cents}",
                amount_micros=cents_to_micros(amount_cents),
            )
            for amount_cents in cents
        ]
        await self.database.run(lambda connection: record_many(connection, drafts, now=self.clock.now()))

    async def assert_true(self) -> None:
        """The books balance, every paid deposit is in them once, and no event is left over or dead."""
        await self.settled()
        assert await self.events_in("dead") == 0
        await assert_books_balance(self.database)
        paid = [one for one in await self.stripe.sessions() if one["payment_status"] == "paid"]
        deposited_cents = sum(one["amount_total"] for one in paid if one["mode"] == "payment")
        at_stripe = [await balance(self.database, account) for account in (STRIPE, STRIPE_FEES, SUBSCRIPTIONS)]
        assert sum(at_stripe) == -cents_to_micros(deposited_cents)
        assert await self.effects() == sum(one["mode"] == "payment" for one in paid)


@asynccontextmanager
async def open_platform(
    database_url: str,
    *,
    clock: Clock,
    with_worker: bool = True,
    with_reports: bool = False,
    gateways: int = 1,
    hasty: bool = False,
    patience_seconds: float = HASTY_SECONDS,
    dress: Callable[[Gateway], Gateway] = lambda gateway: gateway,
    events_to: str | None = None,
    weather: Sequence[Middleware] = (),
    clearing_told_after_seconds: int = 0,
) -> AsyncGenerator[Platform]:
    """The local Stripe, set up as an operator would, and gateways on one migrated database.

    `hasty` gateways wait `patience_seconds` for Stripe and pause for nothing between tries. Stripe's events go to the
    first gateway, or to the address `events_to`; with `with_worker=False` they stay in the inbox until `Platform.work`,
    and nothing is read by itself unless `with_reports`.
    `dress` may hand a gateway other parts before it serves; `weather` lies between the gateways and Stripe.
    When a payment's money clears is known at once, and no event tells of it, unless it is told some seconds later.
    """
    async with AsyncExitStack() as stack:
        door, *others = [free_socket() for _ in range(gateways + 1)]
        stripe = await stack.enter_async_context(
            open_local_stripe(door, clock, weather=weather, clearing_told_after_seconds=clearing_told_after_seconds)
        )
        settings = gateway_settings(database_url, stripe_url=stripe.url)
        secret = await set_up(settings, webhook_url=events_to or f"{url_of(others[0])}{WEBHOOK_PATH}", clock=clock)
        settings = gateway_settings(database_url, stripe_url=stripe.url, webhook_secret=secret)
        nodes = [
            await stack.enter_async_context(
                _node(
                    settings,
                    one,
                    clock=clock,
                    with_worker=with_worker,
                    with_reports=with_reports,
                    patience_seconds=patience_seconds if hasty else None,
                    dress=dress,
                )
            )
            for one in others
        ]
        http = await stack.enter_async_context(browser())
        await stripe.forget_requests()
        yield Platform(nodes=nodes, stripe=stripe, clock=clock, http=http, with_worker=with_worker, _names=count(1))


async def eventually(check: Callable[[], Awaitable[None]], *, seconds_max: float = PATIENCE_SECONDS) -> None:
    """Ask again until the check raises no AssertionError; the last one counts when time is up."""
    deadline = asyncio.get_running_loop().time() + seconds_max
    while True:
        try:
            await check()
        except AssertionError:
            if asyncio.get_running_loop().time() > deadline:
                raise
            await asyncio.sleep(POLL_SECONDS)
        else:
            return


@asynccontextmanager
async def open_local_stripe(
    door: socket.socket,
    clock: Clock,
    *,
    weather: Sequence[Middleware] = (),
    clearing_told_after_seconds: int = 0,
) -> AsyncGenerator[StripeDoor]:
    """The local Stripe on a socket; `weather` is the way there, innermost last."""
    settings = SandboxSettings(
        webhook_retry_seconds=(0.05, 0.1, 0.2, 0.4, 0.8),
        stop_grace_seconds=0.5,
        fault_hang_seconds=HANG_SECONDS,
        balance_transaction_seconds=clearing_told_after_seconds,
    )
    app = await build_sandbox(settings, clock=clock)
    app.middlewares.extend(weather)
    async with serving(app, door), browser() as http:
        yield StripeDoor(url=url_of(door), http=http)


@asynccontextmanager
async def _node(
    settings: Settings,
    door: socket.socket,
    *,
    clock: Clock,
    with_worker: bool,
    with_reports: bool,
    patience_seconds: float | None,
    dress: Callable[[Gateway], Gateway],
) -> AsyncGenerator[Node]:
    async with AsyncExitStack() as stack:
        gateway = await stack.enter_async_context(open_gateway(settings, clock=clock))
        if patience_seconds is not None:
            stripe = await stack.enter_async_context(
                open_stripe(
                    api_key=API_KEY,
                    api_base=settings.stripe_api_base,
                    timeout_seconds=patience_seconds,
                    sleep=_no_pause,
                )
            )
            gateway = with_stripe(gateway, stripe)
        gateway = dress(gateway)
        await stack.enter_async_context(
            serving(build_app(gateway, with_worker=with_worker, with_reports=with_reports), door)
        )
        yield Node(url=url_of(door), gateway=gateway, worker=EventWorker(gateway.billing, jitter=lambda: 0.0))


def with_stripe(gateway: Gateway, stripe: StripeService) -> Gateway:
    """The same gateway with another way to Stripe."""
    billing = gateway.billing
    return replace(
        gateway,
        billing=replace(
            billing,
            stripe=stripe,
            prices=Prices(stripe, billing.catalogue, billing.clock),
            portal=PortalConfiguration(stripe, None),
        ),
    )


async def _no_pause(seconds: float) -> None:
    """Between two tries nobody waits."""


def gateway_settings(database_url: str, *, stripe_url: str, webhook_secret: str = "whsec_not_yet") -> Settings:
    return load_settings(gateway_environ(database_url, stripe_url=stripe_url, webhook_secret=webhook_secret))


def gateway_environ(database_url: str, *, stripe_url: str, webhook_secret: str) -> dict[str, str]:
    """The settings as a process of its own is given them."""
    return {
        "GATEWAY_DATABASE_URL": database_url,
        "GATEWAY_STRIPE_API_KEY": API_KEY,
        "GATEWAY_STRIPE_API_BASE": stripe_url,
        "GATEWAY_STRIPE_WEBHOOK_SECRETS": webhook_secret,
        "GATEWAY_JWT_SECRET": JWT_SECRET,
    }


async def set_up(settings: Settings, *, webhook_url: str, clock: Clock) -> str:
    """What `gateway stripe-setup` does; returns the signing secrets of the new endpoints."""
    async with open_stripe(api_key=API_KEY, api_base=settings.stripe_api_base) as stripe:
        report = await set_up_stripe(
            stripe, catalogue_of(settings), webhook_url=webhook_url, portal_return_url=f"{APP}/billing", clock=clock
        )
    assert report.webhook_secrets, "a new Stripe gets new endpoints"
    return ",".join(report.webhook_secrets)


def browser(timeout: aiohttp.ClientTimeout | None = None) -> aiohttp.ClientSession:
    """A client that keeps no cookies and opens as many connections as it is asked for."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0),
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=timeout or aiohttp.ClientTimeout(),
    )


@asynccontextmanager
async def serving(app: web.Application, door: socket.socket) -> AsyncGenerator[None]:
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.2)
    await runner.setup()
    try:
        await web.SockSite(runner, door, backlog=512).start()
        yield
    finally:
        await runner.cleanup()


def free_socket() -> socket.socket:
    """Bound before anybody listens, so that each side knows where the other will be."""
    door = socket.socket()
    door.bind(("127.0.0.1", 0))
    return door


def url_of(door: socket.socket) -> str:
    return f"http://127.0.0.1:{door.getsockname()[1]}"
