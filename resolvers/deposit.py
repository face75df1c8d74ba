"""`deposit`: filling the wallet on Stripe's page."""

from typing import Annotated

import strawberry

from gateway.services.purchases.deposits import start_deposit
from resolvers.context import Info
from resolvers.errors import AmountOutOfRange, BillingProblem, RedirectNotAllowed
from resolvers.scalars import BigInt


@strawberry.input(description="How much, and where the browser goes afterwards.")
class DepositInput:
    amount_cents: BigInt = strawberry.field(
        description="Whole cents between wallet.depositMinimum and wallet.depositMaximum."
    )
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
class DepositSuccess:
    session_id: strawberry.ID = strawberry.field(description="Pass it to verifyDeposit after the return.")
    url: str = strawberry.field(description="The page; valid for a day.")


DepositResult = Annotated[
    DepositSuccess | RedirectNotAllowed | AmountOutOfRange | BillingProblem, strawberry.union("DepositResult")
]


async def resolve_deposit(info: Info, input: DepositInput) -> DepositResult:
    page = await start_deposit(
        info.context.billing,
        subject=info.context.subject,
        amount_cents=input.amount_cents,
        success_url=input.success_url,
        cancel_url=input.cancel_url,
        client_key=input.idempotency_key,
    )
    return DepositSuccess(session_id=strawberry.ID(page.session_id), url=page.url)
