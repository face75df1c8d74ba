"""Buys a plan or fills the wallet from the command line, the way a dashboard does it.

    .venv/bin/python examples/checkout_flow.py --token "$(.venv/bin/gateway token --sub alice)" deposit 2500
    .venv/bin/python examples/checkout_flow.py --token "$(.venv/bin/gateway token --sub alice)" plan PRO MONTHLY

It prints the payment page, waits until the payment is settled, and prints what was bought. With --pay CARD it fills in
the page itself, which works on the local Stripe alone: its page needs no JavaScript.
"""

import argparse
import asyncio
from typing import Any, cast
from uuid import uuid4

import aiohttp

JsonObject = dict[str, Any]

#: Any address on an allowed origin; a real dashboard reads `session_id` there and verifies.
RETURN_URL = "http://localhost:5173/billing"
#: After this many answers of PAYMENT_PENDING the rest is left to the webhook.
VERIFIES_MAX = 30

CHECKOUT = """mutation Buy($input: CheckoutInput!) {
  started: checkout(input: $input) {
    __typename
    ... on CheckoutSuccess { sessionId url }
    ... on UserError { code message path }
  }
}"""
DEPOSIT = """mutation Fill($input: DepositInput!) {
  started: deposit(input: $input) {
    __typename
    ... on DepositSuccess { sessionId url }
    ... on UserError { code message path }
  }
}"""
VERIFY_CHECKOUT = """mutation Bought($input: VerifyInput!) {
  verified: verifyCheckout(input: $input) {
    __typename
    ... on VerifyCheckoutSuccess { tier plan { status interval currentPeriodEnd } }
    ... on PaymentPending { retryAfterMs }
    ... on UserError { code message }
  }
}"""
VERIFY_DEPOSIT = """mutation Filled($input: VerifyInput!) {
  verified: verifyDeposit(input: $input) {
    __typename
    ... on VerifyDepositSuccess { deposited amount { amount } wallet { balance { amount } } }
    ... on PaymentPending { retryAfterMs }
    ... on UserError { code message }
  }
}"""


class Refused(Exception):
    """The gateway said no; the message is its sentence, to be shown as it is."""


async def ask(http: aiohttp.ClientSession, query: str, variables: JsonObject) -> JsonObject:
    """The one field of a mutation's answer, whichever member of its union it is."""
    async with http.post("/graphql", json={"query": query, "variables": variables}) as response:
        answer = cast("JsonObject", await response.json())
    if "errors" in answer:
        error = answer["errors"][0]
        raise Refused(f"{error['extensions']['code']}: {error['message']}")
    data = cast("JsonObject", answer["data"])
    return cast("JsonObject", next(iter(data.values())))


async def start(http: aiohttp.ClientSession, bought: JsonObject) -> JsonObject:
    """The payment page. The key makes a repeated request find the same page instead of a second one."""
    is_plan = "tier" in bought
    given = {**bought, "successUrl": RETURN_URL, "cancelUrl": RETURN_URL, "idempotencyKey": str(uuid4())}
    started = await ask(http, CHECKOUT if is_plan else DEPOSIT, {"input": given})
    if not started["__typename"].endswith("Success"):  # every refusal has a code and a message, also one we do not know
        raise Refused(f"{started['code']}: {started['message']}")
    return started


async def pay(page_url: str, card_number: str) -> None:
    """Fill in the local Stripe's page as a browser would."""
    form = {"card_number": card_number, "email": "customer@example.com"}
    async with aiohttp.ClientSession() as browser, browser.post(page_url, data=form, allow_redirects=False) as response:
        if response.status != 303:  # noqa: PLR2004 - "see other": paid, and on to the success URL
            raise Refused(f"The page did not take the card; it answered {response.status}.")
        print("Paid; the browser would now go to", response.headers["Location"])


async def wait_until_settled(http: aiohttp.ClientSession, query: str, session_id: str) -> JsonObject:
    """Verify, and ask again when the gateway says it makes sense. Asking twice never buys twice."""
    for _ in range(VERIFIES_MAX):
        verified = await ask(http, query, {"input": {"sessionId": session_id}})
        if verified["__typename"].endswith("Success"):
            return verified
        if verified["__typename"] != "PaymentPending":
            raise Refused(f"{verified['code']}: {verified['message']}")
        await asyncio.sleep(verified["retryAfterMs"] / 1000)
    raise Refused("Still not paid. Nothing is lost: when the payment comes, the webhook settles it.")


async def run(options: argparse.Namespace) -> None:
    headers = {"Authorization": f"Bearer {options.token}"}
    is_plan = options.what == "plan"
    bought = (
        {"tier": options.tier, "interval": options.interval} if is_plan else {"amountCents": str(options.amount_cents)}
    )
    async with aiohttp.ClientSession(options.gateway, headers=headers) as http:
        page = await start(http, bought)
        print("Pay here:", page["url"])
        if options.pay:
            await pay(page["url"], options.pay)
        verified = await wait_until_settled(http, VERIFY_CHECKOUT if is_plan else VERIFY_DEPOSIT, page["sessionId"])
    if is_plan:
        plan = verified["plan"]
        print(f"Plan: {verified['tier']}, {plan['status']}, paid until {plan['currentPeriodEnd']}")
    else:
        print(f"Deposited ${verified['amount']['amount']}; the wallet holds ${verified['wallet']['balance']['amount']}")


def parser() -> argparse.ArgumentParser:
    options = argparse.ArgumentParser(description="Buy a plan or fill the wallet.")
    options.add_argument("--gateway", default="http://127.0.0.1:8000", help="where the gateway listens")
    options.add_argument("--token", required=True, help="a bearer token; `gateway token --sub ID` makes one")
    options.add_argument("--pay", metavar="CARD", help="pay on the local Stripe's page with this card number")
    what = options.add_subparsers(dest="what", required=True)
    plan = what.add_parser("plan", help="buy a plan")
    plan.add_argument("tier", choices=["STARTER", "PRO", "BUSINESS"])
    plan.add_argument("interval", choices=["MONTHLY", "YEARLY"])
    deposit = what.add_parser("deposit", help="fill the wallet")
    deposit.add_argument("amount_cents", type=int, help="whole cents: 2500 is $25.00")
    return options


def main() -> int:
    try:
        asyncio.run(run(parser().parse_args()))
    except (Refused, aiohttp.ClientError) as refusal:
        print(refusal)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
