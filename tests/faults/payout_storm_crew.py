"""The processes of a storm: a local Stripe that lives through it, and workers that are killed and replaced."""

import asyncio
import json
import os
import random
import signal
import sys
from asyncio.subprocess import Process
from collections import Counter
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final, cast

import aiohttp

from tests.support.stripe_door import StripeDoor

ROOT: Final = Path(__file__).parents[2]
#: How long a process may take to start, or to end when it is told to.
PROCESS_SECONDS_MAX: Final = 60.0
#: After the step at which a worker is killed, this long at most: in the middle of whatever it does next.
KILL_DELAY_SECONDS_MAX: Final = 0.25
#: What a worker says once it has committed a step of a payout.
STEPS: Final = frozenset({"payout.reserved", "payout.sent"})
COMPLAINTS_KEPT_MAX: Final = 20

Json = dict[str, Any]


@asynccontextmanager
async def stripe_at_work() -> AsyncGenerator[StripeDoor]:
    """A local Stripe in a process of its own, and the door to it."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.faults.payout_storm_stripe"),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        async with asyncio.timeout(PROCESS_SECONDS_MAX):
            url = (await process.stdout.readline()).decode().strip()
        async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as http:
            yield StripeDoor(url=url, http=http)
        assert process.returncode is None, "nobody ends Stripe"
    finally:
        await _end(process)


class Crew:
    """Workers on one database; one that is killed is replaced. What they log is counted in `said`."""

    def __init__(
        self, command: Sequence[str], *, settings: Mapping[str, str], folder: Path, dice: random.Random
    ) -> None:
        self._command = command
        self._settings = settings
        self._folder = folder
        self._dice = dice
        self._workers: list[Process] = []
        self._listening: set[asyncio.Task[None]] = set()
        self._latest: Process | None = None
        self._moved = asyncio.Condition()
        self.said: Counter[str] = Counter()
        self.complaints: list[str] = []
        self.kills: list[int] = []

    @property
    def steps(self) -> int:
        """How many steps of payouts were told of; what a worker did just before it was killed is not."""
        return sum(self.said[step] for step in STEPS)

    @property
    def story(self) -> str:
        """What happened, for a person."""
        said = ", ".join(f"{name} {times}" for name, times in sorted(self.said.items()))
        return f"killed after steps {self.kills}; the workers said {said}"

    def assert_alive(self) -> None:
        """Workers end by our hand alone."""
        assert not self._fallen, "\n".join(self.complaints)

    @property
    def _fallen(self) -> bool:
        return any(worker.returncode is not None for worker in self._workers)

    @asynccontextmanager
    async def at_work(self, count: int) -> AsyncGenerator[None]:
        """So many workers within the block; at its end each is asked to stop, and does."""
        try:
            for _ in range(count):
                await self._start()
            yield
            for worker in self._workers:
                worker.send_signal(signal.SIGTERM)
            async with asyncio.timeout(PROCESS_SECONDS_MAX):
                ends = {await worker.wait() for worker in self._workers}
            # One that has only just been started is ended by the signal itself.
            assert ends <= {0, -signal.SIGTERM}, self.complaints
        finally:
            for worker in self._workers:
                if worker.returncode is None:
                    worker.kill()
                    await worker.wait()
            await asyncio.wait(self._listening)

    async def kill_at(self, step: int) -> None:
        """Some time after so many steps, kill the worker that has just made one, with all that it holds."""
        async with self._moved:
            await self._moved.wait_for(lambda: self.steps >= step or self._fallen)
        self.assert_alive()
        await asyncio.sleep(self._dice.random() * KILL_DELAY_SECONDS_MAX)
        victim = self._latest if self._latest in self._workers else self._dice.choice(self._workers)
        assert victim is not None
        self.assert_alive()
        self.kills.append(self.steps)
        victim.kill()
        assert await victim.wait() == -signal.SIGKILL
        self._workers.remove(victim)
        await self._start()

    async def _start(self) -> None:
        path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
        worker = await asyncio.create_subprocess_exec(
            *(sys.executable, *self._command),
            cwd=self._folder,
            env={"PATH": os.environ.get("PATH", ""), "PYTHONPATH": path, **self._settings},
            stderr=asyncio.subprocess.PIPE,
        )
        self._workers.append(worker)
        self._listening.add(asyncio.create_task(self._listen(worker)))

    async def _listen(self, worker: Process) -> None:
        assert worker.stderr is not None
        while line := await worker.stderr.readline():
            if not line.endswith(b"\n"):
                break  # cut off by the kill
            event = _event(line)
            name = str(event.get("event", "something that is no event"))
            self.said[name] += 1
            if event.get("level") not in {"info", "warning"} and len(self.complaints) < COMPLAINTS_KEPT_MAX:
                self.complaints.append(line.decode(errors="replace"))
            if name in STEPS:
                self._latest = worker
                await self._tell()
        await worker.wait()
        await self._tell()

    async def _tell(self) -> None:
        async with self._moved:
            self._moved.notify_all()


def _event(line: bytes) -> Json:
    try:
        return cast("Json", json.loads(line))
    except ValueError:  # the traceback of a process that could not start
        return {}


async def _end(process: Process) -> None:
    if process.returncode is None:
        process.terminate()
        try:
            async with asyncio.timeout(PROCESS_SECONDS_MAX):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()
