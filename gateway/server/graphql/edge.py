"""POST /graphql from the first header to the last byte: check everything, then run, then answer."""

from collections.abc import Callable, Sequence
from typing import Final, Protocol

import strawberry
import structlog
from aiohttp import hdrs, web

from gateway.domain.identity import Caller
from gateway.server.auth import CHALLENGE, BadToken
from gateway.server.graphql.answers import (
    Answer,
    BadRequest,
    Code,
    Masking,
    Refused,
    batch_response,
    refusal_response,
    single_response,
)
from gateway.server.graphql.context import Authenticate, NewContexts, Plan
from gateway.server.graphql.documents import Documents
from gateway.server.graphql.execution import QUERY_SECONDS_MAX, Execution, Ready, graphql_schema_of
from gateway.server.graphql.limits import Limits
from gateway.server.graphql.negotiation import JSON, media_type_for
from gateway.server.graphql.requests import (
    BODY_BYTES_MAX,
    BODY_SECONDS_MAX,
    OperationRequest,
    RequestBody,
    parse_body,
    read_body,
    refuse_ambiguous_json,
    require_json,
)
from gateway.server.jwks import KeysUnavailable

BATCH_MAX: Final = 8

log = structlog.stdlib.get_logger(__name__)


def _any_body_bytes_max(caller: Caller | None) -> int:
    return BODY_BYTES_MAX


class ObserveOperation(Protocol):
    """Told of every operation that ran: `query` or `mutation`; `ok`, or `error` if its answer has top-level errors."""

    def __call__(self, *, kind: str, outcome: str) -> None: ...


def _nobody(*, kind: str, outcome: str) -> None:
    """Watches nothing."""


class GraphQLEdge:
    """A thin, strict GraphQL-over-HTTP handler around a Strawberry schema.

    Every entry of a batch is checked before any runs. A request that is not of the right shape is refused as a whole
    with 400. An entry whose document is bad, or whose variables do not fit, answers its own errors in its place, and
    the others run: they are of different parts of a page, which should not fall together.
    """

    def __init__(
        self,
        schema: strawberry.Schema,
        *,
        authenticate: Authenticate,
        new_contexts: NewContexts,
        plan: Plan,
        new_error_id: Callable[[], str],
        unavailable: tuple[type[Exception], ...] = (),
        observe: ObserveOperation = _nobody,
        limits: Limits = Limits(),  # noqa: B008 - frozen
        batch_max: int = BATCH_MAX,
        introspection: bool = False,
        query_seconds_max: float = QUERY_SECONDS_MAX,
        body_seconds_max: float = BODY_SECONDS_MAX,
        body_bytes_max: Callable[[Caller | None], int] = _any_body_bytes_max,
    ) -> None:
        """An edge that may serve many applications at once; it keeps nothing of a caller between requests.

        `plan` is asked once for each operation of a document, `new_contexts` once for each request, and what it gives
        once for each run of queries and each mutation (see gateway/server/graphql/context.py). Exceptions of the types
        in `unavailable` are answered with SERVICE_UNAVAILABLE and 503; any other is a bug, answered with an id of
        `new_error_id`. `observe` hears of every operation that ran, not of those that were refused before.
        `body_bytes_max` says how large a body may be, which can depend on who sends it: a token is checked before the
        body is read.
        """
        self._authenticate = authenticate
        self._observe = observe
        self._new_contexts = new_contexts
        self._batch_max = batch_max
        self._body_seconds_max = body_seconds_max
        self._body_bytes_max = body_bytes_max
        self._masking = Masking(new_error_id=new_error_id, unavailable=unavailable)
        self._execution = Execution(schema, masking=self._masking, query_seconds_max=query_seconds_max)
        self.documents = Documents(graphql_schema_of(schema), limits=limits, introspection=introspection, plan=plan)

    async def handle(self, request: web.Request) -> web.Response:
        """The response to a POST. Never raises but when the handler is cancelled."""
        media_type = media_type_for(",".join(request.headers.getall(hdrs.ACCEPT, ())))
        try:
            return await self._respond(request, media_type)
        except BadRequest as refusal:
            log.debug("graphql.bad_request", status=refusal.status, reason=refusal.message)
            return refusal_response(refusal, media_type=media_type or JSON)
        except BadToken as reason:
            log.debug("graphql.bad_token", reason=str(reason))
            return refusal_response(_UNAUTHENTICATED, media_type=media_type or JSON)
        except KeysUnavailable:
            return refusal_response(_NO_KEYS, media_type=media_type or JSON)
        except ConnectionResetError:
            raise
        except Exception as error:  # noqa: BLE001 - the border: a bug of ours is masked and logged
            return single_response(self._masking.failed(error), media_type=media_type or JSON)

    async def drain(self, app: web.Application | None = None) -> None:
        """Waits for mutations under way; of use as an `on_shutdown` signal."""
        await self._execution.drain()

    async def _respond(self, request: web.Request, media_type: str | None) -> web.Response:
        if media_type is None:
            message = "Answers are application/graphql-response+json or application/json."
            raise BadRequest(message, status=406, close=True)
        require_json(request)
        caller = await self._authenticate(request)
        bytes_max = self._body_bytes_max(caller)
        raw = await read_body(request, bytes_max=bytes_max, seconds_max=self._body_seconds_max)
        body = parse_body(raw, batch_max=self._batch_max)
        answers = await self._answers(body, caller, request)
        return batch_response(answers) if body.batch else single_response(answers[0], media_type=media_type)

    async def _answers(self, body: RequestBody, caller: Caller | None, request: web.Request) -> Sequence[Answer]:
        checked = [self._check(entry) for entry in body.entries]
        ready = [entry for entry in checked if isinstance(entry, Ready)]
        if any(entry.is_mutation for entry in ready):
            refuse_ambiguous_json(body.raw)
        executed = await self._execution.run(ready, self._new_contexts(caller, request))
        for entry, answer in zip(ready, executed, strict=True):
            self._observe(kind=entry.operation.kind.value, outcome="error" if "errors" in answer.body else "ok")
        ran = iter(executed)
        return [next(ran) if isinstance(entry, Ready) else entry for entry in checked]

    def _check(self, entry: OperationRequest) -> Ready | Answer:
        try:
            if entry.source is None:
                raise Refused.because("PersistedQueryNotFound", code=Code.PERSISTED_QUERY_NOT_FOUND)
            operation = self.documents.operation(entry.source, entry.operation_name)
            variables = self.documents.variables(operation, entry.variables)
        except Refused as refusal:
            log.debug("graphql.refused", reason=str(refusal))
            return refusal.answer()
        return Ready(operation=operation, given=entry.variables, variables=variables)


_UNAUTHENTICATED = BadRequest(
    "The token is not valid, or no longer; sign in again.",
    status=401,
    code=Code.UNAUTHENTICATED,
    headers={hdrs.WWW_AUTHENTICATE: CHALLENGE},
)
_NO_KEYS = BadRequest("Tokens cannot be checked at the moment; try again.", status=503, code=Code.SERVICE_UNAVAILABLE)
