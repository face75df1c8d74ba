"""Rows about refunds, disputes, holds and events: each that is changed by hand is found by the rule it breaks."""

import asyncio

import pytest

from gateway.db import Database
from gateway.services.books.checking import check_books
from tests.services.market_world import HOLD, START, Deposit, Market
from tests.services.whole_market import change, rules, whole_market


@pytest.fixture
async def market(database: Database) -> Market:
    return await whole_market(database)


#: What the statements below call by these names.
ROWS = {
    "ONE_DEPOSIT": "ledger_entry WHERE kind = 'deposit' LIMIT 1",
    "ONE_REFUNDED": "checkout WHERE refunded_cents > 0 LIMIT 1",
    "ONE_OPEN": "deposit_dispute WHERE state = 'open'",
    "TOO_LATE": "'2099-01-01 00:00:00.000000+00:00'",
}


@pytest.mark.parametrize(
    ("statement", "rule"),
    [
        ("UPDATE checkout SET refunded_cents = 0 WHERE refunded_cents > 0", {"refund-amount"}),
        ("UPDATE checkout SET refunded_cents = 500 WHERE refunded_cents > 0", {"refund-amount"}),
        ("UPDATE checkout SET refund_version = 0 WHERE refunded_cents > 0", {"refund-amount", "entry-refund"}),
        ("UPDATE checkout SET refund_charge_id = 'ch_x' WHERE refunded_cents > 0", {"refund-amount", "entry-refund"}),
        (
            "UPDATE checkout SET refund_charge_id = NULL, refunded_cents = 999 WHERE refunded_cents > 0",
            {"refund-amount"},
        ),
        (
            "UPDATE deposit_dispute SET withdrawn_micros = 0 WHERE state = 'open'",
            {"dispute-amount", "dispute-state", "dispute-owed"},
        ),
        ("UPDATE deposit_dispute SET owed_micros = owed_micros + 1 WHERE state = 'open'", {"dispute-debt"}),
        ("UPDATE deposit_dispute SET owed_micros = owed_micros + 1 WHERE state = 'lost'", {"dispute-loss"}),
        (
            "UPDATE deposit_dispute SET state = 'won' WHERE state = 'lost'",
            {"dispute-state", "dispute-loss", "charge-dispute"},
        ),
        (
            "UPDATE deposit_dispute SET state = 'open' WHERE state = 'lost'",
            {"dispute-loss", "dispute-debt", "charge-dispute"},
        ),
        ("UPDATE deposit_dispute SET state = 'lost' WHERE state = 'open'", {"dispute-loss", "charge-dispute"}),
        (
            "UPDATE deposit_dispute SET state = 'won', withdrawn_micros = 0, owed_micros = 0 WHERE state = 'open'",
            {"dispute-amount", "charge-dispute"},
        ),
        ("DELETE FROM deposit_dispute WHERE state = 'open'", {"entry-dispute", "charge-dispute"}),
        ("UPDATE deposit_dispute SET version = 0 WHERE state = 'open'", {"entry-dispute", "dispute-amount"}),
        (
            "UPDATE deposit_dispute SET checkout_id = (SELECT id FROM ONE_REFUNDED) WHERE state = 'open'",
            {"entry-dispute", "charge-dispute"},
        ),
        ("UPDATE tool_charge SET dispute_id = 'dp_nobody' WHERE state = 'held'", {"charge-dispute"}),
        ("UPDATE tool_charge SET dispute_id = 'dp_nobody' WHERE state = 'lost'", {"charge-dispute"}),
        (
            "UPDATE tool_charge SET dispute_id = (SELECT id FROM ONE_OPEN) WHERE state = 'pending'",
            {"charge-dispute"},
        ),
        (
            "UPDATE charge_loss SET dispute_id = (SELECT id FROM ONE_OPEN) WHERE gross_micros > 0",
            {"charge-dispute"},
        ),
        ("UPDATE tool_charge SET reversed_by = NULL WHERE state = 'reversed'", {"charge-reversed-by"}),
        ("UPDATE tool_charge SET reversed_by = 'op' WHERE state = 'pending'", {"charge-reversed-by"}),
        ("UPDATE tool_charge SET available_at = created_at WHERE call_id = 'uncleared'", {"charge-available"}),
        ("UPDATE tool_charge SET available_at = TOO_LATE WHERE call_id = 'uncleared'", {"charge-available"}),
        ("UPDATE customer SET funds_clear_at = NULL", {"customer-clearing"}),
        ("DELETE FROM earning_event WHERE kind = 'REFUND'", {"entry-event"}),
        ("DELETE FROM earning_event WHERE kind = 'DISPUTE'", {"entry-event"}),
        (
            "UPDATE earning_event SET gross_micros = gross_micros - 1, net_micros = net_micros - 1",
            {"entry-event"},
        ),
        ("UPDATE earning_event SET gross_micros = gross_micros - 1", {"event-split"}),
        ("UPDATE earning_event SET kind = 'PAYOUT' WHERE kind = 'REFUND'", {"event-entry"}),
        (
            "UPDATE earning_event SET entry_id = (SELECT id FROM ONE_DEPOSIT) WHERE kind = 'REFUND'",
            {"event-entry", "entry-event"},
        ),
    ],
)
async def test_what_is_changed_by_hand_is_found(market: Market, statement: str, rule: set[str]) -> None:
    for name, row in ROWS.items():
        statement = statement.replace(name, row)
    await change(market.database, statement)
    assert rules(await check_books(market.database)) == rule
    assert rules(await check_books(market.database, postings_max=1)) == rule


