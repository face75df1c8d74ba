"""`portal`: Stripe's own pages for changing, cancelling and paying."""

from typing import Annotated

import strawberry

from gateway.services.purchases.portal import open_portal
from resolvers.context import Info
from resolvers.errors import BillingProblem, RedirectNotAllowed


@strawberry.input(description="Where the browser goes afterwards.")
class PortalInput:
    return_url: str = strawberry.field(description="Where to come back to, on an allowed origin.")


@strawberry.type(description="A fresh way into the billing portal.")
class PortalSuccess:
    url: str = strawberry.field(description="Short-lived; ask for one per click.")


PortalResult = Annotated[PortalSuccess | RedirectNotAllowed | BillingProblem, strawberry.union("PortalResult")]


async def resolve_portal(info: Info, input: PortalInput) -> PortalResult:
    url = await open_portal(info.context.billing, subject=info.context.subject, return_url=input.return_url)
    return PortalSuccess(url=url)
