"""Why there is no payout: every reason at once, in words a creator can act on."""

from dataclasses import replace
from uuid import UUID

import pytest

from gateway.domain.connecting import AccountStatus
from gateway.domain.errors import ErrorCode
from gateway.domain.ledger import MalformedEntry
from gateway.domain.payouts import TRANSFER_CENTS_MAX, PayoutMoney, PayoutStanding, WaitsFor, blockers

DOLLAR = 1_000_000
READY = PayoutStanding(status=AccountStatus.READY, available_micros=50 * DOLLAR, minimum_cents=1_000)
NOT_READY, BELOW, PROGRESS = (
    ErrorCode.PAYOUTS_NOT_READY,
    ErrorCode.BELOW_MINIMUM_PAYOUT,
    ErrorCode.PAYOUT_IN_PROGRESS,
)


def test_nothing_stands_in_the_way_of_a_ready_creator_with_enough() -> None:
    assert blockers(READY) == ()
    assert blockers(replace(READY, available_micros=10 * DOLLAR)) == ()


@pytest.mark.parametrize(
    ("standing", "code", "message"),
    [
        (replace(READY, status=None), NOT_READY, "No payout account is connected; connect one to be paid."),
        (
            replace(READY, status=AccountStatus.CREATING),
            NOT_READY,
            "No payout account is connected; connect one to be paid.",
        ),
        (
            replace(READY, status=AccountStatus.CLOSED),
            NOT_READY,
            "No payout account is connected; connect one to be paid.",
        ),
        (
            replace(READY, status=AccountStatus.ONBOARDING),
            NOT_READY,
            "The payout account is not finished; go on with connecting it.",
        ),
        (
            replace(READY, status=AccountStatus.ONBOARDING, requirements=("a", "b", "c", "d", "e")),
            NOT_READY,
            "The payout account is not finished: still needed are a, b, c and 2 more; go on with connecting it.",
        ),
        (
            replace(READY, status=AccountStatus.UNDER_REVIEW),
            NOT_READY,
            "Stripe is reviewing the payout account; payouts begin when it has finished.",
        ),
        (
            replace(READY, status=AccountStatus.RESTRICTED, disabled_reason="rejected.fraud"),
            NOT_READY,
            "Stripe has restricted the payout account (rejected.fraud).",
        ),
        (
            replace(READY, status=AccountStatus.RESTRICTED, bank_failure="account_closed"),
            NOT_READY,
            "The bank refused the last payment (account_closed); give another bank account.",
        ),
        (
            replace(READY, available_micros=9_999_999),
            BELOW,
            "A payout is at least $10.00; $9.999999 is available.",
        ),
        (replace(READY, available_micros=0), BELOW, "A payout is at least $10.00; $0.00 is available."),
        (
            replace(READY, available_micros=-3 * DOLLAR),
            BELOW,
            "You owe $3.00 from reversed sales; what you earn next covers it first.",
        ),
        (
            replace(READY, under_way_cents=1_234),
            PROGRESS,
            "A payout of $12.34 is being made; the next one can follow it.",
        ),
        (
            replace(READY, under_way_cents=1_234, under_way_waits_for=WaitsFor.ACCOUNT),
            PROGRESS,
            "A payout of $12.34 waits until the payout account is ready; the next one can follow it.",
        ),
        (
            replace(READY, under_way_cents=1_234, under_way_waits_for=WaitsFor.BALANCE),
            PROGRESS,
            (
                "A payout of $12.34 waits until the money of recent sales has arrived at Stripe; "
                "the next one can follow it."
            ),
        ),
        (
            replace(READY, under_way_cents=1_234, under_way_waits_for=WaitsFor.OPERATOR),
            PROGRESS,
            "A payout of $12.34 waits until somebody has looked at it; the next one can follow it.",
        ),
    ],
)
def test_each_reason_has_its_code_and_its_sentence(standing: PayoutStanding, code: ErrorCode, message: str) -> None:
    (only,) = blockers(standing)

    assert (only.code, only.message) == (code, message)


def test_every_reason_is_told_at_once() -> None:
    worst = PayoutStanding(
        status=AccountStatus.UNDER_REVIEW,
        available_micros=-1,
        disputed=True,
        minimum_cents=1_000,
        under_way_cents=1_000,
    )

    assert [one.code for one in blockers(worst)] == [NOT_READY, PROGRESS, BELOW, BELOW]
    assert blockers(worst)[3].message.startswith("Some of your earnings are held until disputes")


@pytest.mark.parametrize(
    ("standing", "message"),
    [
        (
            replace(READY, status=AccountStatus.RESTRICTED, disabled_reason="rejected.fraud"),
            "Stripe has restricted the payout account (rejected.fraud).",
        ),
        (
            replace(READY, status=AccountStatus.RESTRICTED, requirements=("person.id",)),
            "Stripe has restricted the payout account: still needed are person.id.",
        ),
        (
            replace(READY, status=AccountStatus.ONBOARDING, requirements=("external_account",)),
            "The payout account is not finished: still needed are external_account; go on with connecting it.",
        ),
        (
            replace(READY, status=AccountStatus.UNDER_REVIEW),
            "Stripe is reviewing the payout account; payouts begin when it has finished.",
        ),
    ],
)
def test_what_the_bank_said_hides_nothing_of_what_stripe_says(standing: PayoutStanding, message: str) -> None:
    found = blockers(replace(standing, bank_failure="account_closed"))

    assert [(one.code, one.message) for one in found] == [
        (NOT_READY, message),
        (NOT_READY, "The bank refused the last payment (account_closed); give another bank account."),
    ]


def test_what_the_bank_said_is_over_once_the_account_is_ready() -> None:
    assert blockers(replace(READY, bank_failure="account_closed")) == ()


def test_money_held_by_disputes_is_no_reason_when_enough_is_available() -> None:
    assert blockers(replace(READY, disputed=True)) == ()


@pytest.mark.parametrize(
    ("available_micros", "cents"),
    [(0, 0), (9_999, 0), (10_000, 1), (19_999, 1), (-1, 0), (-(10**15), 0), (10**15, TRANSFER_CENTS_MAX)],
)
def test_whole_cents_are_payable_never_less_than_none_nor_more_than_a_transfer(
    available_micros: int, cents: int
) -> None:
    assert replace(READY, available_micros=available_micros).payable_cents == cents


def test_a_payout_ends_under_one_name_whichever_way() -> None:
    money = PayoutMoney(UUID(int=1), UUID(int=2), 500)

    assert money.confirmed("tr_1").idem == money.given_back().idem == f"po:{UUID(int=1)}:end"
    assert money.confirmed("tr_1").digest != money.given_back().digest
    assert money.reserved().idem == f"po:{UUID(int=1)}"
    assert money.reversed("trr_1", 200).idem == f"po:{UUID(int=1)}:rev:trr_1"


def test_a_payout_of_nothing_has_no_entry() -> None:
    with pytest.raises(MalformedEntry):
        PayoutMoney(UUID(int=1), UUID(int=2), 0).reserved()
