"""One open way to Stripe: the key and the address it may go with, the dedicated session, and the log of every call."""

import asyncio
import re
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Final, Generic, Protocol, TypeVar
from urllib.parse import urlsplit

import aiohttp
import stripe
import structlog

from gateway.domain.errors import ProviderError, ProviderMisconfigured, ProviderUnavailable
from gateway.stripe_service.failures import domain_error, is_missing, needs_a_human
from gateway.stripe_service.fields import Fields, MalformedAnswer
from gateway.stripe_service.transport import CarefulClient, Sleep

STRIPE_BASE: Final = stripe.DEFAULT_API_BASE
#: The version every request is made with and every webhook endpoint is created with; the SDK's types are of it.
API_VERSION: Final = "2026-10-28.endive"
CONNECTIONS_MAX: Final = 50
KEEPALIVE_SECONDS: Final = 30.0
TIMEOUT_SECONDS: Final = 20.0
NETWORK_RETRIES: Final = 2
IDEMPOTENCY_KEY_CHARACTERS_MAX: Final = 255
PAGE_ENTRIES: Final = 100

_KEY = re.compile(r"(?:sk|rk)_(?P<mode>test|live)_[A-Za-z0-9_]+", re.ASCII)

_T = TypeVar("_T")
log = structlog.get_logger()


class CallObserver(Protocol):
    """Told how every call ended, its retries included.

    `outcome` is `ok`, `rejected` (a definite no), `misconfigured` (our key is not taken, or may not do this),
    `unavailable` (no clear answer), `missing` (there is no such object) or `cancelled` (the caller gave up).
    """

    def __call__(self, *, call: str, outcome: str, seconds: float) -> None: ...


def nobody(*, call: str, outcome: str, seconds: float) -> None:
    """Watches nothing."""


class StripeSettingsError(ValueError):
    """Stripe cannot be used as configured; the message says what to set, and never shows a secret."""


def mode_of_key(api_key: str) -> bool:
    """Whether the key is a live one.

    Raises:
        StripeSettingsError: it is not a secret or restricted key.
    """
    match = _KEY.fullmatch(api_key)
    if match is None:
        raise StripeSettingsError(
            "The Stripe API key must be a secret or restricted key: sk_test_…, sk_live_…, rk_test_… or rk_live_…, "
            "without spaces or line breaks."
        )
    return match["mode"] == "live"


def checked_base(api_base: str | None, *, livemode: bool) -> str:
    """The address to call, Stripe's own where none is given.

    Raises:
        StripeSettingsError: it is no plain http(s) origin, or a live key would be sent somewhere else than to Stripe.
    """
    base = (api_base or STRIPE_BASE).removesuffix("/")
    if livemode and base != STRIPE_BASE:
        raise StripeSettingsError(f"A live Stripe key goes to {STRIPE_BASE} only; leave the API base unset.")
    if not _is_origin(base):
        raise StripeSettingsError("The Stripe API base must look like http://127.0.0.1:12111: scheme, host and port.")
    return base


def _is_origin(base: str) -> bool:
    try:
        parts = urlsplit(base)
        port_is_one = parts.port != 0
    except ValueError:
        return False
    plain = base == f"{parts.scheme}://{parts.netloc}" and "@" not in base and base.isprintable() and " " not in base
    return plain and port_is_one and parts.scheme in {"http", "https"} and bool(parts.hostname)


@dataclass(frozen=True, slots=True)
class Page(Generic[_T]):
    """One page of a listing: what was read, whether there is more, and after which id to go on."""

    entries: tuple[_T, ...]
    has_more: bool
    last_id: str | None


