"""What a failed Stripe call means for us: a definite no, or no clear answer.

The one place where the SDK's errors become the domain's. Only an answer in Stripe's own shape is definite.

    Stripe's answer                                    becomes               what was done
    400, 402, 404 and other errors of the request      ProviderRejected      nothing
    401, 403 (our key is wrong: logged as an error)    ProviderMisconfigured nothing
    idempotency_error (logged as an error)             ProviderRejected      nothing now; something else before
    409, 429, lock_timeout, idempotency_key_in_use     ProviderUnavailable   nothing yet, or another call is at it
    5xx, time-outs, broken connections, other bodies   ProviderUnavailable   unknown
"""

from typing import Final, cast

import stripe

from gateway.domain.errors import ProviderError, ProviderMisconfigured, ProviderRejected, ProviderUnavailable

_UNCLEAR: Final = "The payment provider gave no clear answer; nothing is lost, please try again."
_REFUSED: Final = "The payment provider refused the request."
_DECLINED: Final = "The payment was declined."

#: Errors of a moment that come with a 4xx: the same request with the same key may pass later.
_PASSING_CODES: Final = frozenset({"lock_timeout", "idempotency_key_in_use", "rate_limit"})
_PASSING_STATUSES: Final = frozenset({408, 409, 424, 429})
_CLIENT_ERRORS: Final = range(400, 500)

#: What the two generations of the API call it.
MISSING_CODES: Final = frozenset({"resource_missing", "not_found"})
_HTTP_NOT_FOUND: Final = 404


def domain_error(error: Exception) -> ProviderError:
    """The refusal a failed call becomes; its message is ours, never Stripe's text (which may quote what was sent)."""
    if not isinstance(error, stripe.StripeError):
        return ProviderUnavailable(_UNCLEAR)
    code = provider_code(error)
    if not _is_definite(error, code):
        return ProviderUnavailable(_UNCLEAR, request_id=error.request_id, provider_code=code)
    if isinstance(error, stripe.AuthenticationError | stripe.PermissionError):
        return ProviderMisconfigured(_REFUSED, request_id=error.request_id, provider_code=code)
    message = _DECLINED if isinstance(error, stripe.CardError) else _REFUSED
    return ProviderRejected(
        message, request_id=error.request_id, provider_code=code, provider_param=provider_param(error)
    )


def provider_code(error: stripe.StripeError) -> str | None:
    """Stripe's code for what is wrong; the SDK sets `code` on two of its errors only, so the body is asked too."""
    body_code = error.error.code if error.error is not None and "code" in error.error else None
    code: object = error.code or body_code
    if isinstance(code, str):
        return code
    return "idempotency_error" if isinstance(error, stripe.IdempotencyError) else None


def provider_param(error: stripe.StripeError) -> str | None:
    """The parameter Stripe found at fault, if it names one."""
    param: object = cast("object", error.param) if isinstance(error, stripe.InvalidRequestError) else None
    return param if isinstance(param, str) else None


def needs_a_human(error: Exception) -> bool:
    """Nothing heals by trying again: a wrong key, or one idempotency key used for two different requests.

    A wrong key is a definite no (nothing was done, so a caller may give back what it reserved), but it is the
    operator's fault and stops all business: it is logged as an error.
    """
    return isinstance(error, stripe.AuthenticationError | stripe.PermissionError | stripe.IdempotencyError)


def is_missing(error: Exception) -> bool:
    """The object named in the path does not exist (or belongs to the other mode); any other 404 is not that."""
    return (
        isinstance(error, stripe.InvalidRequestError)
        and error.http_status == _HTTP_NOT_FOUND
        and error.code in MISSING_CODES
    )


def _is_definite(error: stripe.StripeError, code: str | None) -> bool:
    if isinstance(error, stripe.APIConnectionError | stripe.RateLimitError):
        return False
    if code in _PASSING_CODES or error.http_status is None or error.http_status in _PASSING_STATUSES:
        return False
    if (error.headers or {}).get("stripe-should-retry") == "true":
        return False
    return error.http_status in _CLIENT_ERRORS
