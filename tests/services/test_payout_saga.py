"""From reserved money to a known transfer: what Stripe may answer, and what becomes of the money each time."""

import pytest

from gateway.domain.ledger import BANK, STRIPE
from gateway.services.jobs.doing import Doer
from gateway.services.jobs.table import JobTable
from gateway.services.ledger import balance
from gateway.services.payouts import advance_payout, cancel_payout, request_payout, settle_transfer, wake_overdue
from tests.support.payouts import DOLLAR, Creator, PayoutWorld


async def requested(paying: PayoutWorld, *, cents: int = 5_000, micros: int = 0) -> Creator:
    creator = await paying.creator(cents=cents, micros=micros)
    await request_payout(paying.billing, subject=creator.subject)
    return creator


async def test_a_payout_is_reserved_then_sent_once(paying: PayoutWorld) -> None:
    creator = await requested(paying, cents=5_000, micros=2_500)
    assert await paying.balances(creator) == {"earn_available": 2_500, "transit": 50 * DOLLAR}
    before = await balance(paying.database, STRIPE)

    payout = await paying.payout(creator)
    assert await paying.work(payout.id)
    assert await paying.work(payout.id)

    payout = await paying.payout(creator)
    (transfer,) = await paying.transfers(payout.id)
    assert (payout.state, payout.amount_cents, payout.transfer_id) == ("in_transit", 5_000, transfer["id"])
    assert (transfer["amount"], transfer["destination"]) == (5_000, creator.stripe_account_id)
    assert transfer["metadata"] == {"gateway_payout": str(payout.id)}
    assert payout.destination_payment_id == transfer["destination_payment"]
    assert await paying.balances(creator) == {"earn_available": 2_500}
    assert await balance(paying.database, STRIPE) == before + 50 * DOLLAR
    assert await paying.statement(creator) == [("PAYOUT", -50 * DOLLAR)]
    assert await balance(paying.database, BANK) == -50 * DOLLAR - 2_500
    await paying.assert_books()


@pytest.mark.parametrize(
    "kind", ["status_500", "status_500_after", "drop_before", "drop_after", "cut_body", "not_json"]
)
async def test_no_clear_answer_is_unknown_and_looked_up_before_it_is_sent_again(paying: PayoutWorld, kind: str) -> None:
    creator = await requested(paying)
    payout = await paying.payout(creator)
    await paying.door.fault("/v1/transfers", kind, method="POST")

    assert not await paying.work(payout.id)
    payout = await paying.payout(creator)
    assert payout.state == "unknown"
    assert await paying.balances(creator) == {"transit": 50 * DOLLAR}
    assert not await cancel_payout(paying.billing, payout.id)

    await paying.advance(minutes=1)
    await paying.door.forget_requests()
    assert await paying.work(payout.id)
    asked = [(row["method"], row["path"]) for row in await paying.door.requests("/v1/transfers")]
    assert asked[0] == ("GET", "/v1/transfers")
    assert len(await paying.transfers(payout.id)) == 1
    assert (await paying.payout(creator)).state == "in_transit"
    assert [one.number for one in await paying.attempts(payout.id)] == [1]
    await paying.assert_books()


async def test_a_stored_500_is_outwaited_and_another_key_used_after_two_looks(paying: PayoutWorld) -> None:
    creator = await requested(paying)
    payout = await paying.payout(creator)
    await paying.door.fault("/v1/transfers", "status_500_kept", method="POST")
    assert not await paying.work(payout.id)
    for _ in range(20):
        await paying.advance(hours=1)
        assert not await paying.work(payout.id)
    (first,) = await paying.attempts(payout.id)
    assert (first.state, first.missing_since) == ("unknown", paying.clock.now())
    assert await paying.transfers(payout.id) == []

    await paying.advance(minutes=59)
    assert not await paying.work(payout.id)
    await paying.advance(minutes=1)
    assert await paying.work(payout.id)

    assert [(one.number, one.state) for one in await paying.attempts(payout.id)] == [(1, "lapsed"), (2, "made")]
    assert len(await paying.transfers(payout.id)) == 1
    await paying.assert_books()


async def test_a_definite_refusal_gives_the_money_back(paying: PayoutWorld) -> None:
    creator = await requested(paying)
    payout = await paying.payout(creator)
    await paying.door.control("accounts/stage", account=creator.stripe_account_id, stage="rejected")

    assert await paying.work(payout.id)

    payout = await paying.payout(creator)
    assert (payout.state, payout.failure_code) == ("failed", "insufficient_capabilities_for_transfer")
    assert payout.failure_message is not None
    assert await paying.balances(creator) == {"earn_available": 50 * DOLLAR}
    assert await paying.statement(creator) == [("PAYOUT", -50 * DOLLAR), ("PAYOUT_RETURNED", 50 * DOLLAR)]
    assert await paying.transfers(payout.id) == []
    assert await paying.work(payout.id)
    await paying.assert_books()


async def test_too_little_on_the_platforms_balance_waits_and_is_paid_later(paying: PayoutWorld) -> None:
    await paying.fund(-90_000_000)
    creator = await requested(paying)
    payout = await paying.payout(creator)

    assert not await paying.work(payout.id)
    payout = await paying.payout(creator)
    assert (payout.state, payout.waits_for) == ("requested", "balance")
    assert await paying.balances(creator) == {"transit": 50 * DOLLAR}

    await paying.fund(10_000)
    await paying.advance(minutes=5)
    assert await paying.work(payout.id)
    payout = await paying.payout(creator)
    assert (payout.state, payout.waits_for) == ("in_transit", None)
    attempts = [(one.state, one.refusal_code) for one in await paying.attempts(payout.id)]
    assert attempts == [("refused", "balance_insufficient"), ("made", None)]
    await paying.assert_books()


