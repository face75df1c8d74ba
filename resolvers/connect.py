"""`connectPayouts`: a creator's way to Stripe's pages about its bank account."""

from datetime import datetime
from typing import Annotated

import strawberry

from gateway.services.connecting import start_onboarding
from resolvers.context import Info
from resolvers.errors import BillingProblem, RedirectNotAllowed


@strawberry.input(description="Where the browser goes afterwards, and where the creator is at home.")
class ConnectPayoutsInput:
    return_url: str = strawberry.field(
        description="Where to go when Stripe's pages are done, on an allowed origin. It does not mean that all was "
        "handed in: read payoutSettings.accountStatus."
    )
    refresh_url: str = strawberry.field(
        description="Where to go when the link is used up or too old, on an allowed origin: a page that calls "
        "connectPayouts again and goes on to the new url."
    )
    country: str = strawberry.field(
        default="US",
        description="Where the creator lives or the business is, as two capital letters (ISO 3166-1). Counts when the "
        "account is made; it cannot be changed later.",
    )


@strawberry.type(description="A fresh way into Stripe's pages about the caller's payout account.")
class ConnectPayoutsSuccess:
    url: str = strawberry.field(
        description="Good once and for minutes, for the caller alone: ask for one per click, never mail or store it."
    )
    expires_at: datetime | None = strawberry.field(
        description="When the url stops working; null if Stripe does not say."
    )


ConnectPayoutsResult = Annotated[
    ConnectPayoutsSuccess | RedirectNotAllowed | BillingProblem, strawberry.union("ConnectPayoutsResult")
]


async def resolve_connect_payouts(info: Info, input: ConnectPayoutsInput) -> ConnectPayoutsResult:
    link = await start_onboarding(
        info.context.billing,
        subject=info.context.subject,
        return_url=input.return_url,
        refresh_url=input.refresh_url,
        country=input.country,
    )
    return ConnectPayoutsSuccess(url=link.url, expires_at=link.expires_at)
