"""The audit finds nothing in books that are right, and whatever is wrong, by the name of the rule it breaks."""

import asyncio
from uuid import UUID

import pytest

from gateway.db import Database
from gateway.domain.charges import receivable
from gateway.domain.ledger import STRIPE, EntryDraft, EntryKind, Line, deposit_draft, wallet
from gateway.services.books.checking import check_books
from gateway.services.books.checkpoints import checkpoint_accounts
from gateway.services.ledger import record
from gateway.services.marketplace.reversals import reverse_charge
from tests.services.market_world import Market
from tests.services.whole_market import change, rules, whole_market

CHECKS = (
    "ledger",
    "deposits",
    "entries",
    "charges",
    "holds",
    "refunds",
    "disputes",
    "clearing",
    "told",
    "pending",
    "held",
    "available",
    "days",
    "debtors",
    "derived",
)
#: tests/services/test_payout_books.py has rows for these.
PAYOUT_CHECKS = ("payouts", "transit", "paid-out")


@pytest.fixture
async def market(database: Database) -> Market:
    return await whole_market(database)


async def test_books_of_a_whole_market_are_right(market: Market) -> None:
    report = await check_books(market.database)
    assert report.faults == ()
    assert tuple(result.name for result in report.results) == CHECKS + PAYOUT_CHECKS
    assert all(result.rows > 0 for result in report.results if result.name in CHECKS)


async def test_empty_books_are_right(database: Database) -> None:
    report = await check_books(database)
    assert report.faults == ()


ONE_DEPOSIT = "session_id = (SELECT min(session_id) FROM checkout)"
ONE_CHARGE = "id = (SELECT c.id FROM tool_charge AS c WHERE c.state = 'pending' ORDER BY c.id LIMIT 1)"


@pytest.mark.parametrize(
    ("statement", "rule"),
    [
        ("UPDATE checkout SET amount_cents = 999 WHERE ONE_DEPOSIT", {"deposit-amount"}),
        ("UPDATE checkout SET session_id = 'cs_x' WHERE ONE_DEPOSIT", {"deposit-entry", "entry-deposit"}),
        ("UPDATE checkout SET state = 'failed', settled_at = NULL WHERE ONE_DEPOSIT", {"entry-deposit"}),
        ("DELETE FROM tool_charge WHERE ONE_CHARGE", {"entry-charge", "earned-charges", "day-charges"}),
        ("UPDATE tool_charge SET tool_id = 'another' WHERE ONE_CHARGE", {"charge-entry"}),
        ("UPDATE tool_charge SET call_id = 'another' WHERE ONE_CHARGE", {"charge-entry"}),
        ("UPDATE tool_charge SET fee_bps = 100 WHERE ONE_CHARGE", {"charge-share"}),
        ("UPDATE tool_charge SET wallet_after_micros = 1 WHERE ONE_CHARGE", {"charge-wallet"}),
        (
            "UPDATE tool_charge SET net_micros = net_micros + 1, fee_micros = fee_micros - 1 WHERE ONE_CHARGE",
            {"charge-share", "charge-entry", "earned-charges", "day-charges"},
        ),
        ("UPDATE tool_charge SET state = 'available' WHERE ONE_CHARGE", {"earned-charges"}),
        ("UPDATE tool_charge SET state = 'own' WHERE ONE_CHARGE", {"earned-charges", "charge-own"}),
        (
            "UPDATE tool_charge SET state = 'reversed', reversal_reason = 'x' WHERE ONE_CHARGE",
            {"charge-reversal", "charge-reversed-by", "earned-charges", "day-charges"},
        ),
        (
            "UPDATE tool_charge SET state = 'lost', reversal_reason = NULL WHERE state = 'reversed'",
            {"charge-reversal", "charge-reversed-by", "entry-reversal", "charge-loss"},
        ),
        ("UPDATE charge_loss SET gross_micros = gross_micros - 1", {"charge-loss"}),
        (
            "UPDATE tool_charge SET lost_net_micros = lost_net_micros + 1 WHERE ONE_CHARGE",
            {"charge-loss", "earned-charges", "day-charges"},
        ),
        ("UPDATE earnings_day SET calls = calls + 1", {"day-charges"}),
        ("DELETE FROM earnings_day", {"day-charges", "earned-charges"}),
        ("UPDATE earnings_day SET day = '2020-01-01' WHERE day = (SELECT max(day) FROM earnings_day)", {"day-charges"}),
        ("DELETE FROM ledger_tail", {"derived-checkpoint"}),
        ("UPDATE ledger_checkpoint SET balance_micros = balance_micros + 1", {"derived-checkpoint"}),
    ],
)
async def test_what_is_changed_by_hand_is_found(market: Market, statement: str, rule: set[str]) -> None:
    statement = statement.replace("ONE_CHARGE", ONE_CHARGE).replace("ONE_DEPOSIT", ONE_DEPOSIT)
    await change(market.database, statement)
    report = await check_books(market.database)
    assert rules(report) == rule
    assert rules(await check_books(market.database, postings_max=1)) == rule