async def being_applied(market: Market, dispute_id: str) -> None:
    """A worker has an event of this dispute in its hands."""
    now = market.billing.clock.now()
    async with market.database.transaction() as connection:
        await connection.execute(
            "INSERT INTO stripe_event (id, type, object_id, livemode, payload, state, due_at, occurred_at, "
            "received_at) VALUES ($1, 'charge.dispute.closed', $2, false, '{}', 'doing', $3, $3, $3)",
            (f"evt_{dispute_id}", dispute_id, now),
        )


async def test_charges_that_a_turn_is_moving_are_no_fault_and_those_it_left_are(market: Market) -> None:
    """The customer's side of a dispute is settled before the creators'; its event is done with the last batch."""
    (dispute,) = await market.database.fetch("SELECT min(id) AS id FROM deposit_dispute WHERE state = 'lost'")
    await being_applied(market, str(dispute["id"]))
    lost = "SELECT min(id) FROM deposit_dispute WHERE state = 'lost'"
    await change(market.database, f"UPDATE tool_charge SET dispute_id = ({lost}) WHERE state = 'held'")  # noqa: S608 - a constant
    assert rules(await check_books(market.database)) == set()
    await change(market.database, "UPDATE stripe_event SET state = 'dead'")
    assert rules(await check_books(market.database)) == {"charge-dispute"}


@pytest.mark.parametrize("postings_max", [1, 2, 100_000])
async def test_refunds_of_before_their_charge_was_noted_are_told_per_customer(
    market: Market, postings_max: int
) -> None:
    await change(market.database, "UPDATE checkout SET refund_charge_id = NULL WHERE refunded_cents > 0")
    assert rules(await check_books(market.database, postings_max=postings_max)) == set()
    await change(market.database, "UPDATE checkout SET refunded_cents = 999 WHERE refunded_cents > 0")
    assert rules(await check_books(market.database, postings_max=postings_max)) == {"refund-amount"}


async def test_check_beside_refunds_and_disputes_finds_nothing(market: Market) -> None:
    """As the worker does it: the event of a dispute is done after the last of the charges has moved."""
    names = ("hal", "ida", "joe")
    deposits = [await market.deposit(name, 1_000, clears_at=START + 3 * HOLD) for name in names]
    for deposit in deposits:
        await being_applied(market, f"dp_{deposit.charge_id}one")
    turning = True

    async def turn(name: str, deposit: Deposit) -> None:
        for number in range(3):
            await market.charge(*(market.call(name, "tool", f"{number}-{call}") for call in range(5)))
            await market.dispute(deposit, status="needs_response", withdrawn_cents=1_000)
            await market.dispute(deposit, status=("won", "lost", "won")[number], withdrawn_cents=(0, 1_000, 0)[number])
            await market.refund(deposit, total_cents=(number + 1) * 100)

    async def check() -> int:
        checks = 0
        while turning:
            assert (await check_books(market.database, postings_max=3)).faults == ()
            checks += 1
        return checks

    checking = asyncio.create_task(check())
    await asyncio.gather(*(turn(name, deposit) for name, deposit in zip(names, deposits, strict=True)))
    turning = False
    assert await checking > 0
