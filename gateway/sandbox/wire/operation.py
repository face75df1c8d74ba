"""One operation of the API: where it is, what it takes, what it does."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final, cast

from gateway.sandbox.engine.blanks import list_of
from gateway.sandbox.engine.book import Book
from gateway.sandbox.engine.world import World
from gateway.sandbox.refusals import Json, missing_in_params, parameter_invalid
from gateway.sandbox.wire.shapes import Parts, parts

LIMIT_MAX: Final = 100
LIMIT_DEFAULT: Final = 10
_PAGING: Final = " limit:i starting_after:s ending_before:s"
_ALWAYS: Final = " expand:[s]"


@dataclass(frozen=True, slots=True)
class Call:
    """A checked request on its way to its operation. `version` is None when the caller named none."""

    world: World
    book: Book
    params: Json
    path_ids: tuple[str, ...]
    version: str | None

    @property
    def id(self) -> str:
        return self.path_ids[0]


@dataclass(frozen=True, slots=True)
class Operation:
    """`kind` is the object type that comes back, of which `many` says whether a list does."""

    method: str
    path: str
    kind: str
    shape: Parts
    run: Callable[[Call], Json]
    many: bool = False


def operation(method: str, path: str, kind: str, notation: str, run: Callable[[Call], Json]) -> Operation:
    return Operation(method=method, path=path, kind=kind, shape=parts(notation + _ALWAYS), run=run)


def listing(path: str, kind: str, notation: str, select: Callable[[Call], Iterable[Json]]) -> Operation:
    """A list operation over what `select` yields, newest first."""

    def run(call: Call) -> Json:
        return page(list(select(call)), call.params, url=_address(path, call))

    shape = parts(notation + _PAGING + _ALWAYS)
    return Operation(method="GET", path=path, kind=kind, shape=shape, run=run, many=True)


def _address(path: str, call: Call) -> str:
    for one in call.path_ids:
        path = path.replace("{id}", one, 1)
    return path


def page(rows: list[Json], params: Json, *, url: str) -> Json:
    """One page of `rows`.

    Raises:
        Refusal: the limit is not 1 to 100, both cursors are given, or a cursor names no row.
    """
    limit: int = params.get("limit", LIMIT_DEFAULT)
    if not 1 <= limit <= LIMIT_MAX:
        bound = "greater than or equal to 1" if limit < 1 else f"less than or equal to {LIMIT_MAX}"
        raise parameter_invalid(
            f"This value must be {bound} (it currently is '{limit}').", param="limit", code="parameter_invalid_integer"
        )
    after, before = params.get("starting_after"), params.get("ending_before")
    if after and before:
        raise parameter_invalid(
            "You cannot use both starting_after and ending_before in the same request.", param="starting_after"
        )
    if after:
        rows = rows[_position(rows, after, param="starting_after") + 1 :]
    if before:
        rows = rows[: _position(rows, before, param="ending_before")]
        return list_of(rows[-limit:], url=url, has_more=len(rows) > limit)
    return list_of(rows[:limit], url=url, has_more=len(rows) > limit)


def _position(rows: list[Json], id: str, *, param: str) -> int:
    for position, row in enumerate(rows):
        if row["id"] == id:
            return position
    raise missing_in_params("object", id, param=param)


def matches(row: Json, params: Json, names: str) -> bool:
    """Whether each of the named filters that was sent equals the row's field; `created` may be a range."""
    return all(_fits(row[name], params[name]) for name in names.split() if name in params)


def _fits(value: Any, wanted: Any) -> bool:  # noqa: ANN401 - filters compare whatever the field holds
    if isinstance(wanted, dict):
        return in_range(value, cast("Json", wanted))
    return value == wanted


def in_range(value: int | None, wanted: dict[str, Any] | int) -> bool:
    """Whether `value` is the moment, or within all the bounds `gt gte lt lte` that were given; none never is."""
    if value is None or isinstance(wanted, int):
        return value == wanted
    return (
        value > wanted.get("gt", value - 1)
        and value >= wanted.get("gte", value)
        and value < wanted.get("lt", value + 1)
        and value <= wanted.get("lte", value)
    )
