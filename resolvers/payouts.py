"""Payouts: what a creator was paid, how and when it is paid next, and what stands in the way."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated

import strawberry

from gateway.domain.connecting import PayoutAccountStatus
from gateway.domain.errors import ErrorCode
from gateway.domain.payouts import PayoutState
from gateway.domain.schedules import PayoutFrequency
from gateway.services.payouts import (
    PayoutSettingsView,
    PayoutView,
    request_payout,
    settings_view,
    update_frequency,
)
from gateway.services.snapshot import PayoutPageNeed, Snapshot
from resolvers.connections import (
    PAGE_ROWS_DEFAULT,
    PageInfo,
    encode_payout_cursor,
    page_info,
    payout_page_need,
)
from resolvers.context import Info
from resolvers.enums import publish_enum
from resolvers.errors import AmountOutOfRange, BillingProblem
from resolvers.money import Money, money_of_cents
from resolvers.need import payout_id_of
from resolvers.scalars import BigInt

publish_enum(
    PayoutFrequency,
    description="How often what is available is paid out by itself, if it is enough.",
    values={
        PayoutFrequency.MANUAL: "Never by itself: only when asked for.",
        PayoutFrequency.WEEKLY: "Every Monday at 00:00 UTC.",
        PayoutFrequency.MONTHLY: "On the 1st of every month at 00:00 UTC.",
    },
)
publish_enum(
    PayoutAccountStatus,
    description="How the creator's account at Stripe stands.",
    values={
        PayoutAccountStatus.NOT_CONNECTED: "There is none; connectPayouts begins one.",
        PayoutAccountStatus.ONBOARDING: "Begun and not finished; connectPayouts goes on with it.",
        PayoutAccountStatus.UNDER_REVIEW: "All is handed in and Stripe is looking at it.",
        PayoutAccountStatus.READY: "Can be paid.",
        PayoutAccountStatus.RESTRICTED: "Cannot be paid: Stripe wants something (see connectPayouts), or said no.",
    },
)


class PayoutStatus(StrEnum):
    REQUESTED = "REQUESTED"
    PROCESSING = "PROCESSING"
    IN_TRANSIT = "IN_TRANSIT"
    PAID = "PAID"
    FAILED = "FAILED"
    CANCELED = "CANCELED"
    UNKNOWN = "UNKNOWN"


publish_enum(
    PayoutStatus,
    description="How far a payout is.",
    values={
        PayoutStatus.REQUESTED: "The money is reserved; nothing has been sent.",
        PayoutStatus.PROCESSING: "It is being sent to the creator's account at Stripe.",
        PayoutStatus.IN_TRANSIT: "Stripe has it and is bringing it to the bank.",
        PayoutStatus.PAID: "It is at the bank.",
        PayoutStatus.FAILED: "It did not arrive; failureMessage says why and what became of the money. One that a bank "
        "refused may be on its way again, and arrive, once Stripe has another bank account.",
        PayoutStatus.CANCELED: "Called off by an operator before it was sent; the money is available again.",
        PayoutStatus.UNKNOWN: "Stripe has not said whether it was sent; ends by itself, and nothing is sent twice.",
    },
)


_STATUSES = {state: PayoutStatus[state.name] for state in PayoutState}


@strawberry.type(
    description="Money on its way from the platform to a creator's bank. REQUESTED, PROCESSING, IN_TRANSIT, PAID; "
    "or FAILED, or CANCELED by an operator; or UNKNOWN while Stripe has not said whether it was sent, which ends by "
    "itself."
)
class Payout:
    id: strawberry.ID = strawberry.field(description="Stays the same for this payout.")
    amount: Money = strawberry.field(description="What was asked for; whole cents.")
    returned: Money = strawberry.field(
        description="What of it came back to the creator's available earnings later; zero as a rule."
    )
    status: PayoutStatus = strawberry.field(description="How far it is.")
    manual: bool = strawberry.field(description="False when a schedule asked for it.")
    requested_at: datetime = strawberry.field(description="When it was asked for.")
    arrival_date: datetime | None = strawberry.field(
        description="When the bank has it, or is expected to; null until Stripe says so."
    )
    failure_message: str | None = strawberry.field(description="Why it failed, and what became of the money.")


@strawberry.type(description="A payout in its list.")
class PayoutEdge:
    cursor: str = strawberry.field(description="Names this row; pass it as `after`.")
    node: Payout = strawberry.field(description="The payout.")


@strawberry.type(description="A page of payouts, newest first.")
class PayoutConnection:
    edges: list[PayoutEdge] = strawberry.field(description="The rows of this page.")
    page_info: PageInfo = strawberry.field(description="Where this page stands.")


@strawberry.type(description="One reason why no payout can be made now.")
class PayoutBlocker:
    code: ErrorCode = strawberry.field(description="What a program can branch on.")
    message: str = strawberry.field(description="A sentence that says what would help.")


@strawberry.type(description="How and when a creator is paid.")
class PayoutSettings:
    account_status: PayoutAccountStatus = strawberry.field(
        description="NOT_CONNECTED and ONBOARDING: call connectPayouts. UNDER_REVIEW: Stripe is at it. RESTRICTED: "
        "Stripe wants something, and connectPayouts leads there; or it said no. The blockers say which."
    )
    frequency: PayoutFrequency = strawberry.field(
        description="WEEKLY is Mondays 00:00 UTC, MONTHLY the 1st 00:00 UTC, MANUAL never by itself."
    )
    minimum: Money = strawberry.field(description="The least that is paid out at once.")
    next_amount: Money | None = strawberry.field(
        description="What would be paid at nextPayoutAt if nothing changed; null when nothing would be."
    )
    next_payout_at: datetime | None = strawberry.field(description="When the schedule comes next; null with MANUAL.")
    blockers: list[PayoutBlocker] = strawberry.field(
        description="Empty when a payout could be made now; otherwise every reason why not."
    )


@strawberry.input(description="How often to be paid.")
class UpdatePayoutSettingsInput:
    frequency: PayoutFrequency = strawberry.field(description="Counts from now on; MANUAL stops the schedule.")


@strawberry.type(description="The settings stand.")
class UpdatePayoutSettingsSuccess:
    settings: PayoutSettings = strawberry.field(description="As they are now.")


@strawberry.input(description="A payout now.")
class RequestPayoutInput:
    amount_cents: BigInt | None = strawberry.field(
        default=None, description="Whole cents, from the minimum to what is available; null is everything available."
    )
    idempotency_key: strawberry.ID | None = strawberry.field(
        default=None, description="The same key and amount again is the same payout; another amount is refused."
    )


@strawberry.type(description="The money is reserved and will be sent; read the payout again to follow it.")
class RequestPayoutSuccess:
    payout: Payout = strawberry.field(description="As it is now.")


UpdatePayoutSettingsResult = Annotated[
    UpdatePayoutSettingsSuccess | BillingProblem, strawberry.union("UpdatePayoutSettingsResult")
]
RequestPayoutResult = Annotated[
    RequestPayoutSuccess | AmountOutOfRange | BillingProblem, strawberry.union("RequestPayoutResult")
]

_First = Annotated[int, strawberry.argument(description="Rows of the page, 1 to 100.")]
_After = Annotated[str | None, strawberry.argument(description="The endCursor of the page before.")]
_PayoutId = Annotated[strawberry.ID, strawberry.argument(description="The id of one of the caller's payouts.")]


def resolve_payouts(info: Info, first: _First = PAGE_ROWS_DEFAULT, after: _After = None) -> PayoutConnection | None:
    snapshot = info.context.snapshot
    return _connection(snapshot, payout_page_need(first, after))


def resolve_payout(info: Info, id: _PayoutId) -> Payout | None:
    named, payout_id = info.context.snapshot.named_payouts, payout_id_of(id)
    found = None if payout_id is None else named.get(payout_id)
    return None if found is None else _payout_type(found)


def resolve_payout_settings(info: Info) -> PayoutSettings:
    standing = info.context.snapshot.standing
    assert standing is not None, "loaded where it is asked for"
    return _settings_type(settings_view(standing))


async def resolve_update_payout_settings(info: Info, input: UpdatePayoutSettingsInput) -> UpdatePayoutSettingsResult:
    context = info.context
    view = await update_frequency(context.billing, subject=context.subject, frequency=input.frequency)
    return UpdatePayoutSettingsSuccess(settings=_settings_type(view))


async def resolve_request_payout(info: Info, input: RequestPayoutInput) -> RequestPayoutResult:
    context = info.context
    payout = await request_payout(
        context.billing, subject=context.subject, amount_cents=input.amount_cents, client_key=input.idempotency_key
    )
    return RequestPayoutSuccess(payout=_payout_type(payout))


def _connection(snapshot: Snapshot, need: PayoutPageNeed) -> PayoutConnection:
    page = snapshot.payouts[need]
    edges = [PayoutEdge(cursor=encode_payout_cursor(one.id), node=_payout_type(one)) for one in page.payouts]
    has_newer = need.before_id is not None
    return PayoutConnection(
        edges=edges,
        page_info=page_info([edge.cursor for edge in edges], has_older=page.has_older, has_newer=has_newer),
    )


def _payout_type(view: PayoutView) -> Payout:
    return Payout(
        id=strawberry.ID(str(view.id)),
        amount=money_of_cents(view.amount_cents),
        returned=money_of_cents(view.returned_cents),
        status=_STATUSES[view.state],
        manual=view.manual,
        requested_at=view.requested_at,
        arrival_date=view.arrival_at,
        failure_message=view.failure_message,
    )


def _settings_type(view: PayoutSettingsView) -> PayoutSettings:
    return PayoutSettings(
        account_status=view.account_status,
        frequency=view.frequency,
        minimum=money_of_cents(view.minimum_cents),
        next_amount=None if view.next_amount_cents is None else money_of_cents(view.next_amount_cents),
        next_payout_at=view.next_payout_at,
        blockers=[PayoutBlocker(code=one.code, message=one.message) for one in view.blockers],
    )
