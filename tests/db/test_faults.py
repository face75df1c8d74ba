"""Lost, frozen and restarted databases: a clear refusal at once, nothing acknowledged lost, and recovery by itself."""

import asyncio
import os
import shutil
import signal
import sqlite3
import tempfile
from collections.abc import AsyncIterator, Iterator
from functools import partial
from pathlib import Path

import pytest

from gateway.db import (
    Connection,
    Database,
    DatabaseLimits,
    DatabaseUnavailable,
    DatabaseUrlInvalid,
    OutcomeUnknown,
    migrate,
    open_database,
    pending,
)
from tests.db.shop import SHOP
from tests.support.postgres import PostgresServer, unprivileged_user
from tests.support.tcp_proxy import TcpProxy, tcp_proxy

NO_HANG_SECONDS = 60
IMPATIENT = DatabaseLimits(
    connect_seconds_max=0.5,
    acquire_seconds_max=1.0,
    command_seconds_max=0.5,
    settle_seconds_max=0.5,
    statement_seconds_max=0.3,
)


@pytest.fixture
def engine() -> str:
    """Faults of the network are PostgreSQL's; those of files say so."""
    return "postgres"


@pytest.fixture
async def proxy(postgres_server: PostgresServer) -> AsyncIterator[TcpProxy]:
    async with tcp_proxy(postgres_server.port) as opened:
        yield opened


@pytest.fixture
def proxied_url(shop_url: str, postgres_server: PostgresServer, proxy: TcpProxy) -> str:
    return shop_url.replace(f":{postgres_server.port}/", f":{proxy.port}/")


@pytest.fixture
def own_server(postgres_server: PostgresServer) -> Iterator[PostgresServer]:
    """A server that may be stopped without harm to other tests."""
    server = PostgresServer()
    server.initialise()
    yield server
    server.remove()


async def sell(connection: Connection, name: str) -> None:
    await connection.execute("INSERT INTO sale (name, cents) VALUES ($1, 1)", [name])


async def test_frozen_link_is_unavailable_and_heals(proxied_url: str, proxy: TcpProxy) -> None:
    async with asyncio.timeout(NO_HANG_SECONDS), open_database(proxied_url, limits=IMPATIENT) as database:
        await database.run(lambda connection: sell(connection, "warm"))
        proxy.freeze()
        attempts = [database.run(partial(sell, name=f"frozen {n}")) for n in range(20)]
        reads = [database.fetch("SELECT name FROM sale") for _ in range(20)]
        outcomes = await asyncio.gather(*attempts, *reads, return_exceptions=True)
        assert {type(outcome) for outcome in outcomes} == {DatabaseUnavailable}
        proxy.heal()
        proxy.cut()
        await database.run(lambda connection: sell(connection, "healed"))
        names = {row["name"] for row in await database.fetch("SELECT name FROM sale")}
    assert names == {"warm", "healed"}


async def test_link_frozen_inside_a_transaction_does_not_hang_it(proxied_url: str, proxy: TcpProxy) -> None:
    async with asyncio.timeout(NO_HANG_SECONDS), open_database(proxied_url, limits=IMPATIENT) as database:

        async def freeze_between(connection: Connection) -> None:
            await sell(connection, "before")
            proxy.freeze()
            await sell(connection, "after")

        with pytest.raises(DatabaseUnavailable):
            await database.run(freeze_between)
        proxy.heal()
        assert await database.fetch("SELECT name FROM sale") == []
        assert database.counts.open == database.counts.idle


async def test_task_cancelled_on_a_frozen_link_gives_the_connection_up(proxied_url: str, proxy: TcpProxy) -> None:
    async with asyncio.timeout(NO_HANG_SECONDS), open_database(proxied_url, limits=IMPATIENT) as database:
        proxy.freeze()
        task = asyncio.create_task(database.run(lambda connection: sell(connection, "cancelled")))
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        proxy.heal()
        await database.run(lambda connection: sell(connection, "healed"))
        while database.counts.open != database.counts.idle:
            await asyncio.sleep(0.01)


