"""The local Stripe from outside: its hosted pages, its control door, and what it was asked."""

from dataclasses import dataclass
from typing import Any, Final, cast

import aiohttp

API_KEY: Final = "sk_test_platform"
VISA: Final = "4242424242424242"
DECLINED: Final = "4000000000000002"
FAILS_LATER: Final = "4000000000000341"
PAYS_LATER: Final = "4000000000009979"

#: What a gateway asks for without anybody wanting anything: whose key it has, what happened at Stripe, and what moved.
BACKGROUND_READS: Final = frozenset({"/v1/account", "/v1/events", "/v1/balance_transactions", "/v1/transfers"})

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class PageAnswer:
    """What a page said to a posted form."""

    status: int
    location: str | None
    text: str


@dataclass(frozen=True, slots=True, eq=False)
class StripeDoor:
    """One running local Stripe."""

    url: str
    http: aiohttp.ClientSession

    async def pay(self, page_url: str, card: str = VISA) -> PageAnswer:
        """Fill in the payment page and send it off."""
        return await self.post_form(page_url, card_number=card, email="somebody@example.com")

    async def post_form(self, url: str, **fields: str) -> PageAnswer:
        async with self.http.post(url, data=fields, allow_redirects=False) as response:
            return PageAnswer(response.status, response.headers.get("Location"), await response.text())

    async def page(self, url: str) -> PageAnswer:
        async with self.http.get(url, allow_redirects=False) as response:
            return PageAnswer(response.status, response.headers.get("Location"), await response.text())

    async def control(self, path: str, /, **fields: object) -> Json:
        async with self.http.post(f"{self.url}/_sandbox/{path}", json=fields) as response:
            answer = cast("Json", await response.json())
            assert response.status == 200, answer
            return answer

    async def look(self, path: str) -> Json:
        async with self.http.get(f"{self.url}/_sandbox/{path}") as response:
            return cast("Json", await response.json())

    async def fault(self, path: str, kind: str, *, count: int = 1, method: str | None = None, skip: int = 0) -> None:
        """Let the next calls of one path fail."""
        more: Json = {} if method is None else {"method": method}
        await self.control("faults", path=path, kind=kind, count=count, skip=skip, **more)

    async def idle(self, *, timeout_seconds: float = 10.0) -> bool:
        """Whether everything was delivered, or given up, within the time."""
        return cast("bool", (await self.control("events/wait", timeout_seconds=timeout_seconds))["idle"])

    async def requests(self, path: str = "", *, method: str | None = None) -> list[Json]:
        """What the API was asked, oldest first; what the background looks at by itself only when it is named."""
        rows = cast("list[Json]", (await self.look("requests"))["requests"])
        by_itself = [row for row in rows if row["method"] == "GET" and row["path"] in BACKGROUND_READS]
        asked = rows if path else [row for row in rows if row not in by_itself]
        return [row for row in asked if row["path"].startswith(path) and method in (None, row["method"])]

    async def made(self, path: str) -> list[Json]:
        """The writes to one path that were carried out and not merely answered from memory."""
        rows = await self.requests(path, method="POST")
        return [row for row in rows if row["path"] == path and row["status"] == 200 and not row["replayed"]]

    async def forget_requests(self) -> None:
        await self.control("requests/clear")

    async def sessions(self) -> list[Json]:
        """The Checkout Sessions there are, newest first."""
        return await self._all("checkout_sessions")

    async def session(self, session_id: str) -> Json:
        (found,) = [one for one in await self.sessions() if one["id"] == session_id]
        return found

    async def subscriptions(self, *, status: str | None = None) -> list[Json]:
        return [one for one in await self._all("subscriptions") if status in (None, one["status"])]

    async def count(self, kind: str) -> int:
        """How many objects of a kind exist, deleted ones included."""
        books = cast("list[Json]", (await self.look("state"))["books"])
        return sum(book["counts"].get(kind, 0) for book in books)

    async def api(self, method: str, path: str, **form: str) -> Json:
        """Call the API as somebody with the key would, past the gateway."""
        headers = {"Authorization": f"Bearer {API_KEY}"}
        async with self.http.request(method, f"{self.url}{path}", data=form or None, headers=headers) as response:
            answer = cast("Json", await response.json())
            assert response.status == 200, answer
            return answer

    async def _all(self, name: str) -> list[Json]:
        books = cast("list[Json]", (await self.look("state"))["books"])
        return [one for book in books for one in cast("list[Json]", book[name])]
