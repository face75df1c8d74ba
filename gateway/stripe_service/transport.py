"""The wire under the SDK: its aiohttp client, with an answer read inside the retries and never trusted blindly.

The SDK's own client reads the body outside its error handling: a time-out or a broken connection at that moment
escapes as a builtin error and is not retried. Here the whole exchange is one step, so the SDK repeats it as a whole
with the same Idempotency-Key.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Final, cast

import aiohttp
import orjson
import stripe
import structlog
from multidict import CIMultiDict

#: A page of a hundred of Stripe's largest objects stays well below.
BODY_BYTES_MAX: Final = 16 * 1024 * 1024
NOTICE_CHARACTERS_MAX: Final = 300
_CHUNK_BYTES: Final = 64 * 1024
_HTTP_OK: Final = range(200, 300)

log = structlog.get_logger()

Sleep = Callable[[float], Awaitable[None]]


class CarefulClient(stripe.AIOHTTPClient):
    """Speaks through the given session; follows no redirect, and takes only JSON in Stripe's shape for an answer."""

    def __init__(self, *, session: aiohttp.ClientSession, timeout_seconds: float, sleep: Sleep) -> None:
        super().__init__(session=session, timeout=timeout_seconds)
        self._own_session = session
        self._own_timeout = aiohttp.ClientTimeout(total=timeout_seconds)
        self._sleep = sleep

    def sleep_async(self, secs: float) -> Awaitable[None]:  # pyright: ignore[reportIncompatibleMethodOverride]  # unannotated there
        return self._sleep(secs)

    async def request_async(
        self, method: str, url: str, headers: Mapping[str, str], post_data: str | None = None
    ) -> tuple[bytes, int, Mapping[str, str]]:
        """One exchange.

        Raises:
            stripe.APIConnectionError: anything but a whole answer in Stripe's shape; the SDK tries again.
        """
        try:
            async with self._own_session.request(
                method, url, headers=headers, data=post_data, timeout=self._own_timeout, allow_redirects=False
            ) as response:
                body = await _read(response.content)
                status, answer_headers = response.status, CIMultiDict(response.headers)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise _broken(f"A {type(error).__name__} on the way to Stripe.") from error
        if not _is_stripes(body, status=status):
            raise _broken(f"An answer with status {status} that is not Stripe's.")
        _log_notice(answer_headers)
        return body, status, answer_headers


async def _read(content: aiohttp.StreamReader) -> bytes:
    body = bytearray()
    async for chunk in content.iter_chunked(_CHUNK_BYTES):
        body += chunk
        if len(body) > BODY_BYTES_MAX:
            raise aiohttp.ClientPayloadError("the answer is too long")
    return bytes(body)


def _is_stripes(body: bytes, *, status: int) -> bool:
    """A JSON object, with an error object inside unless all is well: the SDK stumbles over anything else."""
    try:
        answer: object = orjson.loads(body)
    except orjson.JSONDecodeError:
        return False
    if not isinstance(answer, dict):
        return False
    return status in _HTTP_OK or isinstance(cast("dict[str, object]", answer).get("error"), dict)


def _broken(message: str) -> stripe.APIConnectionError:
    return stripe.APIConnectionError(message, should_retry=True)


def _log_notice(headers: CIMultiDict[str]) -> None:
    """Take Stripe's notices to developers out of the answer: the SDK would raise a Python warning for each."""
    for notice in headers.popall("Stripe-Notice", ()):
        log.warning("stripe.notice", notice=notice[:NOTICE_CHARACTERS_MAX])
