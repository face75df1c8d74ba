"""The SQLite file under bad conditions: killed in the middle of a checkpoint, no space left, not to be written."""

import asyncio
import os
import random
import resource
import signal
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import orjson
import pytest

from gateway.db import migrate
from tests.support.gateway import free_socket, gateway_environ, url_of
from tests.support.post_office import Letter, PostOffice, open_post_office, read_letter, real_now
from tests.support.processes import ROOT, GatewayProcess

SECRET = "whsec_of_this_test"
ROUND_SECONDS_MAX = 120
#: Large, so that space runs out soon; below what the door takes.
PADDING_CHARACTERS = 100_000
DELIVERIES_MAX = 400
SPACE_BYTES = 8 * 1024**2
BALLAST_BYTES = 4 * 1024**2


def intact(path: Path) -> set[str]:
    """The ids of the events in a file that SQLite finds nothing wrong with."""
    with sqlite3.connect(path) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        ids = {str(row[0]) for row in connection.execute("SELECT id FROM stripe_event")}
    connection.close()
    return ids


async def kill_in_checkpoints(url: str, *, kills: int, seed: int) -> None:
    """Each round stores events under constant checkpoints, until it is killed after some that it told of."""
    dice = random.Random(seed)
    path = Path(url.removeprefix("sqlite://"))
    told: set[str] = set()
    for number in range(kills):
        writer = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.faults.checkpoint_writer", url, str(number)),
            cwd=ROOT,
            stdout=asyncio.subprocess.PIPE,
        )
        assert writer.stdout is not None
        try:
            async with asyncio.timeout(ROUND_SECONDS_MAX):
                for _ in range(dice.randint(20, 150)):
                    told.add((await writer.stdout.readline()).decode().strip())
        finally:
            writer.send_signal(signal.SIGKILL)
        rest = (await writer.stdout.read()).decode().split("\n")
        told.update(rest[:-1])  # the last line may be half of one
        assert await writer.wait() == -signal.SIGKILL
        assert told - intact(path) == set()


async def test_kill_during_checkpoints_loses_nothing_that_was_acknowledged(sqlite_url: str) -> None:
    await kill_in_checkpoints(sqlite_url, kills=5, seed=5)


@pytest.mark.storm
async def test_many_kills_during_checkpoints_lose_nothing(sqlite_url: str) -> None:
    await kill_in_checkpoints(sqlite_url, kills=60, seed=60)


def letter(number: int) -> Letter:
    """An event of a type that nobody uses, so that storing it is all there is to do."""
    event = {
        "id": f"evt_padded{number}",
        "object": "event",
        "type": "plan.created",
        "created": real_now(),
        "api_version": "2026-10-28.endive",
        "livemode": False,
        "data": {"object": {"id": f"plan_{number}", "object": "plan", "nickname": "x" * PADDING_CHARACTERS}},
    }
    return read_letter(orjson.dumps(event))


@dataclass(eq=False)
class Sender:
    """Delivers one event after the other; `taken` are those that were acknowledged."""

    office: PostOffice
    gateway: GatewayProcess
    taken: set[str] = field(default_factory=set[str])
    number: int = 0

    async def send(self) -> int | None:
        self.number += 1
        sent = letter(self.number)
        status = await self.office.deliver(sent, to=self.gateway.url, secret=SECRET)
        if status == 200:
            self.taken.add(sent.event_id)
        return status

    async def send_until(self, wanted: int) -> None:
        for _ in range(DELIVERIES_MAX):
            status = await self.send()
            if status == wanted:
                return
            assert status in {200, 503}, status
        raise AssertionError(f"no delivery of {DELIVERIES_MAX} was answered with {wanted}")


class Space(Protocol):
    """A folder whose space can end and come back."""

    @property
    def folder(self) -> Path: ...

    def end(self, gateway: GatewayProcess) -> None: ...

    def come_back(self, gateway: GatewayProcess) -> None: ...


