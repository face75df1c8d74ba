"""Refusals: the business talking.

BillingError
├── InvalidInput                  INVALID_INPUT
├── InsufficientFunds             INSUFFICIENT_FUNDS
├── ToolNotFound                  TOOL_NOT_FOUND
├── RedirectNotAllowed            REDIRECT_NOT_ALLOWED
├── AmountOutOfRange              AMOUNT_OUT_OF_RANGE
├── TierNotPurchasable            TIER_NOT_PURCHASABLE
├── AlreadySubscribed             ALREADY_SUBSCRIBED
├── SessionNotFound               SESSION_NOT_FOUND
├── PaymentPending                PAYMENT_PENDING
├── PaymentFailed                 PAYMENT_FAILED
├── SessionExpired                SESSION_EXPIRED
├── NoBillingAccount              NO_BILLING_ACCOUNT
├── PayoutsNotReady               PAYOUTS_NOT_READY
├── BelowMinimumPayout            BELOW_MINIMUM_PAYOUT
├── PayoutInProgress              PAYOUT_IN_PROGRESS
├── IdempotencyConflict           IDEMPOTENCY_CONFLICT
├── InProgress                    IN_PROGRESS
└── ProviderError
    ├── ProviderUnavailable       PROVIDER_UNAVAILABLE  (the outcome of a write is unknown)
    └── ProviderRejected          PROVIDER_REJECTED     (Stripe said no, for certain)
        └── ProviderMisconfigured                       (our key is wrong: the operator's to mend)

A BillingError reaches the caller as a member of the mutation's union. Anything else is a bug and is masked.
"""

from enum import StrEnum
from typing import ClassVar


class ErrorCode(StrEnum):
    """What a caller can branch on; documented in docs/errors.md."""

    REDIRECT_NOT_ALLOWED = "REDIRECT_NOT_ALLOWED"
    AMOUNT_OUT_OF_RANGE = "AMOUNT_OUT_OF_RANGE"
    INVALID_INPUT = "INVALID_INPUT"
    TIER_NOT_PURCHASABLE = "TIER_NOT_PURCHASABLE"
    ALREADY_SUBSCRIBED = "ALREADY_SUBSCRIBED"
    SESSION_NOT_FOUND = "SESSION_NOT_FOUND"
    PAYMENT_PENDING = "PAYMENT_PENDING"
    PAYMENT_FAILED = "PAYMENT_FAILED"
    SESSION_EXPIRED = "SESSION_EXPIRED"
    NO_BILLING_ACCOUNT = "NO_BILLING_ACCOUNT"
    INSUFFICIENT_FUNDS = "INSUFFICIENT_FUNDS"
    TOOL_NOT_FOUND = "TOOL_NOT_FOUND"
    PAYOUTS_NOT_READY = "PAYOUTS_NOT_READY"
    BELOW_MINIMUM_PAYOUT = "BELOW_MINIMUM_PAYOUT"
    PAYOUT_IN_PROGRESS = "PAYOUT_IN_PROGRESS"
    IDEMPOTENCY_CONFLICT = "IDEMPOTENCY_CONFLICT"
    IN_PROGRESS = "IN_PROGRESS"
    PROVIDER_UNAVAILABLE = "PROVIDER_UNAVAILABLE"
    PROVIDER_REJECTED = "PROVIDER_REJECTED"


