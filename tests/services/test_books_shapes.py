"""Every entry that the code makes is on the audit's list of shapes, and nothing else is on it."""

import re
from collections.abc import Iterator
from pathlib import Path

from gateway.db import Database
from gateway.db.rows import identifier_or_none, integer, text_or_none
from gateway.domain.balance_entries import bank_draft, fee_draft, subscription_draft
from gateway.domain.charges import Call, Listing, charge_draft
from gateway.domain.ids import new_id
from gateway.domain.ledger import BANK, STRIPE, EntryDraft, EntryKind, Line, deposit_draft, wallet
from gateway.domain.payouts import PayoutMoney
from gateway.domain.tools import split_price
from gateway.services.books.shapes import SHAPES, EntryFacts, EntryLine, Shape, shape_of
from tests.services.market_world import START
from tests.services.whole_market import whole_market

GATEWAY = Path(__file__).parents[2] / "gateway"
ANN, DAN, PAYOUT = new_id(START), new_id(START), new_id(START)

#: Who makes entries. One more maker is one more shape: see gateway/services/books/shapes.py, then add it here.
MAKERS = {
    "domain/balance_entries.py",
    "domain/charges.py",
    "domain/ledger.py",
    "domain/payouts.py",
    "services/marketplace/releases.py",
    "services/marketplace/reversals.py",
    "services/taken_back/charge_moves.py",
    "services/taken_back/disputes.py",
    "services/taken_back/made_good.py",
    "services/taken_back/receivables.py",
}


def facts(draft: EntryDraft) -> EntryFacts:
    lines = [EntryLine(line.account.kind, line.account.owner_id, line.amount_micros) for line in draft.lines]
    return EntryFacts(idem=draft.idem, kind=draft.kind, ref=draft.ref, reverses=draft.reverses, lines=lines)


def shape(draft: EntryDraft) -> Shape:
    found = shape_of(facts(draft))
    assert found is not None, draft
    return found[0]


def drafts() -> Iterator[EntryDraft]:
    """What plain Python makes: all of its makers, each in all of its ways."""
    yield deposit_draft(customer_id=ANN, session_id="cs_1", amount_micros=1)
    for consumer_id in (ANN, DAN):
        for fee_bps in (0, 2_000, 10_000):
            call = Call("1", "tool", consumer_id)
            yield charge_draft(call, Listing("tool", DAN, 10_000), split_price(10_000, fee_bps=fee_bps))
    money = PayoutMoney(PAYOUT, DAN, 5_000)
    yield from (money.reserved(), money.given_back(), money.confirmed("tr_1"), money.confirmed_late("tr_1"))
    yield money.reversed("trr_1", 1_000)
    for cents in (-1, 1):
        yield fee_draft(line_id="txn_1", fee_cents=cents)
        yield subscription_draft(line_id="txn_1", amount_cents=cents)
        yield bank_draft(line_id="txn_1", amount_cents=cents)


def corrections() -> Iterator[EntryDraft]:
    for account in (STRIPE, wallet(ANN)):
        for micros in (-1, 1):
            lines = (Line(account, micros), Line(BANK, -micros))
            yield EntryDraft(idem="adj:1", kind=EntryKind.ADJUSTMENT, lines=lines)


async def test_every_entry_that_is_made_has_a_shape_and_every_shape_is_made(database: Database) -> None:
    market = await whole_market(database)
    rows = await market.database.fetch(
        "SELECT e.idem, e.kind, e.ref, e.reverses, a.kind AS account, a.owner_id, p.amount_micros "
        "FROM ledger_entry AS e JOIN posting AS p ON p.entry_id = e.id JOIN ledger_account AS a ON a.id = p.account_id"
    )
    entries: dict[str, EntryFacts] = {}
    for row in rows:
        idem = str(row["idem"])
        line = EntryLine(str(row["account"]), identifier_or_none(row, "owner_id"), integer(row, "amount_micros"))
        known = entries[idem].lines if idem in entries else ()
        entries[idem] = EntryFacts(
            idem=idem,
            kind=str(row["kind"]),
            ref=text_or_none(row, "ref"),
            reverses=identifier_or_none(row, "reverses"),
            lines=[*known, line],
        )
    found = {idem: shape_of(entry) for idem, entry in entries.items()}
    assert [idem for idem, one in found.items() if one is None] == []

    made = {one[0] for one in found.values() if one is not None} | {shape(one) for one in (*drafts(), *corrections())}

    assert {(one.kind, one.idem) for one in SHAPES} - {(one.kind, one.idem) for one in made} == set()


def test_nobody_else_makes_entries() -> None:
    found = {
        str(path.relative_to(GATEWAY))
        for path in GATEWAY.rglob("*.py")
        if re.search(r"(?<!class )\bEntryDraft\(", path.read_text())
    }
    assert found == MAKERS


def test_a_line_too_many_or_the_wrong_way_round_has_no_shape() -> None:
    for draft in drafts():
        turned = tuple(Line(line.account, -line.amount_micros) for line in draft.lines)
        entry = facts(EntryDraft(idem=draft.idem, kind=draft.kind, lines=turned, ref=draft.ref))
        follows = draft.kind in {EntryKind.STRIPE_FEE, EntryKind.SUBSCRIPTION, EntryKind.BANK_TRANSFER}
        assert (shape_of(entry) is not None) == follows, draft
        renamed = EntryDraft(idem=f"x{draft.idem}", kind=draft.kind, lines=draft.lines, ref=draft.ref)
        assert shape_of(facts(renamed)) is None
