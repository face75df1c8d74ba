"""Earnings whose hold is over become available, whatever is wrong with somebody else's books."""

import pytest
import structlog

from gateway.db import Database
from gateway.domain.charges import pending
from gateway.domain.ledger import BAD_DEBT, EntryDraft, EntryKind, Line
from gateway.services.books.checking import check_books
from gateway.services.chores import release_earnings
from gateway.services.ledger import record
from gateway.services.marketplace import releases
from tests.services.market_world import HOLD, Market, open_market


async def market_with_a_broken_creator(database: Database, *, calls: int) -> Market:
    """Somebody took a little out of what bad's account holds for its charges."""
    market = open_market(database)
    await market.publish("a", "bad", price="1")
    await market.publish("b", "good", price="1")
    await market.deposit("ann", 50_000)
    for number in range(calls):
        await market.charged("ann", "a", f"a{number}")
        await market.charged("ann", "b", f"b{number}")
    taken = EntryDraft(
        idem="adj:1",
        kind=EntryKind.ADJUSTMENT,
        lines=(Line(pending(market.customer_id("bad")), -100), Line(BAD_DEBT, 100)),
    )
    await database.run(lambda connection: record(connection, taken, now=market.billing.clock.now()))
    market.billing.clock.advance(HOLD)  # type: ignore[attr-defined]  # open_market gives a clock of ours
    return market


async def test_a_creator_whose_account_is_short_keeps_nobody_else_waiting(database: Database) -> None:
    market = await market_with_a_broken_creator(database, calls=3)

    with structlog.testing.capture_logs() as logs:
        await release_earnings(market.billing)

    assert await market.balances("good") == {"earn_available": 3 * 800_000}
    assert await market.balances("bad") == {"earn_pending": 3 * 800_000 - 100}
    alarms = [line["creators"] for line in logs if line["event"] == "earnings.not_released"]
    assert alarms == [[str(market.customer_id("bad"))]]
    report = await check_books(database)
    assert {fault.rule for fault in report.faults} == {"entry-shape", "earned-charges"}


async def test_many_charges_of_such_a_creator_keep_nobody_waiting_either(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(releases, "RELEASED_AT_ONCE_MAX", 1)
    market = await market_with_a_broken_creator(database, calls=3)

    await release_earnings(market.billing)

    assert await market.balances("good") == {"earn_available": 3 * 800_000}
