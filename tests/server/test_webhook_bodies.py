"""Deliveries whose body breaks off: no event, no crash, and the door stays open."""

import asyncio
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import pytest
import structlog

from gateway.domain.clock import ManualClock
from gateway.server.webhook import WEBHOOK_PATH
from tests.support.gateway import START, Platform, eventually, open_platform

HEAD = f"POST {WEBHOOK_PATH} HTTP/1.1\r\nHost: gateway\r\nStripe-Signature: t=1,v1=00\r\n"


@pytest.fixture
async def platform(sqlite_url: str) -> AsyncIterator[Platform]:
    """The body is read before any database is asked."""
    async with open_platform(sqlite_url, clock=ManualClock(START), with_worker=False) as running:
        yield running


async def send(platform: Platform, text: str, *, hang_up: bool) -> bytes:
    """Write straight to the gateway's socket; what it answers to those who stay."""
    address = urlsplit(platform.nodes[0].url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    writer.write(text.encode())
    await writer.drain()
    answer = b"" if hang_up else await reader.readline()
    writer.close()
    await writer.wait_closed()
    return answer


async def test_a_body_in_broken_chunks_is_a_bad_request(platform: Platform) -> None:
    with structlog.testing.capture_logs() as logs:
        answer = await send(platform, f"{HEAD}Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nzz\r\n", hang_up=False)

    assert b" 400 " in answer
    assert [line for line in logs if line["log_level"] in {"error", "critical"}] == []


async def test_a_sender_who_hangs_up_in_the_middle_is_no_error_of_ours(platform: Platform) -> None:
    with structlog.testing.capture_logs() as logs:
        await send(platform, f"{HEAD}Content-Length: 100\r\n\r\n{{", hang_up=True)

        async def noticed() -> None:
            assert [line["status"] for line in logs if line["event"] == "http.request"] == [400]

        await eventually(noticed)

    assert [line for line in logs if line["log_level"] in {"error", "critical"}] == []
    await platform.assert_true()


async def test_another_version_of_the_endpoint_is_told_of_once(platform: Platform) -> None:
    await platform.stripe.control(
        "webhook_endpoints",
        url=f"{platform.nodes[0].url}{WEBHOOK_PATH}",
        api_version="2024-06-20",
        secret=platform.nodes[0].gateway.settings.stripe_webhook_secrets[0].get_secret_value(),
    )
    ann = platform.person()

    with structlog.testing.capture_logs() as logs:
        for cents in ("2500", "700"):
            await platform.stripe.pay((await ann.deposit_page(cents)).url)
        await platform.settled()

    assert [line["api_version"] for line in logs if line["event"] == "webhook.other_version"] == ["2024-06-20"]
    assert await ann.balance_cents() == "3200"
    await platform.assert_true()
