"""Refusals as clients see them: union members behind one interface, made from the domain's errors in one place."""

from collections.abc import Sequence

import strawberry

from gateway.domain import errors
from gateway.domain.errors import ErrorCode
from gateway.services.snapshot import Need
from resolvers.context import Context
from resolvers.enums import publish_enum
from resolvers.money import Money, money_of_micros
from resolvers.plan import Plan, plan_type

publish_enum(
    ErrorCode,
    description="What a caller can branch on. Every member is documented in docs/errors.md.",
    values={
        ErrorCode.REDIRECT_NOT_ALLOWED: "A URL to send the browser back to is not on the list of allowed origins.",
        ErrorCode.AMOUNT_OUT_OF_RANGE: "An amount is outside its limits.",
        ErrorCode.INVALID_INPUT: "A field of the input is not as it must be.",
        ErrorCode.TIER_NOT_PURCHASABLE: "The tier is not for sale.",
        ErrorCode.ALREADY_SUBSCRIBED: "There is a live subscription; it is changed in the billing portal.",
        ErrorCode.SESSION_NOT_FOUND: "The caller has no such payment session.",
        ErrorCode.PAYMENT_PENDING: "Nothing is paid yet; ask again later.",
        ErrorCode.PAYMENT_FAILED: "The payment was tried and will not come; nothing was taken.",
        ErrorCode.SESSION_EXPIRED: "The payment page was not used in time, or another purchase replaced it.",
        ErrorCode.NO_BILLING_ACCOUNT: "The caller has never begun a purchase, so there is nothing to manage.",
        ErrorCode.INSUFFICIENT_FUNDS: "The wallet does not hold what the call costs; nothing was taken.",
        ErrorCode.TOOL_NOT_FOUND: "There is no such tool, or it is not for sale.",
        ErrorCode.PAYOUTS_NOT_READY: "There is no account that can be paid.",
        ErrorCode.BELOW_MINIMUM_PAYOUT: "Less is available than a payout may be.",
        ErrorCode.PAYOUT_IN_PROGRESS: "Another payout is being made.",
        ErrorCode.IDEMPOTENCY_CONFLICT: "The key, or the id of the call, was used before for something else.",
        ErrorCode.IN_PROGRESS: "Something else of the caller's has to end first; the message says what.",
        ErrorCode.PROVIDER_UNAVAILABLE: "The payment provider gave no clear answer; try again with the same key.",
        ErrorCode.PROVIDER_REJECTED: "The payment provider said no, for certain; nothing was done.",
    },
)


@strawberry.interface(
    description="Every refusal of a mutation implements this: select it once with '... on UserError'."
)
class UserError:
    message: str = strawberry.field(description="A sentence a person can act on.")
    code: ErrorCode = strawberry.field(description="What a program can branch on.")
    path: list[str] | None = strawberry.field(description="The input field at fault, e.g. ['input', 'successUrl'].")


@strawberry.type(description="A URL to send the browser back to is not on the list of allowed origins.")
class RedirectNotAllowed(UserError):
    pass


@strawberry.type(description="An amount is outside its limits.")
class AmountOutOfRange(UserError):
    minimum: Money = strawberry.field(description="The least that is possible.")
    maximum: Money | None = strawberry.field(description="The most that is possible; null where there is no limit.")


@strawberry.type(description="There is a live subscription; it is changed in the billing portal.")
class AlreadySubscribed(UserError):
    plan: Plan = strawberry.field(description="The plan held now.")


@strawberry.type(description="The payment is not settled yet: ask again after retryAfterMs.")
class PaymentPending(UserError):
    retry_after_ms: int = strawberry.field(description="When asking again makes sense, in milliseconds.")


@strawberry.type(description="The consumer's wallet does not hold what the call costs; nothing was taken.")
class InsufficientFunds(UserError):
    balance: Money = strawberry.field(description="What the wallet held when the call was refused.")
    required: Money = strawberry.field(description="What the call costs.")


@strawberry.type(description="Any other refusal.")
class BillingProblem(UserError):
    pass


def _path(error: errors.BillingError) -> list[str] | None:
    return list(error.path) if error.path else None


def charge_refusal(error: errors.BillingError, *, place: Sequence[str]) -> InsufficientFunds | BillingProblem:
    """Why one call was not charged; `place` is where it stands in the input, whatever the error says of that."""
    path = [*place, *error.path[1:]] if error.path else None
    if isinstance(error, errors.InsufficientFunds):
        return InsufficientFunds(
            message=error.message,
            code=error.code,
            path=path,
            balance=money_of_micros(error.balance_micros),
            required=money_of_micros(error.required_micros),
        )
    return BillingProblem(message=error.message, code=error.code, path=path)


class _RedirectHandler(strawberry.ExceptionHandler[errors.RedirectNotAllowed, RedirectNotAllowed]):
    def handle(
        self, exception: errors.RedirectNotAllowed, *, field: object, info: strawberry.Info
    ) -> RedirectNotAllowed:
        return RedirectNotAllowed(message=exception.message, code=exception.code, path=_path(exception))


class _AmountHandler(strawberry.ExceptionHandler[errors.AmountOutOfRange, AmountOutOfRange]):
    def handle(self, exception: errors.AmountOutOfRange, *, field: object, info: strawberry.Info) -> AmountOutOfRange:
        maximum = exception.maximum_micros
        return AmountOutOfRange(
            message=exception.message,
            code=exception.code,
            path=_path(exception),
            minimum=money_of_micros(exception.minimum_micros),
            maximum=None if maximum is None else money_of_micros(maximum),
        )


class _SubscribedHandler(strawberry.ExceptionHandler[errors.AlreadySubscribed, AlreadySubscribed]):
    async def handle(
        self, exception: errors.AlreadySubscribed, *, field: object, info: strawberry.Info
    ) -> AlreadySubscribed:
        context: Context = info.context
        snapshot = await context.load(Need(plan=True))
        return AlreadySubscribed(
            message=exception.message,
            code=exception.code,
            path=_path(exception),
            plan=plan_type(snapshot.plan, context.billing.clock.now()),
        )


class _PendingHandler(strawberry.ExceptionHandler[errors.PaymentPending, PaymentPending]):
    def handle(self, exception: errors.PaymentPending, *, field: object, info: strawberry.Info) -> PaymentPending:
        return PaymentPending(
            message=exception.message,
            code=exception.code,
            path=_path(exception),
            retry_after_ms=exception.retry_after_ms,
        )


class _AnyHandler(strawberry.ExceptionHandler[errors.BillingError, BillingProblem]):
    def handle(self, exception: errors.BillingError, *, field: object, info: strawberry.Info) -> BillingProblem:
        return BillingProblem(message=exception.message, code=exception.code, path=_path(exception))


#: The most particular first: the first that fits a field's union is used.
EXCEPTION_HANDLERS = (_RedirectHandler(), _AmountHandler(), _SubscribedHandler(), _PendingHandler(), _AnyHandler())
