"""How a process ends: told once or twice, it finishes what it holds, and takes nothing new from the first word on."""

import asyncio
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Sequence

import aiohttp
import pytest
from aiohttp import web

from gateway.app import run_beside
from gateway.background import Background
from gateway.cli.serving import runner_of
from gateway.domain.charges import Call, ChargeOutcome
from gateway.services.marketplace.queue import ChargeQueue
from tests.support.documents import ROOT

PATIENCE_SECONDS = 30
#: Waits for its stop, says so, and has something left to finish until a line comes in.
HOLDS_SOMETHING = """
import asyncio, functools, sys
from gateway.cli.serving import run, until_stopped

async def work():
    asyncio.get_running_loop().call_soon(functools.partial(print, "waits", flush=True))
    await until_stopped()
    print("stops", flush=True)
    sys.stdin.readline()
    print("has finished", flush=True)
    return 0

run(work())
"""


async def line_of(process: Process) -> str:
    assert process.stdout is not None
    async with asyncio.timeout(PATIENCE_SECONDS):
        return (await process.stdout.readline()).decode().strip()


@pytest.mark.parametrize("first", [signal.SIGTERM, signal.SIGINT])
async def test_a_second_word_to_stop_cuts_nothing_off(first: signal.Signals) -> None:
    """A service manager tells every process of the group, and the parent tells its children too."""
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", HOLDS_SOMETHING, stdin=PIPE, stdout=PIPE, env=environ
    )
    assert process.stdin is not None
    assert await line_of(process) == "waits"
    process.send_signal(first)
    assert "server.stopping" in await line_of(process)
    assert await line_of(process) == "stops"

    process.send_signal(signal.SIGTERM)
    process.stdin.write(b"go on\n")

    assert await line_of(process) == "has finished"
    assert await process.wait() == 0


class Digger:
    """Works until told to stop; then has something left that takes until it `may_finish`."""

    def __init__(self) -> None:
        self.told, self.may_finish = asyncio.Event(), asyncio.Event()
        self.end = "works"

    async def run(self) -> None:
        try:
            await self.told.wait()
            await self.may_finish.wait()
            self.end = "finished"
        except asyncio.CancelledError:
            self.end = "gave back"
            raise

    def stop(self) -> None:
        self.told.set()


async def charge_nothing(calls: Sequence[Call]) -> list[ChargeOutcome]:
    raise AssertionError("nobody calls")


async def test_nothing_new_is_taken_while_requests_are_waited_for() -> None:
    diggers, asked, may_answer = [Digger(), Digger()], asyncio.Event(), asyncio.Event()

    async def answer(request: web.Request) -> web.Response:
        asked.set()
        await may_answer.wait()
        return web.Response(text=" and ".join("told" if one.told.is_set() else "not told" for one in diggers))

    app = web.Application()
    app.router.add_get("/", answer)
    run_beside(app, Background(diggers, seconds=PATIENCE_SECONDS), ChargeQueue(charge_nothing))
    runner = runner_of(app, shutdown_seconds=PATIENCE_SECONDS)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    [(_, port, *_)] = runner.addresses
    async with aiohttp.ClientSession() as http, asyncio.timeout(PATIENCE_SECONDS):
        request = asyncio.create_task(http.get(f"http://127.0.0.1:{port}/"))
        await asked.wait()
        ending = asyncio.create_task(runner.cleanup())
        for one in diggers:
            await one.told.wait()
            one.may_finish.set()
        may_answer.set()
        text = await (await request).text()
        await ending

    assert text == "told and told"
    assert [one.end for one in diggers] == ["finished", "finished"]


async def test_what_does_not_end_in_time_is_cut_off_together() -> None:
    diggers = [Digger(), Digger(), Digger()]
    background = Background(diggers, seconds=0)
    background.start()
    await asyncio.sleep(0)
    diggers[1].may_finish.set()

    await background.end()

    assert [one.end for one in diggers] == ["gave back", "finished", "gave back"]


async def test_time_that_requests_took_is_not_given_a_second_time() -> None:
    background = Background([], seconds=PATIENCE_SECONDS)
    background.stop()
    left = background.seconds_left
    await asyncio.sleep(0.01)
    background.stop()

    assert background.seconds_left < left <= PATIENCE_SECONDS
