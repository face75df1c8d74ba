"""Products and Prices at Stripe, made or repaired until Stripe sells what the catalogue says."""

from collections.abc import Awaitable
from typing import Final

import stripe

from gateway.domain.errors import ProviderRejected
from gateway.domain.money import CURRENCY, format_usd
from gateway.domain.plans import BillingInterval, Catalogue, PlanOffer, PlanPrice
from gateway.stripe_service.connection import PAGE_ENTRIES
from gateway.stripe_service.fields import Fields
from gateway.stripe_service.objects import METADATA_PRICE, StripePrice
from gateway.stripe_service.prices import STRIPE_INTERVALS, PriceCalls, terms_problems
from gateway.stripe_service.reading import read_price
from gateway.stripe_service.setup_journal import SetupOutcome, SetupRun

PRICE_PAGES_MAX: Final = 20


def product_id(offer: PlanOffer) -> str:
    """The stable id of the product we make for a tier."""
    return f"gateway_{offer.tier.value.lower()}"


async def set_up_catalogue(run: SetupRun, catalogue: Catalogue) -> tuple[StripePrice, ...]:
    """Every product, then every price of the catalogue; the prices as they stand in the end, in its order."""
    offers = [offer for offer in catalogue.offers if offer.purchasable]
    for offer in offers:
        await _set_up_product(run, offer)
    found = await PriceCalls(run.connection).list_prices([price.lookup_key for price in catalogue.prices])
    by_key = {price.lookup_key: price for price in found}
    prices: list[StripePrice] = []
    for offer in offers:
        for interval in BillingInterval:
            plan = offer.price(interval)
            prices.append(await _set_up_price(run, offer, plan, by_key.get(plan.lookup_key)))
        await _retire_leftovers(run, offer, current={price.price_id for price in prices})
    return tuple(prices)


async def _set_up_product(run: SetupRun, offer: PlanOffer) -> None:
    products, wanted_id = run.connection.v1.products, product_id(offer)
    what = f"product {wanted_id}"
    found = await run.connection.ask_if_exists(
        "products.retrieve", products.retrieve_async(wanted_id), lambda fields: fields
    )
    if found is None or found.maybe_flag("deleted"):
        create: stripe.params.ProductCreateParams = {"id": wanted_id, "name": offer.name}
        request = products.create_async(create, run.options(f"create {wanted_id}", create))
        await run.connection.ask("products.create", request, _read_id)
        run.note(SetupOutcome.CREATED, what, offer.name)
    elif found.maybe_text("name") != offer.name or not found.maybe_flag("active"):
        update: stripe.params.ProductUpdateParams = {"name": offer.name, "active": True}
        request = products.update_async(wanted_id, update, run.options(f"update {wanted_id}", update))
        await run.connection.ask("products.update", request, _read_id)
        run.note(SetupOutcome.REPAIRED, what, offer.name)
    else:
        run.note(SetupOutcome.UNCHANGED, what, offer.name)


async def _set_up_price(run: SetupRun, offer: PlanOffer, plan: PlanPrice, found: StripePrice | None) -> StripePrice:
    what = f"price {plan.lookup_key}"
    terms = f"{format_usd(plan.amount_cents)} every {STRIPE_INTERVALS[plan.interval]}"
    if found is None:
        created = await _create_price(run, offer, plan)
        run.note(SetupOutcome.CREATED, what, terms)
        return created
    if terms_problems(plan, found):
        return await _replace_price(run, offer, plan, found)
    if found.product_active is False and found.product_id != product_id(offer):
        await _activate_product(run, found.product_id)
    if not found.active or found.metadata.get(METADATA_PRICE) != plan.lookup_key:
        repaired = await _update_price(run, found, {"active": True, "metadata": {METADATA_PRICE: plan.lookup_key}})
        run.note(SetupOutcome.REPAIRED, what, terms)
        return repaired
    run.note(SetupOutcome.UNCHANGED, what, terms)
    return found


async def _create_price(run: SetupRun, offer: PlanOffer, plan: PlanPrice) -> StripePrice:
    params: stripe.params.PriceCreateParams = {
        "product": product_id(offer),
        "currency": CURRENCY,
        "unit_amount": plan.amount_cents,
        "recurring": {"interval": "month" if plan.interval is BillingInterval.MONTHLY else "year"},
        "lookup_key": plan.lookup_key,
        "transfer_lookup_key": True,
        "metadata": {METADATA_PRICE: plan.lookup_key},
    }
    request = run.connection.v1.prices.create_async(params, run.options(f"create {plan.lookup_key}", params))
    return await run.connection.ask("prices.create", request, read_price)


async def _replace_price(run: SetupRun, offer: PlanOffer, plan: PlanPrice, old: StripePrice) -> StripePrice:
    """A Price cannot be changed: a new one takes the lookup key, and the old one is sold no more.

    The old one is marked first, so that whoever still pays it keeps the tier after it has lost its lookup key.
    """
    if old.metadata.get(METADATA_PRICE) != plan.lookup_key:
        await _update_price(run, old, {"metadata": {METADATA_PRICE: plan.lookup_key}})
    created = await _create_price(run, offer, plan)
    cost = "no fixed amount" if old.unit_amount_cents is None else format_usd(old.unit_amount_cents)
    run.note(
        SetupOutcome.REPAIRED,
        f"price {plan.lookup_key}",
        f"{created.price_id} at {format_usd(plan.amount_cents)} instead of {old.price_id} at {cost}",
    )
    await _retire(run, old)
    return created


async def _retire_leftovers(run: SetupRun, offer: PlanOffer, *, current: set[str]) -> None:
    """Deactivate prices of ours that a run before this one replaced without coming to the end."""

    def fetch(after: str | None) -> Awaitable[stripe.StripeObject]:
        params: stripe.params.PriceListParams = {"product": product_id(offer), "active": True, "limit": PAGE_ENTRIES}
        if after is not None:
            params["starting_after"] = after
        return run.connection.v1.prices.list_async(params)

    leftovers = [
        price
        async for page in run.connection.pages("prices.list", fetch, read_price, pages_max=PRICE_PAGES_MAX)
        for price in page
        if METADATA_PRICE in price.metadata and price.price_id not in current
    ]
    for price in leftovers:
        await _retire(run, price)


async def _retire(run: SetupRun, price: StripePrice) -> None:
    what = f"old price {price.price_id}"
    if not price.active:
        return
    try:
        await _update_price(run, price, {"active": False})
    except ProviderRejected as refusal:
        run.note(SetupOutcome.SKIPPED, what, f"Stripe keeps it active: {refusal.provider_code or 'no reason given'}")
    else:
        run.note(SetupOutcome.REPAIRED, what, "sold no more; who has it keeps it")


async def _update_price(run: SetupRun, price: StripePrice, params: stripe.params.PriceUpdateParams) -> StripePrice:
    options = run.options(f"update {price.price_id}", params)
    request = run.connection.v1.prices.update_async(price.price_id, params, options)
    return await run.connection.ask("prices.update", request, read_price)


async def _activate_product(run: SetupRun, foreign_product_id: str) -> None:
    params: stripe.params.ProductUpdateParams = {"active": True}
    options = run.options(f"activate {foreign_product_id}", params)
    request = run.connection.v1.products.update_async(foreign_product_id, params, options)
    await run.connection.ask("products.update", request, _read_id)
    run.note(SetupOutcome.REPAIRED, f"product {foreign_product_id}", "active again")


def _read_id(fields: Fields) -> str:
    return fields.text("id")
