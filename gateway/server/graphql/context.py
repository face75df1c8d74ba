"""What the edge asks of the code that loads and resolves: a context for each run of operations."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from aiohttp import web
from graphql import DocumentNode, GraphQLSchema, OperationDefinitionNode

from gateway.domain.identity import Caller


@dataclass(frozen=True, slots=True)
class Need:
    """What one query will read: the plan of its document, and its variables as the schema coerced them."""

    plan: object
    variables: Mapping[str, object]


class OperationContext(Protocol):
    """What resolvers find in `info.context`.

    One context serves a run of consecutive queries, so that they share one load and see one state; each mutation gets
    a context of its own, so that what is read after it is fresh.
    """

    async def prepare(self, needs: Sequence[Need]) -> None:
        """Loads what the queries of the run will read, at once. Called once before they execute; not for mutations.

        May raise: the queries of the run then answer that failure, and nothing else does.
        """
        ...


#: Asked once a request, without a caller when no token was sent; what it gives makes the context of each run.
NewContexts = Callable[[Caller | None, web.Request], Callable[[], OperationContext]]

#: Works out, once for each operation of a valid document, what it reads. Kept beside the parsed document.
Plan = Callable[[GraphQLSchema, DocumentNode, OperationDefinitionNode], object]

#: Tells who is asking. Raises BadToken or KeysUnavailable (gateway/server/auth.py).
Authenticate = Callable[[web.Request], Awaitable[Caller | None]]
