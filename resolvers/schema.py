"""Every root field on one screen."""

from datetime import datetime
from decimal import Decimal

import strawberry
from strawberry.schema.config import StrawberryConfig

from resolvers.charges import resolve_charge_tool_call, resolve_charge_tool_calls, resolve_reverse_tool_call
from resolvers.checkout import resolve_checkout
from resolvers.connect import resolve_connect_payouts
from resolvers.deposit import resolve_deposit
from resolvers.earnings import Earnings, resolve_earnings
from resolvers.errors import EXCEPTION_HANDLERS, UserError
from resolvers.payouts import (
    Payout,
    PayoutConnection,
    PayoutSettings,
    resolve_payout,
    resolve_payout_settings,
    resolve_payouts,
    resolve_request_payout,
    resolve_update_payout_settings,
)
from resolvers.plan import Plan, PlanOffer, resolve_plan, resolve_plans
from resolvers.portal import resolve_portal
from resolvers.scalars import BIG_INT, DATE_TIME, DECIMAL, BigInt
from resolvers.timeline import BillingTimeline, resolve_billing_timeline
from resolvers.tools import resolve_publish_tool
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
    earnings: Earnings | None = strawberry.field(
        resolver=resolve_earnings, description="What the caller earned with its tools; all zero when it has none."
    )
    payouts: PayoutConnection | None = strawberry.field(
        resolver=resolve_payouts, description="The caller's payouts, newest first; first is at most 100."
    )
    payout: Payout | None = strawberry.field(
        resolver=resolve_payout, description="One of the caller's payouts; null when it has none of this id."
    )
    payout_settings: PayoutSettings | None = strawberry.field(
        resolver=resolve_payout_settings, description="How and when the caller is paid, and what stands in the way."
    )
    billing_timeline: BillingTimeline | None = strawberry.field(
        resolver=resolve_billing_timeline,
        description="What happened to one of the caller's payment sessions; null when the caller has no such session. "
        "Asks the payment provider, so a request may hold one.",
    )


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
    connect_payouts = strawberry.mutation(
        resolve_connect_payouts,
        description="Connect a bank account, or go on with it, or replace it: answers with a link to Stripe's pages.",
    )
    update_payout_settings = strawberry.mutation(
        resolve_update_payout_settings, description="Choose how often to be paid: by hand, every week or every month."
    )
    request_payout = strawberry.mutation(
        resolve_request_payout, description="Be paid now: reserves the money at once and sends it in the background."
    )
    publish_tool = strawberry.mutation(
        resolve_publish_tool,
        description="Creates or changes a listing. A creator for itself, or a service (scope billing:charge) for any "
        "creator.",
    )
    charge_tool_call = strawberry.mutation(
        resolve_charge_tool_call,
        description="Debits the consumer, keeps the fee, credits the creator. Needs scope billing:charge.",
    )
    charge_tool_calls = strawberry.mutation(
        resolve_charge_tool_calls,
        description="Up to 500 calls in one transaction; each has its own outcome, in order. Needs scope "
        "billing:charge.",
    )
    reverse_tool_call = strawberry.mutation(
        resolve_reverse_tool_call,
        description="Takes a charge back, once, with a reason. Needs scope billing:admin.",
    )


schema = strawberry.Schema(
    query=Query,
    mutation=Mutation,
    types=[UserError],
    config=StrawberryConfig(scalar_map={BigInt: BIG_INT, Decimal: DECIMAL, datetime: DATE_TIME}),
    exception_handlers=EXCEPTION_HANDLERS,
)
