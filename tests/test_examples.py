"""The examples and the quickstart, run as they stand against a gateway and a local Stripe."""

import asyncio
import json
import os
import re
import shutil
import sys
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import pytest

from gateway.domain.clock import SystemClock
from gateway.server.auth import make_token
from gateway.server.webhook import WEBHOOK_PATH
from tests.support.development import development
from tests.support.gateway import JWT_SECRET, Platform, open_platform
from tests.support.payday import assert_right, catch_up

ROOT = Path(__file__).parents[1]
EXAMPLES = ROOT / "examples"
VISA, DECLINED = "4242424242424242", "4000000000000002"
GATEWAY, STRIPE = "http://127.0.0.1:8000", "http://127.0.0.1:12111"

Json = dict[str, Any]


@pytest.fixture
async def platform(sqlite_url: str) -> AsyncIterator[Platform]:
    """In real time, because shells and other programs live in it too."""
    async with open_platform(sqlite_url, clock=SystemClock()) as opened:
        yield opened


async def run(*command: str, **environment: str) -> tuple[int, str]:
    """A program's exit status, and what it said on standard output."""
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=ROOT,
        env={**os.environ, **environment},
        stdout=asyncio.subprocess.PIPE,
    )
    said, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, said.decode()


async def checkout_flow(platform: Platform, subject: str, *arguments: str) -> tuple[int, str]:
    script = str(EXAMPLES / "checkout_flow.py")
    known = ("--gateway", platform.nodes[0].url, "--token", platform.token(subject))
    return await run(sys.executable, script, *known, *arguments)


async def send_event(platform: Platform, *, secret: str | None = None) -> tuple[int, Json]:
    """What the door says to examples/webhook.sh."""
    node = platform.nodes[0]
    known = node.gateway.settings.stripe_webhook_secrets[0].get_secret_value()
    status, said = await run(
        str(EXAMPLES / "webhook.sh"),
        WEBHOOK_URL=f"{node.url}{WEBHOOK_PATH}",
        WEBHOOK_SECRET=secret or known,
        EVENT_ID="evt_example",
    )
    return status, cast("Json", json.loads(said))


def needs(*programs: str) -> pytest.MarkDecorator:
    missing = [program for program in programs if shutil.which(program) is None]
    return pytest.mark.skipif(bool(missing), reason=f"this machine lacks {', '.join(missing)}, which the example uses")


async def test_the_dashboard_query_answers_every_part(platform: Platform) -> None:
    person = platform.person()
    page = await person.deposit_page("2500")
    await platform.stripe.control("checkout/pay", checkout_session=page.session_id)
    await platform.settled()

    answer = await person.ask((EXAMPLES / "dashboard.graphql").read_text(), entries=1)

    assert answer["plan"]["tier"] == "FREE"
    assert [offer["name"] for offer in answer["plans"]] == ["Free", "Starter", "Pro", "Business"]
    assert answer["wallet"]["balance"] == {"amountCents": "2500", "amount": "25.00", "currency": "USD"}
    assert [edge["node"]["kind"] for edge in answer["wallet"]["entries"]["edges"]] == ["DEPOSIT"]


async def test_the_page_about_payouts_answers_every_part(platform: Platform) -> None:
    answer = await platform.person().ask((EXAMPLES / "payouts.graphql").read_text(), first=1)

    assert answer["earnings"]["available"] == {"amountCents": "0", "amount": "0.00", "currency": "USD"}
    assert (answer["payoutSettings"]["accountStatus"], answer["payoutSettings"]["frequency"]) == (
        "NOT_CONNECTED",
        "MANUAL",
    )
    assert answer["payouts"] == {"edges": [], "pageInfo": {"hasNextPage": False, "endCursor": None}}


async def test_the_batch_is_answered_in_its_order(platform: Platform) -> None:
    reply = await platform.person().send(json.loads((EXAMPLES / "mobile_batch.json").read_text()))

    assert reply.status == 200
    assert [list(entry["data"]) for entry in reply.body] == [["plan"], ["wallet"], ["plans"]]


async def test_the_flow_buys_a_plan(platform: Platform) -> None:
    status, said = await checkout_flow(platform, "alice", "--pay", VISA, "plan", "PRO", "YEARLY")

    assert status == 0, said
    assert "Plan: PRO, ACTIVE, paid until " in said
    assert await platform.person("alice").tier() == "PRO"


async def test_the_flow_fills_the_wallet(platform: Platform) -> None:
    status, said = await checkout_flow(platform, "alice", "--pay", VISA, "deposit", "2500")

    assert status == 0, said
    assert "Deposited $25.00; the wallet holds $25.00" in said
    assert await platform.person("alice").balance_cents() == "2500"


