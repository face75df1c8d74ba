"""A TCP proxy that misbehaves on demand: freezes, cuts, swallows replies, counts connections."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from typing import Final

CHUNK_BYTES: Final = 65_536


class TcpProxy:
    """Stands before a server on 127.0.0.1. Use `tcp_proxy` to start and end it."""

    def __init__(self, target_port: int) -> None:
        self._target_port = target_port
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._swallowing = False
        self._thawed = asyncio.Event()
        self._thawed.set()
        self._frozen_links = 0
        self._links: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()
        self.port = 0
        self.connections = 0

    def freeze(self) -> None:
        """Say nothing more in either direction, and keep every connection open."""
        self._flowing.clear()

    def freeze_present(self) -> None:
        """Do so with the connections there are; new ones flow."""
        self._frozen_links = self.connections
        self._thawed.clear()

    def heal(self) -> None:
        self._flowing.set()
        self._thawed.set()
        self._frozen_links = 0
        self._swallowing = False

    def swallow_replies(self) -> None:
        """Hand on what the client says, and drop what the server answers."""
        self._swallowing = True

    def cut(self) -> None:
        """Reset every connection."""
        for writer in self._writers:
            writer.transport.abort()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._links.add(task)
        self.connections += 1
        try:
            await self._link(reader, writer, number=self.connections)
        finally:
            self._links.discard(task)

    async def aclose(self) -> None:
        self.cut()
        for link in self._links:
            link.cancel()
        if self._links:
            await asyncio.wait(self._links)

    async def _link(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, number: int) -> None:
        self._writers.add(writer)
        try:
            await self._flowing.wait()
            server_reader, server_writer = await asyncio.open_connection("127.0.0.1", self._target_port)
        except OSError:
            writer.transport.abort()
            self._writers.discard(writer)
            return
        self._writers.add(server_writer)
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(self._pump(reader, server_writer, number=number, from_server=False))
                both.create_task(self._pump(server_reader, writer, number=number, from_server=True))
        finally:
            for end in (writer, server_writer):
                end.transport.abort()
                self._writers.discard(end)

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, number: int, from_server: bool
    ) -> None:
        with suppress(OSError):
            while chunk := await reader.read(CHUNK_BYTES):
                await self._flowing.wait()
                if number <= self._frozen_links:
                    await self._thawed.wait()
                if from_server and self._swallowing:
                    continue
                writer.write(chunk)
                await writer.drain()
        writer.transport.abort()


@asynccontextmanager
async def tcp_proxy(target_port: int) -> AsyncGenerator[TcpProxy]:
    """A proxy on a free port of 127.0.0.1 for the length of the block."""
    proxy = TcpProxy(target_port)
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
    proxy.port = int(server.sockets[0].getsockname()[1])
    try:
        yield proxy
    finally:
        server.close()
        await proxy.aclose()
        await server.wait_closed()
