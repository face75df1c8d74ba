"""Stripe's OpenAPI description as a judge of what the local Stripe says, where STRIPE_OPENAPI_SPEC names the file."""

import os
import re
from functools import cache
from pathlib import Path
from typing import Any, cast

import orjson
from jsonschema import Draft202012Validator

Schema = dict[str, Any]


@cache
def described() -> "Described | None":
    path = os.environ.get("STRIPE_OPENAPI_SPEC")
    return Described(orjson.loads(Path(path).read_bytes())) if path else None


class Described:
    """Finds what is wrong with answers and events; each finding is one line."""

    def __init__(self, spec: Schema) -> None:
        self._spec = spec
        self._validators: dict[str, Draft202012Validator] = {}
        self._operations = [
            (re.compile(re.sub(r"\{[^}]+\}", "[^/]+", path)), method.upper(), operation)
            for path, methods in cast("dict[str, Schema]", spec["paths"]).items()
            for method, operation in methods.items()
        ]

    def describes(self, *, method: str, path: str) -> bool:
        return any(known == method and pattern.fullmatch(path) for pattern, known, _ in self._operations)

    def in_answer(self, *, method: str, path: str, body: bytes) -> list[str]:
        for pattern, known_method, operation in self._operations:
            if known_method == method and pattern.fullmatch(path):
                schema = operation["responses"]["200"]["content"]["application/json"]["schema"]
                return self._in(f"{method} {pattern.pattern}", schema, orjson.loads(body), said=f"{method} {path}")
        return []

    def parameters(self, *, method: str, path: str) -> Schema | None:
        """The schema of an operation's parameters; None for an operation that is not described."""
        operation = self._spec["paths"].get(path, {}).get(method.lower())
        if operation is None:
            return None
        body = operation.get("requestBody", {}).get("content", {}).get("application/x-www-form-urlencoded", {})
        return body.get("schema") or operation.get("x-query-schema") or {"properties": {}}

    def resolved(self, schema: Schema) -> Schema:
        while "$ref" in schema:
            schema = self._spec["components"]["schemas"][schema["$ref"].rsplit("/", 1)[1]]
        return schema

    def options(self, schema: Schema) -> list[Schema]:
        return [self.resolved(option) for option in schema.get("anyOf", [schema])]

    def in_event(self, event: Schema) -> list[str]:
        said = f"event {event['type']}"
        schema = self._spec["x-events"].get(event["type"])
        kind = event["data"]["object"]["object"]
        if schema is None and kind in self._spec["components"]["schemas"]:
            schema = {"$ref": f"#/components/schemas/{kind}"}
        found = self._in("event", {"$ref": "#/components/schemas/event"}, event, said=said)
        return found + (self._in(said, schema, event["data"]["object"], said=said) if schema else [])

    def _in(self, name: str, schema: Schema, instance: Any, *, said: str) -> list[str]:  # noqa: ANN401 - any JSON
        validator = self._validators.get(name)
        if validator is None:
            validator = Draft202012Validator({**schema, "components": self._spec["components"]})
            self._validators[name] = validator
        return [
            f"{said}: {'.'.join(map(str, error.absolute_path))}: {error.message[:300]}"
            for error in validator.iter_errors(instance)  # pyright: ignore[reportUnknownMemberType]  # jsonschema is untyped here
        ]
