"""How far a creator's account at Stripe has come, derived from what Stripe says of it and from nothing else.

Both generations of Stripe's Accounts API say the same things in different words; the adapter reads either into
AccountFacts, and one function makes a status of them:

    READY          transfers arrive, and Stripe pays them on to the bank
    ONBOARDING     the creator has not handed in everything yet
    UNDER_REVIEW   nothing is asked of the creator; Stripe is looking at it
    RESTRICTED     was further once, and something is overdue; the bank account failed; or Stripe said no
    CLOSED         gone for good; connecting again makes another account
"""

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from gateway.domain.errors import InvalidInput

_COUNTRY = re.compile(r"[A-Z]{2}", re.ASCII)
_SHOWN_CHARACTERS_MAX: Final = 40

#: How often Stripe is asked anew, event or not: an account on its way soon, one that has lingered seldom.
READY_SYNC_EVERY: Final = timedelta(days=1)
YOUNG_SYNC_EVERY: Final = timedelta(hours=1)
WAITING_SYNC_EVERY: Final = timedelta(hours=6)
LINGERING_SYNC_EVERY: Final = timedelta(days=1)
YOUNG_FOR: Final = timedelta(days=2)
WAITING_FOR: Final = timedelta(days=14)

#: The reason we give ourselves when Stripe does not show us an account (any more).
NO_ACCESS: Final = "no_access"


class AccountsApi(StrEnum):
    """The generation of Stripe's Accounts API a connected account was made with, and is asked with ever after."""

    V1 = "v1"
    V2 = "v2"


class AccountStatus(StrEnum):
    """`creating`: our row is there, the account at Stripe is not known to be."""

    CREATING = "creating"
    ONBOARDING = "onboarding"
    UNDER_REVIEW = "under_review"
    READY = "ready"
    RESTRICTED = "restricted"
    CLOSED = "closed"


class PayoutAccountStatus(StrEnum):
    """What a creator is told."""

    NOT_CONNECTED = "NOT_CONNECTED"
    ONBOARDING = "ONBOARDING"
    UNDER_REVIEW = "UNDER_REVIEW"
    READY = "READY"
    RESTRICTED = "RESTRICTED"


class Capability(StrEnum):
    """What an account may do; `unsaid` where Stripe says nothing of it."""

    ACTIVE = "active"
    PENDING = "pending"
    INACTIVE = "inactive"
    REJECTED = "rejected"
    UNSAID = "unsaid"


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountFacts:
    """What Stripe says of an account, in the words of neither generation.

    `details_submitted`: the creator went through onboarding to its end. Before, Stripe calls everything that is
    missing past due; only after, overdue means overdue. `reasons` are Stripe's codes for what stands in the way.
    """

    transfers: Capability
    bank_payouts: Capability
    details_submitted: bool
    due: tuple[str, ...] = ()
    past_due: tuple[str, ...] = ()
    pending_verification: tuple[str, ...] = ()
    reasons: tuple[str, ...] = ()
    closed: bool = False

    @property
    def transfers_active(self) -> bool:
        return self.transfers is Capability.ACTIVE and not self.closed

    @property
    def bank_payouts_active(self) -> bool:
        """Stripe pays on to the bank; for a recipient it need not say so, and then nothing stands against it."""
        return self.bank_payouts in {Capability.ACTIVE, Capability.UNSAID} and self.transfers_active

    @property
    def requirements(self) -> tuple[str, ...]:
        """What the creator is asked for, the overdue first, each once."""
        return tuple(dict.fromkeys((*self.past_due, *self.due)))


class _Reason(StrEnum):
    """What a code of Stripe's comes to."""

    OVERDUE = "overdue"
    WAITING = "waiting"
    REVIEW = "review"
    REFUSAL = "refusal"


#: v1 `requirements.disabled_reason`, and v2 `status_details.code`. What is not here counts as a refusal.
_REASONS: Final = {
    "requirements.past_due": _Reason.OVERDUE,
    "requirements_past_due": _Reason.OVERDUE,
    "requirements.pending_verification": _Reason.WAITING,
    "requirements_pending_verification": _Reason.WAITING,
    "determining_status": _Reason.WAITING,
    "listed": _Reason.REVIEW,
    "under_review": _Reason.REVIEW,
}


def status_of(facts: AccountFacts) -> AccountStatus:
    """The status of an account that exists at Stripe: the first rule that holds."""
    kinds = {_REASONS.get(reason, _Reason.REFUSAL) for reason in facts.reasons}
    abilities = {facts.transfers, facts.bank_payouts}
    rules = (
        (facts.closed, AccountStatus.CLOSED),
        (_Reason.REFUSAL in kinds or Capability.REJECTED in abilities, AccountStatus.RESTRICTED),
        (_Reason.REVIEW in kinds, AccountStatus.UNDER_REVIEW),
        (facts.transfers_active and facts.bank_payouts_active, AccountStatus.READY),
        (not facts.details_submitted, AccountStatus.ONBOARDING),
        (bool(facts.past_due) or _Reason.OVERDUE in kinds, AccountStatus.RESTRICTED),
        (bool(facts.due), AccountStatus.ONBOARDING),
        (
            bool(facts.pending_verification) or Capability.PENDING in abilities or _Reason.WAITING in kinds,
            AccountStatus.UNDER_REVIEW,
        ),
    )
    # Switched off, nothing asked for, and no reason given that heals by itself.
    return next((status for holds, status in rules if holds), AccountStatus.RESTRICTED)


def payout_account_status(status: AccountStatus | None) -> PayoutAccountStatus:
    """The status as a creator is told it; None = there is no account."""
    if status is None or status in {AccountStatus.CREATING, AccountStatus.CLOSED}:
        return PayoutAccountStatus.NOT_CONNECTED
    return PayoutAccountStatus(status.value.upper())


def next_sync_at(status: AccountStatus, *, created_at: datetime, now: datetime) -> datetime | None:
    """When Stripe is asked again even if no event comes; None for what changes no more."""
    if status is AccountStatus.CLOSED:
        return None
    if status is AccountStatus.READY:
        return now + READY_SYNC_EVERY
    age = now - created_at
    if age < YOUNG_FOR:
        return now + YOUNG_SYNC_EVERY
    return now + (WAITING_SYNC_EVERY if age < WAITING_FOR else LINGERING_SYNC_EVERY)


def checked_country(country: str) -> str:
    """The country, if it is spelled like one; whether Stripe pays out to it, Stripe says.

    Raises:
        InvalidInput: it is not two capital letters.
    """
    if _COUNTRY.fullmatch(country) is None:
        shown = country if len(country) <= _SHOWN_CHARACTERS_MAX else country[:_SHOWN_CHARACTERS_MAX] + "…"
        raise InvalidInput(
            f"A country is its code of two capital letters (ISO 3166-1), like US; got {shown!r}.",
            path=("input", "country"),
        )
    return country
