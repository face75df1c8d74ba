"""The catalogue, and what plans.toml may say."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.plans import BillingInterval, CatalogueError, Tier, load_catalogue, yearly_cents

SHIPPED = (Path(__file__).parents[2] / "plans.toml").read_text()


def test_the_shipped_catalogue_sells_three_tiers_at_two_intervals() -> None:
    catalogue = load_catalogue(SHIPPED)

    assert [(price.lookup_key, price.amount_cents) for price in catalogue.prices] == [
        ("starter_monthly", 900),
        ("starter_yearly", 8_100),
        ("pro_monthly", 2_900),
        ("pro_yearly", 26_100),
        ("business_monthly", 9_900),
        ("business_yearly", 89_100),
    ]
    assert [offer.tier for offer in catalogue.offers] == list(Tier)
    assert not catalogue.offer(Tier.FREE).purchasable
    assert catalogue.offer(Tier.PRO).yearly_discount_percent == 25


def test_a_price_is_found_by_its_lookup_key_and_an_unknown_key_finds_none() -> None:
    catalogue = load_catalogue(SHIPPED)

    price = catalogue.price_of("business_yearly")
    assert price is not None
    assert (price.tier, price.interval) == (Tier.BUSINESS, BillingInterval.YEARLY)
    assert catalogue.price_of("enterprise_yearly") is None
    assert catalogue.price_of(None) is None


@given(st.integers(min_value=1, max_value=1_000_000), st.integers(min_value=0, max_value=99))
def test_a_year_is_twelve_months_less_the_discount_to_the_nearest_cent(monthly: int, discount: int) -> None:
    exact_hundredths = monthly * 12 * (100 - discount)

    assert abs(yearly_cents(monthly, discount_percent=discount) * 100 - exact_hundredths) <= 50


@pytest.mark.parametrize(
    ("part", "instead", "sentence"),
    [
        ("[pro]", "[gold]", "look at \\['gold', 'pro'\\]"),
        ("monthly_cents = 2900", "monthly_cents = 29.0", "got 29.0"),
        ("monthly_cents = 2900", "monthly_cents = -1", "got -1"),
        ("monthly_cents = 2900", "monthly_cents = true", "got True"),
        ("monthly_cents = 2900", "monthly_cents = 99999999", "got 99999999"),
        ('name = "Pro"', 'name = ""', "1 to 60 characters"),
        ('name = "Pro"', "", "got None"),
        ("= 25", "= 100", "0 to 99; got 100"),
        ("= 25", "= 12.5", "got 12.5"),
        (SHIPPED, "pro = 5\nstarter = 1\nbusiness = 2\n", "must be a table"),
        ("[pro]", "[pro", "not valid TOML"),
    ],
)
def test_a_catalogue_that_cannot_be_says_what_is_wrong(part: str, instead: str, sentence: str) -> None:
    with pytest.raises(CatalogueError, match=sentence):
        load_catalogue(SHIPPED.replace(part, instead))
