"""A market in which everything has happened that the audit looks at, and ways to spoil its books."""

from datetime import timedelta

from gateway.db import Database
from gateway.domain.clock import ManualClock
from gateway.services.books.checking import BooksReport
from gateway.services.books.checkpoints import checkpoint_accounts
from gateway.services.marketplace.reversals import reverse_charge
from tests.services.market_world import HOLD, Market, open_market


async def whole_market(database: Database) -> Market:
    """One of everything: sales of two days, one's own calls, a reversal, refunds, and disputes of each end."""
    market = open_market(database)
    await market.publish("tool", "creator", price="0.01")
    await market.publish("cheap", "other", price="0.0001")
    await market.join("idle")
    await market.publish("unsold", "idle", price="1")
    for name in ("ann", "bob", "cat", "dan", "creator"):
        deposit = await market.deposit(name, 1_000)
        calls = [market.call(name, tool, f"{tool}-{number}") for tool in ("tool", "cheap") for number in range(6)]
        await market.charge(*calls)
        if name == "ann":
            await market.refund(deposit, total_cents=1_000)
        if name in {"bob", "cat", "dan"}:
            await market.dispute(deposit, status="needs_response", withdrawn_cents=1_000)
        if name == "cat":
            await market.dispute(deposit, status="won", withdrawn_cents=0)
        if name == "dan":
            await market.dispute(deposit, status="lost", withdrawn_cents=1_000)
    deposit = await market.deposit("gus", 1_000)
    await market.charged("gus", "tool", "refunded")
    for total_cents in (1_000, 1, 1_000):
        await market.refund(deposit, total_cents=total_cents)
    await market.deposit("gus", 500)
    await _make_up_for_a_loss(market)
    await market.deposit("eve", 1_000)
    await market.charged("eve", "tool", "old")
    clock = market.billing.clock
    assert isinstance(clock, ManualClock)
    clock.advance(HOLD)
    await market.release_all()
    clock.advance(timedelta(days=1))
    for number in range(3):
        await market.charged("eve", "tool", str(number))
    for call_id in ("old", "0"):
        await reverse_charge(
            market.billing, consumer=market.subject("eve"), call_id=call_id, reason="wrong", operator="op"
        )
    await market.deposit("fay", 1_000, clears_at=clock.now() + 2 * HOLD)
    await market.charged("fay", "tool", "uncleared")
    while await checkpoint_accounts(market.billing, at_once=10):
        pass
    await market.charged("eve", "tool", "in-the-tail")
    return market


async def _make_up_for_a_loss(market: Market) -> None:
    """Of a call for $5 all was lost, until $3 of other money came back."""
    await market.publish("dear", "gil", price="5")
    spent = await market.deposit("zoe", 500)
    await market.charged("zoe", "dear", "1")
    unspent = await market.deposit("zoe", 300)
    await market.dispute(unspent, status="needs_response", withdrawn_cents=300)
    await market.dispute(spent, status="lost", withdrawn_cents=500)
    await market.dispute(unspent, status="won", withdrawn_cents=0)


def rules(report: BooksReport) -> set[str]:
    return {fault.rule for fault in report.faults}


async def change(database: Database, statement: str) -> None:
    async with database.transaction() as connection:
        assert await connection.execute(statement) > 0
