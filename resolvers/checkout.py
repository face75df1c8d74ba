"""`checkout`: buying a plan on Stripe's page."""

from typing import Annotated

import strawberry

from gateway.domain.plans import BillingInterval, Tier
from gateway.services.purchases.checkout import start_checkout
from resolvers.context import Info
from resolvers.errors import AlreadySubscribed, BillingProblem, RedirectNotAllowed


@strawberry.input(description="Which plan, and where the browser goes afterwards.")
class CheckoutInput:
    tier: Tier = strawberry.field(description="STARTER, PRO or BUSINESS.")
    interval: BillingInterval = strawberry.field(description="Monthly, or yearly at a discount.")
    success_url: str = strawberry.field(
        description="Where to go after paying, on an allowed origin; gets session_id=… appended."
    )
    cancel_url: str = strawberry.field(description="Where to go on 'back', on an allowed origin.")
    idempotency_key: strawberry.ID | None = strawberry.field(
        default=None,
        description="Same key and same input = the first answer again; same key and other input = "
        "IDEMPOTENCY_CONFLICT. At most 255 characters.",
    )


@strawberry.type(description="A page of Stripe's to send the browser to.")
class CheckoutSuccess:
    session_id: strawberry.ID = strawberry.field(description="Pass it to verifyCheckout after the return.")
    url: str = strawberry.field(description="The page; valid for a day.")


CheckoutResult = Annotated[
    CheckoutSuccess | RedirectNotAllowed | AlreadySubscribed | BillingProblem, strawberry.union("CheckoutResult")
]


async def resolve_checkout(info: Info, input: CheckoutInput) -> CheckoutResult:
    page = await start_checkout(
        info.context.billing,
        subject=info.context.subject,
        tier=input.tier,
        interval=input.interval,
        success_url=input.success_url,
        cancel_url=input.cancel_url,
        client_key=input.idempotency_key,
    )
    return CheckoutSuccess(session_id=strawberry.ID(page.session_id), url=page.url)
