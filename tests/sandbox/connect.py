"""Creators with connected accounts, and money on the platform's balance to pay them with."""

from gateway.sandbox.refusals import Json
from tests.sandbox.local_stripe import LocalStripe, plain
from tests.sandbox.shop import deposit_session, pay

AVAILABLE_AT_ONCE = "4000000000000077"
NO_ACCOUNT, ACCOUNT_CLOSED = "000111111116", "000111111113"
RETURN, REFRESH = "https://app.test/return?a=1", "https://app.test/refresh"


async def new_v1(local: LocalStripe) -> Json:
    return await plain(
        local.sdk.v1.accounts.create_async(
            {
                "country": "US",
                "email": "creator@example.com",
                "controller": {
                    "fees": {"payer": "application"},
                    "losses": {"payments": "application"},
                    "requirement_collection": "stripe",
                    "stripe_dashboard": {"type": "express"},
                },
                "capabilities": {"transfers": {"requested": True}},
                "metadata": {"gateway_customer": "u_1"},
            }
        )
    )


async def new_v2(local: LocalStripe) -> Json:
    made = await local.sdk.v2.core.accounts.create_async(
        {
            "contact_email": "creator@example.com",
            "display_name": "Ada",
            "dashboard": "express",
            "identity": {"country": "us", "entity_type": "individual"},
            "configuration": {
                "recipient": {"capabilities": {"stripe_balance": {"stripe_transfers": {"requested": True}}}}
            },
            "defaults": {"responsibilities": {"fees_collector": "application", "losses_collector": "application"}},
            "metadata": {"gateway_customer": "u_1"},
            "include": ["configuration.recipient", "requirements", "defaults", "identity"],
        }
    )
    return made.to_dict()


async def creator(local: LocalStripe, *, account_number: str | None = None, v2: bool = False) -> str:
    """An account that may receive transfers; its id."""
    account = await (new_v2(local) if v2 else new_v1(local))
    fields = {"account": account["id"], "stage": "active"}
    await local.control("accounts/stage", fields | ({"account_number": account_number} if account_number else {}))
    return account["id"]


async def fund(local: LocalStripe, cents: int = 100_00) -> Json:
    """The session of a deposit whose money is available at once."""
    return await pay(local, await deposit_session(local, cents=cents), AVAILABLE_AT_ONCE)


async def transfer(local: LocalStripe, account: str, cents: int, **more: str) -> Json:
    form = "".join(f"&{name}={value}" for name, value in more.items())
    return await local.ok("POST", "/v1/transfers", f"amount={cents}&currency=usd&destination={account}{form}")


async def available(local: LocalStripe, account: str | None = None) -> int:
    headers = {"Stripe-Account": account} if account else None
    return (await local.ok("GET", "/v1/balance", headers=headers))["available"][0]["amount"]


async def lines(local: LocalStripe, account: str | None = None, form: str = "") -> list[Json]:
    """The lines of a balance, oldest first."""
    headers = {"Stripe-Account": account} if account else None
    listed = await local.ok("GET", "/v1/balance_transactions", f"limit=100&{form}", headers=headers)
    return listed["data"][::-1]


def told(local: LocalStripe, account: str) -> list[str]:
    """The types of the events of a connected account, oldest first."""
    return [event["type"] for event in local.events if event.get("account") == account]
