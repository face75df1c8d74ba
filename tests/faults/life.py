"""One customer's life, drawn by dice: it buys, changes its mind, looks again, and its bank and Stripe's staff join in.

It asks as an ordinary client would: what was not answered is asked again with the same key, anywhere.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Final, TypeVar, cast

import aiohttp

from tests.support.person import APP, CHECKOUT, DEPOSIT, PORTAL, VERIFY_CHECKOUT, VERIFY_DEPOSIT, Person
from tests.support.stripe_door import FAILS_LATER, PAYS_LATER, VISA, Json, StripeDoor
from tests.support.truth import listed

T = TypeVar("T")

#: What a client that was not served does: ask again, until it has a clear answer.
AGAIN_CODE: Final = "PROVIDER_UNAVAILABLE"
AGAIN_STATUSES: Final = frozenset({502, 503, 504})
AGAIN_SECONDS: Final = 0.1
PATIENCE_SECONDS: Final = 120.0
MOMENT_SECONDS_MAX: Final = 0.4
SOLD: Final = ("STARTER", "PRO", "BUSINESS")
INTERVALS: Final = ("MONTHLY", "YEARLY")
_URLS: Final = {"successUrl": f"{APP}/done", "cancelUrl": f"{APP}/plans"}
_MINUTE: Final = aiohttp.ClientTimeout(total=60)


@dataclass(eq=False)
class Life:
    """`doors` are the same person at each gateway."""

    doors: Sequence[Person]
    stripe: StripeDoor
    dice: random.Random
    sessions: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    asked_again: int = 0
    _paid: list[tuple[str, int]] = field(default_factory=list[tuple[str, int]])
    _refunded: list[tuple[str, int]] = field(default_factory=list[tuple[str, int]])
    _delayed: list[str] = field(default_factory=list[str])
    _disputes: list[str] = field(default_factory=list[str])
    _keys: int = 0

    @property
    def subject(self) -> str:
        return self.doors[0].subject

    async def step(self) -> None:
        """Do one thing, whatever the dice say."""
        deeds: list[tuple[int, Callable[[], Awaitable[None]]]] = [
            (22, self.deposit),
            (18, self.subscribe),
            (16, self.change_in_portal),
            (10, self.be_changed_by_staff),
            (8, self.be_refunded),
            (6, self.dispute),
            (5, self.hear_from_the_bank),
            (2, self.be_subscribed_by_staff),
            (1, self.be_deleted),
        ]
        (deed,) = self.dice.choices([deed for _, deed in deeds], weights=[weight for weight, _ in deeds])
        await deed()

    async def deposit(self) -> None:
        cents = self.dice.randrange(500, 50_000)
        answer = await self.ask(DEPOSIT, "deposit", amountCents=str(cents), idempotencyKey=self._key(), **_URLS)
        if answer["__typename"] == "DepositSuccess":
            self.sessions.append((answer["sessionId"], "verifyDeposit"))
            await self._pay(answer["sessionId"], deposited_cents=cents)

    async def subscribe(self) -> None:
        tier, interval = self.dice.choice(SOLD), self.dice.choice(INTERVALS)
        answer = await self.ask(CHECKOUT, "checkout", tier=tier, interval=interval, idempotencyKey=self._key(), **_URLS)
        if answer["__typename"] == "CheckoutSuccess":
            self.sessions.append((answer["sessionId"], "verifyCheckout"))
            await self._pay(answer["sessionId"])

    async def _pay(self, session_id: str, *, deposited_cents: int = 0) -> None:
        card = self.dice.choices((VISA, PAYS_LATER, FAILS_LATER, None), weights=(70, 12, 6, 12))[0]
        if card is None or not await self.nudge("checkout/pay", checkout_session=session_id, card_number=card):
            return
        if card == PAYS_LATER:
            self._delayed.append(session_id)
        elif deposited_cents:
            self._paid.append((session_id, deposited_cents))

    async def hear_from_the_bank(self) -> None:
        """A payment that was on its way arrives, or does not."""
        if self._delayed:
            session_id = self._delayed.pop(self.dice.randrange(len(self._delayed)))
            await self.nudge(self.dice.choice(("payments/settle", "payments/fail")), checkout_session=session_id)

    async def change_in_portal(self) -> None:
        answer = await self.ask(PORTAL, "portal", returnUrl=f"{APP}/billing")
        if answer["__typename"] != "PortalSuccess":
            return
        living = await self._living()
        if not living:
            return
        chosen, move = self.dice.choice(living), self.dice.choice(("switch", "switch", "cancel", "resume"))
        more = {"price_id": self.dice.choice(await self._prices())} if move == "switch" else {}
        changed = await self.stripe.post_form(f"{answer['url']}/{move}", subscription_id=chosen["id"], **more)
        assert changed.status < 500, changed

    async def be_changed_by_staff(self) -> None:
        """Somebody in Stripe's dashboard pauses, resumes, cancels or forces a status."""
        for chosen in (await self._living())[:1]:
            move = self.dice.choice(("pause", "resume", "cancel", "cancel at the end", "status"))
            named = {"subscription": chosen["id"]}
            if move == "cancel at the end":
                await self.nudge("subscriptions/cancel", **named, at_period_end=True)
            elif move == "status":
                status = self.dice.choice(("active", "past_due", "unpaid", "trialing"))
                await self.nudge("subscriptions/status", **named, status=status)
            else:
                await self.nudge(f"subscriptions/{move}", **named)

    async def be_changed_often(self) -> None:
        """Several changes of one subscription within moments."""
        for chosen in (await self._living())[:1]:
            for status in self.dice.sample(("active", "past_due", "unpaid", "trialing"), k=3):
                await self.nudge("subscriptions/status", subscription=chosen["id"], status=status)
                await asyncio.sleep(self.dice.uniform(0, MOMENT_SECONDS_MAX))

    async def be_subscribed_by_staff(self) -> None:
        """A subscription that no page of ours sold: perhaps the second one."""
        for customer in await self._customers():
            key = f"{self.dice.choice(SOLD)}_{self.dice.choice(INTERVALS)}".lower()
            await self.nudge("subscriptions/create", customer=customer["id"], lookup_key=key)

    async def be_refunded(self) -> None:
        """A part, and perhaps another part later. What was refunded is not disputed: more would go than ever came."""
        if self._paid:
            self._refunded.append(self._paid.pop(self.dice.randrange(len(self._paid))))
        if self._refunded:
            session_id, cents = self.dice.choice(self._refunded)
            await self.nudge("refunds", checkout_session=session_id, amount=self.dice.randrange(1, cents // 2))

    async def dispute(self) -> None:
        """Open one about a deposit that has none, or decide one."""
        if self._disputes and self.dice.random() < 0.5:
            await self.nudge("disputes/close", dispute=self._disputes.pop(), outcome=self.dice.choice(("won", "lost")))
        elif self._paid:
            session_id, _ = self._paid.pop(self.dice.randrange(len(self._paid)))
            opened = await self.nudge("disputes/open", checkout_session=session_id)
            self._disputes += [opened["id"]] if opened else []

    async def be_deleted(self) -> None:
        """The Stripe Customer goes; the person stays, and may buy again."""
        for customer in await self._customers():
            with suppress(AssertionError, aiohttp.ClientError):  # somebody else was faster, or a fault was
                await self.stripe.api("DELETE", f"/v1/customers/{customer['id']}")

    async def look_again(self) -> None:
        """Verify some page of theirs, as a browser that came back does."""
        if not self.sessions:
            return
        session_id, verify = self.dice.choice(self.sessions)
        document = VERIFY_DEPOSIT if verify == "verifyDeposit" else VERIFY_CHECKOUT
        await self.ask(document, verify, sessionId=session_id)

    async def ask(self, document: str, name: str, **given: object) -> Json:
        """The first clear answer; anything but an answer of the contract is a defect."""
        deadline = asyncio.get_running_loop().time() + PATIENCE_SECONDS
        while True:
            answer = await self._try(document, name, given)
            if answer is not None and answer.get("code") != AGAIN_CODE:
                return answer
            assert asyncio.get_running_loop().time() < deadline, f"{name} {given} is still not served: {answer}"
            self.asked_again += 1
            await asyncio.sleep(AGAIN_SECONDS * self.dice.uniform(0.5, 1.5))

    async def _try(self, document: str, name: str, given: Json) -> Json | None:
        try:
            reply = await self.dice.choice(self.doors).post(document, input=given)
        except (aiohttp.ClientError, TimeoutError, OSError):
            return None
        if reply.status in AGAIN_STATUSES:
            return None
        assert reply.status == 200, reply.body
        assert "errors" not in reply.body, reply.body
        return cast("Json", reply.body["data"][name])

    async def nudge(self, path: str, /, **fields: object) -> Json | None:
        """Make something happen at Stripe; None where things stand so that it cannot."""
        async with self.stripe.http.post(
            f"{self.stripe.url}/_sandbox/{path}", json=fields, timeout=_MINUTE
        ) as response:
            assert response.status < 500, await response.text()
            return cast("Json", await response.json()) if response.status == 200 else None

    async def _customers(self) -> list[Json]:
        """This person's Customer, as long as it is there; the page it was last shown says which it is."""
        if not self.sessions:
            return []
        session = await self._read(lambda: self.stripe.api("GET", f"/v1/checkout/sessions/{self.sessions[-1][0]}"))
        customer = await self._read(lambda: self.stripe.api("GET", f"/v1/customers/{session['customer']}"))
        return [] if customer.get("deleted") else [customer]

    async def _living(self) -> list[Json]:
        return [
            one
            for customer in await self._customers()
            for one in await self._read(partial(listed, self.stripe, f"/v1/subscriptions?customer={customer['id']}"))
        ]

    async def _prices(self) -> list[str]:
        return [price["id"] for price in await self._read(partial(listed, self.stripe, "/v1/prices?type=recurring"))]

    async def _read(self, read: Callable[[], Awaitable[T]]) -> T:
        """Stripe's own staff meet its faults too."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while True:
                try:
                    return await read()
                except (AssertionError, aiohttp.ClientError, OSError):
                    await asyncio.sleep(0)

    def _key(self) -> str:
        self._keys += 1
        return f"{self.subject}-{self._keys}"
