"""Several server processes on one port: started, watched, started again when one dies, and stopped together."""

import asyncio
import sys
from asyncio.subprocess import Process
from collections.abc import Sequence

import structlog

from gateway.cli.serving import until_stopped

log = structlog.stdlib.get_logger()

#: A process that dies at once is not started again at once.
RESTART_SECONDS = 1.0


async def supervise(arguments: Sequence[str], *, count: int, stop_seconds: int) -> int:
    """Run `count` copies of `python -m gateway …` until told to stop; each finishes what it holds."""
    keepers = [asyncio.create_task(_keep(arguments, stop_seconds), name=f"process-{n}") for n in range(count)]
    await until_stopped()
    for keeper in keepers:
        keeper.cancel()
    await asyncio.gather(*keepers, return_exceptions=True)
    return 0


async def _keep(arguments: Sequence[str], stop_seconds: int) -> None:
    while True:
        process = await asyncio.create_subprocess_exec(sys.executable, "-m", "gateway", *arguments)
        log.info("process.started", pid=process.pid)
        try:
            status = await process.wait()
        except asyncio.CancelledError:
            await _end(process, stop_seconds)
            raise
        log.error("process.died", pid=process.pid, status=status)
        await asyncio.sleep(RESTART_SECONDS)


async def _end(process: Process, stop_seconds: int) -> None:
    """Ask it to finish; insist when it does not."""
    if process.returncode is not None:
        return
    process.terminate()
    try:
        async with asyncio.timeout(stop_seconds):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()