async def test_lost_answer_to_commit_is_an_unknown_outcome(proxied_url: str, proxy: TcpProxy, shop_url: str) -> None:
    tries = 0

    async def sell_and_lose_the_answer(connection: Connection) -> None:
        nonlocal tries
        tries += 1
        await sell(connection, "bread")
        proxy.swallow_replies()

    async with asyncio.timeout(NO_HANG_SECONDS), open_database(proxied_url, limits=IMPATIENT) as database:
        with pytest.raises(OutcomeUnknown):
            await database.run(sell_and_lose_the_answer)
        proxy.heal()
        async with open_database(shop_url) as direct:
            assert await direct.fetch("SELECT name FROM sale") == [{"name": "bread"}]
        assert await database.fetch("SELECT name FROM sale") == [{"name": "bread"}]
    assert tries == 1


async def test_connection_cut_while_idle_is_replaced_unnoticed(proxied_url: str, proxy: TcpProxy) -> None:
    async with open_database(proxied_url) as database:
        await asyncio.gather(*(database.fetch("SELECT pg_sleep(0.05)") for _ in range(5)))
        proxy.cut()
        await database.run(lambda connection: sell(connection, "bread"))
        assert await database.fetch("SELECT name FROM sale") == [{"name": "bread"}]


async def test_connection_cut_inside_a_transaction_stores_nothing(proxied_url: str, proxy: TcpProxy) -> None:
    async with open_database(proxied_url) as database:

        async def cut_between(connection: Connection) -> None:
            await sell(connection, "bread")
            proxy.cut()
            await sell(connection, "milk")

        with pytest.raises(DatabaseUnavailable):
            await database.run(cut_between)
        assert await database.fetch("SELECT name FROM sale") == []


async def test_backend_ended_by_the_operator_is_unavailable(shop_database: Database) -> None:
    async def end_between(connection: Connection) -> None:
        row = await connection.fetch_one("SELECT pg_backend_pid() AS pid")
        assert row is not None
        await shop_database.fetch("SELECT pg_terminate_backend($1)", [row["pid"]])
        await sell(connection, "bread")

    with pytest.raises(DatabaseUnavailable):
        await shop_database.run(end_between)
    assert await shop_database.fetch("SELECT name FROM sale") == []


async def test_statement_that_takes_too_long_is_cut_by_the_server(shop_url: str) -> None:
    limits = DatabaseLimits(statement_seconds_max=0.05)
    async with open_database(shop_url, limits=limits) as database:
        with pytest.raises(DatabaseUnavailable, match="57014"):
            await database.fetch("SELECT pg_sleep(30)")
        assert database.counts.open == database.counts.idle == 1


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGQUIT], ids=["stopped", "crashed"])
async def test_server_that_went_and_came_back_is_found_again(own_server: PostgresServer, how: signal.Signals) -> None:
    url = own_server.url(own_server.create())
    await migrate(url, migrations=[SHOP])
    acknowledged: list[str] = []
    refusals: set[type[BaseException]] = set()
    stopping = asyncio.Event()

    async def keep_selling(seat: int) -> None:
        number = 0
        while not stopping.is_set():
            name = f"{seat} {(number := number + 1)}"
            try:
                await database.run(partial(sell, name=name))
            except DatabaseUnavailable as refusal:
                refusals.add(type(refusal))
                await asyncio.sleep(0.01)
            else:
                acknowledged.append(name)

    async with asyncio.timeout(NO_HANG_SECONDS), open_database(url) as database:
        sellers = [asyncio.create_task(keep_selling(seat)) for seat in range(8)]
        await asyncio.sleep(0.2)
        await asyncio.to_thread(own_server.stop, how=how)
        before = len(acknowledged)
        with pytest.raises(DatabaseUnavailable):
            await database.ping()
        await asyncio.sleep(0.1)
        await asyncio.to_thread(own_server.start)
        while len(acknowledged) < before + 50:
            await asyncio.sleep(0.01)
        stopping.set()
        await asyncio.gather(*sellers)
        stored = {str(row["name"]) for row in await database.fetch("SELECT name FROM sale")}
    assert before > 0
    assert refusals
    assert [name for name in acknowledged if name not in stored] == []