@dataclass(frozen=True, slots=True)
class Quota:
    """The process may not make its files longer than the log of the database is now."""

    folder: Path

    def end(self, gateway: GatewayProcess) -> None:
        longest = (self.folder / "gateway.db-wal").stat().st_size + PADDING_CHARACTERS
        resource.prlimit(gateway.pid, resource.RLIMIT_FSIZE, (longest, resource.RLIM_INFINITY))

    def come_back(self, gateway: GatewayProcess) -> None:
        resource.prlimit(gateway.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


@dataclass(frozen=True, slots=True)
class SmallDisk:
    """A small disk of its own, half of which is filled with something that can be taken away."""

    folder: Path

    def end(self, gateway: GatewayProcess) -> None:
        (self.folder / "ballast").write_bytes(bytes(BALLAST_BYTES))

    def come_back(self, gateway: GatewayProcess) -> None:
        (self.folder / "ballast").unlink()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A folder that is a disk of its own; only root may mount one, and not everywhere."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={SPACE_BYTES}", "gateway-test", str(folder)],
        capture_output=True,
        text=True,
        check=False,
    )
    if mounted.returncode != 0:
        pytest.skip(f"a small disk cannot be mounted here: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.fixture(params=["quota", "small disk"])
def space(request: pytest.FixtureRequest, tmp_path: Path) -> Space:
    if request.param == "quota":
        if not hasattr(resource, "prlimit"):
            pytest.skip("this system has no prlimit, with which another process is given a quota")
        return Quota(tmp_path)
    return SmallDisk(request.getfixturevalue("small_disk"))


async def gateway_in(folder: Path, *, logs: Path) -> GatewayProcess:
    """A gateway whose database is in a folder; there is no Stripe, which it need not ask to store events."""
    nobody = free_socket()
    environ = gateway_environ(f"sqlite://{folder / 'gateway.db'}", stripe_url=url_of(nobody), webhook_secret=SECRET)
    nobody.close()
    await migrate(environ["GATEWAY_DATABASE_URL"])
    return GatewayProcess(arguments=("serve", "--no-events"), environ=environ, folder=logs, name="gateway")


@pytest.fixture
async def office() -> AsyncIterator[PostOffice]:
    async with open_post_office() as opened:
        yield opened


async def test_without_space_events_are_refused_with_503_and_taken_again_when_there_is_some(
    space: Space, office: PostOffice, tmp_path: Path
) -> None:
    gateway = await gateway_in(space.folder, logs=tmp_path)
    sender = Sender(office, gateway)
    try:
        await gateway.start()
        await gateway.ready()
        await sender.send_until(200)
        space.end(gateway)
        await sender.send_until(503)
        refusal = gateway.said
        space.come_back(gateway)
        await sender.send_until(200)
        assert await sender.send() == 200
    finally:
        await gateway.end()

    assert "webhook.not_stored" in refusal
    assert any(reason in refusal for reason in ("SQLite: disk I/O error.", "SQLite: database or disk is full."))
    assert gateway.starts == 1
    assert sender.taken - intact(space.folder / "gateway.db") == set()


@dataclass(frozen=True, slots=True)
class Lock:
    """Makes a folder and what is in it unwritable: by mode, or, as root is above modes, by mounting it anew."""

    folder: Path

    def set(self, *, writable: bool) -> None:
        if os.geteuid() == 0:
            mode = "rw" if writable else "ro"
            subprocess.run(["mount", "-o", f"remount,{mode}", str(self.folder)], check=True)
            return
        self.folder.chmod(0o700 if writable else 0o500)
        for file in self.folder.iterdir():
            file.chmod(0o600 if writable else 0o400)


@pytest.fixture
def lock(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Lock]:
    if os.geteuid() == 0:
        yield Lock(request.getfixturevalue("small_disk"))
        return
    folder = tmp_path / "folder"
    folder.mkdir()
    yield Lock(folder)
    folder.chmod(0o700)


async def test_a_file_that_cannot_be_written_is_said_so_at_the_start_and_keeps_what_it_holds(
    lock: Lock, office: PostOffice, tmp_path: Path
) -> None:
    gateway = await gateway_in(lock.folder, logs=tmp_path)
    sender = Sender(office, gateway)
    try:
        await gateway.start()
        await gateway.ready()
        await sender.send_until(200)
        await gateway.kill()
        lock.set(writable=False)
        await gateway.start()
        status = await gateway.wait()
        sentence = gateway.said.strip().splitlines()[-1]
        lock.set(writable=True)
        await gateway.start()
        await gateway.ready()
        assert await sender.send() == 200
    finally:
        await gateway.end()

    assert status == 1
    assert "gateway.db" in sentence
    assert "Traceback" not in gateway.said
    assert sender.taken <= intact(lock.folder / "gateway.db")
