"""A small schema behind the edge, with a journal of what ran and when."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import strawberry
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from graphql import DocumentNode, GraphQLError, GraphQLSchema, OperationDefinitionNode

from gateway.domain.clock import ManualClock
from gateway.domain.identity import Caller
from gateway.server.auth import Authenticator, SharedSecret, TokenVerifier
from gateway.server.graphql import GraphQLEdge, Need, add_graphql_routes
from tests.server.tokens import NOW, SECRET


class DatabaseGone(Exception):
    """Stands for a database that cannot be reached."""


@dataclass
class World:
    """What the resolvers of the tests see and do; every step is written into the journal."""

    journal: list[str] = field(default_factory=list[str])
    contexts: list["Context"] = field(default_factory=list["Context"])
    plans: list[str] = field(default_factory=list[str])
    requests: int = 0
    total: int = 0
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    reached: asyncio.Event = field(default_factory=asyncio.Event)
    prepare_raises: Exception | None = None
    prepare_waits: bool = False

    def new_contexts(self, caller: Caller | None, request: web.Request) -> Callable[[], "Context"]:
        self.requests += 1

        def new_context() -> Context:
            context = Context(self, caller)
            self.contexts.append(context)
            return context

        return new_context

    def plan(self, schema: GraphQLSchema, document: DocumentNode, operation: OperationDefinitionNode) -> str:
        name = operation.name.value if operation.name else "anonymous"
        self.plans.append(name)
        return f"plan of {name}"


@dataclass
class Context:
    world: World
    caller: Caller | None
    needs: list[Need] = field(default_factory=list[Need])
    prepared: int = 0

    async def prepare(self, needs: Sequence[Need]) -> None:
        self.prepared += 1
        self.needs = list(needs)
        self.world.journal.append(f"load {len(needs)}")
        if self.world.prepare_raises is not None:
            raise self.world.prepare_raises
        if self.world.prepare_waits:
            await self.world.gate.wait()


Info = strawberry.Info[Context, None]


@strawberry.type
class Entry:
    id: strawberry.ID
    amount: int


@strawberry.type
class Edge:
    cursor: str
    node: Entry


@strawberry.type
class Connection:
    edges: list[Edge]


@strawberry.type
class Wallet:
    balance: int

    @strawberry.field
    def entries(self, first: int = 25) -> Connection:
        return Connection(
            edges=[Edge(cursor=str(n), node=Entry(id=strawberry.ID(str(n)), amount=n)) for n in range(first)]
        )

    @strawberry.field
    def self(self) -> "Wallet":
        return self


@strawberry.input
class AddInput:
    value: int
    note: str | None = None


@strawberry.type
class Query:
    @strawberry.field
    def hello(self, name: str = "world") -> str:
        return f"hello {name}"

    @strawberry.field
    def total(self, info: Info) -> int:
        info.context.world.journal.append("read total")
        return info.context.world.total

    @strawberry.field
    def me(self, info: Info) -> str | None:
        if info.context.caller is None:
            raise GraphQLError("Sign in first.", extensions={"code": "UNAUTHENTICATED"})
        return info.context.caller.subject

    @strawberry.field
    def wallet(self) -> Wallet | None:
        return Wallet(balance=7)

    @strawberry.field
    def boom(self) -> str | None:
        raise ValueError("postgres://user:password@db/billing refused us")

    @strawberry.field
    def bare(self) -> str | None:
        raise GraphQLError("That is not possible.")

    @strawberry.field
    def gone(self) -> str | None:
        raise DatabaseGone

    @strawberry.field
    def too_large(self) -> int | None:
        return 2**40

    @strawberry.field
    async def slow(self, info: Info) -> str:
        world = info.context.world
        world.journal.append("slow starts")
        world.reached.set()
        await world.gate.wait()
        world.journal.append("slow ends")
        return "slow"

    @strawberry.field
    async def open_gate(self, info: Info) -> str:
        info.context.world.gate.set()
        return "open"


@strawberry.type
class Mutation:
    @strawberry.mutation
    async def add(self, info: Info, value: int) -> int:
        world = info.context.world
        world.journal.append(f"start {value}")
        await asyncio.sleep(0.01)
        world.total += value
        world.journal.append(f"end {value}")
        return world.total

    @strawberry.mutation
    def add_input(self, info: Info, input: AddInput) -> int:
        info.context.world.total += input.value
        return info.context.world.total

    @strawberry.mutation
    async def add_slowly(self, info: Info, value: int) -> int:
        world = info.context.world
        world.journal.append(f"start {value}")
        world.reached.set()
        await world.gate.wait()
        world.total += value
        world.journal.append(f"end {value}")
        return world.total

    @strawberry.mutation
    def fail(self) -> int:
        raise RuntimeError("sk_live_secret")

    @strawberry.mutation
    def lose_database(self) -> int:
        raise DatabaseGone


SCHEMA = strawberry.Schema(query=Query, mutation=Mutation)


def build_edge(world: World, **options: Any) -> GraphQLEdge:  # noqa: ANN401 - whatever the edge takes
    verifier = TokenVerifier(keys=SharedSecret(SECRET), clock=ManualClock(NOW))
    ids = count(1)
    settings: dict[str, Any] = {
        "authenticate": Authenticator(verifier).authenticate,
        "new_contexts": world.new_contexts,
        "plan": world.plan,
        "new_error_id": lambda: f"error-{next(ids)}",
        "unavailable": (DatabaseGone,),
        "introspection": True,
        **options,
    }
    return GraphQLEdge(SCHEMA, **settings)


def build_app(edge: GraphQLEdge, *, graphiql: bool = False) -> web.Application:
    app = web.Application()
    add_graphql_routes(app, edge, graphiql=graphiql)
    return app


Client = TestClient[web.Request, web.Application]


@dataclass
class Door:
    """The edge of one test, open on a free port."""

    world: World
    edge: GraphQLEdge
    client: Client

    async def post(self, body: object, **headers: str) -> tuple[int, Any]:
        """Status and content of the answer to a JSON body."""
        async with self.client.post("/graphql", json=body, headers=headers) as response:
            return response.status, await response.json(content_type=None)

    async def query(self, source: str, **variables: object) -> Any:  # noqa: ANN401 - the answer's JSON
        return (await self.post({"query": source, "variables": variables}))[1]


@asynccontextmanager
async def open_door(*, graphiql: bool = False, **options: Any) -> AsyncGenerator[Door]:  # noqa: ANN401 - as above
    """The edge on a free port, and everything closed at the end."""
    world = World()
    edge = build_edge(world, **options)
    async with TestClient(TestServer(build_app(edge, graphiql=graphiql))) as client:
        yield Door(world, edge, client)
        world.gate.set()
