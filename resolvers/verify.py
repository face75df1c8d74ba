"""`verifyCheckout` and `verifyDeposit`: the browser is back; the webhook may be on its way still."""

from typing import Annotated

import strawberry

from gateway.domain.plans import Tier
from gateway.services.purchases.settle import settle_checkout
from gateway.services.snapshot import Need
from models.checkout import CheckoutMode
from resolvers.context import Info
from resolvers.errors import BillingProblem, PaymentPending
from resolvers.money import Money, money_of_cents
from resolvers.need import need_of_answer
from resolvers.plan import Plan, plan_type
from resolvers.wallet import Wallet, wallet_type


@strawberry.input(description="Which session; Stripe puts its id into the success URL.")
class VerifyInput:
    session_id: strawberry.ID = strawberry.field(description="cs_…")


@strawberry.type(description="The purchase is settled; repeating the call gives the same answer.")
class VerifyCheckoutSuccess:
    tier: Tier = strawberry.field(description="The tier held now.")
    plan: Plan = strawberry.field(description="The plan held now.")


@strawberry.type(description="The deposit is settled; repeating the call gives the same answer.")
class VerifyDepositSuccess:
    deposited: bool = strawberry.field(description="True on every call after the payment; the wallet is credited once.")
    amount: Money = strawberry.field(description="What this session deposited.")
    wallet: Wallet = strawberry.field(description="The wallet now.")


VerifyCheckoutResult = Annotated[
    VerifyCheckoutSuccess | PaymentPending | BillingProblem, strawberry.union("VerifyCheckoutResult")
]
VerifyDepositResult = Annotated[
    VerifyDepositSuccess | PaymentPending | BillingProblem, strawberry.union("VerifyDepositResult")
]


async def resolve_verify_checkout(info: Info, input: VerifyInput) -> VerifyCheckoutResult:
    context, need = info.context, need_of_answer(info)
    context.budget.load(need)
    await settle_checkout(
        context.billing, session_id=input.session_id, subject=context.subject, mode=CheckoutMode.SUBSCRIPTION
    )
    snapshot = await context.load(need | Need(plan=True))
    plan = plan_type(snapshot.plan, context.billing.clock.now())
    return VerifyCheckoutSuccess(tier=plan.tier, plan=plan)


async def resolve_verify_deposit(info: Info, input: VerifyInput) -> VerifyDepositResult:
    context, need = info.context, need_of_answer(info)
    context.budget.load(need)
    settled = await settle_checkout(
        context.billing, session_id=input.session_id, subject=context.subject, mode=CheckoutMode.DEPOSIT
    )
    snapshot = await context.load(need)
    return VerifyDepositSuccess(
        deposited=True,
        amount=money_of_cents(settled.amount_cents),
        wallet=wallet_type(snapshot, context.billing.rules),
    )
