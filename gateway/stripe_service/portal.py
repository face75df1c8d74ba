"""Our portal configuration at Stripe: recognised by its metadata, kept as the catalogue wants it."""

from collections.abc import Awaitable, Sequence
from typing import Final, cast

import stripe

from gateway.stripe_service.connection import PAGE_ENTRIES, StripeConnection
from gateway.stripe_service.fields import Fields
from gateway.stripe_service.objects import StripePrice
from gateway.stripe_service.setup_journal import SetupOutcome, SetupRun, covers, digest

#: What marks an object as made by `gateway stripe-setup`: metadata `gateway_setup` = what it is.
METADATA_SETUP: Final = "gateway_setup"
PORTAL_MARK: Final = "portal"
#: Metadata on the configuration: which products and prices it was last given. Stripe need not send the list back.
METADATA_PRODUCTS: Final = "gateway_products"
CONFIGURATION_PAGES_MAX: Final = 5


async def find_configuration(connection: StripeConnection) -> Fields | None:
    """Our active configuration, or None."""

    def fetch(after: str | None) -> Awaitable[stripe.StripeObject]:
        params: stripe.params.billing_portal.ConfigurationListParams = {
            "active": True,
            "limit": PAGE_ENTRIES,
        }
        if after is not None:
            params["starting_after"] = after
        return connection.v1.billing_portal.configurations.list_async(params)

    pages = connection.pages(
        "billing_portal.configurations.list", fetch, lambda entry: entry, pages_max=CONFIGURATION_PAGES_MAX
    )
    async for page in pages:
        for configuration in page:
            if configuration.metadata().get(METADATA_SETUP) == PORTAL_MARK:
                return configuration
    return None


async def set_up_portal(run: SetupRun, *, prices: Sequence[StripePrice], return_url: str) -> str:
    """The id of the portal configuration, made or repaired.

    Customers may see invoices, change their address and card, cancel at the end of the period, and switch between all
    plans at once: what they paid for the rest of the period is counted against the new price.
    """
    features = _features(prices)
    metadata = {METADATA_SETUP: PORTAL_MARK, METADATA_PRODUCTS: _digest(features)}
    wanted: dict[str, object] = {
        "default_return_url": return_url,
        "features": {**features, "subscription_update": _without_products(features)},
        "metadata": metadata,
    }
    found = await find_configuration(run.connection)
    if found is None:
        return await _create(run, features, return_url=return_url, metadata=metadata)
    configuration_id = found.text("id")
    if covers(found.values, wanted):
        run.note(SetupOutcome.UNCHANGED, "portal configuration", configuration_id)
        return configuration_id
    update: stripe.params.billing_portal.ConfigurationUpdateParams = {
        "default_return_url": return_url,
        # the two types say the same, but for what an update may leave out
        "features": cast("stripe.params.billing_portal.ConfigurationUpdateParamsFeatures", features),
        "metadata": metadata,
    }
    options = run.options(f"update {configuration_id}", update)
    request = run.connection.v1.billing_portal.configurations.update_async(configuration_id, update, options)
    await run.connection.ask("billing_portal.configurations.update", request, _read_id)
    run.note(SetupOutcome.REPAIRED, "portal configuration", configuration_id)
    return configuration_id


async def _create(
    run: SetupRun,
    features: stripe.params.billing_portal.ConfigurationCreateParamsFeatures,
    *,
    return_url: str,
    metadata: dict[str, str],
) -> str:
    params: stripe.params.billing_portal.ConfigurationCreateParams = {
        "features": features,
        "default_return_url": return_url,
        "metadata": metadata,
    }
    request = run.connection.v1.billing_portal.configurations.create_async(params, run.options("create portal", params))
    configuration_id = await run.connection.ask("billing_portal.configurations.create", request, _read_id)
    run.note(SetupOutcome.CREATED, "portal configuration", configuration_id)
    return configuration_id


def _features(prices: Sequence[StripePrice]) -> stripe.params.billing_portal.ConfigurationCreateParamsFeatures:
    products: dict[str, list[str]] = {}
    for price in prices:
        products.setdefault(price.product_id, []).append(price.price_id)
    return {
        "customer_update": {"enabled": True, "allowed_updates": ["address", "email", "name"]},
        "invoice_history": {"enabled": True},
        "payment_method_update": {"enabled": True},
        "subscription_cancel": {"enabled": True, "mode": "at_period_end"},
        "subscription_update": {
            "enabled": True,
            "default_allowed_updates": ["price"],
            "proration_behavior": "always_invoice",
            "products": [{"product": product, "prices": ids} for product, ids in products.items()],
        },
    }


def _without_products(
    features: stripe.params.billing_portal.ConfigurationCreateParamsFeatures,
) -> dict[str, object]:
    return {name: value for name, value in features.get("subscription_update", {}).items() if name != "products"}


def _digest(features: stripe.params.billing_portal.ConfigurationCreateParamsFeatures) -> str:
    return digest(features.get("subscription_update", {}).get("products"))


def _read_id(fields: Fields) -> str:
    return fields.text("id")
