"""How the outside sees that the gateway is alive, ready and busy: `/healthz`, `/readyz`, `/metrics`."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import orjson
import structlog
from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

READINESS_SECONDS_MAX = 2.0

_UNCACHED = {"Cache-Control": "no-store"}

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Check:
    """One condition of being ready; `detail` is for an operator and names no host, user or statement."""

    ok: bool
    detail: str


class Readiness:
    """Whether requests can be served now.

    The door is open to strangers, so whoever asks while an answer is being found shares that answer: the database is
    asked once at a time, however many ask.
    """

    def __init__(
        self,
        *,
        ping: Callable[[], Awaitable[object]],
        pending: Callable[[], Awaitable[Sequence[str]]],
        timeout_seconds: float = READINESS_SECONDS_MAX,
    ) -> None:
        self._ping = ping
        self._pending = pending
        self._timeout_seconds = timeout_seconds
        self._running: asyncio.Task[dict[str, Check]] | None = None

    async def checks(self) -> dict[str, Check]:
        if self._running is None or self._running.done():
            self._running = asyncio.create_task(self._look(), name="readiness")
        return await asyncio.shield(self._running)

    async def _look(self) -> dict[str, Check]:
        database, migrations = await asyncio.gather(
            self._bounded("database", self._database()), self._bounded("migrations", self._migrations())
        )
        return {"database": database, "migrations": migrations}

    async def _bounded(self, name: str, check: Awaitable[Check]) -> Check:
        try:
            async with asyncio.timeout(self._timeout_seconds):
                return await check
        except TimeoutError:
            log.warning("readiness.failed", check=name, reason="timeout")
            return Check(ok=False, detail=f"no answer within {self._timeout_seconds:g} s")
        except Exception as error:  # noqa: BLE001 - the border: whatever a driver raises means "not ready"
            log.warning("readiness.failed", check=name, reason=str(error))
            return Check(ok=False, detail=type(error).__name__)

    async def _database(self) -> Check:
        await self._ping()
        return Check(ok=True, detail="answers")

    async def _migrations(self) -> Check:
        names = await self._pending()
        if names:
            return Check(ok=False, detail=f"{len(names)} not applied, first {names[0]}: run `gateway migrate`")
        return Check(ok=True, detail="all applied")


def health_routes(*, readiness: Readiness, registry: CollectorRegistry) -> list[web.RouteDef]:
    """The three doors of operation; they need no sign-in and tell nothing about customers."""

    async def healthz(request: web.Request) -> web.Response:
        return web.Response(text="ok\n", headers=_UNCACHED)

    async def readyz(request: web.Request) -> web.Response:
        checks = await readiness.checks()
        ready = all(check.ok for check in checks.values())
        return web.Response(
            status=200 if ready else 503,
            body=orjson.dumps({"ready": ready, "checks": checks}),
            content_type="application/json",
            headers=_UNCACHED,
        )

    async def metrics(request: web.Request) -> web.Response:
        encode, content_type = choose_encoder(request.headers.get("Accept", ""))
        return web.Response(body=encode(registry), headers={"Content-Type": content_type, **_UNCACHED})

    return [web.get("/healthz", healthz), web.get("/readyz", readyz), web.get("/metrics", metrics)]
