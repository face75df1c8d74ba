"""Publishing tools: what a creator sells by the call."""

from decimal import Decimal

import structlog

from gateway.db import Connection
from gateway.domain.errors import InvalidInput
from gateway.domain.tools import (
    TOOL_ID_CHARACTERS_MAX,
    TOOL_NAME_CHARACTERS_MAX,
    ToolKind,
    checked_id,
    checked_name,
    price_in_micros,
)
from gateway.services.billing import Billing
from gateway.services.customers import add_customer
from models.tool import Tool

log = structlog.stdlib.get_logger()


async def publish_tool(
    billing: Billing,
    *,
    creator: str,
    tool_id: str,
    name: str,
    kind: ToolKind,
    price_per_call: Decimal,
    active: bool,
) -> Tool:
    """Create or change a listing. A new price is for later calls; what was charged before stays as it was.

    Raises:
        InvalidInput, AmountOutOfRange: a field is not as it must be, or the id is another creator's.
    """
    checked_id(tool_id, longest=TOOL_ID_CHARACTERS_MAX, path=("input", "toolId"))
    checked_name(name, longest=TOOL_NAME_CHARACTERS_MAX, path=("input", "name"))
    price_micros = price_in_micros(price_per_call)
    now = billing.clock.now()

    async def work(connection: Connection) -> Tool:
        creator_id = await add_customer(connection, creator, now)
        row = await connection.fetch_one(
            "INSERT INTO tool (id, creator_id, name, kind, price_micros, active, created_at, updated_at) "
            "VALUES ($1, $2, $3, $4, $5, $6, $7, $7) ON CONFLICT (id) DO UPDATE SET name = excluded.name, "
            "kind = excluded.kind, price_micros = excluded.price_micros, active = excluded.active, "
            "updated_at = excluded.updated_at WHERE tool.creator_id = excluded.creator_id RETURNING id",
            (tool_id, creator_id, name, kind.value, price_micros, active, now),
        )
        if row is None:
            raise InvalidInput(f"The tool id {tool_id!r} is another creator's.", path=("input", "toolId"))
        return await Tool.get(id=tool_id, using_db=connection.orm)

    tool = await billing.database.run(work)
    log.info("tool.published", tool_id=tool_id, price_micros=price_micros, active=active)
    return tool
