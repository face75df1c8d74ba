"""A private PostgreSQL that keeps what it commits: as in production, a COMMIT waits for the disk."""

import asyncio
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from gateway.db import DatabaseError, migrate
from tests.support.postgres import UNPRIVILEGED_USERS, find_binaries

START_TRIES_MAX: Final = 200
START_POLL_SECONDS: Final = 0.1
_SETTINGS: Final = {
    "fsync": "on",
    "full_page_writes": "on",
    "synchronous_commit": "on",
    "shared_buffers": "256MB",
    "max_wal_size": "4GB",
    "checkpoint_timeout": "1h",
}


@asynccontextmanager
async def postgres() -> AsyncGenerator[str]:
    """The URL of a migrated database on a server of its own, which ends with the block."""
    binaries = find_binaries()
    folder = Path(tempfile.mkdtemp(prefix="gateway-benchmark-"))
    port = _free_port()
    user = _unprivileged_user() if os.geteuid() == 0 else None
    if user is not None:
        os.chown(folder, user.pw_uid, user.pw_gid)
    made = [binaries / "initdb", "-D", folder / "data", "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C"]
    if _start(made, folder, user).wait() != 0:
        raise SystemExit("initdb failed.")
    settings = [part for name, value in _SETTINGS.items() for part in ("-c", f"{name}={value}")]
    where = ["-D", folder / "data", "-h", "127.0.0.1", "-p", str(port), "-k", ""]
    server = _start([binaries / "postgres", *where, *settings], folder, user)
    url = f"postgres://postgres@127.0.0.1:{port}/postgres"
    try:
        await _migrate_when_ready(url)
        yield url
    finally:
        server.terminate()
        server.wait()
        shutil.rmtree(folder, ignore_errors=True)


def _start(command: Sequence[str | Path], folder: Path, user: pwd.struct_passwd | None) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        command,
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        user=None if user is None else user.pw_uid,
        group=None if user is None else user.pw_gid,
        extra_groups=None if user is None else [],
    )


async def _migrate_when_ready(url: str) -> None:
    for attempt in range(START_TRIES_MAX):
        try:
            await migrate(url)
        except DatabaseError:
            if attempt + 1 == START_TRIES_MAX:
                raise
            await asyncio.sleep(START_POLL_SECONDS)
        else:
            return


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _unprivileged_user() -> pwd.struct_passwd:
    """PostgreSQL refuses to run as root."""
    for name in UNPRIVILEGED_USERS:
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise SystemExit(f"Running as root, and none of the users {', '.join(UNPRIVILEGED_USERS)} exists.")
