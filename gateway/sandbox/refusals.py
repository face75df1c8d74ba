"""The errors Stripe answers with, in its own words."""

from typing import Any, Final, TypeAlias

Json: TypeAlias = dict[str, Any]
"""A Stripe object, or a part of one, as it goes over the wire."""


NOT_FOUND: Final = 404


class Refusal(Exception):
    """A request refused. `kept` says whether an idempotency key remembers it: only once execution has begun."""

    def __init__(
        self,
        message: str,
        *,
        status: int = 400,
        type: str = "invalid_request_error",
        code: str | None = None,
        param: str | None = None,
        kept: bool = False,
        **more: object,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.status = status
        self.kept = kept
        self._fields: Json = {"type": type, "code": code, "param": param, **more}

    @property
    def code(self) -> str | None:
        return self._fields["code"]

    def body(self) -> Json:
        fields = {name: value for name, value in self._fields.items() if value is not None}
        if "code" in fields:
            fields["doc_url"] = f"https://docs.stripe.com/error-codes/{fields['code'].replace('_', '-')}"
        return {"error": {**fields, "message": self.message}}

    def body_v2(self) -> Json:
        """The same as the second generation of the API words it: no parameter, no address to read on."""
        code = "not_found" if self.status == NOT_FOUND else self.code or "invalid_request"
        return {"error": {"type": self._fields["type"], "code": code, "message": self.message}}


def missing_in_path(kind: str, id: str, *, hint: str = "") -> Refusal:
    return Refusal(f"No such {kind}: '{id}'{hint}", status=404, code="resource_missing", param="id")


def missing_in_params(kind: str, id: str, *, param: str, hint: str = "") -> Refusal:
    return Refusal(f"No such {kind}: '{id}'{hint}", code="resource_missing", param=param)


def parameter_missing(param: str) -> Refusal:
    return Refusal(f"Missing required param: {param}.", code="parameter_missing", param=param)


def parameter_unknown(param: str) -> Refusal:
    return Refusal(f"Received unknown parameter: {param}", code="parameter_unknown", param=param)


def parameter_invalid(message: str, *, param: str, code: str | None = None) -> Refusal:
    return Refusal(message, code=code, param=param)


def not_played(param: str) -> Refusal:
    """A parameter Stripe knows and the local Stripe does not act on; silence would hide the difference."""
    return Refusal(f"The local Stripe does not act on this parameter: {param}", code="not_played_here", param=param)


def state_conflict(message: str, *, code: str | None = None, param: str | None = None) -> Refusal:
    """The request was well formed, but the object's state forbids it; a retry of the same key gets the same answer."""
    return Refusal(message, code=code, param=param, kept=True)
