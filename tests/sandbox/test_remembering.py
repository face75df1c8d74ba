"""A local Stripe that stops and starts again goes on where it was."""

import asyncio
import shutil
from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import orjson
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from structlog.testing import capture_logs

from gateway.sandbox.refusals import Json
from gateway.sandbox.settings import SandboxSettings
from tests.sandbox.local_stripe import PAYS_LATER, VISA, LocalStripe, local_stripe, plain
from tests.sandbox.shop import deposit_session, open_shop, pay, plan_session, subscribe, subscription

KEY = {"Idempotency-Key": "deposit:1"}
NOBODY = "http://127.0.0.1:9/hook"
DAY_SECONDS = 86_400


@pytest.fixture
def settings(tmp_path: Path) -> SandboxSettings:
    return SandboxSettings(state_file=tmp_path / "var" / "state.json", state_poll_seconds=0.01, stop_grace_seconds=0.1)


def file_of(settings: SandboxSettings) -> Path:
    assert settings.state_file is not None
    return settings.state_file


def first(settings: SandboxSettings) -> AbstractAsyncContextManager[LocalStripe]:
    return local_stripe(settings, seed=1)


def again(settings: SandboxSettings, *, seed: int = 2) -> AbstractAsyncContextManager[LocalStripe]:
    return local_stripe(settings, seed=seed)


async def retrieved(local: LocalStripe, session: Json) -> Json:
    return await plain(local.sdk.v1.checkout.sessions.retrieve_async(session["id"]))


async def written(settings: SandboxSettings, text: str) -> None:
    """Wait until the file tells of `text`."""
    while not file_of(settings).is_file() or text not in file_of(settings).read_text():
        await asyncio.sleep(0.01)


@dataclass(slots=True)
class Receiver:
    url: str = ""
    got: list[Json] = field(default_factory=list[Json])

    def types(self) -> list[str]:
        return [event["type"] for event in self.got]


@asynccontextmanager
async def a_receiver() -> AsyncGenerator[Receiver]:
    receiver = Receiver()

    async def take(request: web.Request) -> web.Response:
        receiver.got.append(orjson.loads(await request.read()))
        return web.Response()

    app = web.Application()
    app.router.add_post("/hook", take)
    server = TestServer(app, host="127.0.0.1")
    await server.start_server()
    receiver.url = str(server.make_url("/hook"))
    yield receiver
    await server.close()


async def test_a_paid_subscription_lives_on_and_renews(settings: SandboxSettings) -> None:
    async with first(settings) as local:
        shop = await open_shop(local)
        bought = await subscribe(local, shop)

    async with again(settings) as local:
        assert await subscription(local, bought["id"]) == bought
        await local.advance(days=32)
        renewed = await subscription(local, bought["id"])

    former: int = bought["items"]["data"][0]["current_period_end"]
    assert renewed["items"]["data"][0]["current_period_start"] == former
    assert renewed["status"] == "active"


async def test_an_open_session_can_be_paid(settings: SandboxSettings) -> None:
    async with first(settings) as local:
        shop = await open_shop(local)
        page = await plan_session(local, shop.monthly, customer=shop.customer)

    async with again(settings) as local:
        assert await retrieved(local, page) == page
        paid = await pay(local, page, VISA)
        bought = await subscription(local, paid["subscription"])

    assert (paid["status"], paid["payment_status"]) == ("complete", "paid")
    assert (bought["status"], bought["items"]["data"][0]["price"]["id"]) == ("active", shop.monthly)


async def test_an_open_session_expires_on_time(settings: SandboxSettings) -> None:
    async with first(settings) as local:
        page = await deposit_session(local)

    async with again(settings) as local:
        await local.advance(seconds=DAY_SECONDS + 1)
        assert (await retrieved(local, page))["status"] == "expired"


async def test_a_delayed_payment_settles_after_the_restart(settings: SandboxSettings) -> None:
    async with first(settings) as local:
        page = await deposit_session(local, cents=2500)
        waiting = await pay(local, page, PAYS_LATER)

    async with again(settings) as local:
        await local.advance(days=3)
        settled = await retrieved(local, page)

    assert (waiting["payment_status"], settled["payment_status"]) == ("unpaid", "paid")
    assert "checkout.session.async_payment_succeeded" in local.types()


async def test_a_key_is_replayed_after_the_restart(settings: SandboxSettings) -> None:
    async with first(settings) as local:
        made = await local.ok("POST", "/v1/customers", "name=A", headers=KEY)

    async with again(settings) as local:
        status, replayed, headers = await local.api("POST", "/v1/customers", "name=A", headers=KEY)
        customers = await local.ok("GET", "/v1/customers")

    assert (status, replayed, headers["Idempotent-Replayed"]) == (200, made, "true")
    assert [one["id"] for one in customers["data"]] == [made["id"]]


