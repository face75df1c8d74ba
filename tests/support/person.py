"""Somebody who uses the gateway from a dashboard: GraphQL over HTTP with a signed token."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, cast

import aiohttp

APP: Final = "https://app.aerostack.dev"

Json = dict[str, Any]

MONEY: Final = "{ amountCents amount currency }"
PLAN: Final = f"{{ tier interval status price {MONEY} currentPeriodEnd cancelsAt graceEndsAt }}"
WALLET: Final = f"{{ id balance {MONEY} owed {MONEY} depositMinimum {MONEY} depositMaximum {MONEY} }}"
_ERROR: Final = "... on UserError { message code path }"

CHECKOUT: Final = f"""mutation ($input: CheckoutInput!) {{ checkout(input: $input) {{ __typename {_ERROR}
    ... on CheckoutSuccess {{ sessionId url }} ... on AlreadySubscribed {{ plan {PLAN} }} }} }}"""
DEPOSIT: Final = f"""mutation ($input: DepositInput!) {{ deposit(input: $input) {{ __typename {_ERROR}
    ... on DepositSuccess {{ sessionId url }}
    ... on AmountOutOfRange {{ minimum {MONEY} maximum {MONEY} }} }} }}"""
VERIFY_CHECKOUT: Final = f"""mutation ($input: VerifyInput!) {{ verifyCheckout(input: $input) {{ __typename {_ERROR}
    ... on VerifyCheckoutSuccess {{ tier plan {PLAN} }} ... on PaymentPending {{ retryAfterMs }} }} }}"""
VERIFY_DEPOSIT: Final = f"""mutation ($input: VerifyInput!) {{ verifyDeposit(input: $input) {{ __typename {_ERROR}
    ... on VerifyDepositSuccess {{ deposited amount {MONEY} wallet {WALLET} }}
    ... on PaymentPending {{ retryAfterMs }} }} }}"""
PORTAL: Final = f"""mutation ($input: PortalInput!) {{ portal(input: $input) {{ __typename {_ERROR}
    ... on PortalSuccess {{ url }} }} }}"""
CONNECT: Final = f"""mutation ($input: ConnectPayoutsInput!) {{ connectPayouts(input: $input) {{ __typename {_ERROR}
    ... on ConnectPayoutsSuccess {{ url expiresAt }} }} }}"""
ENTRIES: Final = f"""query ($first: Int! = 25, $after: String) {{ wallet {{ entries(first: $first, after: $after) {{
    edges {{ cursor node {{ id kind amount {MONEY} balanceAfter {MONEY} description createdAt }} }}
    pageInfo {{ hasNextPage hasPreviousPage startCursor endCursor }} }} }} }}"""


@dataclass(frozen=True, slots=True)
class Page:
    """A hosted page to go to."""

    session_id: str
    url: str


@dataclass(frozen=True, slots=True)
class Reply:
    """An HTTP answer of the gateway."""

    status: int
    raw: bytes
    body: Any
    headers: dict[str, str]

    @property
    def codes(self) -> list[str]:
        """The codes of the top-level errors."""
        return [error["extensions"]["code"] for error in cast("Json", self.body).get("errors", [])]


@dataclass(frozen=True, slots=True, eq=False)
class Person:
    """A caller at one gateway."""

    subject: str
    url: str
    http: aiohttp.ClientSession
    token: Callable[[], str] | None

    async def send(self, body: object) -> Reply:
        """Any body as it is, with this person's token."""
        headers = {} if self.token is None else {"Authorization": f"Bearer {self.token()}"}
        async with self.http.post(f"{self.url}/graphql", json=body, headers=headers) as response:
            raw = await response.read()
            return Reply(response.status, raw, await response.json(content_type=None), dict(response.headers))

    async def post(self, document: str, **variables: object) -> Reply:
        """One operation, whatever becomes of it."""
        return await self.send({"query": document, "variables": variables})

    async def ask(self, document: str, **variables: object) -> Json:
        """The data of one operation that has no errors."""
        reply = await self.post(document, **variables)
        assert reply.status == 200, reply.body
        assert "errors" not in reply.body, reply.body
        return cast("Json", reply.body["data"])

    async def plan(self) -> Json:
        return cast("Json", (await self.ask(f"{{ plan {PLAN} }}"))["plan"])

    async def tier(self) -> str:
        return cast("str", (await self.plan())["tier"])

    async def wallet(self) -> Json:
        return cast("Json", (await self.ask(f"{{ wallet {WALLET} }}"))["wallet"])

    async def balance_cents(self) -> str:
        """The balance in whole cents, as the wire has it."""
        return cast("str", (await self.wallet())["balance"]["amountCents"])

    async def entries(self, *, first: int = 25, after: str | None = None) -> Json:
        return cast("Json", (await self.ask(ENTRIES, first=first, after=after))["wallet"]["entries"])

    async def checkout(self, tier: str = "PRO", interval: str = "MONTHLY", **more: object) -> Json:
        """Whatever `checkout` answers; `more` overrides or adds input fields."""
        given = {"tier": tier, "interval": interval, **_urls(), **more}
        return cast("Json", (await self.ask(CHECKOUT, input=given))["checkout"])

    async def checkout_page(self, tier: str = "PRO", interval: str = "MONTHLY", **more: object) -> Page:
        return _page(await self.checkout(tier, interval, **more), "CheckoutSuccess")

    async def deposit(self, amount_cents: object = "2500", **more: object) -> Json:
        """Whatever `deposit` answers."""
        given = {"amountCents": amount_cents, **_urls(), **more}
        return cast("Json", (await self.ask(DEPOSIT, input=given))["deposit"])

    async def deposit_page(self, amount_cents: object = "2500", **more: object) -> Page:
        return _page(await self.deposit(amount_cents, **more), "DepositSuccess")

    async def verify_checkout(self, session_id: str) -> Json:
        return cast("Json", (await self.ask(VERIFY_CHECKOUT, input={"sessionId": session_id}))["verifyCheckout"])

    async def verify_deposit(self, session_id: str) -> Json:
        return cast("Json", (await self.ask(VERIFY_DEPOSIT, input={"sessionId": session_id}))["verifyDeposit"])

    async def portal(self, return_url: str = f"{APP}/billing") -> Json:
        return cast("Json", (await self.ask(PORTAL, input={"returnUrl": return_url}))["portal"])

    async def connect(self, **more: object) -> Json:
        """Whatever `connectPayouts` answers; `more` overrides or adds input fields."""
        given = {"returnUrl": f"{APP}/payouts", "refreshUrl": f"{APP}/payouts/again", **more}
        return cast("Json", (await self.ask(CONNECT, input=given))["connectPayouts"])

    async def connect_url(self) -> str:
        answer = await self.connect()
        assert answer["__typename"] == "ConnectPayoutsSuccess", answer
        return cast("str", answer["url"])

    async def portal_url(self) -> str:
        answer = await self.portal()
        assert answer["__typename"] == "PortalSuccess", answer
        return cast("str", answer["url"])


def _urls() -> Json:
    return {"successUrl": f"{APP}/done", "cancelUrl": f"{APP}/plans"}


def _page(answer: Json, success: str) -> Page:
    assert answer["__typename"] == success, answer
    return Page(session_id=answer["sessionId"], url=answer["url"])
