"""Running checked operations: queries side by side over one load, each mutation alone and never cut short."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from inspect import isawaitable
from itertools import groupby

import graphql
import strawberry
from graphql import ExecutionResult, GraphQLSchema, OperationType
from strawberry.execution import optimized_is_awaitable

from gateway.server.graphql.answers import Answer, Masking, Outcome, timed_out
from gateway.server.graphql.context import Need, OperationContext
from gateway.server.graphql.documents import Operation

QUERY_SECONDS_MAX = 10.0


@dataclass(frozen=True, slots=True)
class Ready:
    """An operation that passed every check, with its variables as sent and as the schema coerced them."""

    operation: Operation
    given: Mapping[str, object]
    variables: Mapping[str, object]

    @property
    def is_mutation(self) -> bool:
        return self.operation.kind is OperationType.MUTATION


def graphql_schema_of(schema: strawberry.Schema) -> GraphQLSchema:
    """The graphql-core schema inside a Strawberry one.

    Strawberry has no public name for it; its own printer and extensions read this attribute too. This is the only
    place where the gateway does.
    """
    return schema._schema  # noqa: SLF001  # pyright: ignore[reportPrivateUsage] - see above


class Execution:
    """Executes operations with graphql-core straight, past Strawberry's extension machinery.

    Of Strawberry's own execution two things are kept, because its resolvers rely on them: the executor class, which
    makes `info` as they expect it, and its faster test for awaitables.
    """

    def __init__(
        self, schema: strawberry.Schema, *, masking: Masking, query_seconds_max: float = QUERY_SECONDS_MAX
    ) -> None:
        assert not schema.extensions, "schema extensions would be skipped without a word"
        assert not schema.directives, "operation directives need an extension, which would be skipped"
        self._schema = graphql_schema_of(schema)
        self._executor_class = schema.execution_context_class
        self._masking = masking
        self._query_seconds_max = query_seconds_max
        self._mutations: set[asyncio.Task[Answer]] = set()

    async def run(self, entries: Sequence[Ready], new_context: Callable[[], OperationContext]) -> list[Answer]:
        """The answers, in order. Never raises but when the caller is cancelled; a started mutation goes on even then.

        Consecutive queries share one context, which is prepared once; each mutation has a context to itself and
        starts when everything before it has ended.
        """
        answers: list[Answer] = []
        for is_mutation, group in groupby(entries, key=lambda ready: ready.is_mutation):
            if is_mutation:
                for ready in group:
                    answers.append(await self._mutation(ready, new_context))  # noqa: PERF401 - one after another
            else:
                answers += await self._queries(list(group), new_context)
        return answers

    async def drain(self) -> None:
        """Waits until no mutation is under way."""
        while self._mutations:
            await asyncio.wait(self._mutations)

    async def _queries(self, run: Sequence[Ready], new_context: Callable[[], OperationContext]) -> list[Answer]:
        try:
            async with asyncio.timeout(self._query_seconds_max):
                context = new_context()
                await context.prepare([Need(ready.operation.plan, ready.variables) for ready in run])
                return await self._read(run, context)
        except TimeoutError:
            return [timed_out()] * len(run)
        except Exception as error:  # noqa: BLE001 - the border: whatever a load raises is masked and logged
            return [self._masking.failed(error)] * len(run)

    async def _read(self, run: Sequence[Ready], context: OperationContext) -> list[Answer]:
        results = [self._execute(ready, context) for ready in run]
        waiting = [result for result in results if not isinstance(result, ExecutionResult)]
        if not waiting:
            return [self._answer(result) for result in results if isinstance(result, ExecutionResult)]
        arrived = iter(await asyncio.gather(*waiting))
        return [self._answer(result if isinstance(result, ExecutionResult) else next(arrived)) for result in results]

    async def _mutation(self, ready: Ready, new_context: Callable[[], OperationContext]) -> Answer:
        """Runs a mutation in a task of its own, so that nothing that happens to the request cuts it short.

        No timeout either: between a call to Stripe and the commit is no place to stop. What it calls has its own.
        """
        task = asyncio.create_task(self._mutate(ready, new_context), name="graphql-mutation")
        self._mutations.add(task)
        task.add_done_callback(self._mutations.discard)
        return await asyncio.shield(task)

    async def _mutate(self, ready: Ready, new_context: Callable[[], OperationContext]) -> Answer:
        try:
            result = self._execute(ready, new_context())
            return self._answer(await result if isawaitable(result) else result)
        except Exception as error:  # noqa: BLE001 - the border, as above
            return self._masking.failed(error)

    def _execute(self, ready: Ready, context: OperationContext) -> ExecutionResult | Awaitable[ExecutionResult]:
        return graphql.execute(
            self._schema,
            ready.operation.document,
            context_value=context,
            variable_values=dict(ready.given),
            operation_name=ready.operation.name,
            executor_class=self._executor_class,
            is_awaitable=optimized_is_awaitable,  # pyright: ignore[reportArgumentType] - a TypeGuard but in name
            hide_suggestions=True,
            operation_extensions=None,
        )

    def _answer(self, result: ExecutionResult) -> Answer:
        if not result.errors:
            return Answer({"data": result.data})
        entries = [self._masking.field_error(error) for error in result.errors]
        body = {"errors": [entry for entry, _ in entries], "data": result.data}
        out_of_service = any(outcome is Outcome.UNAVAILABLE for _, outcome in entries)
        if out_of_service and not any(value is not None for value in (result.data or {}).values()):
            return Answer(body, Outcome.UNAVAILABLE)
        return Answer(body)
