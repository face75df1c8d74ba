"""What the platform's accounts hold is exact at any moment, whoever commits late and whoever folds meanwhile."""

import asyncio
import random
from pathlib import Path

import pytest

from gateway.db import Connection, Database, migrate, open_database
from gateway.db.migration_plan import known_migrations
from gateway.db.rows import integer
from gateway.domain.ledger import BANK, FEES, STRIPE, Account
from gateway.services.books.checkpoints import DERIVED_BALANCE, checkpoint_accounts, derived_balance
from gateway.services.ledger import balance, record, record_many
from tests.services.ledger_drafts import ANN_WALLET, NOW, deposit, entry, recorded, tool_call
from tests.services.market_world import open_market
from tests.support.books import assert_books_balance
from tests.support.postgres import PostgresServer

PLATFORM = (STRIPE, FEES, BANK)
SUM = "(SELECT coalesce(sum(amount_micros), 0) FROM posting WHERE account_id = $1)"


async def tail_length(database: Database) -> int:
    row = await database.fetch_one("SELECT count(*) AS rows FROM ledger_tail")
    assert row is not None
    return integer(row, "rows")


async def difference(database: Database, account: Account) -> int:
    """What the checkpoint and the tail say, less the sum of the whole history, in one view of the database."""
    row = await database.fetch_one(f"SELECT ({DERIVED_BALANCE}) - {SUM} AS difference", (account.id,))
    assert row is not None
    return integer(row, "difference")


async def test_account_without_postings_holds_nothing(database: Database) -> None:
    assert await derived_balance(database, FEES) == 0


async def test_accounts_with_an_owner_are_not_asked_here(database: Database) -> None:
    with pytest.raises(ValueError, match="stands in its row"):
        await derived_balance(database, ANN_WALLET)


async def test_balance_is_known_before_and_after_folding(database: Database) -> None:
    billing = open_market(database).billing
    await recorded(database, deposit(10_000_000))
    for n in range(5):
        await recorded(database, tool_call(1_000, call_id=str(n)))
    assert [await derived_balance(database, account) for account in PLATFORM] == [-10_000_000, 1_000, 0]
    assert await checkpoint_accounts(billing) is False
    assert await tail_length(database) == 0
    assert [await derived_balance(database, account) for account in PLATFORM] == [-10_000_000, 1_000, 0]
    await recorded(database, tool_call(1_000, call_id="later"))
    assert await derived_balance(database, FEES) == 1_200
    await assert_books_balance(database)


async def test_folding_goes_in_steps_and_says_when_more_is_there(database: Database) -> None:
    billing = open_market(database).billing
    await recorded(database, deposit(10_000_000))
    for n in range(6):
        await recorded(database, tool_call(1_000, call_id=str(n)))
    assert [await checkpoint_accounts(billing, at_once=3) for _ in range(3)] == [True, True, False]
    assert await tail_length(database) == 0
    assert await derived_balance(database, FEES) == 1_200


@pytest.mark.parametrize("engine", ["postgres"])
async def test_batch_adds_one_row_an_account_to_the_tail(database: Database) -> None:
    await recorded(database, deposit(10_000_000))
    drafts = [tool_call(1_000, call_id=str(n)) for n in range(100)]
    await database.run(lambda connection: record_many(connection, drafts, now=NOW))
    assert await tail_length(database) == 2
    assert await derived_balance(database, FEES) == 20_000


async def test_transaction_sees_what_it_recorded_itself_and_others_do_not(database: Database) -> None:
    async with database.transaction() as connection:
        await record(connection, deposit(1_000), now=NOW)
        assert await derived_balance(connection, STRIPE) == -1_000
        assert await derived_balance(database, STRIPE) == 0
    assert await derived_balance(database, STRIPE) == -1_000


async def test_what_was_rolled_back_is_counted_nowhere(database: Database) -> None:
    async def give_up(connection: Connection) -> None:
        await record(connection, deposit(1_000), now=NOW)
        raise RuntimeError("never mind")

    with pytest.raises(RuntimeError, match="never mind"):
        await database.run(give_up)
    assert await derived_balance(database, STRIPE) == 0
    assert await tail_length(database) == 0


