"""Entries that balance, are sealed and are made up: each is found by the rule it breaks."""

from collections.abc import Callable

import pytest

from gateway.db import Database
from gateway.domain.charges import available, held, pending, receivable
from gateway.domain.ids import new_id
from gateway.domain.ledger import BAD_DEBT, BANK, FEES, STRIPE, EntryDraft, EntryKind, Line, wallet
from gateway.domain.payouts import transit
from gateway.services.books.checking import check_books
from gateway.services.ledger import record
from tests.services.market_world import START, Market
from tests.services.whole_market import rules, whole_market

X = 500_000
ID = new_id(START)


@pytest.fixture
async def market(database: Database) -> Market:
    return await whole_market(database)


async def forge(market: Market, draft: EntryDraft) -> set[str]:
    await market.database.run(lambda connection: record(connection, draft, now=market.billing.clock.now()))
    return rules(await check_books(market.database))


def entry(idem: str, kind: EntryKind, *lines: Line, ref: str | None = None) -> EntryDraft:
    return EntryDraft(idem=idem, kind=kind, lines=lines, ref=ref)


Forgery = Callable[[Market], EntryDraft]
FORGERIES: dict[str, tuple[Forgery, set[str]]] = {
    "a refund of nothing": (
        lambda m: entry(
            "ref:ch_x:9",
            EntryKind.REFUND,
            Line(wallet(m.customer_id("eve")), -X),
            Line(STRIPE, X),
            ref="ch_x",
        ),
        {"entry-refund"},
    ),
    "a give-back of no dispute": (
        lambda m: entry(
            "dp:dp_x:9",
            EntryKind.DISPUTE_REVERSAL,
            Line(wallet(m.customer_id("eve")), X),
            Line(STRIPE, -X),
            ref="dp_x",
        ),
        {"entry-dispute"},
    ),
    "a give-back of another name": (
        lambda m: entry(
            "dp:x:9",
            EntryKind.DISPUTE_REVERSAL,
            Line(wallet(m.customer_id("eve")), X),
            Line(STRIPE, -X),
            ref="dp_x",
        ),
        {"entry-shape", "entry-dispute"},
    ),
    "out of one wallet into another": (
        lambda m: entry(
            "adj:x",
            EntryKind.ADJUSTMENT,
            Line(wallet(m.customer_id("eve")), -X),
            Line(wallet(m.customer_id("fay")), X),
        ),
        {"entry-shape"},
    ),
    "earnings out of bad debt": (
        lambda m: entry(
            "adj:x", EntryKind.ADJUSTMENT, Line(available(m.customer_id("creator")), X), Line(BAD_DEBT, -X)
        ),
        {"entry-shape"},
    ),
    "earnings of a kind that gives none": (
        lambda m: entry(
            "po:x:y", EntryKind.SUBSCRIPTION, Line(available(m.customer_id("creator")), X), Line(STRIPE, -X)
        ),
        {"entry-shape", "earned-charges"},
    ),
    "earnings that a dispute gave back": (
        lambda m: entry(
            f"fz:{m.customer_id('creator')}:{ID}",
            EntryKind.DISPUTE_REVERSAL,
            Line(available(m.customer_id("creator")), X),
            Line(BAD_DEBT, -X),
            ref="dp_x",
        ),
        {"entry-dispute", "entry-event", "earned-charges"},
    ),
    "bad debt into a wallet": (
        lambda m: entry("fz:x", EntryKind.BAD_DEBT, Line(wallet(m.customer_id("eve")), X), Line(BAD_DEBT, -X)),
        {"entry-shape", "entry-dispute"},
    ),
    "a release to somebody else": (
        lambda m: entry(
            f"rel:{m.customer_id('creator')}:{ID}",
            EntryKind.RELEASE,
            Line(pending(m.customer_id("creator")), -1),
            Line(available(m.customer_id("idle")), 1),
        ),
        {"entry-shape", "earned-charges"},
    ),
    "a covered debt of which nothing came in": (
        lambda m: entry(
            "cov:dep:x",
            EntryKind.ADJUSTMENT,
            Line(wallet(m.customer_id("eve")), -X),
            Line(receivable(m.customer_id("eve")), X),
            ref="dep:x",
        ),
        {"entry-cause", "receivable-sign"},
    ),
    "a call paid with another's wallet": (
        lambda m: entry(
            f"call:{m.customer_id('fay')}:x",
            EntryKind.TOOL_CALL,
            Line(wallet(m.customer_id("eve")), -X),
            Line(FEES, X),
        ),
        {"entry-shape", "entry-charge"},
    ),
    "a correction of what is held": (
        lambda m: entry("adj:x", EntryKind.ADJUSTMENT, Line(held(m.customer_id("creator")), X), Line(BANK, -X)),
        {"entry-shape", "earned-charges"},
    ),
    "a payout of which no creator was told": (
        lambda m: entry(
            f"po:{ID}",
            EntryKind.PAYOUT,
            Line(available(m.customer_id("creator")), -1),
            Line(transit(m.customer_id("creator")), 1),
            ref=str(ID),
        ),
        {"entry-event", "transit-payout", "paid-out"},
    ),
}


@pytest.mark.parametrize("name", list(FORGERIES))
async def test_an_entry_that_is_made_up_is_found(market: Market, name: str) -> None:
    make, rule = FORGERIES[name]
    assert await forge(market, make(market)) == rule


@pytest.mark.parametrize("account", [wallet, available])
async def test_a_correction_against_the_bank_is_no_fault(market: Market, account: Callable[..., object]) -> None:
    draft = EntryDraft(
        idem="adj:x",
        kind=EntryKind.ADJUSTMENT,
        lines=(Line(account(market.customer_id("eve")), X), Line(BANK, -X)),  # type: ignore[arg-type]  # both make accounts
    )
    assert await forge(market, draft) == set()


async def test_an_entry_that_was_given_another_name_is_found(market: Market) -> None:
    database = market.database
    async with database.transaction() as connection:
        if database.dialect == "sqlite":
            rows = await connection.fetch(
                "SELECT name FROM sqlite_master WHERE type = 'trigger' AND tbl_name = 'ledger_entry'"
            )
            for row in rows:
                await connection.execute(f"DROP TRIGGER {row['name']}")
        else:
            await connection.execute("ALTER TABLE ledger_entry DISABLE TRIGGER USER")
        await connection.execute("UPDATE ledger_entry SET idem = 'sub:' || id WHERE kind = 'release'")
    assert rules(await check_books(database)) == {"entry-shape"}
