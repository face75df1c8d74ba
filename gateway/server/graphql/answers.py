"""How an answer looks: error entries with a code, the masking of bugs, status codes, bytes."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, StrEnum

import orjson
import structlog
from aiohttp import hdrs, web
from graphql import GraphQLError
from multidict import CIMultiDict

from gateway.server.graphql.negotiation import GRAPHQL_RESPONSE, JSON

log = structlog.stdlib.get_logger(__name__)

RETRY_AFTER_SECONDS = 1
MESSAGE_CHARACTERS_MAX = 300


class Code(StrEnum):
    """`extensions.code` of a top-level error: what a client can branch on."""

    BAD_REQUEST = "BAD_REQUEST"
    UNAUTHENTICATED = "UNAUTHENTICATED"
    FORBIDDEN = "FORBIDDEN"
    QUERY_TOO_COMPLEX = "QUERY_TOO_COMPLEX"
    PERSISTED_QUERY_NOT_FOUND = "PERSISTED_QUERY_NOT_FOUND"
    SERVICE_UNAVAILABLE = "SERVICE_UNAVAILABLE"
    TIMEOUT = "TIMEOUT"
    INTERNAL_SERVER_ERROR = "INTERNAL_SERVER_ERROR"


class Outcome(Enum):
    """What became of one operation, as far as a status code can tell."""

    EXECUTED = "executed"
    REFUSED = "refused"
    UNAVAILABLE = "unavailable"
    BROKEN = "broken"


#: The one table of status codes. The graphql-http audit asks for 400 and 200 here; a later draft of the specification
#: says 422, and 294 for data with errors: change it here when clients do.
STATUS: Mapping[str, Mapping[Outcome, int]] = {
    GRAPHQL_RESPONSE: {
        Outcome.EXECUTED: 200,
        Outcome.REFUSED: 400,
        Outcome.UNAVAILABLE: 503,
        Outcome.BROKEN: 500,
    },
    JSON: {
        Outcome.EXECUTED: 200,
        Outcome.REFUSED: 200,
        Outcome.UNAVAILABLE: 503,
        Outcome.BROKEN: 500,
    },
}

_HEADERS: dict[str, CIMultiDict[str]] = {
    media_type: CIMultiDict(
        {
            hdrs.CONTENT_TYPE: f"{media_type}; charset=utf-8",
            hdrs.CACHE_CONTROL: "no-store",
            hdrs.VARY: "Accept, Origin",
            "X-Content-Type-Options": "nosniff",
        }
    )
    for media_type in (GRAPHQL_RESPONSE, JSON)
}


@dataclass(frozen=True, slots=True)
class Answer:
    """The response object of one operation. A refused one never has a `data` entry."""

    body: Mapping[str, object]
    outcome: Outcome = Outcome.EXECUTED


class Refused(Exception):
    """An operation that will not run: it does not parse, is not valid, is too large or lacks what it needs."""

    def __init__(self, errors: Sequence[Mapping[str, object]]) -> None:
        super().__init__("; ".join(str(error["message"]) for error in errors))
        self.errors = tuple(errors)

    @classmethod
    def because(cls, message: str, *, code: Code = Code.BAD_REQUEST) -> "Refused":
        return cls([error_entry(message, code=code)])

    def answer(self) -> Answer:
        return Answer({"errors": self.errors}, Outcome.REFUSED)


class BadRequest(Exception):
    """An HTTP request that is not a GraphQL request: answered as a whole, and nothing of it runs."""

    def __init__(
        self,
        message: str,
        *,
        status: int = 400,
        code: Code = Code.BAD_REQUEST,
        headers: Mapping[str, str] | None = None,
        close: bool = False,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.status = status
        self.code = code
        self.headers = headers or {}
        #: The rest of the body is not wanted, so the connection cannot be used again.
        self.close = close


def error_entry(message: str, *, code: Code, **extensions: object) -> dict[str, object]:
    """One entry of `errors` that belongs to no place in the document."""
    return {"message": message, "extensions": {"code": code, **extensions}}


def request_error(error: GraphQLError) -> dict[str, object]:
    """The entry for an error found before execution: always the client's to mend, so its text is kept."""
    message = error.message
    if len(message) > MESSAGE_CHARACTERS_MAX:  # it quotes what was sent, which may be the whole of a large request
        message = message[:MESSAGE_CHARACTERS_MAX] + "…"
    entry: dict[str, object] = {"message": message}
    if error.locations:
        entry["locations"] = [{"line": place.line, "column": place.column} for place in error.locations]
    entry["extensions"] = {"code": Code.BAD_REQUEST, **(error.extensions or {})}
    return entry


