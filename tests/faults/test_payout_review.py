"""Payouts seen by somebody who wants money to be lost, to be paid twice, to be stuck, or to be shown wrong."""

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from gateway.db import Connection, Database
from gateway.domain.errors import ProviderMisconfigured
from gateway.services.payouts import (
    cancel_payout,
    follow_bank_payouts,
    request_payout,
    settle_bank_payout,
    settle_transfer,
)
from gateway.services.payouts.by_hand import retry_payout
from gateway.stripe_service import StripeService, StripeTransfer
from models.payout import Payout
from tests.support.payouts import DOLLAR, Creator, PayoutWorld, open_payout_world


@pytest.fixture
async def paying(database: Database) -> AsyncIterator[PayoutWorld]:
    async with open_payout_world(database) as world:
        yield world


async def requested(paying: PayoutWorld, *, cents: int = 5_000) -> tuple[Creator, Payout]:
    creator = await paying.creator(cents=cents)
    await request_payout(paying.billing, subject=creator.subject)
    return creator, await paying.payout(creator)


async def sent(paying: PayoutWorld, *, cents: int = 5_000) -> tuple[Creator, Payout]:
    creator, payout = await requested(paying, cents=cents)
    assert await paying.work(payout.id)
    return creator, await paying.payout(creator)


async def to_the_bank(paying: PayoutWorld, creator: Creator) -> str:
    """Stripe's schedule pays out all the creator has there; the id of that payout."""
    await paying.door.control("balance/available", account=creator.stripe_account_id)
    made = await paying.door.control("payouts/create", account=creator.stripe_account_id, automatic=True)
    return str(made["id"])


async def settle_bank(paying: PayoutWorld, creator: Creator, bank_payout: str) -> None:
    assert await settle_bank_payout(
        paying.billing, stripe_account_id=creator.stripe_account_id, bank_payout_id=bank_payout
    )


async def test_a_bank_that_was_faster_than_our_knowledge_of_the_transfer_is_found_later(paying: PayoutWorld) -> None:
    """The transfer's answer is lost; before it is looked up, its money is at the bank, as an event tells."""
    creator, payout = await requested(paying)
    await paying.door.fault("/v1/transfers", "drop_after", method="POST")
    assert not await paying.work(payout.id)
    await paying.advance(minutes=1)
    bank_payout = await to_the_bank(paying, creator)
    await paying.door.control("payouts/arrive", payout=bank_payout)
    await settle_bank(paying, creator, bank_payout)

    await paying.advance(hours=50)
    assert await paying.work(payout.id)
    await paying.advance(hours=1)
    await follow_bank_payouts(paying.billing)

    assert (await paying.payout(creator)).state == "paid"
    await paying.assert_books()


async def test_a_bank_payout_made_before_the_transfer_was_recorded_needs_no_event(paying: PayoutWorld) -> None:
    creator, payout = await requested(paying)
    await paying.door.fault("/v1/transfers", "drop_after", method="POST")
    assert not await paying.work(payout.id)
    await paying.advance(minutes=1)
    await paying.door.control("payouts/arrive", payout=await to_the_bank(paying, creator))

    await paying.advance(hours=50)
    assert await paying.work(payout.id)
    await follow_bank_payouts(paying.billing)

    assert (await paying.payout(creator)).state == "paid"
    await paying.assert_books()


async def test_what_the_bank_refused_and_the_platform_took_back_is_not_said_to_be_at_stripe(
    paying: PayoutWorld,
) -> None:
    creator, payout = await sent(paying)
    bank_payout = await to_the_bank(paying, creator)
    await paying.door.control("payouts/fail", payout=bank_payout, reason="account_closed")
    await settle_bank(paying, creator, bank_payout)

    await paying.door.control("transfers/reverse", transfer=payout.transfer_id)
    assert await settle_transfer(paying.billing, transfer_id=payout.transfer_id or "")

    payout = await paying.payout(creator)
    assert (payout.state, payout.failure_code, payout.returned_cents) == ("failed", "transfer_reversed", 5_000)
    assert payout.failure_message == (
        "The payment was taken back before it reached the bank; the money is available again."
    )
    assert await paying.balances(creator) == {"earn_available": 50 * DOLLAR}
    await paying.assert_books()


