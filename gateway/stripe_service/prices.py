"""The catalogue at Stripe: which Price stands for which plan, and whether it costs what the catalogue says."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from gateway.domain.money import CURRENCY, format_usd
from gateway.domain.plans import BillingInterval, Catalogue, PlanPrice
from gateway.stripe_service.connection import PAGE_ENTRIES, Calls
from gateway.stripe_service.fields import Fields
from gateway.stripe_service.objects import StripePrice
from gateway.stripe_service.reading import read_price

#: Stripe takes at most this many lookup keys in one listing.
LOOKUP_KEYS_MAX: Final = 10

STRIPE_INTERVALS: Final[Mapping[BillingInterval, str]] = {
    BillingInterval.MONTHLY: "month",
    BillingInterval.YEARLY: "year",
}


class PricesNotReady(Exception):
    """Stripe does not sell what the catalogue says; `problems` holds a sentence for each price."""

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        super().__init__(" ".join([*self.problems, "Run `gateway stripe-setup`."]))


@dataclass(frozen=True, slots=True)
class PriceBook:
    """Every plan's Price at Stripe, checked; `faults` are those that cannot be sold, by lookup key, and why."""

    catalogue: Catalogue
    price_ids: Mapping[str, str]
    faults: Mapping[str, Sequence[str]] = field(default_factory=dict[str, Sequence[str]])

    @property
    def problems(self) -> tuple[str, ...]:
        """A sentence for everything that is wrong."""
        return tuple(problem for problems in self.faults.values() for problem in problems)

    def price_id(self, price: PlanPrice) -> str:
        """The Price to sell this plan with.

        Raises:
            PricesNotReady: this one is missing, inactive or costs something else.
        """
        if price.lookup_key in self.faults:
            raise PricesNotReady(self.faults[price.lookup_key])
        return self.price_ids[price.lookup_key]

    def plan_price(self, key: str | None) -> PlanPrice | None:
        """The plan a Price id or a lookup key stands for.

        None for an unknown one, which says nothing about the customer's tier: never downgrade on it.
        """
        lookup_key = next((k for k, price_id in self.price_ids.items() if price_id == key), key)
        return self.catalogue.price_of(lookup_key)

    def plan_of(self, price: StripePrice) -> PlanPrice | None:
        """The plan a subscription's Price stands for, also of a Price that was replaced by a newer one since."""
        return self.plan_price(price.price_id) or self.plan_price(price.plan_key)


class PriceCalls(Calls):
    """Calls about Prices."""

    async def list_prices(self, lookup_keys: Sequence[str]) -> tuple[StripePrice, ...]:
        """The Prices, active or not, that have one of the lookup keys; their products' state is asked along."""
        prices: list[StripePrice] = []
        for start in range(0, len(lookup_keys), LOOKUP_KEYS_MAX):
            request = self._stripe.v1.prices.list_async(
                {
                    "lookup_keys": list(lookup_keys[start : start + LOOKUP_KEYS_MAX]),
                    "limit": PAGE_ENTRIES,
                    "expand": ["data.product"],
                }
            )
            prices += await self._stripe.ask("prices.list", request, _read_prices)
        return tuple(prices)

    async def check_prices(self, catalogue: Catalogue) -> PriceBook:
        """The book of prices, if every one of them may be sold.

        Raises:
            PricesNotReady: one is missing, inactive or costs something else; names every problem.
            ProviderError: Stripe could not be asked.
        """
        book = await self.price_book(catalogue)
        if book.problems:
            raise PricesNotReady(book.problems)
        return book

    async def price_book(self, catalogue: Catalogue) -> PriceBook:
        """The book of prices, every one of them compared with the catalogue.

        Raises:
            ProviderError: Stripe could not be asked.
        """
        found = await self.list_prices(lookup_keys=[price.lookup_key for price in catalogue.prices])
        by_key = {price.lookup_key: price for price in found}
        problems = {plan.lookup_key: price_problems(plan, by_key.get(plan.lookup_key)) for plan in catalogue.prices}
        faults = {key: found for key, found in problems.items() if found}
        price_ids = {key: by_key[key].price_id for key in problems if key not in faults}
        return PriceBook(catalogue=catalogue, price_ids=price_ids, faults=faults)


def price_problems(plan: PlanPrice, price: StripePrice | None) -> list[str]:
    """What is wrong with a plan's Price, a sentence each; nothing if it may be sold."""
    if price is None:
        return [f"Stripe has no price with the lookup key {plan.lookup_key}."]
    problems = terms_problems(plan, price)
    if not price.active:
        problems.append(f"The price {plan.lookup_key} is not active.")
    if price.product_active is False:
        problems.append(f"The product of the price {plan.lookup_key} is not active.")
    return problems


def terms_problems(plan: PlanPrice, price: StripePrice) -> list[str]:
    """Where the Price's terms differ from the plan's; these can never be changed on a Price, only on a new one."""
    name = f"The price {plan.lookup_key}"
    problems: list[str] = []
    if price.currency != CURRENCY:
        problems.append(f"{name} is in {price.currency}; it must be in {CURRENCY}.")
    elif price.unit_amount_cents != plan.amount_cents:
        cost = "no fixed amount" if price.unit_amount_cents is None else format_usd(price.unit_amount_cents)
        problems.append(f"{name} costs {cost}; the catalogue says {format_usd(plan.amount_cents)}.")
    interval = STRIPE_INTERVALS[plan.interval]
    if (price.interval, price.interval_count) != (interval, 1):
        every = f"every {price.interval_count} {price.interval}" if price.interval else "once"
        problems.append(f"{name} is paid {every}; it must be paid every {interval}.")
    if price.usage_type not in {None, "licensed"}:
        problems.append(f"{name} is paid by {price.usage_type} usage; it must be a fixed price.")
    return problems


def _read_prices(fields: Fields) -> list[StripePrice]:
    return [read_price(entry) for entry in fields.children()]
