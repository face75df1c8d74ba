"""Tortoise on our connections: models speak one SQL, and always through a connection that was handed to them.

Tortoise keeps its connections in a ContextVar and builds its SQL for one engine per process. Here it learns the models
once, builds PostgreSQL's SQL for both engines (SQLite's is derived from it, as for hand-written SQL), and has no
connection of its own: a query without `using_db` is refused.
"""

import pkgutil
from collections.abc import Iterable, Sequence
from importlib import import_module
from inspect import isclass
from types import ModuleType
from typing import Any, ClassVar, Final, NoReturn, Protocol

from pypika_tortoise.dialects.postgresql import PostgreSQLQuery
from tortoise.apps import Apps
from tortoise.backends.asyncpg.executor import AsyncpgExecutor
from tortoise.backends.asyncpg.schema_generator import AsyncpgSchemaGenerator
from tortoise.backends.base.client import BaseDBAsyncClient, Capabilities, TransactionContext
from tortoise.backends.sqlite.schema_generator import SqliteSchemaGenerator
from tortoise.connection import ConnectionHandler
from tortoise.context import TortoiseContext, set_global_context
from tortoise.models import Model

from gateway.db.dialect import Dialect, Parameters, Row
from gateway.db.errors import TransactionMisuse

_APP: Final = "models"
_SCHEMA_GENERATORS: Final = {"sqlite": SqliteSchemaGenerator, "postgres": AsyncpgSchemaGenerator}


class Statements(Protocol):
    """What Tortoise's queries run on."""

    async def fetch(self, sql: str, params: Parameters = ()) -> list[Row]: ...

    async def fetch_one(self, sql: str, params: Parameters = ()) -> Row | None: ...

    async def execute(self, sql: str, params: Parameters = ()) -> int: ...

    async def execute_many(self, sql: str, params: Sequence[Parameters]) -> None: ...


class OrmExecutor(AsyncpgExecutor):
    """Turns every value but the plainest into its Python type, so that SQLite's texts become times and UUIDs."""

    DB_NATIVE: ClassVar[set[type]] = {bytes, str, int, float}


class OrmClient(BaseDBAsyncClient):
    """Tortoise's view of one connection; pass it as `using_db`."""

    query_class = PostgreSQLQuery
    executor_class = OrmExecutor
    capabilities = Capabilities(
        "postgres",
        requires_limit=True,
        support_update_limit_order_by=False,
        support_for_no_key_update=True,
        can_rollback_ddl=True,
        support_returning=True,
    )

    def __init__(self, statements: Statements, *, dialect: Dialect) -> None:
        super().__init__(connection_name=f"gateway-{dialect}")  # a key of Tortoise's cache of statements
        self.schema_generator = _SCHEMA_GENERATORS[dialect]
        self._statements = statements

    async def execute_insert(self, query: str, values: list[Any]) -> Row | None:
        return await self._statements.fetch_one(query, values)

    async def execute_query(self, query: str, values: list[Any] | None = None) -> tuple[int, list[Any]]:
        if query.startswith(("INSERT", "UPDATE", "DELETE")) and " RETURNING " not in query:
            return await self._statements.execute(query, values or ()), []
        rows = await self._statements.fetch(query, values or ())
        return len(rows), rows

    async def execute_query_dict(self, query: str, values: list[Any] | None = None) -> list[dict[str, Any]]:
        return [dict(row) for row in await self._statements.fetch(query, values or ())]

    async def execute_many(self, query: str, values: list[list[Any]]) -> None:
        await self._statements.execute_many(query, values)

    def acquire_connection(self) -> NoReturn:
        raise TransactionMisuse("Tortoise has no connections of its own here.")

    def _in_transaction(self) -> TransactionContext:
        raise TransactionMisuse(
            "Tortoise opens no transactions here (get_or_create and update_or_create would); "
            "use INSERT ... ON CONFLICT, or connection.savepoint()."
        )


class _NoDatabase:
    """Stands where a query names no connection."""

    async def fetch(self, sql: str, params: Parameters = ()) -> NoReturn:
        raise TransactionMisuse("The query names no connection; pass using_db=connection.orm (or database.orm).")

    async def fetch_one(self, sql: str, params: Parameters = ()) -> NoReturn:
        await self.fetch(sql, params)

    async def execute(self, sql: str, params: Parameters = ()) -> NoReturn:
        await self.fetch(sql, params)

    async def execute_many(self, sql: str, params: Sequence[Parameters]) -> NoReturn:
        await self.fetch(sql, ())


class _Handler(ConnectionHandler):
    """Answers Tortoise's questions about the dialect, and refuses its queries."""

    def __init__(self) -> None:
        super().__init__()
        self._client = OrmClient(_NoDatabase(), dialect="postgres")

    def get(self, conn_alias: str) -> OrmClient:
        return self._client


class _Context(TortoiseContext):
    """Tortoise's state without a database. There is no public way to set it up, hence through the private one."""

    def learn(self, modules: list[ModuleType]) -> None:
        self._init_timezone(use_tz=True, timezone="UTC")
        self._connections = self._connections or _Handler()
        self._apps = Apps({_APP: {"models": modules, "default_connection": _APP}}, self._connections)


class _Registry:
    """The models Tortoise knows; facts about classes, the same for every database of the process."""

    def __init__(self) -> None:
        self._modules: list[ModuleType] = []
        self._context: _Context | None = None

    def add(self, modules: Iterable[ModuleType]) -> None:
        new = [module for module in modules if module not in self._modules and _has_models(module)]
        if not new:
            return
        self._modules += new
        if self._context is None:
            self._context = _Context()
            set_global_context(self._context)
        self._context.learn(self._modules)


_registry = _Registry()


def register_models(modules: Iterable[ModuleType]) -> None:
    """Let Tortoise learn the models in these modules; knowing them already costs nothing."""
    _registry.add(modules)


def model_modules(package: ModuleType) -> list[ModuleType]:
    """The modules of a package, without its sub-packages."""
    return [
        import_module(f"{package.__name__}.{module.name}")
        for module in pkgutil.iter_modules(package.__path__)
        if not module.ispkg
    ]


def _has_models(module: ModuleType) -> bool:
    return any(isclass(value) and issubclass(value, Model) and value is not Model for value in vars(module).values())