async def test_skipped_time_stays_skipped(settings: SandboxSettings) -> None:
    async with first(settings) as local:
        await local.advance(days=40)

    async with again(settings) as local:
        clock = await local.look("clock")

    assert clock["now"] - clock["real_now"] == 40 * DAY_SECONDS


async def test_a_changed_price_still_shows_in_its_subscriptions(settings: SandboxSettings) -> None:
    """The price within a subscription is the price itself, before a restart and after."""
    async with first(settings) as local:
        shop = await open_shop(local)
        bought = await subscribe(local, shop)

    async with again(settings) as local:
        await local.ok("POST", f"/v1/prices/{shop.monthly}", "nickname=Loyal")
        seen = await subscription(local, bought["id"])

    assert seen["items"]["data"][0]["price"]["nickname"] == "Loyal"


async def test_a_busy_world_is_written_as_it_was_read(settings: SandboxSettings) -> None:
    async with first(settings) as local:
        shop = await open_shop(local)
        bought = await subscribe(local, shop)
        await local.control("subscriptions/status", {"subscription": bought["id"], "status": "past_due"})
        deposit = await deposit_session(local, customer=shop.customer)
        await pay(local, deposit, VISA)
        await local.control("refunds", {"checkout_session": deposit["id"], "amount": 500})
        await local.control("disputes/open", {"checkout_session": deposit["id"], "amount": 500})
        await local.control("checkout/pay", {"checkout_session": deposit["id"]}, answers=400)
        declined = await deposit_session(local)
        await local.control(
            "checkout/pay", {"checkout_session": declined["id"], "card_number": "4000000000000002"}, answers=402
        )
        await local.ok("POST", "/v1/customers", "name=live", headers={"Authorization": "Bearer sk_live_local"})
        await local.ok("POST", "/v1/customers", 'metadata[$shared]=1&name={"$shared":0}')
        await local.ok("DELETE", f"/v1/customers/{(await local.ok('POST', '/v1/customers'))['id']}")
        await local.advance(days=40)
    before = orjson.loads(file_of(settings).read_bytes())

    async with again(settings):
        pass

    assert orjson.loads(file_of(settings).read_bytes()) == before


async def test_the_endpoint_of_the_settings_is_there_once_and_follows_them(settings: SandboxSettings) -> None:
    async with a_receiver() as old, a_receiver() as new:
        former = replace(settings, webhook_url=old.url, webhook_secret="whsec_old")
        async with first(former) as local:
            own = await local.control("webhook_endpoints", {"url": NOBODY, "enabled_events": ["invoice.paid"]})
            before = (await local.ok("GET", "/v1/webhook_endpoints"))["data"]

        changed = replace(settings, webhook_url=new.url, webhook_secret="whsec_new")
        async with again(changed) as local:
            after = (await local.ok("GET", "/v1/webhook_endpoints"))["data"]
            await local.ok("POST", "/v1/customers", "name=A")
            await local.control("events/wait")

    assert [one["id"] for one in after] == [one["id"] for one in before]
    assert [one["url"] for one in after] == [own["url"], new.url, new.url]
    assert (old.types(), new.types()) == ([], ["customer.created"])


async def test_settings_without_an_endpoint_take_it_away(settings: SandboxSettings) -> None:
    async with first(replace(settings, webhook_url=NOBODY)) as local:
        assert len((await local.ok("GET", "/v1/webhook_endpoints"))["data"]) == 2

    async with again(settings) as local:
        assert (await local.ok("GET", "/v1/webhook_endpoints"))["data"] == []


async def test_an_event_that_nobody_took_arrives_after_the_restart(settings: SandboxSettings) -> None:
    async with first(replace(settings, webhook_url=NOBODY)) as local:
        await local.ok("POST", "/v1/customers", "name=A")
        await local.control("events/hold")
        await local.ok("POST", "/v1/customers", "name=B")

    async with a_receiver() as receiver:
        async with again(replace(settings, webhook_url=receiver.url)) as local:
            assert (await local.control("events/wait"))["idle"] is True
            events = (await local.ok("GET", "/v1/events"))["data"]

        async with local_stripe(replace(settings, webhook_url=receiver.url), seed=3) as local:
            await local.control("events/wait")

    assert sorted(one["data"]["object"]["name"] for one in receiver.got) == ["A", "B"]
    assert [one["pending_webhooks"] for one in events] == [0, 0]