async def test_server_that_is_not_there_is_unavailable(own_server: PostgresServer) -> None:
    url = own_server.url("postgres")
    own_server.stop()
    for ask in (migrate, pending):
        with pytest.raises(DatabaseUnavailable, match="cannot be reached"):
            await ask(url)
    with pytest.raises(DatabaseUnavailable, match="cannot be reached"):
        async with open_database(url):
            pass


async def test_database_or_user_that_is_not_there_is_unavailable(postgres_server: PostgresServer) -> None:
    for url in (postgres_server.url("nowhere"), postgres_server.url("postgres").replace("postgres@", "nobody@")):
        with pytest.raises(DatabaseUnavailable, match="does not exist"):
            async with open_database(url):
                pass


async def test_settings_the_driver_cannot_use_are_refused(postgres_server: PostgresServer) -> None:
    with pytest.raises(DatabaseUrlInvalid, match="sslmode"):
        async with open_database(f"{postgres_server.url('postgres')}?sslmode=perhaps"):
            pass


async def test_behind_a_pooler_nothing_is_prepared_and_no_setting_sent(shop_url: str) -> None:
    async with open_database(f"{shop_url}?pgbouncer=true") as database:
        await database.run(lambda connection: sell(connection, "bread"))
        assert await database.fetch("SELECT name FROM sale WHERE name = $1", ["bread"]) == [{"name": "bread"}]
        assert await database.fetch("SELECT name FROM pg_prepared_statements") == []
        setting = "SELECT setting FROM pg_settings WHERE name = 'statement_timeout'"
        assert await database.fetch(setting) == [{"setting": "0"}]
        with pytest.raises(DatabaseUnavailable, match="read-only"):
            await database.fetch("INSERT INTO sale (name, cents) VALUES ('milk', 1)")
        assert len(await database.fetch("SELECT name FROM sale")) == 1


async def refused_to_open(url: str, reason: str) -> None:
    with pytest.raises(DatabaseUnavailable, match=reason):
        async with open_database(url):
            pass
    with pytest.raises(DatabaseUnavailable, match=reason):
        await migrate(url, migrations=[SHOP])


async def test_sqlite_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    await refused_to_open(f"sqlite://{tmp_path}/nowhere/gateway.db", "folder of the database file does not exist")


async def test_sqlite_file_that_is_a_folder_is_named(tmp_path: Path) -> None:
    await refused_to_open(f"sqlite://{tmp_path}", "is a folder")