async def test_money_that_nobody_paid_is_found(market: Market) -> None:
    draft = deposit_draft(customer_id=market.customer_id("ann"), session_id="cs_forged", amount_micros=1_000_000)
    await market.database.run(lambda connection: record(connection, draft, now=market.billing.clock.now()))
    (fault, *others) = [fault for fault in (await check_books(market.database)).faults if fault.rule != "debtor-wallet"]
    assert (fault.rule, fault.subject, others) == ("entry-deposit", "dep:cs_forged", [])


async def test_debtor_with_money_is_found(market: Market) -> None:
    ann = market.customer_id("ann")
    draft = EntryDraft(
        idem="adj:1",
        kind=EntryKind.ADJUSTMENT,
        lines=(Line(receivable(ann), -500), Line(wallet(ann), 500)),
    )
    await market.database.run(lambda connection: record(connection, draft, now=market.billing.clock.now()))
    faults = (await check_books(market.database)).faults
    assert [(fault.rule, fault.subject) for fault in faults] == [
        ("entry-shape", "adj:1"),
        ("debtor-wallet", receivable(ann).code),
    ]


async def test_nobody_owes_less_than_nothing(market: Market) -> None:
    debtor = receivable(market.customer_id("cat"))
    draft = EntryDraft(idem="adj:1", kind=EntryKind.ADJUSTMENT, lines=(Line(debtor, 900_000), Line(STRIPE, -900_000)))
    await market.database.run(lambda connection: record(connection, draft, now=market.billing.clock.now()))
    assert rules(await check_books(market.database)) == {"entry-shape", "receivable-sign"}


async def test_each_check_stops_at_enough_faults(market: Market) -> None:
    await change(market.database, "UPDATE tool_charge SET fee_bps = 100")
    report = await check_books(market.database, faults_max=3)
    assert [len(result.faults) for result in report.results if result.name == "charges"] == [3]


@pytest.mark.parametrize("postings_max", [1, 3, 100_000])
async def test_check_beside_the_writers_finds_nothing(market: Market, postings_max: int) -> None:
    selling = True

    async def sell(seat: int) -> None:
        for number in range(15):
            await market.charged("eve", "tool", f"{seat}-{number}")
            if number % 5 == 0:
                await reverse_charge(
                    market.billing,
                    consumer=market.subject("eve"),
                    call_id=f"{seat}-{number}",
                    reason="wrong",
                    operator="op",
                )
                await checkpoint_accounts(market.billing, at_once=5)

    async def check() -> int:
        checks = 0
        while selling:
            assert (await check_books(market.database, postings_max=postings_max)).faults == ()
            checks += 1
        return checks

    checking = asyncio.create_task(check())
    await asyncio.gather(*(sell(seat) for seat in range(3)))
    selling = False
    assert await checking > 0


async def test_walk_goes_over_many_batches(market: Market) -> None:
    for number in range(45):
        await market.publish(f"tool-{number}", f"creator-{number}", price="0.01")
        await market.charged("eve", f"tool-{number}", f"of-{number}")
    assert (await check_books(market.database)).faults == ()
    await change(market.database, "UPDATE earnings_day SET calls = 7 WHERE calls = 1")
    faults = (await check_books(market.database)).faults
    assert len({UUID(fault.subject.split()[0]) for fault in faults}) == 45 + 1, "each of those, and gil"
