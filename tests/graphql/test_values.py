"""How money, numbers and times look on the wire."""

from datetime import UTC, datetime, timedelta, timezone

from graphql import (
    GraphQLEnumType,
    GraphQLInputObjectType,
    GraphQLInterfaceType,
    GraphQLObjectType,
    GraphQLUnionType,
    specified_scalar_types,
)

from gateway.domain.ledger import deposit_draft
from gateway.server.graphql.execution import graphql_schema_of
from gateway.services.customers import customer_id_of
from gateway.services.ledger import record
from resolvers.scalars import DATE_TIME
from resolvers.schema import schema
from tests.support.books import assert_books_balance
from tests.support.gateway import START, Platform

ZERO = {"amountCents": "0", "amount": "0.00", "currency": "USD"}


async def test_the_catalogue_has_every_tier_with_its_prices(platform: Platform) -> None:
    data = await platform.stranger().ask(
        "{ plans { tier name monthly { amountCents amount currency } yearly { amountCents } "
        "yearlyDiscountPercent purchasable } }"
    )

    free, starter, pro, business = data["plans"]
    assert free == {
        "tier": "FREE",
        "name": "Free",
        "monthly": ZERO,
        "yearly": {"amountCents": "0"},
        "yearlyDiscountPercent": 0,
        "purchasable": False,
    }
    assert starter["monthly"] == {"amountCents": "900", "amount": "9.00", "currency": "USD"}
    assert [offer["yearly"]["amountCents"] for offer in (starter, pro, business)] == ["8100", "26100", "89100"]
    assert {offer["yearlyDiscountPercent"] for offer in (starter, pro, business)} == {25}


async def test_somebody_new_holds_free_and_an_empty_wallet(each: Platform) -> None:
    ann = each.person()

    plan, wallet, statement = await ann.plan(), await ann.wallet(), await ann.entries()

    assert plan == {
        "tier": "FREE",
        "interval": None,
        "status": "ACTIVE",
        "price": ZERO,
        "currentPeriodEnd": None,
        "cancelsAt": None,
        "graceEndsAt": None,
    }
    assert wallet["balance"] == ZERO
    assert (wallet["depositMinimum"]["amountCents"], wallet["depositMaximum"]["amountCents"]) == ("500", "50000")
    assert statement == {
        "edges": [],
        "pageInfo": {"hasNextPage": False, "hasPreviousPage": False, "startCursor": None, "endCursor": None},
    }
    assert await each.database.fetch("SELECT id FROM customer") == []


async def test_amounts_below_a_cent_are_exact_and_cents_are_rounded_down(each: Platform) -> None:
    ann = each.person()
    draft = deposit_draft(customer_id=customer_id_of(ann.subject), session_id="cs_1", amount_micros=24_997_500)
    await each.database.run(lambda connection: record(connection, draft, now=each.clock.now()))

    assert (await ann.wallet())["balance"] == {"amountCents": "2499", "amount": "24.9975", "currency": "USD"}
    await assert_books_balance(each.database)


async def test_times_are_in_utc_with_their_zone(each: Platform) -> None:
    ann = each.person()
    plan = await ann.checkout_page("PRO", "YEARLY")
    await each.stripe.pay(plan.url)
    await ann.verify_checkout(plan.session_id)
    deposit = await ann.deposit_page()
    await each.stripe.pay(deposit.url)
    await ann.verify_deposit(deposit.session_id)

    period_end = (await ann.plan())["currentPeriodEnd"]
    created_at = (await ann.entries())["edges"][0]["node"]["createdAt"]

    assert period_end == "2027-11-02T09:00:00+00:00"
    assert datetime.fromisoformat(created_at) == START
    assert datetime.fromisoformat(created_at).tzinfo == UTC
    await each.assert_true()


def test_every_type_field_and_value_is_described() -> None:
    described: dict[str, str | None] = {}
    for name, one in graphql_schema_of(schema).type_map.items():
        if name.startswith("__") or name in specified_scalar_types or isinstance(one, GraphQLUnionType):
            continue
        described[name] = one.description
        if isinstance(one, GraphQLEnumType):
            described |= {f"{name}.{value}": content.description for value, content in one.values.items()}
        if isinstance(one, GraphQLObjectType | GraphQLInterfaceType | GraphQLInputObjectType):
            described |= {f"{name}.{field}": content.description for field, content in one.fields.items()}

    assert [name for name, description in described.items() if not description] == []
    assert {"BillingVerdict.CHANGING", "Payout.status", "DateTime"} <= set(described)


def test_a_moment_is_told_in_utc_whatever_its_zone() -> None:
    moment = datetime(2026, 11, 2, 1, 30, tzinfo=timezone(timedelta(hours=-8)))

    assert DATE_TIME.serialize is not None
    assert DATE_TIME.serialize(moment) == "2026-11-02T09:30:00+00:00"
