"""How a process ends: told once or more often, it finishes what it holds, and takes nothing new from the first word on."""

import asyncio
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process

import pytest

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