@dataclass(frozen=True, slots=True)
class StripeConnection:
    """A StripeClient whose every call is logged, observed, and fails in the domain's words only."""

    client: stripe.StripeClient
    livemode: bool
    observe: CallObserver = nobody

    @property
    def v1(self) -> stripe.V1Services:
        return self.client.v1

    def observed(self, observe: CallObserver) -> "StripeConnection":
        """The same connection, with one more who is told how calls end."""

        def both(*, call: str, outcome: str, seconds: float) -> None:
            self.observe(call=call, outcome=outcome, seconds=seconds)
            observe(call=call, outcome=outcome, seconds=seconds)

        return replace(self, observe=both)

    async def ask(self, call: str, request: Awaitable[stripe.StripeObject], read: Callable[[Fields], _T]) -> _T:
        """Make one call and read its answer.

        Raises:
            ProviderRejected: a definite no; nothing was done.
            ProviderUnavailable: no clear answer; the outcome of a write is unknown.
        """
        try:
            return await self._ask(call, request, read)
        except (stripe.StripeError, MalformedAnswer, TimeoutError, aiohttp.ClientError) as error:
            raise domain_error(error) from None

    async def ask_if_exists(
        self, call: str, request: Awaitable[stripe.StripeObject], read: Callable[[Fields], _T]
    ) -> _T | None:
        """The same; None where Stripe has no such object (in this mode)."""
        try:
            return await self._ask(call, request, read)
        except (stripe.StripeError, MalformedAnswer, TimeoutError, aiohttp.ClientError) as error:
            if is_missing(error):
                return None
            raise domain_error(error) from None

    async def pages(
        self,
        call: str,
        fetch: Callable[[str | None], Awaitable[stripe.StripeObject]],
        read: Callable[[Fields], _T],
        *,
        pages_max: int,
    ) -> AsyncIterator[Sequence[_T]]:
        """Every page of a listing, newest entries first; `fetch` takes the id to go on after.

        Raises:
            ProviderUnavailable: the listing is longer than `pages_max` pages. A part is never passed off as the whole.
        """
        last_id: str | None = None
        for _ in range(pages_max):
            page = await self.ask(call, fetch(last_id), lambda fields: _read_page(fields, read))
            yield page.entries
            if not page.has_more or page.last_id is None:
                return
            last_id = page.last_id
        log.error("stripe.listing_too_long", call=call, pages_max=pages_max)
        raise ProviderUnavailable(f"The payment provider's list for {call} is longer than {pages_max} pages.")

    async def entries(
        self,
        call: str,
        fetch: Callable[[str | None], Awaitable[stripe.StripeObject]],
        read: Callable[[Fields], _T],
        *,
        pages_max: int,
    ) -> tuple[_T, ...]:
        """A whole listing, newest first; read and refused as `pages` does."""
        return tuple([entry async for page in self.pages(call, fetch, read, pages_max=pages_max) for entry in page])

    async def _ask(self, call: str, request: Awaitable[stripe.StripeObject], read: Callable[[Fields], _T]) -> _T:
        timer = asyncio.get_running_loop().time
        started = timer()
        try:
            answer = await request
            result = read(Fields(answer.to_dict(for_json=True)))
        except asyncio.CancelledError:
            seconds = timer() - started
            self.observe(call=call, outcome="cancelled", seconds=seconds)
            log.warning("stripe.call", call=call, ms=_ms(seconds), outcome="cancelled")
            raise
        except (stripe.StripeError, MalformedAnswer, TimeoutError, aiohttp.ClientError) as error:
            seconds = timer() - started
            self.observe(call=call, outcome=_outcome(error), seconds=seconds)
            _log_failure(call, error, ms=_ms(seconds))
            raise
        seconds = timer() - started
        self.observe(call=call, outcome="ok", seconds=seconds)
        response = answer.last_response
        replayed = response is not None and response.headers.get("Idempotent-Replayed") == "true"
        request_id = response.request_id if response is not None else None
        log.info(
            "stripe.call",
            call=call,
            ms=_ms(seconds),
            outcome="ok",
            request_id=request_id,
            replayed=replayed,
        )
        return result


class Calls:
    """Base of the groups of calls that make up StripeService."""

    def __init__(self, connection: StripeConnection) -> None:
        self._stripe = connection


def keyed(idempotency_key: str) -> stripe.RequestOptions:
    """The options of a write: without a key of ours the SDK would make up one that protects a single call only."""
    assert 0 < len(idempotency_key) <= IDEMPOTENCY_KEY_CHARACTERS_MAX, "a write needs a key of 1 to 255 characters"
    assert idempotency_key.isascii(), "an idempotency key travels in a header"
    assert idempotency_key.isprintable(), "a header has no line breaks"
    return {"idempotency_key": idempotency_key}


@asynccontextmanager
async def open_connection(
    *,
    api_key: str,
    api_base: str | None,
    timeout_seconds: float = TIMEOUT_SECONDS,
    max_network_retries: int = NETWORK_RETRIES,
    sleep: Sleep = asyncio.sleep,
    observe: CallObserver = nobody,
) -> AsyncGenerator[StripeConnection]:
    """A connection bound to the running event loop, closed at the end.

    One call lasts at most (1 + `max_network_retries`) * `timeout_seconds`, and the pauses between.

    Raises:
        StripeSettingsError: the key or the address cannot be used.
    """
    livemode = mode_of_key(api_key)
    base = checked_base(api_base, livemode=livemode)
    stripe.enable_telemetry = False  # a module global: no timings to Stripe, no file in the home directory
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(
            limit=CONNECTIONS_MAX,
            keepalive_timeout=KEEPALIVE_SECONDS,
            ssl=ssl.create_default_context(cafile=stripe.ca_bundle_path),
        ),
        cookie_jar=aiohttp.DummyCookieJar(),
    ) as session:
        client = stripe.StripeClient(
            api_key,
            stripe_version=API_VERSION,
            base_addresses={"api": base, "connect": base, "files": base, "meter_events": base},
            max_network_retries=max_network_retries,
            http_client=CarefulClient(session=session, timeout_seconds=timeout_seconds, sleep=sleep),
        )
        yield StripeConnection(client=client, livemode=livemode, observe=observe)


def _read_page(fields: Fields, read: Callable[[Fields], _T]) -> Page[_T]:
    entries = fields.children()
    last_id = entries[-1].text("id") if entries else None
    return Page(entries=tuple(read(entry) for entry in entries), has_more=fields.flag("has_more"), last_id=last_id)


def _outcome(error: Exception) -> str:
    if is_missing(error):
        return "missing"
    failure = domain_error(error)
    if isinstance(failure, ProviderUnavailable):
        return "unavailable"
    return "misconfigured" if isinstance(failure, ProviderMisconfigured) else "rejected"


def _log_failure(call: str, error: Exception, *, ms: int) -> None:
    failure: ProviderError = domain_error(error)
    missing = is_missing(error)
    level = log.info if missing else log.error if needs_a_human(error) else log.warning
    level(
        "stripe.call",
        call=call,
        ms=ms,
        outcome="missing" if missing else failure.code.value.lower(),
        error=type(error).__name__,
        # a malformed answer names the field at fault; Stripe's own text may quote what was sent and stays out
        field=str(error) if isinstance(error, MalformedAnswer) else None,
        status=error.http_status if isinstance(error, stripe.StripeError) else None,
        param=error.param if isinstance(error, stripe.InvalidRequestError) else None,
        provider_code=failure.provider_code,
        request_id=failure.request_id,
    )


def _ms(seconds: float) -> int:
    return round(seconds * 1000)
