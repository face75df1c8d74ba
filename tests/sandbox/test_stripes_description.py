"""What the local Stripe takes, against Stripe's own description of its API."""

from typing import Any, cast

import pytest

from gateway.sandbox.resources.every import ALL_OPERATIONS
from gateway.sandbox.wire.operation import Operation
from gateway.sandbox.wire.shapes import Either, ListOf, OneOf, Parts, Shape
from tests.sandbox.spec import Described, described

#: What older versions of the API knew, and callers of those may still send.
OLD_NAMES = {"POST /v1/checkout/sessions": {"payment_method_types"}}
#: What Stripe has and the description at hand leaves out, beside all of /v2.
UNDESCRIBED = {
    "GET /v1/payment_methods",
    "GET /v1/payment_methods/{id}",
    "GET /v1/payment_pages/{id}",
    "POST /v1/invoiceitems",
    "POST /v1/invoices",
    "POST /v1/invoices/{id}/finalize",
    "POST /v1/invoices/{id}/void",
    "POST /v1/payment_intents",
    "POST /v1/payment_intents/{id}/confirm",
    "POST /v1/payment_methods",
    "POST /v1/payment_methods/{id}/attach",
    "POST /v1/payment_pages/{id}/confirm",
}


@pytest.fixture
def description() -> Described:
    found = described()
    if found is None:
        pytest.skip("STRIPE_OPENAPI_SPEC names no file: Stripe's description of its API is not part of this project")
    return found


def _name(operation: Operation) -> str:
    return f"{operation.method} {operation.path}"


def test_every_operation_takes_what_stripe_takes(description: Described) -> None:
    assert {_name(one): found for one in ALL_OPERATIONS if (found := _against(description, one))} == {}


def _against(description: Described, operation: Operation) -> list[str]:
    schema = description.parameters(method=operation.method, path=operation.path)
    if schema is None:
        second_generation = operation.path.startswith("/v2/")
        return [] if second_generation or _name(operation) in UNDESCRIBED else ["not described"]
    old = OLD_NAMES.get(_name(operation), set())
    found = _differences(description, operation.shape, schema, at="")
    return [one for one in found if one.split()[-1] not in old]


def _differences(description: Described, shape: Shape, schema: dict[str, Any], *, at: str) -> list[str]:
    """Names that only one side knows, and requirements that differ, as deep as both sides go."""
    schema = description.resolved(schema)
    if isinstance(shape, Either):
        return [one for option in shape.options for one in _differences(description, option, schema, at=at)]
    if isinstance(shape, ListOf):
        rows = [one for one in description.options(schema) if "items" in one]
        return _differences(description, shape.item, rows[0]["items"], at=f"{at}[]") if rows else [f"no list: {at}"]
    if isinstance(shape, OneOf):
        allowed = {
            word for one in description.options(schema) for word in one.get("enum") or one.get("x-known-values", [])
        }
        return [f"no such word: {at}{word}" for word in shape.words if allowed and word not in allowed]
    things = [one for one in description.options(schema) if "properties" in one]
    if not isinstance(shape, Parts) or not things:
        return []
    known = cast("dict[str, dict[str, Any]]", things[0]["properties"])
    # A DELETE's query is described without it, though Stripe takes it everywhere.
    names = {field.name for field in shape.fields} - ({"expand"} - known.keys())
    found = [f"unknown to Stripe: {at}{name}" for name in sorted(names - known.keys())]
    found += [f"missing here: {at}{name}" for name in sorted(known.keys() - names)]
    for field in shape.fields:
        if field.name not in known:
            continue
        if field.required != (field.name in things[0].get("required", [])):
            found.append(f"required differs: {at}{field.name}")
        if field.played:
            found += _differences(description, field.shape, known[field.name], at=f"{at}{field.name}.")
    return found