class BillingError(Exception):
    """A refusal with a stable code, a sentence a person can act on, and the input field at fault if there is one."""

    code: ClassVar[ErrorCode]

    def __init__(self, message: str, *, path: tuple[str, ...] | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.path = path


class InvalidInput(BillingError):
    """An argument is not of the form it must have."""

    code = ErrorCode.INVALID_INPUT


class RedirectNotAllowed(BillingError):
    """A URL to send the browser back to is not on the list of allowed origins."""

    code = ErrorCode.REDIRECT_NOT_ALLOWED


class AmountOutOfRange(BillingError):
    """An amount is outside its limits; `maximum_micros` is None where there is none."""

    code = ErrorCode.AMOUNT_OUT_OF_RANGE

    def __init__(
        self, message: str, *, minimum_micros: int, maximum_micros: int | None, path: tuple[str, ...] | None = None
    ) -> None:
        super().__init__(message, path=path)
        self.minimum_micros = minimum_micros
        self.maximum_micros = maximum_micros


class InsufficientFunds(BillingError):
    """The wallet does not hold what a call costs; nothing was taken."""

    code = ErrorCode.INSUFFICIENT_FUNDS

    def __init__(
        self, message: str, *, balance_micros: int, required_micros: int, path: tuple[str, ...] | None = None
    ) -> None:
        super().__init__(message, path=path)
        self.balance_micros = balance_micros
        self.required_micros = required_micros


class ToolNotFound(BillingError):
    """No such tool is offered: it was never published, or it is not active."""

    code = ErrorCode.TOOL_NOT_FOUND


class TierNotPurchasable(BillingError):
    """The tier is not for sale (FREE)."""

    code = ErrorCode.TIER_NOT_PURCHASABLE


class AlreadySubscribed(BillingError):
    """The customer has a live subscription; changes go through the portal."""

    code = ErrorCode.ALREADY_SUBSCRIBED


class SessionNotFound(BillingError):
    """No such Checkout Session for this caller: unknown and somebody else's look alike."""

    code = ErrorCode.SESSION_NOT_FOUND


class PaymentPending(BillingError):
    """Nothing is settled yet; ask again after `retry_after_ms`."""

    code = ErrorCode.PAYMENT_PENDING

    def __init__(self, message: str, *, retry_after_ms: int, path: tuple[str, ...] | None = None) -> None:
        super().__init__(message, path=path)
        self.retry_after_ms = retry_after_ms


class PaymentFailed(BillingError):
    """The payment was tried and will not come."""

    code = ErrorCode.PAYMENT_FAILED


class SessionExpired(BillingError):
    """The hosted page was not used in time, or another purchase replaced it."""

    code = ErrorCode.SESSION_EXPIRED


class NoBillingAccount(BillingError):
    """The caller has never bought anything, so there is nothing to manage."""

    code = ErrorCode.NO_BILLING_ACCOUNT


class PayoutsNotReady(BillingError):
    """The creator has no account at Stripe that can be paid; the message says what is missing."""

    code = ErrorCode.PAYOUTS_NOT_READY


class BelowMinimumPayout(BillingError):
    """What is available is less than a payout may be."""

    code = ErrorCode.BELOW_MINIMUM_PAYOUT


class PayoutInProgress(BillingError):
    """Another payout of the creator is being made; the next one can follow it."""

    code = ErrorCode.PAYOUT_IN_PROGRESS


class IdempotencyConflict(BillingError):
    """The idempotency key was used before with other input."""

    code = ErrorCode.IDEMPOTENCY_CONFLICT


class InProgress(BillingError):
    """The same request is being worked on at this moment."""

    code = ErrorCode.IN_PROGRESS


class ProviderError(BillingError):
    """Stripe did not do what was asked.

    `request_id` is for logs and support, never for the caller; `provider_param` names what Stripe found at fault.
    """

    def __init__(
        self,
        message: str,
        *,
        request_id: str | None = None,
        provider_code: str | None = None,
        provider_param: str | None = None,
        path: tuple[str, ...] | None = None,
    ) -> None:
        super().__init__(message, path=path)
        self.request_id = request_id
        self.provider_code = provider_code
        self.provider_param = provider_param


class ProviderUnavailable(ProviderError):
    """No definite answer: for a write the outcome is unknown, so the same key is used again, never a new one."""

    code = ErrorCode.PROVIDER_UNAVAILABLE


class ProviderRejected(ProviderError):
    """A definite no: nothing was done."""

    code = ErrorCode.PROVIDER_REJECTED


class ProviderMisconfigured(ProviderRejected):
    """Stripe does not take our key: nothing is wrong with the request, which may pass once the key is mended."""
