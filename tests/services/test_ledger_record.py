"""Recording entries: what moves, what is refused, what a second call gets. On both engines."""

from uuid import UUID

import pytest

from gateway.db import Connection, Database, RuleViolation
from gateway.domain.ledger import (
    BAD_DEBT,
    FEES,
    STRIPE,
    STRIPE_FEES,
    SUBSCRIPTIONS,
    Account,
    AccountKind,
    EntryConflict,
    EntryKind,
    FloorBroken,
    Recorded,
    wallet,
)
from gateway.services.ledger import BATCH_ENTRIES_MAX, balance, record, record_many
from models.ledger_account import LedgerAccount
from models.ledger_entry import LedgerEntry
from models.posting import Posting
from tests.services.ledger_drafts import (
    ANN,
    ANN_RECEIVABLE,
    ANN_WALLET,
    BOB,
    BOB_AVAILABLE,
    BOB_PENDING,
    IN_TRANSIT,
    NOW,
    deposit,
    entry,
    payout,
    payout_end,
    recorded,
    release,
    tool_call,
)
from tests.support.books import assert_books_balance

REFUND_TRANSIT = Account(AccountKind.REFUND_TRANSIT, ANN)


async def holds(database: Database, **expected_micros: int) -> None:
    named = {
        "wallet": ANN_WALLET,
        "receivable": ANN_RECEIVABLE,
        "pending": BOB_PENDING,
        "available": BOB_AVAILABLE,
        "transit": IN_TRANSIT,
        "stripe": STRIPE,
        "fees": FEES,
        "stripe_fees": STRIPE_FEES,
        "subscriptions": SUBSCRIPTIONS,
        "bad_debt": BAD_DEBT,
        "refund_transit": REFUND_TRANSIT,
    }
    actual = {name: await balance(database, named[name]) for name in expected_micros}
    assert actual == expected_micros


async def test_deposit_is_credited(database: Database) -> None:
    result = await recorded(database, deposit(25_000_000))
    assert result.created
    assert result.balances == {ANN_WALLET: 25_000_000}
    await holds(database, wallet=25_000_000, stripe=-25_000_000)
    await assert_books_balance(database)


async def test_second_deposit_of_a_session_credits_nothing(database: Database) -> None:
    first = await recorded(database, deposit(25_000_000))
    second = await recorded(database, deposit(25_000_000))
    assert second == Recorded(first.entry_id, created=False, balances=first.balances)
    await holds(database, wallet=25_000_000, stripe=-25_000_000)
    await assert_books_balance(database)


async def test_replay_answers_what_the_first_call_answered(database: Database) -> None:
    await recorded(database, deposit(25_000_000))
    first = await recorded(database, tool_call(15_000_000))
    await recorded(database, deposit(1_000_000, session_id="cs_2"))
    replay = await recorded(database, tool_call(15_000_000))
    assert replay.balances == first.balances == {ANN_WALLET: 10_000_000, BOB_PENDING: 12_000_000}
    await assert_books_balance(database)


async def test_replay_is_known_even_when_the_balance_is_gone(database: Database) -> None:
    await recorded(database, deposit(25_000_000))
    first = await recorded(database, tool_call(25_000_000))
    replay = await recorded(database, tool_call(25_000_000))
    assert (replay.entry_id, replay.created) == (first.entry_id, False)
    await holds(database, wallet=0)
    await assert_books_balance(database)


@pytest.mark.parametrize(
    "other",
    [
        deposit(25_000_001),
        deposit(25_000_000, customer_id=BOB),
        entry("dep:cs_1", (STRIPE, -25_000_000), (ANN_WALLET, 25_000_000), kind=EntryKind.ADJUSTMENT),
    ],
)
async def test_key_used_with_another_content_is_a_conflict(database: Database, other: object) -> None:
    await recorded(database, deposit(25_000_000))
    with pytest.raises(EntryConflict, match="'dep:cs_1' was recorded before with another content"):
        await recorded(database, other)  # pyright: ignore[reportArgumentType] - parametrised
    await holds(database, wallet=25_000_000, stripe=-25_000_000)
    assert await balance(database, wallet(BOB)) == 0
    await assert_books_balance(database)