async def test_a_killed_one_left_what_it_last_wrote(settings: SandboxSettings, tmp_path: Path) -> None:
    async with first(settings) as local:
        shop = await open_shop(local)
        bought = await subscribe(local, shop)
        await written(settings, bought["id"])
        as_killed = replace(settings, state_file=tmp_path / "as-killed.json")
        shutil.copy(file_of(settings), file_of(as_killed))

    async with again(as_killed) as local:
        assert (await subscription(local, bought["id"]))["status"] == "active"


def _state(**more: object) -> bytes:
    return orjson.dumps({"format": "local-stripe", "version": 1, "state": {}, **more})


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "it is not JSON"),
        (b"\x80\x04junk", "it is not JSON"),
        (b'{"format": "local-str', "it is not JSON"),
        (b"[]", "it is JSON of another kind"),
        (_state(format="holiday pictures"), "it is JSON of another kind"),
        (_state(version=0), "its version is 0, and this one reads 1"),
        (_state(), "it does not hold together"),
        (_state(state={"skipped_seconds": -1}), "it does not hold together"),
    ],
)
async def test_a_file_that_cannot_be_read_is_set_aside(settings: SandboxSettings, content: bytes, reason: str) -> None:
    path = file_of(settings)
    path.parent.mkdir()
    path.write_bytes(content)

    with capture_logs() as logs:
        async with first(settings) as local:
            assert (await local.ok("GET", "/v1/customers"))["data"] == []
            await local.ok("POST", "/v1/customers", "name=A")

    said = [one for one in logs if one["event"] == "sandbox.state_unreadable"]
    assert [one["reason"].startswith(reason) for one in said] == [True]
    assert path.with_name("state.json.unreadable").read_bytes() == content
    async with again(settings) as local:
        assert len((await local.ok("GET", "/v1/customers"))["data"]) == 1


async def test_a_state_that_breaks_off_in_the_middle_leaves_nothing_behind(settings: SandboxSettings) -> None:
    async with first(replace(settings, webhook_url=NOBODY)) as local:
        await open_shop(local)
        await local.advance(days=1)
    whole = orjson.loads(file_of(settings).read_bytes())
    whole["state"]["undelivered"] = None
    file_of(settings).write_bytes(orjson.dumps(whole))

    async with again(replace(settings, webhook_url=NOBODY)) as local:
        clock = await local.look("clock")
        assert clock["now"] == clock["real_now"]
        assert (await local.ok("GET", "/v1/customers"))["data"] == []
        assert len((await local.ok("GET", "/v1/webhook_endpoints"))["data"]) == 2


async def test_a_reset_clears_the_file_at_once(settings: SandboxSettings) -> None:
    slow = replace(settings, state_poll_seconds=0.01)
    async with first(slow) as local:
        made = await local.ok("POST", "/v1/customers", "name=A", headers=KEY)
        await written(slow, made["id"])
        await local.control("reset")
        assert made["id"] not in file_of(slow).read_text()

    async with again(slow) as local:
        assert (await local.ok("GET", "/v1/customers"))["data"] == []


async def test_only_its_owner_may_read_the_file(settings: SandboxSettings) -> None:
    async with first(settings):
        pass

    modes = {path.name: oct(path.stat().st_mode & 0o777) for path in file_of(settings).parent.iterdir()}
    assert modes == {"state.json": "0o600", "state.json.lock": "0o600"}


async def test_two_at_once_do_not_share_a_file(settings: SandboxSettings) -> None:
    async with first(settings) as local:
        made = await local.ok("POST", "/v1/customers", "name=A")
        with capture_logs() as logs:
            async with again(settings) as other:
                assert (await other.ok("GET", "/v1/customers"))["data"] == []
                await other.ok("POST", "/v1/customers", "name=B")

    assert [one["event"] for one in logs if one["log_level"] == "warning"] == ["sandbox.state_not_kept"]
    async with local_stripe(settings, seed=3) as local:
        assert [one["id"] for one in (await local.ok("GET", "/v1/customers"))["data"]] == [made["id"]]


async def test_a_place_that_cannot_be_written_does_not_stop_it(settings: SandboxSettings) -> None:
    file_of(settings).parent.write_text("a file where the folder should be")

    with capture_logs() as logs:
        async with first(settings) as local:
            await local.ok("POST", "/v1/customers", "name=A")

    assert [one["event"] for one in logs if one["log_level"] == "warning"] == ["sandbox.state_not_kept"]
