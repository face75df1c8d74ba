"""The issuer's public keys by URL: fetched without blocking the loop, kept through outages of the issuer."""

import asyncio
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, cast

import aiohttp
import jwt
import orjson
import structlog

from gateway.domain.clock import Clock

KEYS_FRESH = timedelta(minutes=5)
KEYS_STALE_MAX = timedelta(hours=24)
REFRESH_COOLDOWN = timedelta(seconds=30)
FETCH_SECONDS_MAX = 3.0
KEY_SET_BYTES_MAX = 64 * 1024
#: What a key may sign with. No shared secrets: a key that everybody can read proves nothing.
ALGORITHMS = frozenset({"RS256", "ES256", "EdDSA"})

log = structlog.stdlib.get_logger(__name__)


class KeysUnavailable(Exception):
    """The issuer's keys could not be had, now or recently enough, so this token cannot be judged, good or bad."""


class RemoteKeys:
    """The key set at one URL. A known key is answered from memory; at most one fetch is under way at a time.

    A set older than KEYS_FRESH is fetched again in the background and used meanwhile, through an outage for up to
    KEYS_STALE_MAX. An unknown key id causes a fetch, but not sooner than REFRESH_COOLDOWN after the last try, so junk
    tokens cannot make us hammer the issuer.
    """

    def __init__(self, *, session: aiohttp.ClientSession, url: str, clock: Clock) -> None:
        self._session = session
        self._url = url
        self._clock = clock
        self._keys: Mapping[str, jwt.PyJWK] = {}
        self._fetched_at: datetime | None = None
        self._tried_at: datetime | None = None
        self._refreshing: asyncio.Task[None] | None = None

    async def key(self, key_id: str) -> jwt.PyJWK | None:
        """The usable key of that id, or None when the issuer has no such key. Raises KeysUnavailable."""
        age = self._age()
        known = self._keys.get(key_id)
        if known is not None and age is not None and age < KEYS_STALE_MAX:
            if age >= KEYS_FRESH:
                self._refresh()
            return known
        refreshing = self._refresh()
        if refreshing is not None:
            # Shielded: a caller that goes away must not end the fetch that others wait for.
            await asyncio.shield(refreshing)
        age, known = self._age(), self._keys.get(key_id)
        if age is None or age >= KEYS_STALE_MAX or (known is None and self._last_try_failed()):
            raise KeysUnavailable("The keys of the token issuer cannot be fetched; try again in a moment.")
        return known

    async def close(self) -> None:
        """Ends a fetch under way; the session belongs to the caller."""
        if self._refreshing is not None:
            self._refreshing.cancel()
            await asyncio.gather(self._refreshing, return_exceptions=True)

    def _last_try_failed(self) -> bool:
        """Then nobody knows which keys the issuer has by now."""
        return self._fetched_at is None or (self._tried_at is not None and self._fetched_at < self._tried_at)

    def _age(self) -> timedelta | None:
        return None if self._fetched_at is None else self._clock.now() - self._fetched_at

    def _refresh(self) -> asyncio.Task[None] | None:
        """The fetch under way, else a new one, else None while the last try is too recent."""
        if self._refreshing is not None and not self._refreshing.done():
            return self._refreshing
        now = self._clock.now()
        if self._tried_at is not None and now - self._tried_at < REFRESH_COOLDOWN:
            return None
        self._tried_at = now
        self._refreshing = asyncio.create_task(self._fetch_and_keep(), name="jwks-refresh")
        return self._refreshing

    async def _fetch_and_keep(self) -> None:
        try:
            keys = _usable_keys(await self._fetch())
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            log.warning("jwks.refresh_failed", reason=type(error).__name__)
            return
        self._keys = keys
        self._fetched_at = self._clock.now()
        log.info("jwks.refreshed", keys=len(keys))

    async def _fetch(self) -> bytes:
        timeout = aiohttp.ClientTimeout(total=FETCH_SECONDS_MAX)
        headers = {"Accept": "application/json", "Accept-Encoding": "identity"}
        async with self._session.get(self._url, timeout=timeout, headers=headers, allow_redirects=False) as response:
            if response.status != 200:  # noqa: PLR2004 - the one status that carries keys
                raise ValueError(f"The key set must be answered with 200; got {response.status}.")
            body = bytearray()
            async for chunk in response.content.iter_any():
                body += chunk
                if len(body) > KEY_SET_BYTES_MAX:
                    raise ValueError(f"A key set has at most {KEY_SET_BYTES_MAX} bytes.")
            return bytes(body)


def _usable_keys(body: bytes) -> dict[str, jwt.PyJWK]:
    """Signature keys by id; keys of other kinds are passed over. Raises ValueError when none is left."""
    document: object = orjson.loads(body)
    listed = cast("Mapping[str, object]", document).get("keys") if isinstance(document, dict) else None
    keys: dict[str, jwt.PyJWK] = {}
    for entry in cast("list[object]", listed) if isinstance(listed, list) else []:
        key = _usable_key(entry)
        if key is not None and key.key_id:
            keys[key.key_id] = key
    if not keys:
        raise ValueError("The key set holds no usable key.")
    return keys


def _usable_key(entry: object) -> jwt.PyJWK | None:
    if not isinstance(entry, dict) or cast("Mapping[str, object]", entry).get("use", "sig") != "sig":
        return None
    try:
        key = jwt.PyJWK(cast("dict[str, Any]", entry))
    except (jwt.PyJWTError, ValueError, TypeError, AttributeError):
        return None  # of a kind or form that the library does not know
    usable = key.algorithm_name in ALGORITHMS and isinstance(cast("object", key.key_id), str)
    return key if usable else None
