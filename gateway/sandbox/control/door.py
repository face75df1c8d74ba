"""POST /_sandbox/…: what tests and people use to make things happen."""

import dataclasses
import re
from collections.abc import Awaitable, Callable
from typing import Final

import orjson
from aiohttp import web

from gateway.sandbox.control import connect, money, plans
from gateway.sandbox.control.body import Body, ControlRefused
from gateway.sandbox.control.state import summary
from gateway.sandbox.engine import endpoints
from gateway.sandbox.engine.world import World
from gateway.sandbox.refusals import Json, Refusal
from gateway.sandbox.webhooks.sender import Sender
from gateway.sandbox.wire.faults import Fault, FaultKind, Faults
from gateway.sandbox.wire.idempotency import IdempotencyKeys
from gateway.sandbox.wire.request_log import RequestLog

ADVANCE_SECONDS_MAX: Final = 10 * 366 * 86_400
FAULT_COUNT_MAX: Final = 100_000
COPIES_MAX: Final = 100
_DAY_SECONDS: Final = 86_400


class ControlDoor:
    """The control addresses of one sandbox. Answers JSON; what cannot be done is a 4xx with a message."""

    def __init__(
        self,
        world: World,
        *,
        sender: Sender,
        faults: Faults,
        keys: IdempotencyKeys,
        log: RequestLog,
        seed: Callable[[World], None],
        keep: Callable[[], None],
    ) -> None:
        self._world = world
        self._sender = sender
        self._faults = faults
        self._keys = keys
        self._log = log
        self._seed = seed
        self._keep = keep

    def add_routes(self, app: web.Application) -> None:
        now: dict[str, Callable[[World, Body], Json]] = {
            "payments/settle": money.settle,
            "payments/fail": money.fail,
            "refunds": money.refund,
            "refunds/fail": money.fail_refund,
            "disputes/open": money.open_dispute,
            "disputes/close": money.close_dispute,
            "checkout/pay": money.pay_session,
            "subscriptions/create": plans.create,
            "subscriptions/cancel": plans.cancel,
            "subscriptions/pause": plans.pause,
            "subscriptions/resume": plans.resume,
            "subscriptions/status": plans.set_status,
            "accounts/stage": connect.stage,
            "accounts/close": connect.close,
            "accounts/deauthorize": connect.deauthorize,
            "accounts/bank": connect.replace_bank,
            "accounts/v2_snapshots": connect.v2_snapshots,
            "balance/available": connect.make_available,
            "balance/plant": connect.plant,
            "balance/alter": connect.alter,
            "payouts/create": connect.pay_out,
            "payouts/arrive": connect.arrive,
            "payouts/fail": connect.fail,
            "transfers/reverse": connect.reverse_transfer,
            "idempotency_keys/forget": self._forget_keys,
            "clock/advance": self._advance,
            "events/resend": self._resend,
            "events/hold": self._hold,
            "events/release": self._release,
            "webhook_endpoints": self._add_endpoint,
            "faults": self._plan_fault,
            "faults/clear": self._clear_faults,
            "requests/clear": self._clear_requests,
        }
        for path, run in now.items():
            app.router.add_post(f"/_sandbox/{path}", self._at_once(run))
        app.router.add_post("/_sandbox/events/wait", self._wait)
        app.router.add_post("/_sandbox/reset", self._reset)
        app.router.add_get("/_sandbox/clock", self._reading(self._clock))
        app.router.add_get("/_sandbox/state", self._reading(lambda: summary(self._world)))
        app.router.add_get("/_sandbox/requests", self._reading(self._requests))
        app.router.add_get("/_sandbox/faults", self._reading(self._planned_faults))
        app.router.add_get("/_sandbox/events/attempts", self._reading(self._attempts))
        app.router.add_route("*", "/_sandbox/{rest:.*}", _nothing_here)

    def _at_once(self, run: Callable[[World, Body], Json]) -> Callable[[web.Request], Awaitable[web.Response]]:
        async def handle(request: web.Request) -> web.Response:
            try:
                body = Body(await request.read())
                self._world.run_due()
                return _json(run(self._world, body))
            except (ControlRefused, Refusal) as refused:
                return _refusal(refused)

        return handle

    def _reading(self, read: Callable[[], Json]) -> Callable[[web.Request], Awaitable[web.Response]]:
        async def handle(_request: web.Request) -> web.Response:
            self._world.run_due()
            return _json(read())

        return handle

    def _clock(self) -> Json:
        around = self._world.around
        return {"now": around.clock.now(), "real_now": around.clock.real_now(), "next_due": around.agenda.next_due()}

    def _advance(self, world: World, body: Body) -> Json:
        """Exactly one of seconds, days, to (a moment), or to_next_due."""
        now = world.around.clock.now()
        seconds, days, to = (body.whole_or_none(name) for name in ("seconds", "days", "to"))
        to_next = body.flag("to_next_due")
        body.done()
        if [seconds is not None, days is not None, to is not None, to_next].count(True) != 1:
            raise ControlRefused("Give exactly one of seconds, days, to, to_next_due.")
        if to_next:
            to = world.around.agenda.next_due() or now
        if to is not None:
            seconds = to - now
        if days is not None:
            seconds = days * _DAY_SECONDS
        assert seconds is not None
        if not 0 <= seconds <= ADVANCE_SECONDS_MAX:
            raise ControlRefused(f"The clock moves forward only, and by at most ten years; got {seconds} seconds.")
        ran = world.advance(seconds)
        # Before anybody writes down a time that a killed server would forget to have reached.
        world.changes += 1
        self._keep()
        return {**self._clock(), "ran": ran}

    def _forget_keys(self, world: World, body: Body) -> Json:
        """What Stripe does by itself a day later: every idempotency key, or `key` alone, is unknown again."""
        named = body.text_or_none("key")
        body.done()
        return {"forgotten": self._keys.forget(named)}

    def _resend(self, world: World, body: Body) -> Json:
        """An event by id, or the latest of a type, once or several times."""
        named, kind = body.text_or_none("event"), body.text_or_none("type")
        copies = body.whole("copies", default=1, least=1)
        body.done()
        if (named is None) == (kind is None) or copies > COPIES_MAX:
            raise ControlRefused(f"Name exactly one of event, type, and at most {COPIES_MAX} copies.")
        for book in world.books():
            for event in book.newest_first("event"):
                if event["id"] == named or event["type"] == kind:
                    return {"event": event["id"], "deliveries": self._sender.resend(book, event, copies=copies)}
        raise ControlRefused(f"There is no event {named or kind!r}.", status=404)

    def _hold(self, world: World, body: Body) -> Json:
        body.done()
        self._sender.hold()
        return {"holding": True}

    def _release(self, world: World, body: Body) -> Json:
        """Send what was held, in order or shuffled by a seed."""
        seed, copies = body.whole_or_none("seed"), body.whole("copies", default=1, least=1)
        body.done()
        if copies > COPIES_MAX:
            raise ControlRefused(f"At most {COPIES_MAX} copies; got {copies}.")
        return {"released": self._sender.release(seed=seed, copies=copies)}

    async def _wait(self, request: web.Request) -> web.Response:
        """Answer when nothing is on its way any more, or after `timeout_seconds`."""
        try:
            body = Body(await request.read())
            timeout_seconds = body.seconds("timeout_seconds", default=5.0)
            body.done()
        except ControlRefused as refused:
            return _refusal(refused)
        return _json({"idle": await self._sender.wait_idle(timeout_seconds=timeout_seconds)})

    def _attempts(self) -> Json:
        return {
            "attempts": [dataclasses.asdict(attempt) for attempt in self._sender.attempts],
            "held": list(self._sender.held_types()),
        }

    def _add_endpoint(self, world: World, body: Body) -> Json:
        """An endpoint with a secret of the caller's choice."""
        params: Json = {
            "url": body.text("url"),
            "enabled_events": body.texts("enabled_events", default=["*"]),
            "connect": body.flag("connect"),
            "thin": body.flag("thin"),
        }
        version = body.text_or_none("api_version")
        if version is not None:
            params["api_version"] = version
        secret = body.text_or_none("secret")
        body.done()
        endpoint = endpoints.new_endpoint(world.platform, params, secret=secret)
        return {**endpoint, "secret": world.platform.behind.endpoint_secrets[endpoint["id"]][0]}

    def _plan_fault(self, world: World, body: Body) -> Json:
        """`path` is a beginning of the address, or a regular expression after `regex:`."""
        path, method = body.text("path"), body.text_or_none("method")
        kind = FaultKind(body.one_of("kind", tuple(kind.value for kind in FaultKind)))
        count = body.whole("count", default=1, least=1)
        skip = body.whole("skip", default=0)
        seconds = body.seconds("seconds", default=world.around.settings.fault_hang_seconds)
        body.done()
        if count > FAULT_COUNT_MAX:
            raise ControlRefused(f"A fault strikes at most {FAULT_COUNT_MAX} times; got {count}.")
        regex = path.removeprefix("regex:")
        try:
            pattern = re.compile(regex if regex != path else f"^{re.escape(path)}")
        except re.error as error:
            raise ControlRefused(f"`path` is not a regular expression: {error}.") from error
        upper = method.upper() if method else None
        self._faults.plan(Fault(kind=kind, path=pattern, method=upper, count=count, seconds=seconds, skip=skip))
        return self._planned_faults()

    def _planned_faults(self) -> Json:
        return {
            "faults": [
                {
                    "kind": fault.kind.value,
                    "path": fault.path.pattern,
                    "method": fault.method,
                    "count": fault.count,
                    "skip": fault.skip,
                    "used": fault.used,
                }
                for fault in self._faults.planned()
            ]
        }

    def _clear_faults(self, world: World, body: Body) -> Json:
        body.done()
        self._faults.clear()
        return self._planned_faults()

    def _requests(self) -> Json:
        return {"requests": [dataclasses.asdict(row) for row in self._log.rows()]}

    def _clear_requests(self, world: World, body: Body) -> Json:
        body.done()
        self._log.clear()
        return self._requests()

    async def _reset(self, request: web.Request) -> web.Response:
        """Everything as at the start: no objects, no faults; no skipped time, unless a database beside lives in it."""
        await self._sender.reset()
        skipped_seconds = self._world.around.clock.skipped_seconds
        self._world.clear()
        if self._world.around.settings.state_file is not None:
            self._world.around.clock.skip(skipped_seconds)
        self._keys.clear()
        self._faults.clear()
        self._log.clear()
        self._seed(self._world)
        return _json({"reset": True})


async def _nothing_here(request: web.Request) -> web.Response:
    return _refusal(ControlRefused(f"There is no {request.method} {request.path}.", status=404))


def _json(content: Json, *, status: int = 200) -> web.Response:
    return web.Response(status=status, body=orjson.dumps(content, default=str), content_type="application/json")


def _refusal(refused: ControlRefused | Refusal) -> web.Response:
    return _json({"error": {"message": refused.message}}, status=refused.status)
