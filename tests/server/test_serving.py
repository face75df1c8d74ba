"""The server under the application, spoken to in raw bytes: what it does with bodies it should not touch."""

import asyncio
import gzip
import logging
import socket
from collections.abc import AsyncIterator

import pytest
from aiohttp import web

from gateway.cli.serving import LINGERING_SECONDS, runner_of

PATIENCE_SECONDS = 20


async def echo(request: web.Request) -> web.Response:
    return web.Response(body=await request.read())


async def refuse(request: web.Request) -> web.Response:
    return web.Response(status=413, text="too large")


@pytest.fixture
async def door() -> AsyncIterator[socket.socket]:
    """A server on a free port."""
    app = web.Application()
    app.router.add_post("/echo", echo)
    app.router.add_post("/refuse", refuse)
    runner = runner_of(app, shutdown_seconds=0.1)
    await runner.setup()
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    await web.SockSite(runner, listening).start()
    yield listening
    await runner.cleanup()


async def exchange(door: socket.socket, request: bytes) -> bytes:
    """Everything the server says until it closes the connection."""
    reader, writer = await asyncio.open_connection(*door.getsockname())
    writer.write(request)
    async with asyncio.timeout(PATIENCE_SECONDS):
        answer = await reader.read()
    writer.close()
    return answer


async def test_a_compressed_body_is_not_inflated(door: socket.socket, caplog: pytest.LogCaptureFixture) -> None:
    """A small body could become a large one; every door of ours refuses it by its header."""
    body = gzip.compress(b"0" * 100_000)
    head = (
        f"POST /echo HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Encoding: gzip\r\nContent-Length: {len(body)}"
    )

    answer = await exchange(door, head.encode() + b"\r\n\r\n" + body)

    assert answer.endswith(body)
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == [], "every setting was taken"


async def test_the_rest_of_a_refused_body_is_not_waited_for_long(door: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    started = loop.time()

    answer = await exchange(door, b"POST /refuse HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\nabc")

    assert answer.startswith(b"HTTP/1.1 413 ")
    assert loop.time() - started >= LINGERING_SECONDS, "and long enough for the answer to be read"
