"""Stripe's OpenAPI description as a judge of what we send; used wherever STRIPE_OPENAPI_SPEC names the file."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, cast

import orjson
from jsonschema import Draft202012Validator

from gateway.sandbox.wire.form import decode_form

Schema = dict[str, Any]


@cache
def contract_of_environment() -> "Contract | None":
    path = os.environ.get("STRIPE_OPENAPI_SPEC")
    return Contract(orjson.loads(Path(path).read_bytes())) if path else None


@dataclass(frozen=True, slots=True, eq=False)
class Contract:
    """Knows every operation's parameters, and that Stripe takes no others."""

    spec: Schema

    def check(self, *, method: str, path: str, params: Mapping[str, str]) -> None:
        """Fail unless the parameters, in bracket notation, are what the operation takes."""
        sent = decode_form("&".join(f"{key}={_quoted(value)}" for key, value in params.items()))
        self.check_values(method=method, path=path, values=sent)

    def check_values(self, *, method: str, path: str, values: Schema) -> None:
        """The same for decoded values. The description holds nothing of the second generation of the API."""
        if path.startswith("/v2/"):
            return
        schema = self._schema(method.lower(), path)
        typed = self._typed(values, schema)
        whole = {**schema, "components": self.spec["components"]}
        problems = [
            f"{'.'.join(map(str, error.absolute_path))}: {error.message[:300]}"
            for error in Draft202012Validator(whole).iter_errors(typed)  # pyright: ignore[reportUnknownMemberType]  # jsonschema is untyped here
        ]
        assert not problems, f"{method} {path} {values}: {problems}"

    def _schema(self, method: str, path: str) -> Schema:
        for template, operations in cast("dict[str, Schema]", self.spec["paths"]).items():
            pattern = re.sub(r"\{[^}]+\}", "[^/]+", template)
            if re.fullmatch(pattern, path) and method in operations:
                operation = operations[method]
                if method == "post":
                    body = operation.get("requestBody", {}).get("content", {}).get("application/x-www-form-urlencoded")
                    return cast("Schema", body["schema"]) if body else {"additionalProperties": False}
                return cast("Schema", operation.get("x-query-schema", {"additionalProperties": False}))
        raise AssertionError(f"Stripe has no operation {method} {path}")

    def _typed(self, value: object, schema: Schema) -> Any:  # noqa: ANN401 - JSON
        """A form knows texts only: make of each text what the schema wants to see there."""
        schema = self._resolved(schema)
        if isinstance(value, dict):
            entries = cast("dict[str, object]", value)
            array = next((o for o in self._options(schema) if "items" in o), None)
            if array is not None and all(key.isdecimal() for key in entries):
                return [self._typed(entry, array["items"]) for entry in entries.values()]
            things = [cast("dict[str, Schema]", o["properties"]) for o in self._options(schema) if "properties" in o]
            known = things[0] if things else dict[str, Schema]()
            return {key: self._typed(entry, known.get(key, {})) for key, entry in entries.items()}
        if isinstance(value, list):
            listed = [cast("Schema", o["items"]) for o in self._options(schema) if "items" in o]
            return [self._typed(entry, listed[0] if listed else {}) for entry in cast("list[object]", value)]
        kinds = {option.get("type") for option in self._options(schema)}
        if isinstance(value, str) and kinds & {"integer", "number"} and value.isdecimal():
            return int(value)
        if isinstance(value, str) and "boolean" in kinds and value in {"true", "false"}:
            return value == "true"
        return value

    def _options(self, schema: Schema) -> list[Schema]:
        return [self._resolved(option) for option in schema.get("anyOf", [schema])]

    def _resolved(self, schema: Schema) -> Schema:
        while "$ref" in schema:
            schema = self.spec["components"]["schemas"][schema["$ref"].rsplit("/", 1)[1]]
        return schema


def _quoted(value: str) -> str:
    return "".join(f"%{byte:02X}" for byte in value.encode())