async def test_a_transfer_that_is_found_reversed_is_booked_with_what_came_back(paying: PayoutWorld) -> None:
    """No event is needed: its answer was lost, somebody reversed it at Stripe, and a look finds it."""
    creator, payout = await requested(paying)
    await paying.door.fault("/v1/transfers", "drop_after", method="POST")
    assert not await paying.work(payout.id)
    (transfer,) = await paying.transfers(payout.id)
    await paying.door.control("transfers/reverse", transfer=transfer["id"], amount=2_000)
    await paying.advance(minutes=1)

    assert await paying.work(payout.id)

    payout = await paying.payout(creator)
    assert (payout.state, payout.returned_cents) == ("in_transit", 2_000)
    assert await paying.balances(creator) == {"earn_available": 20 * DOLLAR}
    await paying.assert_books()


async def test_a_payout_goes_on_when_the_foreign_transfer_in_its_group_is_reversed(paying: PayoutWorld) -> None:
    creator, payout = await requested(paying)
    await paying.door.fault("/v1/transfers", "drop_before", method="POST")
    assert not await paying.work(payout.id)
    foreign = await paying.billing.stripe.create_transfer(
        amount_cents=4_999, destination=creator.stripe_account_id, payout_id=str(payout.id), idempotency_key="by hand"
    )
    await paying.advance(minutes=1)
    assert not await paying.work(payout.id)
    assert (await paying.payout(creator)).waits_for == "operator"

    await paying.door.control("transfers/reverse", transfer=foreign.transfer_id)
    await paying.advance(minutes=15)

    assert await paying.work(payout.id)
    payout = await paying.payout(creator)
    assert (payout.state, payout.transfer_id != foreign.transfer_id) == ("in_transit", True)
    assert [one["amount"] for one in await paying.transfers(payout.id)] == [5_000, 4_999]
    assert await paying.balances(creator) == {}
    await paying.assert_books()


async def test_a_foreign_transfer_does_not_hide_the_payouts_own(paying: PayoutWorld) -> None:
    creator, payout = await requested(paying)
    await paying.billing.stripe.create_transfer(
        amount_cents=1, destination=creator.stripe_account_id, payout_id=str(payout.id), idempotency_key="by hand"
    )
    await paying.door.fault("/v1/transfers", "drop_after", method="POST")
    assert not await paying.work(payout.id)
    await paying.advance(minutes=1)

    assert await paying.work(payout.id)

    payout = await paying.payout(creator)
    (own,) = [one for one in await paying.transfers(payout.id) if one["amount"] == 5_000]
    assert (payout.state, payout.transfer_id) == ("in_transit", own["id"])
    await paying.assert_books()


async def test_of_two_transfers_the_one_that_still_stands_is_the_payouts(paying: PayoutWorld) -> None:
    """Else the reversal of the other would pay the creator twice."""
    creator, payout = await requested(paying)
    await paying.door.fault("/v1/transfers", "drop_after", method="POST")
    assert not await paying.work(payout.id)
    (first,) = await paying.transfers(payout.id)
    second = await paying.billing.stripe.create_transfer(
        amount_cents=5_000, destination=creator.stripe_account_id, payout_id=str(payout.id), idempotency_key="by hand"
    )
    await paying.door.control("transfers/reverse", transfer=first["id"])
    await paying.advance(minutes=1)

    assert await paying.work(payout.id)

    payout = await paying.payout(creator)
    assert (payout.state, payout.transfer_id) == ("in_transit", second.transfer_id)
    assert await paying.balances(creator) == {}
    await paying.assert_books()


async def test_a_fast_clock_elsewhere_does_not_make_an_old_look_at_the_account_fresh(paying: PayoutWorld) -> None:
    """Another node, two hours ahead, looked at the account; an hour later it is restricted."""
    creator, payout = await requested(paying)

    async def work(connection: Connection) -> None:
        await connection.execute(
            "UPDATE connected_account SET synced_at = $2 WHERE id = $1",
            (creator.account_id, paying.clock.now() + timedelta(hours=2)),
        )

    await paying.database.run(work)
    await paying.advance(hours=1)
    await paying.door.control("accounts/stage", account=creator.stripe_account_id, stage="restricted")

    assert not await paying.work(payout.id)

    payout = await paying.payout(creator)
    assert (payout.state, payout.waits_for, payout.attempts) == ("requested", "account", 0)
    await paying.assert_books()


