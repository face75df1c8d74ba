"""`billingTimeline`: what happened to one of the caller's payment sessions."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated

import strawberry

from gateway.domain.timeline import OPERATOR_KINDS, HappeningKind
from gateway.domain.verdicts import Verdict
from gateway.services.explaining import OwnerTimeline, owner_timeline
from resolvers.context import Info
from resolvers.enums import publish_enum


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


publish_enum(
    BillingTimelineKind,
    description="What kind of thing happened to a payment session.",
    values={
        BillingTimelineKind.STARTED: "The purchase was begun.",
        BillingTimelineKind.PAGE_MADE: "The payment page was made.",
        BillingTimelineKind.PAGE_COMPLETED: "The customer finished the payment page.",
        BillingTimelineKind.PAID: "The money was paid.",
        BillingTimelineKind.FAILED: "A payment was tried and did not succeed.",
        BillingTimelineKind.EXPIRED: "The payment page closed without a payment.",
        BillingTimelineKind.APPLIED: "What was paid for was handed over.",
        BillingTimelineKind.REFUNDED: "Money went back to the customer.",
        BillingTimelineKind.DISPUTE_OPENED: "The customer's bank contested the payment.",
        BillingTimelineKind.DISPUTE_ENDED: "The dispute was decided.",
        BillingTimelineKind.SUBSCRIPTION_STARTED: "The subscription began.",
        BillingTimelineKind.SUBSCRIPTION_ENDED: "The subscription ended.",
    },
)


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


publish_enum(
    BillingVerdict,
    description="How a payment session stands.",
    values={
        BillingVerdict.PAID_AND_APPLIED: "The payment has arrived and what it bought is handed over.",
        BillingVerdict.PAID_NOT_APPLIED: "The payment has arrived and is being applied; verifying applies it at once.",
        BillingVerdict.WAITING_FOR_PAYMENT: "Nothing has been paid; the payment page is still open.",
        BillingVerdict.BANK_WORKING: "The payment is on its way through the bank; that can take some days.",
        BillingVerdict.FAILED: "The bank did not make the payment; nothing was taken.",
        BillingVerdict.EXPIRED: "The payment page was not used in time, or was replaced; nothing was taken.",
        BillingVerdict.PARTLY_REFUNDED: "A part of the payment went back to the customer.",
        BillingVerdict.REFUNDED: "All of the payment went back to the customer.",
        BillingVerdict.DISPUTED: "The customer's bank contests the payment.",
        BillingVerdict.DISPUTE_LOST: "The customer's bank contested the payment and took it back.",
        BillingVerdict.CHANGING: "A refund of it, or a change of the subscription, is being applied.",
        BillingVerdict.NEEDS_SUPPORT: "Something about it has to be looked at by support.",
        BillingVerdict.PROVIDER_UNREACHABLE: "The payment provider did not answer; how it stands is not known now.",
    },
)


#: Why a paid session is not applied yet, and what exactly is wrong with another, is the operator's business.
_VERDICTS = {
    Verdict.PAID_NOT_APPLIED: BillingVerdict.PAID_NOT_APPLIED,
    Verdict.EVENT_WAITING: BillingVerdict.PAID_NOT_APPLIED,
    Verdict.EVENT_DEAD: BillingVerdict.PAID_NOT_APPLIED,
    Verdict.EVENT_NEVER_ARRIVED: BillingVerdict.PAID_NOT_APPLIED,
    Verdict.REFUND_NOT_APPLIED: BillingVerdict.CHANGING,
    Verdict.DISPUTE_NOT_APPLIED: BillingVerdict.DISPUTED,
    Verdict.PLAN_BEHIND: BillingVerdict.CHANGING,
    Verdict.MISMATCH: BillingVerdict.NEEDS_SUPPORT,
    Verdict.PAGE_LOST: BillingVerdict.NEEDS_SUPPORT,
    Verdict.BOOKS_WRONG: BillingVerdict.NEEDS_SUPPORT,
    Verdict.WRONG_MODE: BillingVerdict.NEEDS_SUPPORT,
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