async def test_a_payout_that_waits_for_the_balance_can_be_canceled(paying: PayoutWorld) -> None:
    await paying.fund(-90_000_000)
    creator = await requested(paying)
    payout = await paying.payout(creator)
    assert not await paying.work(payout.id)

    assert await cancel_payout(paying.billing, payout.id)
    assert not await cancel_payout(paying.billing, payout.id)

    assert (await paying.payout(creator)).state == "canceled"
    assert await paying.balances(creator) == {"earn_available": 50 * DOLLAR}
    await paying.fund(10_000)
    assert await paying.work(payout.id)
    assert await paying.transfers(payout.id) == []
    await paying.assert_books()


async def test_an_account_that_is_not_ready_is_waited_for_and_given_up_after_a_week(paying: PayoutWorld) -> None:
    creator, other = await requested(paying), await requested(paying)
    for one in (creator, other):
        await paying.door.control("accounts/stage", account=one.stripe_account_id, stage="review")
    await paying.advance(minutes=2)
    payout, others = await paying.payout(creator), await paying.payout(other)

    for one in (payout, others):
        assert not await paying.work(one.id)
    assert (await paying.payout(creator)).waits_for == "account"
    await paying.door.control("accounts/stage", account=creator.stripe_account_id, stage="active")
    await paying.advance(minutes=15)
    assert await paying.work(payout.id)
    assert (await paying.payout(creator)).state == "in_transit"

    await paying.advance(days=7)
    assert await paying.work(others.id)
    failed = await paying.payout(other)
    assert (failed.state, failed.failure_code) == ("failed", "account_not_ready")
    assert await paying.attempts(others.id) == []
    assert await paying.balances(other) == {"earn_available": 50 * DOLLAR}
    await paying.assert_books()


async def test_a_transfer_that_turns_up_after_the_money_was_given_back_is_booked(paying: PayoutWorld) -> None:
    """A worker that stood still for long between storing its intent and asking Stripe."""
    creator = await requested(paying)
    payout = await paying.payout(creator)
    assert await cancel_payout(paying.billing, payout.id)
    late = await paying.billing.stripe.create_transfer(
        amount_cents=5_000,
        destination=creator.stripe_account_id,
        payout_id=str(payout.id),
        idempotency_key=f"po:{payout.id}:1",
    )
    assert await settle_transfer(paying.billing, transfer_id=late.transfer_id)
    assert await settle_transfer(paying.billing, transfer_id=late.transfer_id)

    assert (await paying.payout(creator)).state == "in_transit"
    assert await paying.balances(creator) == {}
    assert sum(net for _, net in await paying.statement(creator)) == -50 * DOLLAR
    await paying.assert_books()


async def test_a_second_transfer_is_never_booked_and_a_foreign_one_stops_the_payout(paying: PayoutWorld) -> None:
    creator = await requested(paying)
    payout = await paying.payout(creator)
    await paying.door.fault("/v1/transfers", "drop_before", method="POST")
    assert not await paying.work(payout.id)
    await paying.billing.stripe.create_transfer(
        amount_cents=4_999, destination=creator.stripe_account_id, payout_id=str(payout.id), idempotency_key="by hand"
    )
    await paying.advance(minutes=1)

    assert not await paying.work(payout.id)

    payout = await paying.payout(creator)
    assert (payout.state, payout.waits_for) == ("unknown", "operator")
    assert len(await paying.transfers(payout.id)) == 1
    await paying.assert_books()


async def test_a_payout_whose_job_was_lost_gets_another(paying: PayoutWorld) -> None:
    creator = await requested(paying)
    payout = await paying.payout(creator)

    await paying.database.run(lambda connection: connection.execute("DELETE FROM job"))
    await wake_overdue(paying.billing)
    assert await paying.database.fetch("SELECT key FROM job") == []
    await paying.advance(minutes=10)
    assert not await wake_overdue(paying.billing)

    (job,) = await paying.database.fetch("SELECT kind, key FROM job")
    assert (job["kind"], job["key"]) == ("payout.send", str(payout.id))
    await advance_payout(paying.billing, payout.id)
    await paying.advance(minutes=30)
    assert not await wake_overdue(paying.billing)
    assert (await paying.payout(creator)).due_at is None
    await paying.assert_books()


async def test_the_job_of_a_payout_is_closed_with_its_transfer(paying: PayoutWorld) -> None:
    creator = await requested(paying)
    await paying.door.fault("/v1/transfers", "drop_after", method="POST")
    table = JobTable(paying.clock)
    doer = Doer(paying.billing, table)

    states: list[object] = []
    for _ in range(2):
        (job,) = await paying.database.run(lambda connection: table.claim(connection, limit=10))
        await doer.do(job)
        (row,) = await paying.database.fetch("SELECT kind, state FROM job")
        states.append((row["kind"], row["state"]))
        await paying.advance(minutes=1)

    assert states == [("payout.send", "waiting"), ("payout.send", "done")]
    payout = await paying.payout(creator)
    assert payout.state == "in_transit"
    assert len(await paying.transfers(payout.id)) == 1
    await paying.assert_books()