async def test_the_flow_shows_a_refusal_as_it_is(platform: Platform) -> None:
    status, said = await checkout_flow(platform, "alice", "deposit", "499")

    assert status == 1
    assert said == "AMOUNT_OUT_OF_RANGE: A deposit is between $5.00 and $500.00; got $4.99.\n"


async def test_the_flow_says_when_a_card_is_declined(platform: Platform) -> None:
    status, said = await checkout_flow(platform, "alice", "--pay", DECLINED, "deposit", "2500")

    assert status == 1
    assert "The page did not take the card; it answered 402." in said
    assert await platform.person("alice").balance_cents() == "0"


@needs("bash", "curl", "openssl")
async def test_the_signed_event_is_stored_once(platform: Platform) -> None:
    assert await send_event(platform) == (0, {"received": True, "duplicate": False})
    assert await send_event(platform) == (0, {"received": True, "duplicate": True})


@needs("bash", "curl", "openssl")
async def test_an_event_signed_with_another_secret_is_refused(platform: Platform) -> None:
    status, answer = await send_event(platform, secret="whsec_somebody_else")

    assert status != 0
    assert answer["error"]["code"] == "bad_signature"


def quickstart() -> list[tuple[str, str]]:
    """The quickstart's blocks as (language, content), without the one that starts everything."""
    text = (ROOT / "docs/quickstart.md").read_text()
    every = re.findall(r"^```(\w*)\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    assert every[0] == ("", "make run\n")
    return every[1:]


def found(pattern: str, said: str) -> str:
    match = re.search(pattern, said)
    assert match is not None, said
    return match[0]


def token_of(line: str) -> str:
    """What `gateway token` makes of this line's options, in real time."""
    subject, scopes = found(r"(?<=--sub )\w+", line), re.findall(r"--scope ([\w:]+)", line)
    return make_token(
        secret=JWT_SECRET, subject=subject, now=SystemClock().now(), lifetime=timedelta(hours=1), scopes=tuple(scopes)
    )


def prepared(line: str, platform: Platform, *, said: str) -> str:
    """A line of the quickstart with this platform's addresses, and the ids that a reader would copy from above."""
    line = line.replace(GATEWAY, platform.nodes[0].url).replace(STRIPE, platform.stripe.url)
    name = line.partition("=")[0]
    if name in {"TOKEN", "CREATOR", "RUNTIME"}:
        return f"{name}={token_of(line)}"
    copied = {
        "SESSION": r"cs_test_[A-Za-z0-9]+",
        "PORTAL": r"http[^,]+/p/session/[A-Za-z0-9_]+",
        "SETUP": r"http[^,]+/setup/[A-Za-z0-9]+",
    }
    return f"{name}={found(copied[name], said)}" if name in copied else line


def unmarked(answer: str) -> str:
    """An answer without what differs each time: ids, times, ports."""
    answer = re.sub(r"(?:cs_test|evt)_[A-Za-z0-9…]+", "ID", answer.strip())
    answer = re.sub(r"/setup/[A-Za-z0-9…]+", "/setup/ID", answer)
    return re.sub(r"\d{4}-\d\d-\d\dT[^\"]+", "TIME", re.sub(r"127\.0\.0\.1:\d+", "HOST", answer))


async def half_a_minute_passes(platform: Platform) -> None:
    """The gateway's background work catches up with the clock, as it does within half a minute by itself."""
    for _ in range(2):
        await platform.settled()
        await catch_up(platform)
    await platform.settled()


@needs("bash", "curl")
async def test_the_quickstart_does_what_it_says(
    sqlite_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    async with development(sqlite_url) as platform:
        assert await compared_with_the_quickstart(platform) == 14
        await assert_right(platform)


async def compared_with_the_quickstart(platform: Platform) -> int:
    """Do line by line what it says; how many answers were the ones that it shows."""
    kept: list[str] = []  # what later lines need: variables and the function
    said = answer = ""
    compared = 0

    for language, content in quickstart():
        is_answer = language == "json" or content.startswith("303 ")
        if is_answer:
            assert unmarked(answer) == unmarked(content)
            compared += 1
            continue
        for line in content.splitlines():
            ready = prepared(line, platform, said=said)
            if re.match(r"(TOKEN|CREATOR|RUNTIME|SESSION|PORTAL|SETUP)=|graphql\(\)", ready):
                kept.append(ready)
                continue
            status, answer = await run("bash", "-c", "\n".join([*kept, ready]))
            assert status == 0, answer
            said = answer
            await half_a_minute_passes(platform)

    return compared
