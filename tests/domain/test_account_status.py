"""How an account at Stripe stands, from everything Stripe can say of one, and how often it is asked."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import product

import pytest

from gateway.domain.connecting import (
    NO_ACCESS,
    AccountFacts,
    AccountStatus,
    Capability,
    PayoutAccountStatus,
    checked_country,
    next_sync_at,
    payout_account_status,
    status_of,
)
from gateway.domain.errors import InvalidInput

NOW = datetime(2026, 11, 30, 12, 0, tzinfo=UTC)
READY = AccountFacts(transfers=Capability.ACTIVE, bank_payouts=Capability.ACTIVE, details_submitted=True)
OFF = AccountFacts(transfers=Capability.INACTIVE, bank_payouts=Capability.INACTIVE, details_submitted=True)
FRESH = replace(OFF, details_submitted=False)

#: Every `requirements.disabled_reason` of v1 and every `status_details.code` of v2 that says no for good, or says
#: something that the creator cannot mend by waiting.
REFUSALS = (
    "action_required.requested_capabilities",
    "other",
    "platform_paused",
    "rejected.fraud",
    "rejected.incomplete_verification",
    "rejected.listed",
    "rejected.other",
    "rejected.platform_fraud",
    "rejected.platform_other",
    "rejected.platform_terms_of_service",
    "rejected.terms_of_service",
    "rejected_fraud",
    "rejected_incomplete_verification",
    "rejected_listed",
    "rejected_other",
    "rejected_platform_fraud",
    "rejected_platform_other",
    "rejected_platform_terms_of_service",
    "rejected_terms_of_service",
    "restricted_other",
    "unsupported_business",
    "unsupported_country",
    "unsupported_entity_type",
    "a_reason_that_stripe_adds_next_year",
    NO_ACCESS,
)
REVIEWS = ("listed", "under_review")
WAITS = ("requirements.pending_verification", "requirements_pending_verification", "determining_status")
OVERDUE = ("requirements.past_due", "requirements_past_due")


@pytest.mark.parametrize(
    ("facts", "status"),
    [
        pytest.param(READY, AccountStatus.READY, id="all is there"),
        pytest.param(replace(READY, due=("tax_id",)), AccountStatus.READY, id="something is due, with time left"),
        pytest.param(
            replace(READY, bank_payouts=Capability.UNSAID), AccountStatus.READY, id="v2 says nothing of banks"
        ),
        pytest.param(
            replace(READY, details_submitted=False, due=("tax_id",)), AccountStatus.READY, id="active before the end"
        ),
        pytest.param(replace(READY, pending_verification=("id",)), AccountStatus.READY, id="active, being looked at"),
        pytest.param(FRESH, AccountStatus.ONBOARDING, id="fresh"),
        pytest.param(
            replace(FRESH, past_due=("bank",), reasons=("requirements.past_due",)),
            AccountStatus.ONBOARDING,
            id="fresh as v1 has it: all is overdue from the start",
        ),
        pytest.param(
            replace(FRESH, past_due=("bank",), reasons=("requirements_past_due",)),
            AccountStatus.ONBOARDING,
            id="fresh as v2 has it",
        ),
        pytest.param(replace(OFF, due=("document",)), AccountStatus.ONBOARDING, id="handed in, and more is wanted"),
        pytest.param(replace(OFF, past_due=("document",)), AccountStatus.RESTRICTED, id="overdue"),
        pytest.param(
            replace(READY, bank_payouts=Capability.INACTIVE, past_due=("external_account",)),
            AccountStatus.RESTRICTED,
            id="the bank account failed",
        ),
        pytest.param(
            replace(READY, bank_payouts=Capability.INACTIVE), AccountStatus.RESTRICTED, id="no bank, and no reason"
        ),
        pytest.param(replace(READY, bank_payouts=Capability.PENDING), AccountStatus.UNDER_REVIEW, id="bank pending"),
        pytest.param(replace(OFF, transfers=Capability.PENDING), AccountStatus.UNDER_REVIEW, id="transfers pending"),
        pytest.param(replace(OFF, pending_verification=("id",)), AccountStatus.UNDER_REVIEW, id="being verified"),
        pytest.param(
            replace(OFF, due=("address",), pending_verification=("id",)),
            AccountStatus.ONBOARDING,
            id="the creator has something to do while Stripe looks",
        ),
        pytest.param(
            replace(OFF, past_due=("address",), pending_verification=("id",)),
            AccountStatus.RESTRICTED,
            id="overdue while Stripe looks",
        ),
        pytest.param(OFF, AccountStatus.RESTRICTED, id="switched off without a reason"),
        pytest.param(replace(OFF, transfers=Capability.REJECTED), AccountStatus.RESTRICTED, id="v2: rejected"),
        pytest.param(
            replace(READY, bank_payouts=Capability.REJECTED), AccountStatus.RESTRICTED, id="v2: bank rejected"
        ),
        pytest.param(replace(FRESH, transfers=Capability.UNSAID), AccountStatus.ONBOARDING, id="nothing said yet"),
        pytest.param(replace(READY, closed=True), AccountStatus.CLOSED, id="closed"),
        pytest.param(
            replace(OFF, closed=True, reasons=("rejected_fraud",)), AccountStatus.CLOSED, id="closed, refused"
        ),
    ],
)
def test_the_status_of_an_account(facts: AccountFacts, status: AccountStatus) -> None:
    assert status_of(facts) is status


@pytest.mark.parametrize("reason", REFUSALS)
@pytest.mark.parametrize("facts", [READY, OFF, FRESH, replace(OFF, pending_verification=("id",))])
def test_a_refusal_outweighs_everything_but_the_end(facts: AccountFacts, reason: str) -> None:
    assert status_of(replace(facts, reasons=(reason,))) is AccountStatus.RESTRICTED
    assert status_of(replace(facts, reasons=("requirements_past_due", reason))) is AccountStatus.RESTRICTED


@pytest.mark.parametrize("reason", REVIEWS)
@pytest.mark.parametrize("facts", [READY, OFF, FRESH, replace(OFF, past_due=("id",))])
def test_a_review_of_stripes_own_holds_an_account_up_wherever_it_is(facts: AccountFacts, reason: str) -> None:
    assert status_of(replace(facts, reasons=(reason,))) is AccountStatus.UNDER_REVIEW


@pytest.mark.parametrize("reason", WAITS)
def test_waiting_for_a_verification_is_no_restriction(reason: str) -> None:
    assert status_of(replace(OFF, reasons=(reason,))) is AccountStatus.UNDER_REVIEW
    assert status_of(replace(FRESH, reasons=(reason,))) is AccountStatus.ONBOARDING
    assert status_of(replace(OFF, reasons=(reason,), due=("id",))) is AccountStatus.ONBOARDING


@pytest.mark.parametrize("reason", OVERDUE)
def test_overdue_means_overdue_once_all_was_handed_in(reason: str) -> None:
    assert status_of(replace(OFF, reasons=(reason,))) is AccountStatus.RESTRICTED
    assert status_of(replace(FRESH, reasons=(reason,))) is AccountStatus.ONBOARDING


def test_nothing_is_ready_that_cannot_be_paid() -> None:
    reasons = ((), *((reason,) for reason in (*REFUSALS, *REVIEWS, *WAITS, *OVERDUE)))
    for transfers, bank, submitted, past_due, pending, why, closed in product(
        Capability, Capability, (True, False), ((), ("id",)), ((), ("id",)), reasons, (True, False)
    ):
        facts = AccountFacts(
            transfers=transfers,
            bank_payouts=bank,
            details_submitted=submitted,
            past_due=past_due,
            pending_verification=pending,
            reasons=why,
            closed=closed,
        )
        status = status_of(facts)
        assert (status is AccountStatus.CLOSED) is closed
        if status is AccountStatus.READY:
            assert transfers is Capability.ACTIVE
            assert bank in {Capability.ACTIVE, Capability.UNSAID}
        assert not (facts.bank_payouts_active and not facts.transfers_active)


def test_a_closed_account_takes_no_transfers_whatever_it_says() -> None:
    assert replace(READY, closed=True).transfers_active is False


def test_requirements_name_the_overdue_first_and_each_once() -> None:
    assert replace(OFF, due=("a", "b"), past_due=("b", "c")).requirements == ("b", "c", "a")


@pytest.mark.parametrize(
    ("status", "told"),
    [
        (None, PayoutAccountStatus.NOT_CONNECTED),
        (AccountStatus.CREATING, PayoutAccountStatus.NOT_CONNECTED),
        (AccountStatus.CLOSED, PayoutAccountStatus.NOT_CONNECTED),
        (AccountStatus.ONBOARDING, PayoutAccountStatus.ONBOARDING),
        (AccountStatus.UNDER_REVIEW, PayoutAccountStatus.UNDER_REVIEW),
        (AccountStatus.READY, PayoutAccountStatus.READY),
        (AccountStatus.RESTRICTED, PayoutAccountStatus.RESTRICTED),
    ],
)
def test_what_a_creator_is_told(status: AccountStatus | None, told: PayoutAccountStatus) -> None:
    assert payout_account_status(status) is told


@pytest.mark.parametrize(
    ("status", "age", "wait"),
    [
        (AccountStatus.READY, timedelta(0), timedelta(days=1)),
        (AccountStatus.READY, timedelta(days=500), timedelta(days=1)),
        (AccountStatus.ONBOARDING, timedelta(0), timedelta(hours=1)),
        (AccountStatus.ONBOARDING, timedelta(days=2) - timedelta(seconds=1), timedelta(hours=1)),
        (AccountStatus.UNDER_REVIEW, timedelta(days=2), timedelta(hours=6)),
        (AccountStatus.RESTRICTED, timedelta(days=14), timedelta(days=1)),
    ],
)
def test_an_account_on_its_way_is_looked_at_more_often(status: AccountStatus, age: timedelta, wait: timedelta) -> None:
    assert next_sync_at(status, created_at=NOW - age, now=NOW) == NOW + wait


def test_a_closed_account_is_looked_at_no_more() -> None:
    assert next_sync_at(AccountStatus.CLOSED, created_at=NOW, now=NOW) is None


@pytest.mark.parametrize("country", ["", "us", "USA", "U", "U1", "ÜS", "US\n", " US", "🇺🇸", "U" * 10_000])
def test_a_country_is_two_capital_letters(country: str) -> None:
    with pytest.raises(InvalidInput, match="two capital letters") as caught:
        checked_country(country)

    assert caught.value.path == ("input", "country")
    assert len(caught.value.message) < 200


def test_a_country_in_its_spelling_is_left_to_stripe() -> None:
    assert checked_country("US") == "US"
    assert checked_country("ZZ") == "ZZ"
