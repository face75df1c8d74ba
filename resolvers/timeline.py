"""`billingTimeline`: what happened to one of the caller's payment sessions."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated

import strawberry

from gateway.domain.timeline import OPERATOR_KINDS, HappeningKind
from gateway.domain.verdicts import Verdict
from gateway.services.explaining import OwnerTimeline, owner_timeline
from resolvers.context import Info


@strawberry.enum(description="What kind of thing happened to a payment session.")
class BillingTimelineKind(StrEnum):
    STARTED = "STARTED"
    PAGE_MADE = "PAGE_MADE"
    PAGE_COMPLETED = "PAGE_COMPLETED"
    PAID = "PAID"
    FAILED = "FAILED"
    EXPIRED = "EXPIRED"
    APPLIED = "APPLIED"
    REFUNDED = "REFUNDED"
    DISPUTE_OPENED = "DISPUTE_OPENED"
    DISPUTE_ENDED = "DISPUTE_ENDED"
    SUBSCRIPTION_STARTED = "SUBSCRIPTION_STARTED"
    SUBSCRIPTION_ENDED = "SUBSCRIPTION_ENDED"


@strawberry.enum(description="How a payment session stands.")
class BillingVerdict(StrEnum):
    PAID_AND_APPLIED = "PAID_AND_APPLIED"
    PAID_NOT_APPLIED = "PAID_NOT_APPLIED"
    WAITING_FOR_PAYMENT = "WAITING_FOR_PAYMENT"
    BANK_WORKING = "BANK_WORKING"
    FAILED = "FAILED"
    EXPIRED = "EXPIRED"
    PARTLY_REFUNDED = "PARTLY_REFUNDED"
    REFUNDED = "REFUNDED"
    DISPUTED = "DISPUTED"
    DISPUTE_LOST = "DISPUTE_LOST"
    CHANGING = "CHANGING"
    NEEDS_SUPPORT = "NEEDS_SUPPORT"
    PROVIDER_UNREACHABLE = "PROVIDER_UNREACHABLE"


#: Why a paid session is not applied yet, and what exactly is wrong with another, is the operator's business.
_VERDICTS = {
    Verdict.PAID_NOT_APPLIED: BillingVerdict.PAID_NOT_APPLIED,
    Verdict.EVENT_WAITING: BillingVerdict.PAID_NOT_APPLIED,
    Verdict.EVENT_DEAD: BillingVerdict.PAID_NOT_APPLIED,
    Verdict.EVENT_NEVER_ARRIVED: BillingVerdict.PAID_NOT_APPLIED,
    Verdict.REFUND_NOT_APPLIED: BillingVerdict.CHANGING,
    Verdict.PLAN_BEHIND: BillingVerdict.CHANGING,
    Verdict.MISMATCH: BillingVerdict.NEEDS_SUPPORT,
    Verdict.PAGE_LOST: BillingVerdict.NEEDS_SUPPORT,
    Verdict.BOOKS_WRONG: BillingVerdict.NEEDS_SUPPORT,
    Verdict.STRIPE_UNREACHABLE: BillingVerdict.PROVIDER_UNREACHABLE,
}


@strawberry.type(description="One thing that happened.")
class BillingTimelineEntry:
    at: datetime = strawberry.field(description="When.")
    kind: BillingTimelineKind = strawberry.field(description="What a program can branch on.")
    message: str = strawberry.field(description="A sentence for a person.")


@strawberry.type(description="What happened to a payment session, in order, and what it comes to.")
class BillingTimeline:
    entries: list[BillingTimelineEntry] = strawberry.field(description="Oldest first.")
    verdict: BillingVerdict = strawberry.field(description="How the session stands now.")
    message: str = strawberry.field(description="The verdict as a sentence for a person.")
    next_step: str | None = strawberry.field(description="What the customer can do; null when there is nothing to do.")


_SessionId = Annotated[strawberry.ID, strawberry.argument(description="cs_…")]


async def resolve_billing_timeline(info: Info, session_id: _SessionId) -> BillingTimeline | None:
    context = info.context
    subject = context.subject
    context.budget.look()
    found = await owner_timeline(context.billing, subject=subject, session_id=session_id)
    return None if found is None else _timeline_type(found)


def owner_verdict(verdict: Verdict) -> BillingVerdict:
    """The verdict in the owner's words."""
    return _VERDICTS.get(verdict) or BillingVerdict(verdict.value)


def owner_kind(kind: HappeningKind) -> BillingTimelineKind:
    """The kind as the owner sees it; what only an operator sees never gets here."""
    assert kind not in OPERATOR_KINDS, "left out by the service"
    return BillingTimelineKind(kind.value)


def _timeline_type(found: OwnerTimeline) -> BillingTimeline:
    return BillingTimeline(
        entries=[
            BillingTimelineEntry(at=one.at, kind=owner_kind(one.kind), message=one.message) for one in found.happenings
        ],
        verdict=owner_verdict(found.verdict),
        message=found.message,
        next_step=found.next_step,
    )
