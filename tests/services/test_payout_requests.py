"""Asking for a payout: who may, how much, twice, and everything at once that stands in the way."""

import pytest

from gateway.domain.connecting import PayoutAccountStatus
from gateway.domain.errors import (
    AmountOutOfRange,
    BelowMinimumPayout,
    ErrorCode,
    IdempotencyConflict,
    InvalidInput,
    PayoutInProgress,
    PayoutsNotReady,
)
from gateway.domain.payouts import PayoutState
from gateway.domain.schedules import PayoutFrequency
from gateway.services.payouts import request_payout, update_frequency
from tests.support.payouts import DOLLAR, PayoutWorld
from tests.support.reading import find_payout, payout_settings


async def test_asking_again_with_the_same_key_is_the_same_payout(paying: PayoutWorld) -> None:
    creator = await paying.creator(cents=5_000)
    first = await request_payout(paying.billing, subject=creator.subject, amount_cents=2_000, client_key="k")
    again = await request_payout(paying.billing, subject=creator.subject, amount_cents=2_000, client_key="k")
    assert await paying.work(first.id)
    later = await request_payout(paying.billing, subject=creator.subject, amount_cents=2_000, client_key="k")

    assert again == first
    assert (first.amount_cents, first.state, first.manual) == (2_000, PayoutState.REQUESTED, True)
    assert (later.id, later.state) == (first.id, PayoutState.IN_TRANSIT)
    assert await paying.balances(creator) == {"earn_available": 30 * DOLLAR}
    await paying.assert_books()


async def test_the_same_key_with_another_amount_is_a_conflict(paying: PayoutWorld) -> None:
    creator = await paying.creator(cents=5_000)
    await request_payout(paying.billing, subject=creator.subject, amount_cents=2_000, client_key="k")

    for amount in (2_001, None):
        with pytest.raises(IdempotencyConflict, match="another amount"):
            await request_payout(paying.billing, subject=creator.subject, amount_cents=amount, client_key="k")
    assert len(await paying.payouts(creator)) == 1
    await paying.assert_books()


async def test_keys_of_two_creators_are_apart(paying: PayoutWorld) -> None:
    ann, bob = await paying.creator(), await paying.creator()
    one = await request_payout(paying.billing, subject=ann.subject, client_key="k")
    other = await request_payout(paying.billing, subject=bob.subject, client_key="k", amount_cents=1_000)

    assert one.id != other.id
    assert await find_payout(paying.billing, ann.subject, one.id) == one
    assert await find_payout(paying.billing, ann.subject, other.id) is None
    await paying.assert_books()


@pytest.mark.parametrize("key", ["", "k" * 256])
async def test_a_key_that_is_none_is_refused(paying: PayoutWorld, key: str) -> None:
    creator = await paying.creator()
    with pytest.raises(InvalidInput):
        await request_payout(paying.billing, subject=creator.subject, client_key=key)
    assert await paying.balances(creator) == {"earn_available": 50 * DOLLAR}


@pytest.mark.parametrize("cents", [-1, 0, 999, 5_001, 10**18])
async def test_an_amount_is_between_the_minimum_and_what_is_available(paying: PayoutWorld, cents: int) -> None:
    creator = await paying.creator(cents=5_000, micros=9_999)

    with pytest.raises(AmountOutOfRange) as refusal:
        await request_payout(paying.billing, subject=creator.subject, amount_cents=cents)

    assert (refusal.value.minimum_micros, refusal.value.maximum_micros) == (10 * DOLLAR, 50 * DOLLAR)
    assert refusal.value.path == ("input", "amountCents")
    assert await paying.payouts(creator) == []
    assert await paying.balances(creator) == {"earn_available": 50 * DOLLAR + 9_999}
    await paying.assert_books()