async def test_overdraft_is_refused_and_moves_nothing(database: Database) -> None:
    await recorded(database, deposit(10_000_000))
    with pytest.raises(FloorBroken) as refusal:
        await recorded(database, tool_call(10_000_001))
    assert refusal.value.account == ANN_WALLET
    assert (refusal.value.balance_micros, refusal.value.required_micros) == (10_000_000, 10_000_001)
    await holds(database, wallet=10_000_000, pending=0, fees=0)
    await assert_books_balance(database)


async def test_wallet_can_be_emptied_to_the_last_micro_dollar(database: Database) -> None:
    await recorded(database, deposit(10_000_000))
    await recorded(database, tool_call(10_000_000))
    await holds(database, wallet=0, pending=8_000_000, fees=2_000_000)
    await assert_books_balance(database)


async def test_customer_without_a_wallet_cannot_spend(database: Database) -> None:
    with pytest.raises(FloorBroken, match=r"holds \$0.00 and the entry takes \$0.0025"):
        await recorded(database, tool_call(2_500))
    assert await database.fetch("SELECT id FROM ledger_entry") == []
    await assert_books_balance(database)


async def test_refusal_leaves_the_transaction_usable(database: Database) -> None:
    async def work(connection: Connection) -> Recorded:
        with pytest.raises(FloorBroken):
            await record(connection, tool_call(1), now=NOW)
        return await record(connection, deposit(5_000_000), now=NOW)

    assert (await database.run(work)).balances == {ANN_WALLET: 5_000_000}
    await assert_books_balance(database)


async def test_entry_is_gone_with_the_transaction_that_wrote_it(database: Database) -> None:
    class Crash(Exception):
        """Something after the entry goes wrong."""

    async def work(connection: Connection) -> None:
        await record(connection, deposit(5_000_000), now=NOW)
        raise Crash

    with pytest.raises(Crash):
        await database.run(work)
    await holds(database, wallet=0, stripe=0)
    assert (await recorded(database, deposit(5_000_000))).created
    await assert_books_balance(database)


async def test_entries_of_one_transaction_build_on_each_other(database: Database) -> None:
    async def work(connection: Connection) -> int:
        await record(connection, deposit(5_000_000), now=NOW)
        await record(connection, tool_call(5_000_000), now=NOW)
        return await balance(connection, ANN_WALLET)

    assert await database.run(work) == 0
    await assert_books_balance(database)


async def test_sale_release_and_payout(database: Database) -> None:
    await recorded(database, deposit(25_000_000))
    await recorded(database, tool_call(15_000_000))
    await recorded(database, release(12_000_000))
    await recorded(database, payout(12_000_000))
    await holds(database, wallet=10_000_000, pending=0, available=0, transit=12_000_000, fees=3_000_000)
    await recorded(database, payout_end(12_000_000, paid=True))
    await holds(database, transit=0, stripe=-13_000_000)
    with pytest.raises(EntryConflict):
        await recorded(database, payout_end(12_000_000, paid=False))
    with pytest.raises(FloorBroken):
        await recorded(database, payout_end(12_000_000, paid=False, idem="po:again"))
    await assert_books_balance(database)


async def test_failed_payout_gives_the_money_back_once(database: Database) -> None:
    await recorded(database, deposit(25_000_000))
    await recorded(database, tool_call(15_000_000))
    await recorded(database, release(12_000_000))
    await recorded(database, payout(12_000_000))
    await recorded(database, payout_end(12_000_000, paid=False))
    assert not (await recorded(database, payout_end(12_000_000, paid=False))).created
    await holds(database, available=12_000_000, transit=0)
    await assert_books_balance(database)


async def test_reversal_takes_back_even_what_was_paid_out(database: Database) -> None:
    await recorded(database, deposit(25_000_000))
    call = await recorded(database, tool_call(15_000_000))
    await recorded(database, release(12_000_000))
    await recorded(database, payout(12_000_000))
    mirror = ((ANN_WALLET, 15_000_000), (BOB_AVAILABLE, -12_000_000), (FEES, -3_000_000))
    await recorded(database, entry(f"rev:{call.entry_id}", *mirror, kind=EntryKind.REVERSAL, reverses=call.entry_id))
    await holds(database, wallet=25_000_000, available=-12_000_000, transit=12_000_000, fees=0)
    await assert_books_balance(database)


