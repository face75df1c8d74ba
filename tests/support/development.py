"""What `make run` starts, in this process, and on ports of its own."""

import socket
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from itertools import count

from gateway.app import build_app
from gateway.cli.development import opened_beside_stripe
from gateway.cli.serving import listening
from gateway.db import migrate
from gateway.settings import Settings, load_settings
from gateway.stripe_service.setup import set_up_stripe
from tests.support.gateway import JWT_SECRET, Node, Platform, browser
from tests.support.person import APP
from tests.support.stripe_door import StripeDoor


async def development_settings(database_url: str) -> Settings:
    """The settings of `gateway dev` on a migrated database and on free ports."""
    doors = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
    port, sandbox_port = (str(door.getsockname()[1]) for door in doors)
    for door in doors:
        door.close()
    await migrate(database_url)
    return load_settings(
        {
            "GATEWAY_DATABASE_URL": database_url,
            "GATEWAY_PORT": port,
            "GATEWAY_SANDBOX_PORT": sandbox_port,
            "GATEWAY_JWT_SECRET": JWT_SECRET,
        }
    )


@asynccontextmanager
async def development(database_url: str) -> AsyncGenerator[Platform]:
    """The gateway beside a local Stripe whose time it lives in; the state file is in the folder one is in."""
    settings = await development_settings(database_url)
    async with opened_beside_stripe(settings) as gateway, browser() as http:
        await set_up_stripe(
            gateway.billing.stripe,
            gateway.billing.catalogue,
            webhook_url=None,
            portal_return_url=f"{APP}/billing",
            clock=gateway.clock,
        )
        async with listening(build_app(gateway), host=settings.host, port=settings.port, shutdown_seconds=1):
            yield Platform(
                nodes=[Node(url=f"http://127.0.0.1:{settings.port}", gateway=gateway, worker=gateway.worker())],
                stripe=StripeDoor(url=f"http://127.0.0.1:{settings.sandbox_port}", http=http),
                clock=gateway.clock,
                http=http,
                with_worker=True,
                _names=count(1),
            )