class Masking:
    """Turns what went wrong into what a client may know; a bug becomes an id, and the log holds the rest under it."""

    def __init__(self, *, new_error_id: Callable[[], str], unavailable: tuple[type[Exception], ...]) -> None:
        self._new_error_id = new_error_id
        self._unavailable = unavailable

    def field_error(self, error: GraphQLError) -> tuple[dict[str, object], Outcome]:
        """The entry for an error of one field during execution, and what it says about the operation."""
        original = error.original_error
        if original is not None and not isinstance(original, GraphQLError):
            entry, outcome = self.failure(original, path=error.path)
        else:
            if "code" not in (error.extensions or {}):
                log.warning("graphql.error_without_code", path=error.path)
            entry, outcome = request_error(error), Outcome.EXECUTED
        if error.path is not None:
            entry["path"] = error.path
        return entry, outcome

    def failure(self, error: BaseException, *, path: object = None) -> tuple[dict[str, object], Outcome]:
        """The entry for an exception of ours: out of service for now, or a bug."""
        if isinstance(error, self._unavailable):
            log.warning("graphql.unavailable", reason=type(error).__name__, path=path)
            message = (
                "The service cannot do this at the moment; try again, with the same idempotency key if there was one."
            )
            return error_entry(message, code=Code.SERVICE_UNAVAILABLE), Outcome.UNAVAILABLE
        error_id = self._new_error_id()
        log.error("graphql.unexpected_error", error_id=error_id, path=path, exc_info=error)
        message = "Something went wrong on our side. Quote this id to support."
        return error_entry(message, code=Code.INTERNAL_SERVER_ERROR, errorId=error_id), Outcome.BROKEN

    def failed(self, error: BaseException) -> Answer:
        """The answer of an operation that could not be executed at all; a GraphQLError is the client's to mend."""
        if isinstance(error, GraphQLError):
            return Answer({"errors": [request_error(error)]}, Outcome.REFUSED)
        entry, outcome = self.failure(error)
        return Answer({"errors": [entry]}, outcome)


def timed_out() -> Answer:
    message = "Reading this took too long and was given up. Nothing was changed; ask for less, or try again."
    return Answer({"errors": [error_entry(message, code=Code.TIMEOUT)]}, Outcome.UNAVAILABLE)


def single_response(answer: Answer, *, media_type: str) -> web.Response:
    status = STATUS[media_type][answer.outcome]
    return _response(answer.body, status=status, media_type=media_type)


def batch_response(answers: Sequence[Answer]) -> web.Response:
    """An array is no GraphQL response, so it is plain JSON; 200 unless every entry failed on our side alike."""
    outcomes = {answer.outcome for answer in answers}
    status = STATUS[JSON][outcomes.pop()] if len(outcomes) == 1 else STATUS[JSON][Outcome.EXECUTED]
    return _response([answer.body for answer in answers], status=status, media_type=JSON)


def refusal_response(refusal: BadRequest, *, media_type: str) -> web.Response:
    body = {"errors": [error_entry(refusal.message, code=refusal.code)]}
    response = _response(body, status=refusal.status, media_type=media_type)
    response.headers.update(refusal.headers)
    if refusal.close:
        response.force_close()
    return response


def _response(body: object, *, status: int, media_type: str) -> web.Response:
    response = web.Response(body=orjson.dumps(body), status=status, headers=_HEADERS[media_type])
    if status == 503:  # noqa: PLR2004 - the one status that a client should try again
        response.headers[hdrs.RETRY_AFTER] = str(RETRY_AFTER_SECONDS)
    return response
