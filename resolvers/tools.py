"""`publishTool`: what a creator sells by the call."""

from decimal import Decimal
from typing import Annotated

import strawberry

from gateway.domain.identity import SCOPE_CHARGE
from gateway.domain.tools import ToolKind
from gateway.services.marketplace.tools import publish_tool
from resolvers.context import Info
from resolvers.enums import publish_enum
from resolvers.errors import AmountOutOfRange, BillingProblem
from resolvers.money import Money, money_of_micros
from resolvers.subjects import checked_subject

publish_enum(
    ToolKind,
    description="What is sold by the call.",
    values={
        ToolKind.TOOL: "A tool that agents use.",
        ToolKind.FUNCTION: "A single function.",
        ToolKind.AGENT: "A whole agent.",
    },
)


@strawberry.type(description="A listing as it is now; what an earlier call cost stands on its charge.")
class Tool:
    id: strawberry.ID = strawberry.field(description="The platform's own id of the tool.")
    creator_id: strawberry.ID = strawberry.field(description="Who earns with it: the subject of the creator's token.")
    name: str = strawberry.field(description="The name shown to people.")
    kind: ToolKind = strawberry.field(description="What it is.")
    price_per_call: Money = strawberry.field(description="What a call costs from now on.")
    active: bool = strawberry.field(description="Whether it can be called; calls of one that cannot are refused.")


@strawberry.input(description="The whole listing: publishing again replaces all of it.")
class PublishToolInput:
    tool_id: strawberry.ID = strawberry.field(
        description="The platform's own id: 1 to 100 visible ASCII characters; its first creator keeps it for ever."
    )
    creator_id: strawberry.ID | None = strawberry.field(
        default=None,
        description="The subject of the creator's token; null is the caller. Anybody else needs scope billing:charge.",
    )
    name: str = strawberry.field(description="1 to 100 printable characters without blanks at the ends.")
    kind: ToolKind = strawberry.field(default=ToolKind.TOOL, description="What it is.")
    price_per_call: Decimal = strawberry.field(
        description="Dollars as a string, '0.0025': $0.0001 to $100, at most six decimals. Counts for later calls only."
    )
    active: bool = strawberry.field(default=True, description="False takes it off the market.")


@strawberry.type(description="The listing stands; publishing the same again changes nothing.")
class PublishToolSuccess:
    tool: Tool = strawberry.field(description="The listing now.")


PublishToolResult = Annotated[
    PublishToolSuccess | AmountOutOfRange | BillingProblem, strawberry.union("PublishToolResult")
]


async def resolve_publish_tool(info: Info, input: PublishToolInput) -> PublishToolResult:
    context = info.context
    creator = context.subject if input.creator_id is None else str(input.creator_id)
    if creator != context.subject:
        context.require(SCOPE_CHARGE)
    checked_subject(creator, path=("input", "creatorId"))
    tool = await publish_tool(
        context.billing,
        creator=creator,
        tool_id=input.tool_id,
        name=input.name,
        kind=input.kind,
        price_per_call=input.price_per_call,
        active=input.active,
    )
    listing = Tool(
        id=strawberry.ID(tool.id),
        creator_id=strawberry.ID(creator),
        name=tool.name,
        kind=ToolKind(tool.kind),
        price_per_call=money_of_micros(tool.price_micros),
        active=tool.active,
    )
    return PublishToolSuccess(tool=listing)
