"""Every root field on one screen."""

import strawberry
from strawberry.schema.config import StrawberryConfig

from resolvers.checkout import resolve_checkout
from resolvers.deposit import resolve_deposit
from resolvers.errors import EXCEPTION_HANDLERS, UserError
from resolvers.plan import Plan, PlanOffer, resolve_plan, resolve_plans
from resolvers.portal import resolve_portal
from resolvers.scalars import BIG_INT, BigInt
from resolvers.verify import resolve_verify_checkout, resolve_verify_deposit
from resolvers.wallet import Wallet, resolve_wallet


@strawberry.type(description="Reads; each needs a signed-in caller unless it says otherwise.")
class Query:
    plan: Plan | None = strawberry.field(
        resolver=resolve_plan, description="The caller's plan; FREE when none was bought."
    )
    plans: list[PlanOffer] | None = strawberry.field(
        resolver=resolve_plans, description="The catalogue. Needs no sign-in."
    )
    wallet: Wallet | None = strawberry.field(resolver=resolve_wallet, description="The caller's prepaid balance.")


@strawberry.type(description="Actions; each answers with a union of its success and its refusals.")
class Mutation:
    checkout = strawberry.mutation(
        resolve_checkout, description="Buy a plan: answers with a payment page. One live subscription a customer."
    )
    verify_checkout = strawberry.mutation(
        resolve_verify_checkout, description="After the return from the payment page: upgrades at once."
    )
    deposit = strawberry.mutation(
        resolve_deposit, description="Fill the wallet: answers with a payment page. From $5 to $500 as shipped."
    )
    verify_deposit = strawberry.mutation(
        resolve_verify_deposit, description="After the return from the payment page: credits the wallet, once."
    )
    portal = strawberry.mutation(
        resolve_portal, description="Change, cancel or pay for a subscription on Stripe's own pages."
    )


schema = strawberry.Schema(
    query=Query,
    mutation=Mutation,
    types=[UserError],
    config=StrawberryConfig(scalar_map={BigInt: BIG_INT}),
    exception_handlers=EXCEPTION_HANDLERS,
)