@pytest.mark.parametrize("cents", [1_000, 5_000])
async def test_both_ends_of_the_range_can_be_asked_for(paying: PayoutWorld, cents: int) -> None:
    creator = await paying.creator(cents=5_000)
    payout = await request_payout(paying.billing, subject=creator.subject, amount_cents=cents)
    assert payout.amount_cents == cents
    await paying.assert_books()


async def test_nobody_is_paid_without_an_account_that_is_ready(paying: PayoutWorld) -> None:
    with pytest.raises(PayoutsNotReady, match="connect one"):
        await request_payout(paying.billing, subject="nobody")
    for stage, words in {"started": "not finished", "review": "reviewing", "rejected": "restricted"}.items():
        creator = await paying.creator(stage=stage)
        with pytest.raises(PayoutsNotReady, match=words):
            await request_payout(paying.billing, subject=creator.subject)
        assert await paying.balances(creator) == {"earn_available": 50 * DOLLAR}


async def test_too_little_is_refused_and_a_debt_is_called_one(paying: PayoutWorld) -> None:
    creator = await paying.creator(cents=999)
    with pytest.raises(BelowMinimumPayout, match=r"at least \$10.00; \$9.99 is available"):
        await request_payout(paying.billing, subject=creator.subject)
    await paying.earn(creator, micros=-12 * DOLLAR)
    with pytest.raises(BelowMinimumPayout, match=r"You owe \$2.01"):
        await request_payout(paying.billing, subject=creator.subject, amount_cents=1_000)
    assert await paying.payouts(creator) == []


async def test_one_payout_at_a_time_until_its_transfer_is_known(paying: PayoutWorld) -> None:
    creator = await paying.creator(cents=5_000)
    first = await request_payout(paying.billing, subject=creator.subject, amount_cents=2_000)
    with pytest.raises(PayoutInProgress, match=r"\$20.00"):
        await request_payout(paying.billing, subject=creator.subject, amount_cents=1_000)

    assert await paying.work(first.id)
    await paying.advance(seconds=1)
    second = await request_payout(paying.billing, subject=creator.subject, amount_cents=1_000)

    assert [payout.id for payout in await paying.payouts(creator)] == [first.id, second.id]
    await paying.assert_books()


async def test_settings_of_somebody_unknown_are_the_first_ones(paying: PayoutWorld) -> None:
    view = await payout_settings(paying.billing, "nobody")

    assert (view.account_status, view.frequency) == (PayoutAccountStatus.NOT_CONNECTED, PayoutFrequency.MANUAL)
    assert (view.minimum_cents, view.next_amount_cents, view.next_payout_at) == (1_000, None, None)
    assert [one.code for one in view.blockers] == [ErrorCode.PAYOUTS_NOT_READY, ErrorCode.BELOW_MINIMUM_PAYOUT]


async def test_a_frequency_begins_its_calendar_anew_and_manual_ends_it(paying: PayoutWorld) -> None:
    creator = await paying.creator(cents=5_000, micros=9_999)
    weekly = await update_frequency(paying.billing, subject=creator.subject, frequency=PayoutFrequency.WEEKLY)
    assert weekly.next_payout_at is not None
    assert weekly.next_payout_at.isoformat() == "2026-11-30T00:00:00+00:00"
    assert weekly.next_amount_cents == 5_000
    assert weekly.blockers == ()

    await paying.advance(days=1)
    same = await update_frequency(paying.billing, subject=creator.subject, frequency=PayoutFrequency.WEEKLY)
    assert same.next_payout_at == weekly.next_payout_at
    monthly = await update_frequency(paying.billing, subject=creator.subject, frequency=PayoutFrequency.MONTHLY)
    assert monthly.next_payout_at is not None
    assert monthly.next_payout_at.isoformat() == "2026-12-01T00:00:00+00:00"
    manual = await update_frequency(paying.billing, subject=creator.subject, frequency=PayoutFrequency.MANUAL)
    assert (manual.next_payout_at, manual.next_amount_cents) == (None, None)
