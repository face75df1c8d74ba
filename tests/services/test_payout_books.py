"""The audit of payouts: right through every state, and whatever is changed by hand is found by the rule it breaks."""

import pytest

from gateway.services.books.checking import check_books
from gateway.services.payouts import cancel_payout, request_payout, settle_transfer
from tests.support.payouts import Creator, PayoutWorld


@pytest.fixture
async def world(paying: PayoutWorld) -> PayoutWorld:
    """One payout in each state there is: under way, unknown, sent, come back in part, failed, canceled, late."""
    await _requested(paying)
    unknown = await _requested(paying)
    await paying.door.fault("/v1/transfers", "drop_after", method="POST")
    await paying.work((await paying.payout(unknown)).id)
    for cents in (0, 1_000, 5_000):
        await _sent(paying, taken_back_cents=cents)
    failed = await _requested(paying)
    await paying.door.control("accounts/stage", account=failed.stripe_account_id, stage="rejected")
    await paying.work((await paying.payout(failed)).id)
    canceled = await _requested(paying)
    await cancel_payout(paying.billing, (await paying.payout(canceled)).id)
    late = await _requested(paying)
    payout = await paying.payout(late)
    await cancel_payout(paying.billing, payout.id)
    made = await paying.billing.stripe.create_transfer(
        amount_cents=5_000, destination=late.stripe_account_id, payout_id=str(payout.id), idempotency_key="late"
    )
    assert await settle_transfer(paying.billing, transfer_id=made.transfer_id)
    return paying


async def _requested(paying: PayoutWorld) -> Creator:
    creator = await paying.creator(cents=5_000)
    await request_payout(paying.billing, subject=creator.subject)
    return creator


async def _sent(paying: PayoutWorld, *, taken_back_cents: int) -> None:
    creator = await _requested(paying)
    payout = await paying.payout(creator)
    assert await paying.work(payout.id)
    if taken_back_cents:
        sent = await paying.payout(creator)
        assert sent.transfer_id is not None
        await paying.door.control("transfers/reverse", transfer=sent.transfer_id, amount=taken_back_cents)
        assert await settle_transfer(paying.billing, transfer_id=sent.transfer_id)


async def test_payouts_in_every_state_are_right(world: PayoutWorld) -> None:
    report = await check_books(world.database)

    assert report.faults == ()
    rows = {result.name: result.rows for result in report.results}
    assert (rows["payouts"], rows["transit"], rows["paid-out"]) == (8, 8, 8)


#: What the statements below call by these names.
ROWS = {
    "ONE_REQUESTED": "id = (SELECT id FROM payout WHERE state = 'requested')",
    "ONE_CANCELED": "id = (SELECT id FROM payout WHERE state = 'canceled')",
    "ONE_RETURNED": "id = (SELECT id FROM payout WHERE returned_cents = 1000)",
    "ONE_LATE": "id = (SELECT p.id FROM payout AS p JOIN ledger_entry AS e ON e.idem = 'po:' || p.id || ':late')",
}


@pytest.mark.parametrize(
    ("statement", "rules"),
    [
        (
            "UPDATE payout SET amount_cents = 4999 WHERE ONE_REQUESTED",
            {"payout-reserve", "transit-payout", "paid-out"},
        ),
        ("DELETE FROM payout WHERE ONE_REQUESTED", {"transit-payout", "paid-out"}),
        (
            "UPDATE payout SET state = 'canceled', due_at = NULL WHERE ONE_REQUESTED",
            {"payout-end", "transit-payout", "paid-out"},
        ),
        (
            "UPDATE payout SET state = 'requested', due_at = requested_at WHERE ONE_CANCELED",
            {"payout-end", "transit-payout", "paid-out"},
        ),
        ("UPDATE payout SET transfer_id = 'tr_x' WHERE ONE_RETURNED", {"payout-end"}),
        ("UPDATE payout SET returned_cents = 999 WHERE ONE_RETURNED", {"payout-returned", "paid-out"}),
        (
            "DELETE FROM transfer_reversal WHERE amount_cents = 1000",
            {"payout-returned"},
        ),
        ("UPDATE payout SET transfer_id = 'tr_x' WHERE ONE_LATE", {"payout-late"}),
    ],
)
async def test_what_is_changed_by_hand_is_found(world: PayoutWorld, statement: str, rules: set[str]) -> None:
    for name, condition in ROWS.items():
        statement = statement.replace(name, condition)
    async with world.database.transaction() as connection:
        assert await connection.execute(statement) == 1

    report = await check_books(world.database)

    assert {fault.rule for fault in report.faults} == rules
