"""What a connection may do to an operation: go away, stall, be cut by a shutdown."""

import asyncio

import orjson
from aiohttp import web

from tests.server.graphql_world import Door, World, build_app, build_edge, open_door

MUTATION = {"query": "mutation { addSlowly(value: 5) }"}


def head(length: int) -> bytes:
    return (
        b"POST /graphql HTTP/1.1\r\nHost: gateway\r\nContent-Type: application/json\r\n"
        b"Content-Length: " + str(length).encode() + b"\r\n\r\n"
    )


def post(body: object) -> bytes:
    content = orjson.dumps(body)
    return head(len(content)) + content


async def connect(door: Door) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection("127.0.0.1", door.client.port)


async def until(world: World, event: str) -> None:
    """Waits until the journal holds the event."""
    async with asyncio.timeout(10):
        while event not in world.journal:
            await asyncio.sleep(0.005)


async def gone(runner: web.BaseRunner | None) -> None:
    """Waits until the server knows that every connection is lost."""
    assert runner is not None
    assert runner.server is not None
    async with asyncio.timeout(10):
        while any(handler.transport is not None for handler in runner.server.connections):
            await asyncio.sleep(0.005)


def begun(app: web.Application) -> asyncio.Event:
    """Set when the application's shutdown begins, before anything in it waits."""
    shutdown = asyncio.Event()

    async def tell(_: web.Application) -> None:
        shutdown.set()

    app.on_shutdown.insert(0, tell)
    return shutdown


async def turns(count: int = 1_000) -> None:
    """Lets everything run that can, as often; only what waits for something is not over afterwards."""
    for _ in range(count):
        await asyncio.sleep(0)


async def test_a_client_that_goes_away_does_not_end_its_mutation(door: Door) -> None:
    _, writer = await connect(door)
    writer.write(post(MUTATION))
    await door.world.reached.wait()
    writer.transport.abort()
    await gone(door.client.server.runner)
    door.world.gate.set()
    await until(door.world, "end 5")
    assert door.world.total == 5


async def test_a_client_that_goes_away_does_not_end_its_mutation_even_if_handlers_are_cancelled() -> None:
    """The server can be told to cancel the handlers of lost connections; a mutation must not hang on that setting."""
    world = World()
    runner = web.AppRunner(build_app(build_edge(world)), handler_cancellation=True)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    _, writer = await asyncio.open_connection(host, port)
    writer.write(post(MUTATION))
    await world.reached.wait()
    writer.transport.abort()
    await gone(runner)
    world.gate.set()
    await until(world, "end 5")
    await runner.cleanup()
    assert world.total == 5


async def test_a_shutdown_waits_for_a_mutation_and_its_answer() -> None:
    world = World()
    closed: list[int] = []

    async def close(app: web.Application) -> None:
        closed.append(world.total)

    app = build_app(build_edge(world))
    app.on_cleanup.append(close)
    shutdown = begun(app)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    reader, writer = await asyncio.open_connection(host, port)
    writer.write(post(MUTATION))
    await world.reached.wait()
    stopping = asyncio.create_task(runner.cleanup())
    await shutdown.wait()
    await turns()
    assert not stopping.done()
    world.gate.set()
    answer = await reader.read()
    await stopping
    writer.close()
    assert answer.startswith(b"HTTP/1.1 200 OK")
    assert answer.endswith(b'{"data":{"addSlowly":5}}')
    assert closed == [5], "what the mutation uses was closed only after it"


async def test_a_shutdown_that_runs_out_of_patience_still_lets_the_mutation_end() -> None:
    world = World()
    app = build_app(build_edge(world))
    shutdown = begun(app)
    runner = web.AppRunner(app, shutdown_timeout=1e-6)  # 0 would be no limit at all
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0][:2]
    _, writer = await asyncio.open_connection(host, port)
    writer.write(post(MUTATION))
    await world.reached.wait()
    stopping = asyncio.create_task(runner.cleanup())
    await shutdown.wait()
    await turns()
    assert not stopping.done(), "it would be by now, if nobody waited for the mutation"
    world.gate.set()
    await stopping
    assert world.total == 5
    writer.close()


async def test_a_body_that_does_not_come_is_not_waited_for() -> None:
    async with open_door(body_seconds_max=0.05) as door:
        reader, writer = await connect(door)
        writer.write(head(50) + b'{"query":')
        answer = await reader.readuntil(b"The body must arrive within 0.05 seconds.")
        writer.close()
        assert answer.startswith(b"HTTP/1.1 408 ")
        assert door.world.journal == []


async def test_a_body_that_is_declared_too_long_is_not_waited_for(door: Door) -> None:
    reader, writer = await connect(door)
    writer.write(head(10_000_000))
    answer = await reader.readuntil(b"bytes.")
    writer.close()
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"Connection: close" in answer


async def test_a_body_in_two_pieces_is_read_whole(door: Door) -> None:
    content = orjson.dumps({"query": "{ hello }"})
    reader, writer = await connect(door)
    writer.write(head(len(content)) + content[:5])
    await asyncio.sleep(0.05)
    writer.write(content[5:])
    answer = await reader.readuntil(b"}}")
    writer.close()
    assert answer.endswith(b'{"data":{"hello":"hello world"}}')


async def test_a_connection_can_be_used_again_after_a_refusal(door: Door) -> None:
    reader, writer = await connect(door)
    writer.write(post({"query": "{ nope }"}))
    assert b"Cannot query field" in await reader.readuntil(b"}]}")
    writer.write(post({"query": "{ hello }"}))
    assert (await reader.readuntil(b"}}")).endswith(b'{"data":{"hello":"hello world"}}')
    writer.close()
