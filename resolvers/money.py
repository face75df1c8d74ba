"""Money as clients see it: whole cents that can be moved, and the exact amount."""

from decimal import Decimal
from enum import StrEnum

import strawberry

from gateway.domain.money import cents_to_micros, micros_to_cents, micros_to_decimal
from resolvers.enums import publish_enum
from resolvers.scalars import BigInt


class Currency(StrEnum):
    USD = "USD"


publish_enum(
    Currency,
    description="The currency of every amount.",
    values={
        Currency.USD: "US dollars.",
    },
)


@strawberry.type(description="An amount of money; never a floating-point number.")
class Money:
    amount_cents: BigInt = strawberry.field(description="Whole cents, rounded down: what can be moved through Stripe.")
    amount: Decimal = strawberry.field(description="The exact amount, with sub-cent tool prices: '24.9975'.")
    currency: Currency = strawberry.field(description="Always USD.")


def money_of_micros(micros: int) -> Money:
    return Money(amount_cents=BigInt(micros_to_cents(micros)), amount=micros_to_decimal(micros), currency=Currency.USD)


def money_of_cents(cents: int) -> Money:
    return money_of_micros(cents_to_micros(cents))
