"""A transaction's connection: the one thing work is done through while it is open, and refused after."""

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Awaitable, Sequence
from contextlib import asynccontextmanager
from functools import cached_property
from itertools import count
from typing import NoReturn, TypeVar

from gateway.db.dialect import Dialect, Parameters, Row
from gateway.db.errors import Conflict, DatabaseUnavailable, RuleViolation, TransactionMisuse
from gateway.db.orm import OrmClient

T = TypeVar("T")

_HEALED_BY_SAVEPOINT = (Conflict, RuleViolation)


class Connection(ABC):
    """One open transaction.

    The rules of PostgreSQL hold on SQLite too, so that what passes on one passes on the other: after a refused or
    cut statement the transaction can only be rolled back, unless the refusal happened inside `savepoint()`.
    """

    dialect: Dialect

    def __init__(self) -> None:
        self._finished = False
        self._broken: BaseException | None = None
        self._savepoints = count(1)

    @cached_property
    def orm(self) -> OrmClient:
        """What Tortoise takes as `using_db`: `Model.filter(...).using_db(connection.orm)`."""
        return OrmClient(self, dialect=self.dialect)

    async def fetch(self, sql: str, params: Parameters = ()) -> list[Row]:
        """Run a statement and return all its rows."""
        self._refuse_if_over()
        return await self._or_break(self._fetch(sql, params))

    async def fetch_one(self, sql: str, params: Parameters = ()) -> Row | None:
        """Run a statement and return its first row, or None when there is none."""
        self._refuse_if_over()
        return await self._or_break(self._fetch_one(sql, params))

    async def execute(self, sql: str, params: Parameters = ()) -> int:
        """Run a statement and return how many rows it changed; changes made by triggers are not counted."""
        self._refuse_if_over()
        return await self._or_break(self._execute(sql, params))

    async def execute_many(self, sql: str, params: Sequence[Parameters]) -> None:
        """Run a statement once for each set of parameters, in this transaction."""
        self._refuse_if_over()
        await self._or_break(self._execute_many(sql, params))

    @asynccontextmanager
    async def savepoint(self) -> AsyncGenerator[None]:
        """Undo what is done inside when it raises, and go on with the rest of the transaction.

        Wrap a `Conflict` or `RuleViolation` one expects, and catch it outside.
        """
        name = f"savepoint_{next(self._savepoints)}"
        await self.execute(f"SAVEPOINT {name}")
        try:
            yield
        except Exception:
            if self._broken is None or isinstance(self._broken, _HEALED_BY_SAVEPOINT):
                self._broken = None
                await self.execute(f"ROLLBACK TO SAVEPOINT {name}")
                await self.execute(f"RELEASE SAVEPOINT {name}")
            raise
        else:
            await self.execute(f"RELEASE SAVEPOINT {name}")

    async def commit(self) -> None:
        """End the transaction; for `Database` only. A refusal that the work swallowed is not committed over."""
        self._refuse_if_finished()
        self._finished = True
        if self._broken is None:
            await self._commit()
            return
        await self._rollback()
        self._raise_broken(self._broken)

    async def rollback(self) -> None:
        """Undo the transaction; for `Database` only."""
        if not self._finished:
            self._finished = True
            await self._rollback()

    def abandon(self) -> None:
        """Undo the transaction without waiting for it, because the task is being cancelled; for `Database` only."""
        if not self._finished:
            self._finished = True
            self._abandon()

    async def _or_break(self, answer: Awaitable[T]) -> T:
        try:
            return await answer
        except BaseException as error:
            self._broken = error
            raise

    def _refuse_if_over(self) -> None:
        self._refuse_if_finished()
        if self._broken is not None:
            self._raise_broken(self._broken)

    def _raise_broken(self, broken: BaseException) -> NoReturn:
        if isinstance(broken, DatabaseUnavailable):
            raise broken
        raise TransactionMisuse(
            "A statement failed in this transaction and the failure was swallowed, so nothing of it can be stored; "
            f"wrap expected refusals in connection.savepoint(). The statement said: {broken!r}"
        ) from broken

    def _refuse_if_finished(self) -> None:
        if self._finished:
            raise TransactionMisuse(
                "This transaction has ended; a task that outlives it opens a transaction of its own."
            )

    @abstractmethod
    async def _fetch(self, sql: str, params: Parameters) -> list[Row]: ...

    @abstractmethod
    async def _fetch_one(self, sql: str, params: Parameters) -> Row | None: ...

    @abstractmethod
    async def _execute(self, sql: str, params: Parameters) -> int: ...

    @abstractmethod
    async def _execute_many(self, sql: str, params: Sequence[Parameters]) -> None: ...

    @abstractmethod
    async def _commit(self) -> None:
        """Commit and give the connection back, whatever happens."""

    @abstractmethod
    async def _rollback(self) -> None:
        """Roll back and give the connection back, whatever happens; never raises for a lost connection."""

    @abstractmethod
    def _abandon(self) -> None:
        """Start the rollback and let the connection find its own way back."""
