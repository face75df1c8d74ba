"""A database that counts what it is asked."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import TypeVar

from gateway.app import Gateway
from gateway.db import Connection, Database, Dialect, Parameters, Row
from gateway.db.database import Transaction
from gateway.db.pool import PoolCounts

T = TypeVar("T")


class CountingDatabase(Database):
    """Hands everything on; `reads` are the statements outside transactions, `transactions` how many were begun."""

    def __init__(self, inner: Database) -> None:
        self._inner = inner
        self.reads: list[str] = []
        self.transactions = 0

    def forget(self) -> None:
        self.reads.clear()
        self.transactions = 0

    @property
    def dialect(self) -> Dialect:
        return self._inner.dialect

    @property
    def counts(self) -> PoolCounts:
        return self._inner.counts

    async def run(self, work: Callable[[Connection], Awaitable[T]]) -> T:
        self.transactions += 1
        return await self._inner.run(work)

    def transaction(self) -> Transaction:
        self.transactions += 1
        return self._inner.transaction()

    async def fetch(self, sql: str, params: Parameters = ()) -> list[Row]:
        self.reads.append(sql)
        return await self._inner.fetch(sql, params)

    async def fetch_one(self, sql: str, params: Parameters = ()) -> Row | None:
        self.reads.append(sql)
        return await self._inner.fetch_one(sql, params)

    async def ping(self) -> None:
        await self._inner.ping()

    async def aclose(self) -> None:
        """Whoever opened the database closes it."""


def counted(gateway: Gateway) -> Gateway:
    """The same gateway on a counting database."""
    database = CountingDatabase(gateway.database)
    return replace(gateway, database=database, billing=replace(gateway.billing, database=database))


def counting_of(database: Database) -> CountingDatabase:
    """The counting database that a gateway was dressed with."""
    assert isinstance(database, CountingDatabase)
    return database