async def test_file_that_is_no_database_is_named(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("dear diary, " * 100)
    await refused_to_open(f"sqlite://{tmp_path}/notes.txt", "notes.txt cannot be opened. .*not a database")


@pytest.fixture
def unprivileged_folder() -> Iterator[Path]:
    """A folder to work in without root's leave to write everything, which this process gives up meanwhile."""
    folder = Path(tempfile.mkdtemp(prefix="gateway-folder-"))
    if os.geteuid() == 0:
        user = unprivileged_user()
        os.chown(folder, user.pw_uid, user.pw_gid)
        os.setresuid(user.pw_uid, user.pw_uid, 0)
    try:
        yield folder
    finally:
        if os.getresuid()[2] == 0:
            os.setresuid(0, 0, 0)
        shutil.rmtree(folder)


async def test_read_only_file_and_folder_are_named(unprivileged_folder: Path) -> None:
    file = unprivileged_folder / "gateway.db"
    await migrate(f"sqlite://{file}", migrations=[SHOP])
    file.chmod(0o400)
    await refused_to_open(f"sqlite://{file}", "cannot be read and written")
    file.chmod(0o600)
    unprivileged_folder.chmod(0o500)
    await refused_to_open(f"sqlite://{file}", "folder of the database file cannot be written")
    unprivileged_folder.chmod(0o700)


async def test_odd_file_names_work(tmp_path: Path) -> None:
    url = f"sqlite://{tmp_path}/50%25 of it #1 'x'.db"
    await migrate(url, migrations=[SHOP])
    async with open_database(url) as database:
        await database.run(lambda connection: sell(connection, "bread"))
        assert await database.fetch("SELECT name FROM sale") == [{"name": "bread"}]
    assert (tmp_path / "50% of it #1 'x'.db").exists()


@pytest.mark.parametrize("engine", ["sqlite"])
async def test_sqlite_file_is_durable_and_guarded(shop_database: Database, shop_url: str, engine: str) -> None:
    wanted = {
        "journal_mode": "wal",
        "synchronous": 2,
        "foreign_keys": 1,
        "recursive_triggers": 1,
        "busy_timeout": 30000,
    }
    async with shop_database.transaction() as connection:
        for name, value in wanted.items():
            row = await connection.fetch_one(f"PRAGMA {name}")
            assert row is not None
            assert list(row.values()) == [value], name


@pytest.mark.parametrize("engine", ["sqlite"])
async def test_replacing_a_row_does_not_go_round_the_triggers(shop_database: Database, engine: str) -> None:
    async with shop_database.transaction() as connection:
        await sell(connection, "bread")
    with pytest.raises(Exception, match="a sale is never deleted"):
        async with shop_database.transaction() as connection:
            await connection.execute("INSERT OR REPLACE INTO sale (name, cents) VALUES ('bread', 99)")
    assert await shop_database.fetch("SELECT cents FROM sale") == [{"cents": 1}]


@pytest.mark.parametrize("engine", ["sqlite"])
async def test_file_taken_from_a_crashed_process_holds_what_was_committed(
    shop_database: Database, shop_url: str, tmp_path: Path, engine: str
) -> None:
    """The file and its log as they lie there while the database is open: what a crash would leave."""
    await shop_database.run(lambda connection: sell(connection, "bread"))
    left = tmp_path / "left"
    left.mkdir()
    for file in Path(shop_url.removeprefix("sqlite://")).parent.glob("*.db*"):
        shutil.copy(file, left / file.name)
    async with open_database(f"sqlite://{next(left.glob('*.db'))}") as database:
        assert await database.fetch("SELECT name FROM sale") == [{"name": "bread"}]


@pytest.mark.parametrize("engine", ["sqlite"])
async def test_full_disk_is_unavailable_and_passes(shop_database: Database, engine: str) -> None:
    async def sell_much(connection: Connection) -> None:
        for number in range(200):
            await sell(connection, f"{number} {'x' * 1000}")

    async with shop_database.transaction() as connection:
        pages = await connection.fetch_one("PRAGMA page_count")
        assert pages is not None
        await connection.execute(f"PRAGMA max_page_count = {pages['page_count']}")
    with pytest.raises(DatabaseUnavailable, match="full"):
        await shop_database.run(sell_much)
    assert await shop_database.fetch("SELECT name FROM sale") == []
    async with shop_database.transaction() as connection:
        await connection.execute("PRAGMA max_page_count = 1000000")
    await shop_database.run(sell_much)
    assert len(await shop_database.fetch("SELECT name FROM sale")) == 200


@pytest.mark.parametrize("engine", ["sqlite"])
async def test_old_reader_does_not_stop_the_writer(shop_database: Database, shop_url: str, engine: str) -> None:
    stranger = sqlite3.connect(Path(shop_url.removeprefix("sqlite://")), isolation_level=None)
    stranger.execute("BEGIN")
    assert stranger.execute("SELECT count(*) FROM sale").fetchone() == (0,)
    await shop_database.run(lambda connection: sell(connection, "bread"))
    assert stranger.execute("SELECT count(*) FROM sale").fetchone() == (0,)
    stranger.close()
