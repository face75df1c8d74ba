"""Platforms whose creators connect bank accounts, with either generation of Stripe's Accounts API."""

from collections.abc import Callable
from dataclasses import replace

from gateway.app import Gateway
from gateway.domain.connecting import AccountsApi
from gateway.server.webhook import WEBHOOK_PATH
from gateway.services.connecting import ConnectedAccountView, account_of
from gateway.services.customers import customer_id_of
from tests.support.gateway import Platform
from tests.support.person import Json, Person

#: The creations, and the looks at one account, of both generations.
ACCOUNTS = "regex:^/v(1|2/core)/accounts$"
ACCOUNT = "regex:^/v(1|2/core)/accounts/acct_"
LINKS = "regex:/account_links$"


def with_api(api: AccountsApi) -> Callable[[Gateway], Gateway]:
    """Dresses a gateway so that new accounts are made with this generation."""

    def dress(gateway: Gateway) -> Gateway:
        billing = gateway.billing
        return replace(gateway, billing=replace(billing, rules=replace(billing.rules, accounts_api=api)))

    return dress


async def add_thin_endpoint(platform: Platform) -> None:
    """Have thin events delivered too, signed with a secret the gateway knows."""
    settings = platform.nodes[0].gateway.settings
    secret = settings.stripe_webhook_secrets[0].get_secret_value()
    await platform.stripe.control(
        "webhook_endpoints", url=f"{platform.nodes[0].url}{WEBHOOK_PATH}", thin=True, secret=secret
    )


async def account(platform: Platform, person: Person) -> ConnectedAccountView:
    """The person's open account, as our row has it."""
    found = await account_of(platform.database, customer_id_of(person.subject))
    assert found is not None, f"{person.subject} has no open account"
    return found


async def stripe_id(platform: Platform, person: Person) -> str:
    found = (await account(platform, person)).stripe_account_id
    assert found is not None
    return found


async def rows(platform: Platform) -> list[Json]:
    """Every row about a connected account, oldest first."""
    return [
        dict(row) for row in await platform.database.fetch("SELECT * FROM connected_account ORDER BY created_at, id")
    ]


async def stage(platform: Platform, person: Person, stage: str, **more: object) -> None:
    """Bring the person's account at Stripe to a stage: new, started, review, active, restricted or rejected."""
    await platform.stripe.control("accounts/stage", account=await stripe_id(platform, person), stage=stage, **more)


async def accounts_made(platform: Platform) -> int:
    """How many connected accounts there are at Stripe."""
    return await platform.stripe.count("connected_account")
