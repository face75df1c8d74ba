"""Processes that do jobs are killed in the middle of their work: every job is done, and its effect happens once."""

import asyncio
import random
import signal
import sys
from asyncio.subprocess import Process
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from gateway.services.jobs.listing import list_jobs
from models.job import JobState
from tests.services.jobs_world import ENGINES, Engine, JobWorld, engine_url, open_jobs, prepare
from tests.support.gateway import eventually

ROOT = Path(__file__).parents[2]
PATIENCE_SECONDS = 120.0
#: Fewer than the jobs that come between two kills.
EFFECTS_BEFORE_KILL_MAX = 10


@pytest.fixture(params=ENGINES)
def place(request: pytest.FixtureRequest) -> tuple[str, Engine]:
    """A database and the engine to run on it."""
    return engine_url(request, request.param)


@pytest.fixture
async def world(place: tuple[str, Engine]) -> AsyncIterator[JobWorld]:
    """Promises jobs and looks at them; others do them."""
    await prepare(*place)
    async with open_jobs(*place) as opened:
        yield opened


class Crew:
    """Processes that do jobs; one that is killed is replaced."""

    def __init__(self, world: JobWorld, dice: random.Random) -> None:
        self._world = world
        self._dice = dice
        self._processes: list[Process] = []
        self._effects: asyncio.Queue[Process] = asyncio.Queue()
        self._ready: dict[Process, asyncio.Event] = {}
        self._listening: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def at_work(self, count: int) -> AsyncGenerator[None]:
        """So many processes within the block; at its end each is asked to stop, and does."""
        try:
            for _ in range(count):
                await self._start()
            yield
            async with asyncio.timeout(PATIENCE_SECONDS):
                for process in self._processes:
                    await self._ready[process].wait()
            for process in self._processes:
                process.send_signal(signal.SIGTERM)
            async with asyncio.timeout(PATIENCE_SECONDS):
                assert [await process.wait() for process in self._processes] == [0] * count
        finally:
            for process in self._processes:
                if process.returncode is None:
                    process.kill()
                    await process.wait()
            await asyncio.wait(self._listening)

    async def kill_one(self) -> None:
        """Kill whoever has just written that an effect is committed, with all else that it holds."""
        victim = await self._effects.get()
        for _ in range(self._dice.randrange(EFFECTS_BEFORE_KILL_MAX)):
            victim = await self._effects.get()
        if victim.returncode is None:
            victim.kill()
        assert await victim.wait() == -signal.SIGKILL
        self._processes.remove(victim)
        while not self._effects.empty():  # what was written meanwhile is of before the kill
            self._effects.get_nowait()
        await self._start()

    async def _start(self) -> None:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.faults.job_server", self._world.url, self._world.engine),
            cwd=ROOT,
            stdout=asyncio.subprocess.PIPE,
        )
        self._processes.append(process)
        self._ready[process] = asyncio.Event()
        self._listening.add(asyncio.create_task(self._listen(process)))

    async def _listen(self, process: Process) -> None:
        assert process.stdout is not None
        if await process.stdout.readline() == b"ready\n":
            self._ready[process].set()
        while await process.stdout.readline():
            self._effects.put_nowait(process)


async def do_through_kills(world: JobWorld, *, jobs: int, workers: int, kills: int) -> None:
    keys = [f"job-{number}" for number in range(jobs)]
    crew = Crew(world, random.Random(jobs))
    share = jobs // (kills + 1)

    async with crew.at_work(workers):
        for kill in range(kills):
            await world.promise(*keys[kill * share : (kill + 1) * share])
            async with asyncio.timeout(PATIENCE_SECONDS):
                await crew.kill_one()
        await world.promise(*keys)

        async def all_done() -> None:
            left = [(one.key, one.state, one.reason) for one in await list_jobs(world.database)]
            assert left == []

        await eventually(all_done, seconds_max=PATIENCE_SECONDS)

    assert await world.effects() == dict.fromkeys(keys, 1)
    assert len(await list_jobs(world.database, state=JobState.DONE, limit=jobs + 1)) == jobs


async def test_killed_workers_lose_no_job_and_repeat_no_effect(world: JobWorld) -> None:
    await do_through_kills(world, jobs=100, workers=2, kills=3)


@pytest.mark.storm
async def test_a_thousand_jobs_outlive_thirty_kills(world: JobWorld) -> None:
    await do_through_kills(world, jobs=1_000, workers=3, kills=30)
