"""A marketplace to measure on: full wallets, and creators that sell a tool each."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Final
from uuid import UUID

from gateway.app import open_gateway
from gateway.db import Connection
from gateway.domain.clock import SystemClock
from gateway.domain.ledger import deposit_draft
from gateway.domain.tools import ToolKind
from gateway.services.billing import Billing
from gateway.services.customers import add_customer, customer_id_of
from gateway.services.ledger import record_many
from gateway.services.marketplace.tools import publish_tool
from gateway.settings import load_settings

WALLETS: Final = 1_000
CREATORS: Final = 100
PRICE_USD: Final = Decimal("0.0025")
PRICE_MICROS: Final = 2_500
DEPOSIT_MICROS: Final = 500_000_000_000

CONSUMERS: Final[tuple[UUID, ...]] = tuple(customer_id_of(f"consumer-{number}") for number in range(WALLETS))
TOOLS: Final = tuple(f"tool-{number}" for number in range(CREATORS))


def creator_of(tool_id: str) -> str:
    return f"creator-of-{tool_id}"


@asynccontextmanager
async def open_market(url: str) -> AsyncGenerator[Billing]:
    """A gateway on a migrated, empty database, and the market in it. Stripe is never called."""
    settings = load_settings(
        {
            "GATEWAY_DATABASE_URL": url,
            "GATEWAY_STRIPE_API_KEY": "sk_test_benchmark",
            "GATEWAY_STRIPE_API_BASE": "http://127.0.0.1:9",
            "GATEWAY_STRIPE_WEBHOOK_SECRETS": "whsec_benchmark",
            "GATEWAY_JWT_SECRET": "a secret of the benchmarks, long enough",
        }
    )
    async with open_gateway(settings, clock=SystemClock()) as gateway:
        billing = gateway.billing
        for tool_id in TOOLS:
            await publish_tool(
                billing,
                creator=creator_of(tool_id),
                tool_id=tool_id,
                name=tool_id,
                kind=ToolKind.TOOL,
                price_per_call=PRICE_USD,
                active=True,
            )
        await billing.database.run(lambda connection: _fill(billing, connection))
        yield billing


async def _fill(billing: Billing, connection: Connection) -> None:
    now = billing.clock.now()
    for number in range(WALLETS):
        await add_customer(connection, f"consumer-{number}", now)
    drafts = [
        deposit_draft(customer_id=consumer, session_id=f"cs_bench_{number}", amount_micros=DEPOSIT_MICROS)
        for number, consumer in enumerate(CONSUMERS)
    ]
    await record_many(connection, drafts, now=now)
