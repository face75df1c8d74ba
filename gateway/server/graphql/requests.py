"""Reading a request: strictly typed, strictly JSON, of bounded size and in bounded time."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import orjson
from aiohttp import hdrs, web

from gateway.server.graphql.answers import BadRequest
from gateway.server.graphql.negotiation import JSON

#: Of a body, unless the edge grants its sender more.
BODY_BYTES_MAX = 64 * 1024
BODY_SECONDS_MAX = 10.0
#: Whole numbers that our reader of JSON reads exactly; others become floats.
INTEGER_MIN = -(2**63)
INTEGER_MAX = 2**64 - 1
#: From here on a float has no neighbour that is one more.
EXACT_FLOAT_MAX = 2.0**53
NUMBER_CHARACTERS_SHOWN_MAX = 60


@dataclass(frozen=True, slots=True)
class OperationRequest:
    """One entry of a request. `source` is None when only the hash of a document was sent."""

    source: str | None
    operation_name: str | None
    variables: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class RequestBody:
    """What a body asks for; `batch` says whether it was an array, which one entry can be too."""

    entries: Sequence[OperationRequest]
    batch: bool
    raw: bytes


def require_json(request: web.BaseRequest) -> None:
    """Refuses every body but unencoded UTF-8 JSON.

    A form or plain text could be sent across origins without a preflight, so being exact here is also what keeps
    other sites from using a visitor's browser. Raises BadRequest with 415.
    """
    sent = request.headers.getall(hdrs.CONTENT_TYPE, ())
    if (len(sent) != 1 or sent[0] != JSON) and not (len(sent) == 1 and _is_json(sent[0])):
        raise BadRequest("The body must be application/json in UTF-8.", status=415, close=True)
    encoding = request.headers.get(hdrs.CONTENT_ENCODING)
    if encoding is not None and encoding.lower() != "identity":
        headers: dict[str, str] = {hdrs.ACCEPT_ENCODING: "identity"}
        raise BadRequest("The body must not be compressed.", status=415, headers=headers, close=True)


async def read_body(
    request: web.BaseRequest, *, bytes_max: int = BODY_BYTES_MAX, seconds_max: float = BODY_SECONDS_MAX
) -> bytes:
    """The whole body. Raises BadRequest: 413 past `bytes_max`, 408 past `seconds_max`, 400 when it is cut."""
    if (request.content_length or 0) > bytes_max:
        raise _too_large(bytes_max)
    content = request.content
    try:
        if content.is_eof():  # it all came with the headers, as small bodies do: no timer is needed
            body = content.read_nowait()
        else:
            body = await _read_slowly(request, bytes_max, seconds_max)
    except web.RequestPayloadError as error:
        raise BadRequest("The body is not what its headers say.", close=True) from error
    except TimeoutError as error:
        message = f"The body must arrive within {seconds_max:g} seconds."
        raise BadRequest(message, status=408, close=True) from error
    if len(body) > bytes_max:
        raise _too_large(bytes_max)
    return body


async def _read_slowly(request: web.BaseRequest, bytes_max: int, seconds_max: float) -> bytes:
    body = bytearray()
    async with asyncio.timeout(seconds_max):
        while chunk := await request.content.readany():
            body += chunk
            if len(body) > bytes_max:
                break
    return bytes(body)


def parse_body(body: bytes, *, batch_max: int) -> RequestBody:
    """The operations a body asks for, each of the right shape. Raises BadRequest if any of them is not."""
    if b"\\u0000" in body:
        raise BadRequest("A text must not hold the character NUL (\\u0000); no database of ours can keep it.")
    try:
        content: object = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise BadRequest(f"The body is not JSON: {error}.") from error
    if not isinstance(content, list):
        return RequestBody(entries=(_entry(content, where="A request"),), batch=False, raw=body)
    listed = cast("list[object]", content)
    if not 1 <= len(listed) <= batch_max:
        raise BadRequest(f"A batch holds 1 to {batch_max} operations; got {len(listed)}.")
    entries = [_entry(item, where=f"Entry {position} of the batch") for position, item in enumerate(listed)]
    return RequestBody(entries=entries, batch=True, raw=body)


def refuse_ambiguous_json(body: bytes) -> None:
    """Refuses JSON that readers read differently: an object that names a key twice, a number that some of them round.

    Somebody between the client and us may have seen another amount. A whole number of more than 64 bits reaches us as a
    float, in which neighbours are the same, and GraphQL takes a float that is whole for an ID: of two calls numbered
    like that the second would be a replay of the first.
    Asked for before a mutation only: it costs more than all the rest of the reading. Raises BadRequest.
    """
    try:
        json.loads(body, object_pairs_hook=_refuse_repeated_keys, parse_int=_refuse_wide, parse_float=_refuse_rounded)
    except RecursionError as error:
        raise BadRequest("The body is nested too deeply.") from error


def _refuse_repeated_keys(pairs: list[tuple[str, object]]) -> None:
    names = [name for name, _ in pairs]
    if len(set(names)) != len(names):
        repeated = next(name for name in names if names.count(name) > 1)
        raise BadRequest(f"An object of the body names the key {repeated[:60]!r} twice.")


def _refuse_wide(digits: str) -> None:
    if not INTEGER_MIN <= int(digits) <= INTEGER_MAX:
        raise _inexact(digits)


def _refuse_rounded(number: str) -> None:
    if abs(float(number)) >= EXACT_FLOAT_MAX:
        raise _inexact(number)


def _inexact(number: str) -> BadRequest:
    shown = number[:NUMBER_CHARACTERS_SHOWN_MAX]
    return BadRequest(f"The body holds the number {shown}, which not all readers read exactly; send it as a string.")


def _entry(item: object, *, where: str) -> OperationRequest:
    if not isinstance(item, dict):
        raise BadRequest(f"{where} must be an object with a query.")
    fields = cast("Mapping[str, object]", item)
    query, name, variables, extensions = map(fields.get, ("query", "operationName", "variables", "extensions"))
    if name is not None and not isinstance(name, str):
        raise BadRequest(f"{where} has an operationName that is not a text.")
    if variables is not None and not isinstance(variables, dict):
        raise BadRequest(f"{where} has variables that are not an object.")
    if extensions is not None and not isinstance(extensions, dict):
        raise BadRequest(f"{where} has extensions that are not an object.")
    if query is None and (fields.get("documentId") is not None or "persistedQuery" in (extensions or ())):
        source = None
    elif isinstance(query, str) and query:
        source = query
    else:
        raise BadRequest(f"{where} must have a query that is a text and not empty.")
    given = cast("Mapping[str, object] | None", variables)
    return OperationRequest(source=source, operation_name=name or None, variables=given or {})


def _is_json(content_type: str) -> bool:
    name, *parameters = (piece.strip().lower() for piece in content_type.split(";"))
    return name == JSON and all(parameter in ("", "charset=utf-8", 'charset="utf-8"') for parameter in parameters)


def _too_large(bytes_max: int) -> BadRequest:
    return BadRequest(f"A body has at most {bytes_max} bytes.", status=413, close=True)
