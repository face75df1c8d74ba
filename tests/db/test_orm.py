"""Tortoise's models on our connections: on both engines, side by side, and never without a connection."""

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import pytest
from tortoise.functions import Sum

from gateway.db import Conflict, Connection, Contention, Database, TransactionMisuse, migrate, open_database
from tests.db.shop import SHOP, Sale, Visit

NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
KEY = UUID("0199e0aa-0000-7000-8000-000000000001")


async def test_created_row_comes_back_as_it_was(shop_database: Database) -> None:
    async with shop_database.transaction() as connection:
        created = await Visit.create(using_db=connection.orm, id=KEY, came_at=NOON, loyal=True, pages=7)
        read = await Visit.filter(id=KEY).using_db(connection.orm).get()
    for visit in (created, read):
        assert (visit.id, visit.came_at, visit.loyal, visit.pages) == (KEY, NOON, True, 7)
    assert type(read.loyal) is bool
    outside = await Visit.filter(came_at__lte=NOON, loyal=True).using_db(shop_database.orm).first()
    assert outside is not None
    assert outside.came_at == NOON


async def test_key_made_by_the_database_is_known(shop_database: Database) -> None:
    async with shop_database.transaction() as connection:
        sale = await Sale.create(using_db=connection.orm, name="bread", cents=250)
        assert await Sale.filter(id=sale.id).using_db(connection.orm).count() == 1


async def test_queries_of_many_kinds(shop_database: Database) -> None:
    async with shop_database.transaction() as connection:
        orm = connection.orm
        await Sale.bulk_create([Sale(name=f"sale {n}", cents=n) for n in range(10)], using_db=orm)
        assert await Sale.filter(cents__gte=5).using_db(orm).count() == 5
        assert await Sale.filter(name="sale 3").using_db(orm).exists()
        page = await Sale.all().using_db(orm).order_by("-cents").offset(2).limit(3).values_list("cents", flat=True)
        assert list(page) == [7, 6, 5]
        assert await Sale.filter(cents__lt=3).using_db(orm).update(cents=0) == 3
        total = await Sale.all().using_db(orm).annotate(total=Sum("cents")).values("total")
        assert int(total[0]["total"]) == 42
        dear = await Sale.filter(cents__in=[8, 9]).using_db(orm).order_by("cents")
        for sale in dear:
            sale.cents *= 10
        assert await Sale.bulk_update(dear, ["cents"], using_db=orm) == 2
        await Sale.bulk_create(
            [Sale(name="sale 9", cents=1), Sale(name="new", cents=1)], using_db=orm, ignore_conflicts=True
        )
        assert await Sale.filter(cents=90).using_db(orm).count() == 1
        visit = await Visit.create(using_db=orm, id=KEY, loyal=False, pages=1)
        visit.pages = 2
        await visit.save(using_db=orm)
        await visit.refresh_from_db(using_db=orm)
        assert (visit.pages, visit.came_at) == (2, None)
        await visit.delete(using_db=orm)
        assert await Visit.filter(id=KEY).using_db(orm).get_or_none() is None
    assert len(await Sale.all().using_db(shop_database.orm)) == 11


async def test_refusal_is_the_same_as_from_sql(shop_database: Database) -> None:
    async def sell_twice(connection: Connection) -> None:
        await Sale.create(using_db=connection.orm, name="bread", cents=250)
        await Sale.create(using_db=connection.orm, name="bread", cents=250)

    with pytest.raises(Conflict) as refusal:
        await shop_database.run(sell_twice)
    assert refusal.value.columns == ("name",)
    assert await Sale.all().using_db(shop_database.orm).count() == 0


async def test_select_for_update_holds_the_row(shop_database: Database) -> None:
    async with shop_database.transaction() as connection:
        await Sale.create(using_db=connection.orm, name="bread", cents=250)
    locked, release = asyncio.Event(), asyncio.Event()

    async def add(cents: int) -> None:
        async with shop_database.transaction() as connection:
            sale = await Sale.filter(name="bread").select_for_update().using_db(connection.orm).get()
            locked.set()
            await release.wait()
            sale.cents += cents
            await sale.save(using_db=connection.orm)

    adding = asyncio.gather(*(add(1) for _ in range(5)))
    await locked.wait()
    if shop_database.dialect == "postgres":
        with pytest.raises(Contention, match="55P03"):
            async with shop_database.transaction() as connection:
                await Sale.filter(name="bread").select_for_update(nowait=True).using_db(connection.orm).get()
        async with shop_database.transaction() as connection:
            assert await Sale.all().select_for_update(skip_locked=True).using_db(connection.orm) == []
    release.set()
    await adding
    sale = await Sale.filter(name="bread").using_db(shop_database.orm).get()
    assert sale.cents == 255


async def test_query_without_a_connection_is_refused(shop_database: Database) -> None:
    with pytest.raises(TransactionMisuse, match="using_db"):
        await Sale.all()
    with pytest.raises(TransactionMisuse, match="using_db"):
        await Sale.create(name="bread", cents=250)
    async with shop_database.transaction() as connection:
        with pytest.raises(TransactionMisuse, match="ON CONFLICT"):
            await Sale.get_or_create(name="bread", defaults={"cents": 1}, using_db=connection.orm)
    assert await shop_database.fetch("SELECT 1 FROM sale") == []


async def test_reading_client_refuses_to_write(shop_database: Database) -> None:
    with pytest.raises(TransactionMisuse, match="only reads"):
        await Sale.filter(name="bread").using_db(shop_database.orm).update(cents=1)


async def test_finished_transaction_is_refused_through_tortoise(shop_database: Database) -> None:
    async with shop_database.transaction() as connection:
        orm = connection.orm
    with pytest.raises(TransactionMisuse, match="has ended"):
        await Sale.all().using_db(orm)


async def test_both_engines_side_by_side(empty_url: str, tmp_path: Path) -> None:
    beside_url = f"sqlite://{tmp_path / 'beside.db'}"
    await migrate(empty_url, migrations=[SHOP])
    await migrate(beside_url, migrations=[SHOP])
    async with open_database(empty_url) as one, open_database(beside_url) as other:
        async with one.transaction() as first, other.transaction() as second:
            await Sale.create(using_db=first.orm, name="first", cents=1)
            await Sale.create(using_db=second.orm, name="second", cents=2)
            query = Sale.filter(cents__gte=1)
            assert [sale.name for sale in await query.using_db(first.orm)] == ["first"]
            assert [sale.name for sale in await query.using_db(second.orm)] == ["second"]
        assert await one.fetch("SELECT name FROM sale") == [{"name": "first"}]
        assert await other.fetch("SELECT name FROM sale") == [{"name": "second"}]
