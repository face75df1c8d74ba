"""What is sold: tiers, intervals, and the catalogue with its prices."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import cast

from gateway.domain.money import format_usd

MONTHS_PER_YEAR = 12
NAME_CHARACTERS_MAX = 60
PRICE_CENTS_MAX = 99_999_999  # Stripe's own ceiling for one charge in USD is eight digits


class Tier(StrEnum):
    """What a customer holds, from the least to the most; the order of the members is the order of worth."""

    FREE = "FREE"
    STARTER = "STARTER"
    PRO = "PRO"
    BUSINESS = "BUSINESS"

    @property
    def rank(self) -> int:
        return list(Tier).index(self)


class BillingInterval(StrEnum):
    """How often a plan is paid for."""

    MONTHLY = "MONTHLY"
    YEARLY = "YEARLY"


class PlanStatus(StrEnum):
    """How the plan stands, in the words Stripe uses for a Subscription."""

    ACTIVE = "ACTIVE"
    TRIALING = "TRIALING"
    PAST_DUE = "PAST_DUE"
    INCOMPLETE = "INCOMPLETE"
    UNPAID = "UNPAID"
    PAUSED = "PAUSED"
    CANCELED = "CANCELED"


@dataclass(frozen=True, slots=True)
class PlanPrice:
    """One price of the catalogue; `lookup_key` is how Stripe's Price is found, `amount_cents` what it must cost."""

    tier: Tier
    interval: BillingInterval
    amount_cents: int

    @property
    def lookup_key(self) -> str:
        return f"{self.tier.value.lower()}_{self.interval.value.lower()}"


@dataclass(frozen=True, slots=True)
class PlanOffer:
    """One tier as it is shown for sale; FREE costs nothing and cannot be bought."""

    tier: Tier
    name: str
    monthly_cents: int
    yearly_cents: int
    yearly_discount_percent: int

    @property
    def purchasable(self) -> bool:
        return self.tier is not Tier.FREE

    def price(self, interval: BillingInterval) -> PlanPrice:
        cents = self.monthly_cents if interval is BillingInterval.MONTHLY else self.yearly_cents
        return PlanPrice(tier=self.tier, interval=interval, amount_cents=cents)


class CatalogueError(ValueError):
    """plans.toml does not describe a catalogue; the message names the entry and the rule."""


@dataclass(frozen=True, slots=True)
class Catalogue:
    """Every offer, FREE first, in the order of worth."""

    offers: tuple[PlanOffer, ...]

    def offer(self, tier: Tier) -> PlanOffer:
        return next(offer for offer in self.offers if offer.tier is tier)

    @property
    def prices(self) -> tuple[PlanPrice, ...]:
        return tuple(o.price(interval) for o in self.offers if o.purchasable for interval in BillingInterval)

    def price_of(self, lookup_key: str | None) -> PlanPrice | None:
        return next((price for price in self.prices if price.lookup_key == lookup_key), None)


def yearly_cents(monthly_cents: int, *, discount_percent: int) -> int:
    """Twelve months less the discount, rounded half up to a whole cent."""
    return (monthly_cents * MONTHS_PER_YEAR * (100 - discount_percent) + 50) // 100


def load_catalogue(text: str) -> Catalogue:
    """Read plans.toml.

    Raises:
        CatalogueError: a tier is missing or unknown, a price is not a positive whole number of cents, a name is empty.
    """
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise CatalogueError(f"plans.toml is not valid TOML: {error}.") from None
    discount = tables.pop("yearly_discount_percent", 0)
    if type(discount) is not int or not 0 <= discount < 100:  # noqa: PLR2004 - percent
        raise CatalogueError(f"yearly_discount_percent is a whole number from 0 to 99; got {discount!r}.")
    sold = [tier for tier in Tier if tier is not Tier.FREE]
    known = {tier.value.lower() for tier in sold}
    if tables.keys() != known:
        odd = sorted(tables.keys() ^ known)
        raise CatalogueError(f"plans.toml needs exactly the tables {sorted(known)}; look at {odd}.")
    free = PlanOffer(tier=Tier.FREE, name="Free", monthly_cents=0, yearly_cents=0, yearly_discount_percent=0)
    offers = (_offer(tier, tables[tier.value.lower()], discount) for tier in sold)
    return Catalogue(offers=(free, *offers))


def _offer(tier: Tier, table: object, discount: int) -> PlanOffer:
    where = f"plans.toml [{tier.value.lower()}]"
    if not isinstance(table, Mapping):
        raise CatalogueError(f"{where} must be a table with name and monthly_cents.")
    entries = cast("Mapping[str, object]", table)
    name, monthly = entries.get("name"), entries.get("monthly_cents")
    if not isinstance(name, str) or not 0 < len(name) <= NAME_CHARACTERS_MAX:
        raise CatalogueError(f"{where} name is a text of 1 to {NAME_CHARACTERS_MAX} characters; got {name!r}.")
    if type(monthly) is not int or not 0 < monthly <= PRICE_CENTS_MAX // MONTHS_PER_YEAR:
        highest = format_usd(PRICE_CENTS_MAX // MONTHS_PER_YEAR)
        raise CatalogueError(f"{where} monthly_cents is a whole number of cents up to {highest}; got {monthly!r}.")
    return PlanOffer(
        tier=tier,
        name=name,
        monthly_cents=monthly,
        yearly_cents=yearly_cents(monthly, discount_percent=discount),
        yearly_discount_percent=discount,
    )