async def test_nothing_is_sent_to_somebody_who_came_to_owe_while_the_payout_waited(paying: PayoutWorld) -> None:
    """The platform's balance was empty, and meanwhile sales were reversed: the reserved money covers them."""
    await paying.fund(-90_000_000)
    creator, payout = await requested(paying)
    assert not await paying.work(payout.id)
    await paying.earn(creator, micros=-1)
    await paying.fund(90_000_000)
    await paying.advance(minutes=5)

    assert await paying.work(payout.id)

    payout = await paying.payout(creator)
    assert (payout.state, payout.failure_code, payout.attempts) == ("failed", "earnings_reversed", 1)
    assert await paying.transfers(payout.id) == []
    assert await paying.balances(creator) == {"earn_available": 50 * DOLLAR - 1}
    await paying.assert_books()


async def test_a_key_that_was_used_for_something_else_strands_the_money_only_until_a_person_looked(
    paying: PayoutWorld,
) -> None:
    creator, payout = await requested(paying)
    await paying.billing.stripe.create_transfer(
        amount_cents=1,
        destination=creator.stripe_account_id,
        payout_id="another group",
        idempotency_key=f"po:{payout.id}:1",
    )
    assert not await paying.work(payout.id)
    for _ in range(30):
        await paying.advance(hours=1)
        assert not await paying.work(payout.id)
    assert (await paying.payout(creator)).state == "unknown"

    assert await retry_payout(paying.billing, payout.id, new_key=True)
    assert await paying.work(payout.id)

    assert [(one.number, one.state) for one in await paying.attempts(payout.id)] == [(1, "lapsed"), (2, "made")]
    assert len(await paying.transfers(payout.id)) == 1
    await paying.assert_books()


async def test_a_late_transfer_after_a_second_payout_is_booked_and_owed(paying: PayoutWorld) -> None:
    """A worker stood still; its payout was canceled, the money reserved anew, and then it sends after all."""
    creator, first = await requested(paying)
    assert await cancel_payout(paying.billing, first.id)
    second = await request_payout(paying.billing, subject=creator.subject)
    late = await paying.billing.stripe.create_transfer(
        amount_cents=5_000,
        destination=creator.stripe_account_id,
        payout_id=str(first.id),
        idempotency_key=f"po:{first.id}:1",
    )
    assert await settle_transfer(paying.billing, transfer_id=late.transfer_id)

    assert await paying.work(second.id)

    states = {one.id: (one.state, one.failure_code) for one in await paying.payouts(creator)}
    assert states == {first.id: ("in_transit", None), second.id: ("failed", "earnings_reversed")}
    assert await paying.balances(creator) == {}
    await paying.assert_books()


class KeyRevoked(StripeService):
    """Stripe as somebody meets it whose key was taken away."""

    async def transfers_of(self, payout_id: str) -> tuple[StripeTransfer, ...]:
        raise ProviderMisconfigured("The payment provider refused the request.")


async def test_a_key_that_was_revoked_waits_for_the_operator_and_not_half_a_minute(paying: PayoutWorld) -> None:
    creator, payout = await requested(paying)
    await paying.door.fault("/v1/transfers", "drop_after", method="POST")
    assert not await paying.work(payout.id)
    await paying.advance(minutes=1)

    locked_out = paying.beside(stripe=KeyRevoked(paying.billing.stripe.connection))
    assert not await locked_out.work(payout.id)

    payout = await paying.payout(creator)
    assert (payout.state, payout.waits_for) == ("unknown", "operator")
    assert payout.due_at == paying.clock.now() + timedelta(minutes=15)
    await paying.advance(minutes=15)
    assert await paying.work(payout.id)
    assert len(await paying.transfers(payout.id)) == 1
    await paying.assert_books()


async def test_an_account_says_nothing_about_the_payments_of_another(paying: PayoutWorld) -> None:
    creator, payout = await sent(paying)
    stranger = await paying.creator()
    bank_payout = await to_the_bank(paying, creator)
    await paying.door.control("payouts/arrive", payout=bank_payout)

    assert not await settle_bank_payout(
        paying.billing, stripe_account_id=stranger.stripe_account_id, bank_payout_id=bank_payout
    )

    assert (await paying.payout(creator)).state == "in_transit"
    assert (await paying.payout(creator)).id == payout.id
    await paying.assert_books()
