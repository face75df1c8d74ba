"""Refunds and disputes as Stripe tells of them: the local Stripe over HTTP, signed webhooks, the inbox, the books."""

from collections.abc import AsyncIterator

import pytest

from gateway.domain.clock import ManualClock
from gateway.domain.ledger import BAD_DEBT, STRIPE
from gateway.services.ledger import balance
from gateway.services.marketplace.charging import charge_calls
from tests.services.market_world import FakeStripe, Market
from tests.support.books import assert_books_balance
from tests.support.gateway import START, Platform, open_platform
from tests.support.person import Page, Person

DOLLAR = 1_000_000


@pytest.fixture
async def platform(database_url: str) -> AsyncIterator[Platform]:
    async with open_platform(database_url, clock=ManualClock(START)) as running:
        yield running


@pytest.fixture
async def market(platform: Platform) -> Market:
    """The platform's own services; ann calls dan's tool, a dollar a call."""
    market = Market(platform.billing, FakeStripe(), tag="here")
    await market.publish("t", "dan", price="1")
    return market


@pytest.fixture
async def ann(platform: Platform) -> Person:
    return platform.person("ann-here")


async def deposited(platform: Platform, ann: Person, cents: str) -> Page:
    page = await ann.deposit_page(cents)
    await platform.stripe.pay(page.url)
    await platform.settled()
    return page


async def call(market: Market, count: int, *, name: str = "call") -> None:
    await charge_calls(market.billing, [market.call("ann", "t", f"{name}-{n}") for n in range(count)])


async def check(platform: Platform, market: Market, *, stripe_micros: int) -> None:
    await platform.settled()
    assert await platform.events_in("dead") == 0
    assert await balance(market.database, STRIPE) == stripe_micros
    await assert_books_balance(market.database)


async def test_a_refund_shrinks_the_wallet_and_what_is_spent_is_owed(
    platform: Platform, market: Market, ann: Person
) -> None:
    page = await deposited(platform, ann, "1000")
    await call(market, 6)

    await platform.stripe.control("refunds", checkout_session=page.session_id, amount=300)
    await platform.settled()
    assert await market.balances("ann") == {"wallet": DOLLAR}

    await platform.stripe.control("refunds", checkout_session=page.session_id)
    await check(platform, market, stripe_micros=0)
    assert await market.balances("ann") == {"receivable": -6 * DOLLAR}
    wallet = await ann.wallet()
    assert (wallet["balance"]["amountCents"], wallet["owed"]["amountCents"]) == ("0", "600")

    await deposited(platform, ann, "1000")
    await check(platform, market, stripe_micros=-10 * DOLLAR)
    assert await market.balances("ann") == {"wallet": 4 * DOLLAR}
    wallet = await ann.wallet()
    assert (wallet["balance"]["amountCents"], wallet["owed"]["amountCents"]) == ("400", "0")
    newest = [edge["node"] for edge in (await ann.entries(first=2))["edges"]]
    assert [(one["kind"], one["amount"]["amountCents"], one["description"]) for one in newest] == [
        ("ADJUSTMENT", "-600", "Covers a deposit that was taken back"),
        ("DEPOSIT", "1000", "Deposit"),
    ]
    kinds = (await ann.ask('{ __type(name: "WalletEntryKind") { enumValues { name description } } }'))["__type"]
    told = {value["name"]: value["description"] for value in kinds["enumValues"]}
    assert told["ADJUSTMENT"] == "Money that covered what was owed, or a correction made by hand."


async def test_a_dispute_freezes_earnings_and_winning_it_frees_them(
    platform: Platform, market: Market, ann: Person
) -> None:
    page = await deposited(platform, ann, "1000")
    await call(market, 10)

    opened = await platform.stripe.control("disputes/open", checkout_session=page.session_id)
    await check(platform, market, stripe_micros=0)
    assert await market.balances("ann") == {"receivable": -10 * DOLLAR}
    assert await market.balances("dan") == {"earn_held": 8 * DOLLAR}

    await platform.stripe.control("disputes/close", dispute=opened["id"], outcome="won")
    await check(platform, market, stripe_micros=-10 * DOLLAR)
    assert await market.balances("ann") == {}
    assert await market.balances("dan") == {"earn_pending": 8 * DOLLAR}


async def test_a_lost_dispute_is_the_loss_of_those_who_were_not_paid(
    platform: Platform, market: Market, ann: Person
) -> None:
    page = await deposited(platform, ann, "1000")
    await call(market, 8)
    opened = await platform.stripe.control("disputes/open", checkout_session=page.session_id)
    await platform.settled()
    assert await market.balances("ann") == {"receivable": -8 * DOLLAR}

    await platform.stripe.control("disputes/close", dispute=opened["id"], outcome="lost")
    await check(platform, market, stripe_micros=0)

    assert await market.balances("ann") == {}
    assert await market.balances("dan") == {}
    assert set((await market.states("ann")).values()) == {"lost"}
    assert await balance(market.database, BAD_DEBT) == -8 * DOLLAR + 8 * 800_000


async def test_an_inquiry_moves_no_money(platform: Platform, market: Market, ann: Person) -> None:
    page = await deposited(platform, ann, "1000")
    await call(market, 4)

    await platform.stripe.control("disputes/open", checkout_session=page.session_id, inquiry=True)
    await check(platform, market, stripe_micros=-10 * DOLLAR)

    assert await market.balances("ann") == {"wallet": 6 * DOLLAR}
    assert await market.balances("dan") == {"earn_pending": 4 * 800_000}


async def test_a_deposit_that_covers_the_debt_saves_the_creators(
    platform: Platform, market: Market, ann: Person
) -> None:
    page = await deposited(platform, ann, "1000")
    await call(market, 10)
    opened = await platform.stripe.control("disputes/open", checkout_session=page.session_id)
    await platform.settled()

    await deposited(platform, ann, "1500")
    assert await market.balances("ann") == {"wallet": 5 * DOLLAR}
    await platform.stripe.control("disputes/close", dispute=opened["id"], outcome="lost")
    await check(platform, market, stripe_micros=-15 * DOLLAR)

    assert await market.balances("ann") == {"wallet": 5 * DOLLAR}
    assert await market.balances("dan") == {"earn_pending": 8 * DOLLAR}
    assert await balance(market.database, BAD_DEBT) == 0


async def test_events_that_come_in_any_order_and_often_end_in_the_same_books(
    platform: Platform, market: Market, ann: Person
) -> None:
    page = await ann.deposit_page("1000")
    await platform.stripe.control("events/hold")
    await platform.stripe.pay(page.url)
    await platform.stripe.control("refunds", checkout_session=page.session_id, amount=200)
    await platform.stripe.control("refunds", checkout_session=page.session_id, amount=300)
    opened = await platform.stripe.control("disputes/open", checkout_session=page.session_id, amount=500)
    await platform.stripe.control("disputes/close", dispute=opened["id"], outcome="won")

    await platform.stripe.control("events/release", copies=3, seed=5)
    await check(platform, market, stripe_micros=-5 * DOLLAR)

    assert await market.balances("ann") == {"wallet": 5 * DOLLAR}