async def test_an_entry_is_reversed_once(database: Database) -> None:
    call = (await recorded(database, deposit(25_000_000))).entry_id
    mirror = ((ANN_WALLET, -25_000_000), (STRIPE, 25_000_000))
    first = await recorded(database, entry("rev:a", *mirror, reverses=call))
    assert not (await recorded(database, entry("rev:a", *mirror, reverses=call))).created
    await recorded(database, deposit(25_000_000, session_id="cs_2"))
    with pytest.raises(EntryConflict, match=f"Entry {call} is already reversed, by 'rev:a'"):
        await recorded(database, entry("rev:b", *mirror, reverses=call))
    outcomes = await database.run(
        lambda c: record_many(
            c, [entry("rev:c", *mirror, reverses=call), entry("rev:a", *mirror, reverses=call)], now=NOW
        )
    )
    assert isinstance(outcomes[0], EntryConflict)
    assert outcomes[1] == Recorded(first.entry_id, created=False, balances={ANN_WALLET: 0})
    await holds(database, wallet=25_000_000)
    await assert_books_balance(database)


async def test_batch_reverses_an_entry_once(database: Database) -> None:
    first = (await recorded(database, deposit(1_000_000))).entry_id
    await recorded(database, deposit(9_000_000, session_id="cs_2"))
    mirror = ((ANN_WALLET, -1_000_000), (STRIPE, 1_000_000))
    drafts = [entry(f"rev:{n}", *mirror, reverses=first) for n in range(2)]
    outcomes = await database.run(lambda connection: record_many(connection, drafts, now=NOW))
    assert [type(outcome) for outcome in outcomes] == [Recorded, EntryConflict]
    await holds(database, wallet=9_000_000)
    await assert_books_balance(database)


async def test_reversal_of_an_unknown_entry_is_refused_by_the_database(database: Database) -> None:
    draft = entry("rev:x", (STRIPE, -1), (ANN_WALLET, 1), reverses=UUID(int=1))
    with pytest.raises(RuleViolation):
        await recorded(database, draft)
    await assert_books_balance(database)


async def test_dispute_takes_the_wallet_first_and_the_rest_is_owed(database: Database) -> None:
    await recorded(database, deposit(25_000_000))
    await recorded(database, tool_call(19_000_000))
    opened = ((STRIPE, 25_000_000), (ANN_WALLET, -6_000_000), (ANN_RECEIVABLE, -19_000_000))
    await recorded(database, entry("dp:1:open", *opened, kind=EntryKind.DISPUTE))
    await recorded(database, entry("dp:1:fee", (STRIPE, 15_000_000), (STRIPE_FEES, -15_000_000)))
    await holds(database, wallet=0, receivable=-19_000_000, stripe=15_000_000)
    won = tuple((account, -amount) for account, amount in opened)
    await recorded(database, entry("dp:1:won", *won, kind=EntryKind.DISPUTE_REVERSAL))
    await holds(database, wallet=6_000_000, receivable=0, stripe=-10_000_000, stripe_fees=-15_000_000)
    await recorded(database, entry("dp:2:open", *opened, kind=EntryKind.DISPUTE))
    lost = ((ANN_RECEIVABLE, 19_000_000), (BAD_DEBT, -19_000_000))
    await recorded(database, entry("dp:2:lost", *lost, kind=EntryKind.BAD_DEBT))
    await holds(database, wallet=0, receivable=0, bad_debt=-19_000_000)
    await assert_books_balance(database)


async def test_refund_is_reserved_and_then_leaves(database: Database) -> None:
    await recorded(database, deposit(25_000_000))
    await recorded(database, entry("ref:re", (ANN_WALLET, -4_000_000), (REFUND_TRANSIT, 4_000_000)))
    await recorded(database, entry("ref:re:end", (REFUND_TRANSIT, -4_000_000), (STRIPE, 4_000_000)))
    with pytest.raises(FloorBroken):
        await recorded(database, entry("ref:re:again", (REFUND_TRANSIT, -4_000_000), (STRIPE, 4_000_000)))
    await holds(database, wallet=21_000_000, stripe=-21_000_000, refund_transit=0)
    await assert_books_balance(database)


async def test_entry_between_platform_accounts_needs_no_lock_and_no_number(database: Database) -> None:
    result = await recorded(database, entry("inv:in_1", (STRIPE, -29_000_000), (SUBSCRIPTIONS, 29_000_000)))
    assert result.balances == {}
    replay = await recorded(database, entry("inv:in_1", (STRIPE, -29_000_000), (SUBSCRIPTIONS, 29_000_000)))
    assert replay == Recorded(result.entry_id, created=False, balances={})
    await holds(database, stripe=-29_000_000, subscriptions=29_000_000)
    await assert_books_balance(database)


