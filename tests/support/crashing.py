"""Dying at a chosen place: a database and a Stripe that do their work for real and call out at every boundary."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from gateway.db import Connection, Database, Parameters, Row
from gateway.db.database import Work
from gateway.db.dialect import Dialect
from gateway.stripe_service import StripeTransfer
from gateway.stripe_service.connection import StripeConnection
from tests.support.odd_stripe import OddDay, OddStripe

T = TypeVar("T")


class Crash(BaseException):
    """The process is gone at this point: no handler of ours sees it."""


@dataclass(slots=True)
class Tripwire:
    """Counts the boundaries that are passed, over any number of nodes in turn, and dies at the chosen ones."""

    at: frozenset[int] = frozenset()
    passed: int = 0
    tripped: int = 0

    def __call__(self, boundary: str) -> None:
        self.passed += 1
        if self.passed in self.at:
            self.tripped += 1
            raise Crash(boundary)


class CrashingDatabase(Database):
    """Another database, with a boundary before and after each COMMIT."""

    def __init__(self, inner: Database, wire: Tripwire) -> None:  # pyright: ignore[reportMissingSuperCall]  # delegates
        self._inner = inner
        self._wire = wire

    @property
    def dialect(self) -> Dialect:
        return self._inner.dialect

    async def run(self, work: Work[T]) -> T:
        async def dying(connection: Connection) -> T:
            result = await work(connection)
            self._wire("before a commit")
            return result

        result = await self._inner.run(dying)
        self._wire("after a commit")
        return result

    async def fetch(self, sql: str, params: Parameters = ()) -> list[Row]:
        return await self._inner.fetch(sql, params)

    async def fetch_one(self, sql: str, params: Parameters = ()) -> Row | None:
        return await self._inner.fetch_one(sql, params)


class CrashingStripe(OddStripe):
    """The same Stripe over HTTP, with a boundary before and after each call about transfers."""

    def __init__(self, connection: StripeConnection, wire: Tripwire, day: OddDay) -> None:
        super().__init__(connection, day)
        self._wire = wire

    async def create_transfer(
        self, *, amount_cents: int, destination: str, payout_id: str, idempotency_key: str
    ) -> StripeTransfer:
        return await self._between(
            "a transfer",
            lambda: super(CrashingStripe, self).create_transfer(
                amount_cents=amount_cents,
                destination=destination,
                payout_id=payout_id,
                idempotency_key=idempotency_key,
            ),
        )

    async def transfers_of(self, payout_id: str) -> tuple[StripeTransfer, ...]:
        return tuple(await self._between("a look", lambda: super(CrashingStripe, self).transfers_of(payout_id)))

    async def _between(self, name: str, call: Callable[[], Awaitable[T]]) -> T:
        self._wire(f"before {name}")
        answer = await call()
        self._wire(f"after {name}")
        return answer
