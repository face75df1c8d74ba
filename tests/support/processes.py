"""The gateway as real processes on this machine: started as an operator would, and killed as a machine would."""

import asyncio
import os
import signal
import socket
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import aiohttp

ROOT: Final = Path(__file__).parents[2]
START_SECONDS_MAX: Final = 60.0
STOP_SECONDS_MAX: Final = 40.0
POLL_SECONDS: Final = 0.05


def _held_address() -> socket.socket:
    """A port that stays ours while the process behind it is dead: bound here too, but nobody listens on this one."""
    held = socket.socket()
    held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    held.bind(("127.0.0.1", 0))
    return held


@dataclass(eq=False)
class GatewayProcess:
    """One `gateway` command, with the same address at every start. What it says goes to the file `log`."""

    arguments: tuple[str, ...]
    environ: Mapping[str, str]
    folder: Path
    name: str
    user: str | int | None = None
    starts: int = 0
    _process: asyncio.subprocess.Process | None = None
    _address: socket.socket = field(default_factory=_held_address)

    @property
    def port(self) -> int:
        return int(self._address.getsockname()[1])

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def serves(self) -> bool:
        return self.arguments[0] == "serve"

    @property
    def log(self) -> Path:
        return self.folder / f"{self.name}.log"

    async def start(self) -> None:
        """Start it; whether it serves already is another question."""
        environ = {"PATH": os.environ.get("PATH", ""), "PYTHONPATH": str(ROOT), **self.environ}
        shared = ("--reuse-port",) if self.serves else ()
        with self.log.open("ab") as output:
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "gateway", *self.arguments, *shared),
                cwd=self.folder,
                env={**environ, "GATEWAY_PORT": str(self.port), "GATEWAY_LOG_FORMAT": "json"},
                stdout=output,
                stderr=output,
                user=self.user,
            )
        self.starts += 1

    async def ready(self) -> None:
        """Wait until it answers that it is ready; a worker has no address, so it counts once it runs."""
        async with asyncio.timeout(START_SECONDS_MAX), aiohttp.ClientSession() as http:
            while not await self._is_ready(http):
                assert self.status is None, f"{self.name} ended with {self.status}: {self.said[-2000:]}"
                await asyncio.sleep(POLL_SECONDS)

    async def _is_ready(self, http: aiohttp.ClientSession) -> bool:
        if not self.serves:
            return True
        try:
            async with http.get(f"{self.url}/readyz") as response:
                return response.status == 200
        except (aiohttp.ClientError, OSError):
            return False

    @property
    def status(self) -> int | None:
        return None if self._process is None else self._process.returncode

    @property
    def said(self) -> str:
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    async def kill(self) -> None:
        """`kill -9`; it must have been alive until then."""
        assert self._process is not None
        assert self.status is None, f"{self.name} ended by itself with {self.status}: {self.said[-2000:]}"
        self._process.send_signal(signal.SIGKILL)
        assert await self._process.wait() == -signal.SIGKILL

    async def wait(self) -> int:
        """Wait until it ends by itself; returns its status."""
        assert self._process is not None
        async with asyncio.timeout(STOP_SECONDS_MAX):
            return await self._process.wait()

    async def end(self) -> None:
        """Ask it to finish, insist when it does not, and give its address back."""
        if self._process is not None and self.status is None:
            self._process.terminate()
            try:
                await self.wait()
            except TimeoutError:
                self._process.kill()
                await self._process.wait()
        self._address.close()