@pytest.mark.parametrize("engine", ["postgres"])
async def test_transaction_that_commits_after_later_ones_were_folded_is_not_missed(database: Database) -> None:
    billing = open_market(database).billing
    async with database.transaction() as late:
        await record(late, entry("fee:early", (STRIPE, -7), (FEES, 7)), now=NOW)
        await recorded_beside(database, "fee:later", 100)
        await asyncio.create_task(fold_all(billing_of=database))
        assert await derived_balance(database, FEES) == 100
    assert await derived_balance(database, FEES) == 107
    await checkpoint_accounts(billing)
    assert await derived_balance(database, FEES) == 107
    assert await balance(database, FEES) == 107


async def recorded_beside(database: Database, idem: str, amount_micros: int) -> None:
    """Record in another task, as another request would."""
    draft = entry(idem, (STRIPE, -amount_micros), (FEES, amount_micros))
    await asyncio.create_task(recorded(database, draft))


async def fold_all(*, billing_of: Database, at_once: int = 7) -> None:
    billing = open_market(billing_of).billing
    while await checkpoint_accounts(billing, at_once=at_once):
        pass


async def test_always_the_sum_of_the_history_whatever_commits_late_and_whoever_folds(database: Database) -> None:
    dice = random.Random(20261122)
    writing = True

    async def write(seat: int) -> None:
        for number in range(12):
            amount = dice.randint(1, 1_000_000) * dice.choice((1, -1))
            pause = dice.choice((0, 0, 0.002, 0.02)) if database.dialect == "postgres" else 0
            async with database.transaction() as connection:
                await record(connection, entry(f"fee:{seat}-{number}", (STRIPE, -amount), (FEES, amount)), now=NOW)
                await asyncio.sleep(pause)

    async def fold() -> None:
        while writing:
            await fold_all(billing_of=database, at_once=dice.randint(1, 9))
            await asyncio.sleep(0)

    async def look() -> int:
        looks = 0
        while writing:
            assert [await difference(database, account) for account in PLATFORM] == [0, 0, 0]
            looks += 1
        return looks

    others = [asyncio.create_task(one) for one in (fold(), fold(), look(), look())]
    await asyncio.gather(*(write(seat) for seat in range(5)))
    writing = False
    *_, first, second = await asyncio.gather(*others)
    assert first
    assert second
    await fold_all(billing_of=database)
    assert await tail_length(database) == 0
    assert [await difference(database, account) for account in PLATFORM] == [0, 0, 0]
    assert await derived_balance(database, FEES) == await balance(database, FEES)
    await assert_books_balance(database)


async def test_folders_that_meet_count_nothing_twice(database: Database) -> None:
    for n in range(1, 41):
        await recorded(database, entry(f"fee:{n}", (STRIPE, -n), (FEES, n)))
    await asyncio.gather(*(fold_all(billing_of=database) for _ in range(6)))
    await fold_all(billing_of=database)
    assert await tail_length(database) == 0
    assert [await derived_balance(database, account) for account in PLATFORM] == [-820, 820, 0]


async def history_is_taken_over(url: str) -> None:
    await migrate(url, migrations=known_migrations()[:3])
    async with open_database(url) as database:
        await recorded(database, entry("fee:1", (STRIPE, -5), (FEES, 5)))
    await migrate(url)
    async with open_database(url) as database:
        await recorded(database, entry("fee:2", (STRIPE, -6), (FEES, 6)))
        assert [await derived_balance(database, account) for account in PLATFORM] == [-11, 11, 0]


async def test_upgrade_takes_the_history_over_on_sqlite(tmp_path: Path) -> None:
    await history_is_taken_over(f"sqlite://{tmp_path / 'old.db'}")


async def test_upgrade_takes_the_history_over_on_postgres(postgres_server: PostgresServer) -> None:
    name = postgres_server.create()
    await history_is_taken_over(postgres_server.url(name))
    postgres_server.drop(name)
