"""The catalogue compared with what Stripe sells."""

from pathlib import Path

import pytest

from gateway.domain.errors import ProviderUnavailable
from gateway.domain.plans import BillingInterval, Catalogue, Tier, load_catalogue
from gateway.stripe_service import PricesNotReady, StripeService
from gateway.stripe_service.fields import Fields
from gateway.stripe_service.reading import read_price
from tests.stripe.scripted import ScriptedStripe, refuses, says
from tests.stripe.stripe_objects import JsonObject, listing, price

CATALOGUE = load_catalogue((Path(__file__).parents[2] / "plans.toml").read_text())
PRODUCT: JsonObject = {"id": "prod_1", "object": "product", "active": True}


def right_prices(catalogue: Catalogue = CATALOGUE) -> dict[str, JsonObject]:
    """Stripe's Prices as the catalogue wants them, by lookup key."""
    return {
        plan.lookup_key: price(
            f"price_{plan.lookup_key}",
            lookup_key=plan.lookup_key,
            unit_amount=plan.amount_cents,
            product=PRODUCT,
            recurring={
                "interval": "month" if plan.interval is BillingInterval.MONTHLY else "year",
                "interval_count": 1,
                "usage_type": "licensed",
            },
        )
        for plan in catalogue.prices
    }


async def test_six_right_prices_make_a_book_in_one_call(service: StripeService, script: ScriptedStripe) -> None:
    script.will(says(listing(*right_prices().values())))

    book = await service.check_prices(CATALOGUE)

    pro_yearly = CATALOGUE.offer(Tier.PRO).price(BillingInterval.YEARLY)
    assert book.price_id(pro_yearly) == "price_pro_yearly"
    assert book.plan_price("price_pro_yearly") == pro_yearly
    assert book.plan_price("pro_yearly") == pro_yearly
    assert len(script.asked) == 1
    assert script.last.params == {
        "lookup_keys[0]": "starter_monthly",
        "lookup_keys[1]": "starter_yearly",
        "lookup_keys[2]": "pro_monthly",
        "lookup_keys[3]": "pro_yearly",
        "lookup_keys[4]": "business_monthly",
        "lookup_keys[5]": "business_yearly",
        "limit": "100",
        "expand[0]": "data.product",
    }


async def test_an_unknown_price_is_no_plan_and_an_old_one_is_its_plan(
    service: StripeService, script: ScriptedStripe
) -> None:
    script.will(says(listing(*right_prices().values())))
    book = await service.check_prices(CATALOGUE)

    foreign = price("price_x", lookup_key="gold_monthly")
    old = price("price_old", lookup_key=None, unit_amount=1900, metadata={"gateway_price": "pro_monthly"})

    assert book.plan_price("price_x") is None
    assert book.plan_price(None) is None
    assert book.plan_of(read_price(Fields(foreign))) is None
    assert book.plan_of(read_price(Fields(old))) == CATALOGUE.offer(Tier.PRO).price(BillingInterval.MONTHLY)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"active": False}, "The price pro_monthly is not active."),
        ({"unit_amount": 2901}, "The price pro_monthly costs $29.01; the catalogue says $29.00."),
        ({"unit_amount": None}, "The price pro_monthly costs no fixed amount; the catalogue says $29.00."),
        ({"currency": "eur"}, "The price pro_monthly is in eur; it must be in usd."),
        ({"recurring": None, "type": "one_time"}, "The price pro_monthly is paid once; it must be paid every month."),
        (
            {"recurring": {"interval": "year", "interval_count": 1}},
            "The price pro_monthly is paid every 1 year; it must be paid every month.",
        ),
        (
            {"recurring": {"interval": "month", "interval_count": 3}},
            "The price pro_monthly is paid every 3 month; it must be paid every month.",
        ),
        (
            {"recurring": {"interval": "month", "interval_count": 1, "usage_type": "metered"}},
            "The price pro_monthly is paid by metered usage; it must be a fixed price.",
        ),
        ({"product": {**PRODUCT, "active": False}}, "The product of the price pro_monthly is not active."),
        (
            {"product": {"id": "prod_1", "object": "product", "deleted": True}},
            "The product of the price pro_monthly is not active.",
        ),
    ],
)
async def test_a_wrong_price_is_named(
    service: StripeService, script: ScriptedStripe, changes: JsonObject, problem: str
) -> None:
    prices = right_prices()
    prices["pro_monthly"].update(changes)
    script.will(says(listing(*prices.values())))

    with pytest.raises(PricesNotReady) as caught:
        await service.check_prices(CATALOGUE)

    assert caught.value.problems == (problem,)
    assert str(caught.value) == f"{problem} Run `gateway stripe-setup`."


async def test_every_problem_is_named_at_once(service: StripeService, script: ScriptedStripe) -> None:
    prices = right_prices()
    del prices["starter_yearly"]
    prices["business_monthly"].update({"active": False, "unit_amount": 1})
    script.will(says(listing(*prices.values())))

    with pytest.raises(PricesNotReady) as caught:
        await service.check_prices(CATALOGUE)

    assert caught.value.problems == (
        "Stripe has no price with the lookup key starter_yearly.",
        "The price business_monthly costs $0.01; the catalogue says $99.00.",
        "The price business_monthly is not active.",
    )


async def test_no_answer_about_prices_is_not_taken_for_missing_prices(
    service: StripeService, script: ScriptedStripe
) -> None:
    script.will(refuses(429))

    with pytest.raises(ProviderUnavailable):
        await service.check_prices(CATALOGUE)