async def test_batch_reports_the_overdraft_and_records_its_neighbours(database: Database) -> None:
    await recorded(database, deposit(10_000_000))
    calls = [tool_call(amount, call_id=str(n)) for n, amount in enumerate((6_000_000, 5_000_000, 4_000_000, 1))]
    outcomes = await database.run(lambda connection: record_many(connection, calls, now=NOW))
    assert [type(outcome) for outcome in outcomes] == [Recorded, FloorBroken, Recorded, FloorBroken]
    assert isinstance(outcomes[1], FloorBroken)
    assert outcomes[1].balance_micros == 4_000_000
    assert isinstance(outcomes[2], Recorded)
    assert outcomes[2].balances == {ANN_WALLET: 0, BOB_PENDING: 8_000_000}
    await holds(database, wallet=0, pending=8_000_000, fees=2_000_000)
    await assert_books_balance(database)


async def test_batch_may_spend_what_it_deposits(database: Database) -> None:
    drafts = [deposit(5_000_000), tool_call(5_000_000), tool_call(1, call_id="2")]
    outcomes = await database.run(lambda connection: record_many(connection, drafts, now=NOW))
    assert [isinstance(outcome, Recorded) for outcome in outcomes] == [True, True, False]
    await holds(database, wallet=0, pending=4_000_000)
    await assert_books_balance(database)


async def test_batch_knows_its_own_replays_and_conflicts(database: Database) -> None:
    old = await recorded(database, deposit(1_000_000, session_id="cs_0"))
    drafts = [
        deposit(1_000_000, session_id="cs_0"),
        deposit(2_000_000),
        deposit(2_000_000),
        deposit(3_000_000),
        tool_call(9_000_000),
        tool_call(2_000_000),
    ]
    outcomes = await database.run(lambda connection: record_many(connection, drafts, now=NOW))
    replay, first, second, conflict, overdraft, call = outcomes
    assert replay == Recorded(old.entry_id, created=False, balances={ANN_WALLET: 1_000_000})
    assert isinstance(first, Recorded)
    assert second == Recorded(first.entry_id, created=False, balances={ANN_WALLET: 3_000_000})
    assert isinstance(conflict, EntryConflict)
    assert isinstance(overdraft, FloorBroken)
    assert isinstance(call, Recorded)
    assert call.created
    await holds(database, wallet=1_000_000)
    await assert_books_balance(database)


async def test_batch_of_nothing_is_nothing_and_one_too_long_is_refused(database: Database) -> None:
    async with database.transaction() as connection:
        assert await record_many(connection, [], now=NOW) == ()
        drafts = [deposit(1, session_id=str(n)) for n in range(BATCH_ENTRIES_MAX + 1)]
        with pytest.raises(ValueError, match="At most 1000 entries"):
            await record_many(connection, drafts, now=NOW)
        outcomes = await record_many(connection, drafts[:BATCH_ENTRIES_MAX], now=NOW)
        assert len(outcomes) == BATCH_ENTRIES_MAX
    await holds(database, wallet=BATCH_ENTRIES_MAX)
    await assert_books_balance(database)


async def test_models_read_what_was_recorded(database: Database) -> None:
    result = await recorded(database, deposit(5_000_000))
    account = await LedgerAccount.get(owner_id=ANN, kind="wallet", using_db=database.orm)
    assert (account.code, account.balance_micros, account.version) == (f"wallet:{ANN}", 5_000_000, 1)
    assert (account.floor_at_zero, account.cached, account.currency, account.created_at) == (True, True, "usd", NOW)
    stored = await LedgerEntry.get(idem="dep:cs_1", using_db=database.orm)
    assert (stored.id, stored.ref, stored.reverses, stored.sealed) == (result.entry_id, "cs_1", None, True)
    assert stored.digest == deposit(5_000_000).digest
    posting = await Posting.get(account_id=account.id, seq=1, using_db=database.orm)
    assert (posting.entry_id, posting.amount_micros, posting.balance_after_micros) == (stored.id, 5_000_000, 5_000_000)
    derived = await Posting.get(entry_id=stored.id, account_id=STRIPE.id, using_db=database.orm)
    assert (derived.amount_micros, derived.seq, derived.balance_after_micros) == (-5_000_000, None, None)
